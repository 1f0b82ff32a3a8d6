/**
 * What lets others' packets through past a wider block where only one of two questions is answered by the filter that is about them. The kernel asks twice
 * about a packet that passes through: as it comes (`fwd`) and as it leaves (`out`). A tunnel protects what goes into it as it leaves, and sees that what
 * comes out of it came protected. A permit of others' traffic answers both for what its local side sends, and for what comes back only the first one.
 *
 * A way has the selector of the policy that answers the other time, its twin, and stands just in front of the strongest block that is weaker than the twin
 * and meets it. So whatever is stronger than that block still comes first: a tunnel that looks after some of the same packets does.
 * Invariants: none opens what a tunnel looks after that is not stronger than the block; nor what this host itself sends, for which guards that block stand in
 * front of the way where its source side holds addresses of this host.
 */
import { bitsOf, covers, type Family, formatAddress, parseAddress, parseRange, prefixLength, prefixRange } from "../isakmp/address.ts";
import type { Direction, WantedPolicy } from "./compile.ts";
import { greatestBehind, greatestMeeting, type Sides } from "./meeting-pairs.ts";
import { coversPackets, inFrontOf, inFrontOfFront, isNatural, type PacketSelector, selectorKey } from "./packet-selector.ts";
import { isOnLink, LINK_LOCAL } from "./selector.ts";

export interface Ways {
  /** Ways and guards. */
  readonly policies: readonly WantedPolicy[];
  /** What has the selector of one of them and could never decide behind it. */
  readonly replaced: ReadonlySet<WantedPolicy>;
  readonly shut: readonly Shut[];
}

/** What finds no way past a block. */
export interface Shut {
  /** The policy that answers the other time. */
  readonly twin: WantedPolicy;
  /** One of these shuts some of it: the strongest blocks that do have the priority that all of them have. */
  readonly blocks: readonly WantedPolicy[];
  /** `tunnel`: one that is not stronger than the block looks after some of the same packets. `host`: this host sends some, and they could not be told apart. */
  readonly because: "tunnel" | "host";
}

/** Whether one of all policies is a way or a guard. */
export const isBesideBlock = ({ origin, priority }: WantedPolicy): boolean => origin.kind === "rule" && !isNatural(priority);

/** The ways that go with the policies of rules, `decided`; `addresses` are the local ones. */
export function waysPast(decided: readonly WantedPolicy[], addresses: readonly string[]): Ways {
  if (!decided.some(({ origin }) => origin.kind === "rule" && passesOnce(origin.rule))) return NONE;
  const own = ownSources(addresses);
  const found = [waysAt("fwd", "out", decided, own), waysAt("out", "fwd", decided, own)];
  return {
    policies: found.flatMap(({ policies }) => policies),
    replaced: new Set(found.flatMap(({ replaced }) => [...replaced])),
    shut: found.flatMap(({ shut }) => shut),
  };
}

const NONE: Ways = { policies: [], replaced: new Set(), shut: [] };

/** What this host's own packets may have for a source; who has no address yet has the unspecified one. Such, and those of a link, are not passed on. */
export const ownSources = (addresses: readonly string[]): readonly Prefix[] => [
  ...addresses.filter((address) => !isOnLink(address)).map((address): Prefix => ({ address, length: bitsOf(familyOf(address)) })),
  { address: "0.0.0.0", length: bitsOf(4) },
  { address: "::", length: bitsOf(6) },
  { address: formatAddress(6, LINK_LOCAL.first), length: LINK_LENGTH },
];

const LINK_LENGTH = prefixLength(LINK_LOCAL) ?? bitsOf(6);

export interface Prefix {
  readonly address: string;
  readonly length: number;
}

type RuleOf = Extract<WantedPolicy["origin"], { readonly kind: "rule" }>["rule"];

const passesOnce = ({ mode, action }: RuleOf): boolean => mode === "tunnel" || action === "permit";

const ruleOf = ({ origin }: WantedPolicy): RuleOf | undefined => (origin.kind === "rule" ? origin.rule : undefined);

/** Whether a policy at one place wants a way at the other one: a tunnel, and what a permit says of packets that pass through. */
function wantsWay(wanted: WantedPolicy): boolean {
  const rule = ruleOf(wanted);
  return (
    wanted.action === "allow" && rule !== undefined && (rule.mode === "tunnel" || (rule.action === "permit" && wanted.direction === "fwd"))
  );
}

/** The ways at one `place` for what is answered at the `other`. `own`: sources of what this host sends, which only leaves. */
function waysAt(place: Direction, other: Direction, decided: readonly WantedPolicy[], own: readonly Prefix[]): Ways {
  const here = decided.filter(({ direction }) => direction === place);
  const hostsOwn = new Set(own.map(({ address, length }) => `${address}/${length}`));
  const ofOthers = ({ selector: { source, sourceLength } }: WantedPolicy): boolean =>
    !hostsOwn.has(`${source}/${sourceLength}`) && !(isOnLink(source) && sourceLength >= LINK_LENGTH);
  const twins = decided
    .filter((wanted) => wanted.direction === other && wantsWay(wanted) && ofOthers(wanted))
    .sort((a, b) => a.priority - b.priority);
  const blocks = here.filter((wanted) => wanted.action === "block" && ruleOf(wanted)?.mode === "transport" && ofOthers(wanted));
  const shutting = strongestBehind(twins, blocks);
  const stopped = twins.flatMap((twin, i) => (shutting[i] === undefined ? [] : [{ twin, priority: shutting[i] }]));
  if (stopped.length === 0) return NONE;
  const asked = stopped.map(({ twin }) => twin.selector);
  const tunnels = greatestMeeting(
    here.filter((wanted) => ruleOf(wanted)?.mode === "tunnel").map(({ selector, priority }) => ({ sides: selector, worth: priority })),
    asked,
  );
  const sent = place === "out" ? own.map((prefix) => ({ sides: sentBy(prefix), worth: 1 })) : [];
  const hosts = greatestMeeting(sent, asked);
  const site = new Site(place, here, blocks, own);
  for (const [i, { twin, priority }] of stopped.entries()) site.open(twin, priority, (tunnels[i] as number) >= priority, hosts[i] === 1);
  return site;
}

/** For each of `twins` the priority of the strongest block that is weaker and meets it. */
function strongestBehind(twins: readonly WantedPolicy[], blocks: readonly WantedPolicy[]): readonly (number | undefined)[] {
  const worths = greatestBehind(
    blocks.map(({ selector, priority }) => ({ sides: selector, priority, worth: -priority })),
    twins.map(({ selector, priority }) => ({ sides: selector, priority })),
  );
  return worths.map((worth) => (worth === Number.NEGATIVE_INFINITY ? undefined : -worth));
}

/** What stands at one place, and the ways that come to it. */
class Site implements Ways {
  readonly #place: Direction;
  readonly #own: readonly Prefix[];
  readonly #here: ReadonlyMap<string, WantedPolicy>;
  /** Of each family by their priority, strongest first: all that have it are of one shape. */
  readonly #blocks: Readonly<Record<Family, ReadonlyMap<number, readonly WantedPolicy[]>>>;
  /** The weakest that is no block, of each family. */
  readonly #open: Readonly<Record<Family, number>>;
  readonly #added = new Map<string, WantedPolicy>();
  readonly replaced = new Set<WantedPolicy>();
  readonly shut: Shut[] = [];

  constructor(place: Direction, here: readonly WantedPolicy[], blocks: readonly WantedPolicy[], own: readonly Prefix[]) {
    this.#place = place;
    this.#own = own;
    this.#here = new Map(here.map((wanted) => [selectorKey(wanted.selector), wanted]));
    this.#blocks = { 4: byPriority(blocks, 4), 6: byPriority(blocks, 6) };
    const open = here.filter(({ action }) => action === "allow");
    const weakest = (family: Family): number =>
      open.reduce((most, { priority, selector }) => (familyOf(selector.source) === family ? Math.max(most, priority) : most), 0);
    this.#open = { 4: weakest(4), 6: weakest(6) };
  }

  get policies(): readonly WantedPolicy[] {
    return [...this.#added.values()];
  }

  /** Opens a way past the blocks of a priority and whatever is weaker. */
  open(twin: WantedPolicy, priority: number, looked: boolean, hosts: boolean): void {
    const { selector } = twin;
    const before = this.#here.get(selectorKey(selector));
    if (before && before.priority < priority) return;
    const wall = hosts ? this.#wallBehind(priority, selector) : undefined;
    if (looked || (hosts && !wall)) {
      this.shut.push({ twin, blocks: this.#blocks[familyOf(selector.source)].get(priority) ?? [], because: looked ? "tunnel" : "host" });
      return;
    }
    const origin = twin.origin.kind === "rule" ? { ...twin.origin, way: true } : twin.origin;
    this.#put({ direction: this.#place, selector, action: "allow", priority: inFrontOf(priority), protection: null, origin });
    if (!wall) return;
    for (const { address, length } of this.#own.filter((one) => within(one, selector.source, selector.sourceLength)))
      this.#put({ ...wall, selector: { ...selector, source: address, sourceLength: length }, priority: inFrontOfFront(priority) });
  }

  /**
   * A block that drops all packets of a selector that come to a priority, so that guards there do the same: nothing in between lets some of them pass.
   * Undefined where there is none.
   */
  #wallBehind(priority: number, selector: PacketSelector): WantedPolicy | undefined {
    const family = familyOf(selector.source);
    if (this.#open[family] >= priority) return undefined;
    for (const [behind, [block]] of this.#blocks[family]) {
      if (behind < priority || !block) continue;
      const { selector: shape } = block;
      const found = this.#here.get(selectorKey(cutTo(shape, selector)));
      if (found?.priority === behind && found.action === "block" && coversPackets(found.selector, selector)) return found;
    }
    return undefined;
  }

  /** Of two with one selector the stronger stays; what would be behind the block anyway never decides. */
  #put(wanted: WantedPolicy): void {
    const key = selectorKey(wanted.selector);
    const before = this.#here.get(key);
    if (before && before.priority < wanted.priority) return;
    if (before) this.replaced.add(before);
    const added = this.#added.get(key);
    if (!added || wanted.priority < added.priority) this.#added.set(key, wanted);
  }
}

function byPriority(blocks: readonly WantedPolicy[], family: Family): ReadonlyMap<number, readonly WantedPolicy[]> {
  const lists = new Map<number, WantedPolicy[]>();
  for (const block of blocks.filter(({ selector }) => familyOf(selector.source) === family).sort((a, b) => a.priority - b.priority)) {
    const list = lists.get(block.priority);
    if (list) list.push(block);
    else lists.set(block.priority, [block]);
  }
  return lists;
}

/** Whether packets of two policies may have the same ends. */
export const haveCommonEnds = ({ selector: a }: WantedPolicy, { selector: b }: WantedPolicy): boolean =>
  (
    [
      [a.source, a.sourceLength, b.source, b.sourceLength],
      [a.destination, a.destinationLength, b.destination, b.destinationLength],
    ] as const
  ).every(([one, length, other, otherLength]) => {
    const shorter = Math.min(length, otherLength);
    return familyOf(one) === familyOf(other) && networkOf(one, shorter) === networkOf(other, shorter);
  });

const sentBy = ({ address, length }: Prefix): Sides => ({
  ...{ source: address, sourceLength: length },
  ...{ destination: familyOf(address) === 4 ? "0.0.0.0" : "::", destinationLength: 0 },
});

function within(inner: Prefix, address: string, length: number): boolean {
  if (inner.length < length || familyOf(inner.address) !== familyOf(address)) return false;
  const [one, other] = [parseRange(`${inner.address}/${inner.length}`), parseRange(`${address}/${length}`)];
  return one !== undefined && other !== undefined && covers(other, one);
}

const familyOf = (address: string): Family => (address.includes(":") ? 6 : 4);

/** The selector of a shape that holds all packets of another, if there is one. */
const cutTo = (shape: PacketSelector, s: PacketSelector): PacketSelector => ({
  ...{ source: networkOf(s.source, shape.sourceLength), sourceLength: shape.sourceLength },
  ...{ destination: networkOf(s.destination, shape.destinationLength), destinationLength: shape.destinationLength },
  ...{
    protocol: shape.protocol && s.protocol,
    sourcePort: shape.sourcePort && s.sourcePort,
    destinationPort: shape.destinationPort && s.destinationPort,
  },
});

function networkOf(address: string, length: number): string {
  const parsed = parseAddress(address);
  if (!parsed) throw new Error(address);
  return formatAddress(parsed.family, prefixRange(parsed.family, parsed.value, length).first);
}
