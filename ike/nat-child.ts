/**
 * Quick Mode through a NAT: what can't pass one, original addresses, and what selectors mean on this side of it (RFC 3947 §5, RFC 3948 §5).
 * Invariant: a peer gets no traffic but that of the address it speaks from; and of two that want the same packets the first keeps them.
 */
import { addressBytes, addressFromBytes, formatAddress, includesAddress, isHost, parseAddress } from "../isakmp/address.ts";
import { ID_TYPE } from "../isakmp/numbers.ts";
import { type Payload, payload } from "../isakmp/payloads.ts";
import { err, ok, type Result } from "../isakmp/result.ts";
import { formatIdentity } from "../policy/identity.ts";
import { compareSpecificity } from "../policy/select.ts";
import { formatSelector, overlap } from "../policy/selector.ts";
import type { Rule } from "../policy/types.ts";
import type { ChildSa, ChildSpec } from "../sa-store/child-sa.ts";
import type { IkeSa } from "../sa-store/ike-sa.ts";
import { hostOf } from "./child-request.ts";
import { type Core, peerName, whoIs } from "./core.ts";
import type { ChildSuite } from "./crypto/suite.ts";
import type { IkeError } from "./errors.ts";
import type { PayloadOf } from "./flight.ts";
import type { NatState } from "./nat.ts";
import { coveringPair, stands } from "./place.ts";
import type { ChildRequest } from "./quick-mode.ts";
import { specKey } from "./wishes.ts";

/** The proposals that can be used: AH covers the addresses that a NAT changes. */
export const acrossNat = (proposals: readonly ChildSuite[], nat: NatState | null): readonly ChildSuite[] =>
  nat ? proposals.filter((suite) => suite.every(({ protocol }) => protocol !== "ah")) : proposals;

/** Why nothing is left to offer. */
export const noWayForAh = (ike: IkeSa, { name }: Rule): IkeError => ({
  kind: "nat-ah",
  what: `rule ${name} offers AH only, which can't pass the NAT between us and ${peerName(ike.path)}`,
});

/** NAT-OA of a message of ours in transport mode: both ends as we see them, the initiator's first; the drafts know only our own. */
export function originalAddresses({ sa: { nat }, path }: IkeSa, mode: Rule["mode"], weInitiate: boolean): readonly Payload[] {
  if (!nat || mode !== "transport") return [];
  if (nat.numbers === "draft") return [originalAddress("natOaDraft", path.local.address)];
  const ends = weInitiate ? [path.local, path.remote] : [path.remote, path.local];
  return ends.map(({ address }) => originalAddress("natOa", address));
}

function originalAddress(name: "natOa" | "natOaDraft", address: string): Payload {
  const parsed = parseAddress(address);
  if (!parsed) throw new Error(`not an address: ${address}`);
  const type = parsed.family === 4 ? ID_TYPE.ID_IPV4_ADDR : ID_TYPE.ID_IPV6_ADDR;
  return payload(name, { type, address: addressBytes(parsed.family, parsed.value) });
}

/** The addresses in NAT-OA payloads, as text; those of other forms are left out. */
export const readOriginals = (payloads: readonly (PayloadOf<"natOa"> | PayloadOf<"natOaDraft">)[]): readonly string[] =>
  payloads.slice(0, 2).flatMap(({ value: { address } }) => {
    const parsed = addressFromBytes(address);
    return parsed ? [formatAddress(parsed.family, parsed.value)] : [];
  });

/**
 * In transport mode the peer names both hosts as it sees them. Here they are the two ends of IKE's own path, and Linux wants them so. A
 * peer that names neither itself nor its original address asks for somebody else's traffic.
 */
export function asSeenHere(ike: IkeSa, request: ChildRequest, mode: Rule["mode"] | null): Result<ChildRequest, IkeError> {
  const { nat } = ike.sa;
  const { selector, originals } = request;
  if (!nat || mode === "tunnel" || !isHost(selector.local) || !isHost(selector.remote)) return ok(request);
  const [own, far] = [ike.path.local.address, ike.path.remote.address];
  const [original] = originals;
  if (nat.remote && original !== undefined && !includesAddress(selector.remote, original) && !includesAddress(selector.remote, far))
    return err({
      kind: "selectors",
      what: `the peer proposes ${formatSelector(selector)}, but says that its original address is ${original}`,
    });
  const local = nat.local ? hostOf(own) : selector.local;
  const remote = nat.remote ? hostOf(far) : selector.remote;
  return ok({ ...request, selector: { ...selector, local, remote } });
}

/** Behind a NAT, or on the router itself, somebody else may have answered what we begin. One that surely is not is the only one at its address. */
export const mayBeAnothers = ({ sa: { nat } }: IkeSa): boolean => nat === null || nat.remote;

/**
 * Somebody else has these selectors, or a part of what they select, and packets for it could go to one only. Behind NATs that is common: private addresses are
 * not unique, and in transport mode all hosts behind one NAT are one address. A narrower child would come before a wider one of another peer, and get its answers.
 */
export function takenByAnother(core: Core, ike: IkeSa, spec: ChildSpec): string | undefined {
  if (ike.sa.nat === null && !core.store.hasEncapsulated) return undefined;
  const isInTheWay = (child: ChildSa | undefined): child is ChildSa =>
    child !== undefined && child.state !== "draining" && (ike.sa.nat ?? child.encap) !== null && !isOwn(child, ike);
  const equal = core.store.byKey(specKey(spec));
  const holders = (): readonly (ChildSa | undefined)[] => core.policies.holders(spec).map((id) => core.store.children.get(id));
  const isHeld = (): boolean => equal.some((child) => child.state !== "draining" && isOwn(child, ike));
  const meets = (child: ChildSa): boolean =>
    isInTheWay(child) && overlap(child.spec.selector, spec.selector) && !rulesDecide(core, spec, child.spec);
  const neighbour = (): ChildSa | undefined => {
    for (const child of core.store.childrenMeeting(spec.local, spec.remote, spec.selector, whoIs(ike))) if (meets(child)) return child;
    return undefined;
  };
  const other = equal.find(isInTheWay) ?? holders().find(isInTheWay) ?? (isHeld() ? undefined : neighbour());
  if (!other) return undefined;
  const asked = formatSelector(spec.selector);
  const held = formatSelector(other.spec.selector);
  const what = held === asked ? asked : `${asked} is asked for, and of that ${held}`;
  return `${what} belongs to ${formatIdentity(other.peerId)} at ${other.spec.remote} already: give each host behind a NAT an inner address of its own, in tunnel mode`;
}

/** Two rules tell whose the packets are that both are about, where the narrower one has policies of its own: they come first with or without a child. */
function rulesDecide(core: Core, one: ChildSpec, other: ChildSpec): boolean {
  if (one.rule.name === other.rule.name) return false;
  const [a, b] = [one, other].map(({ rule, selector }) => coveringPair(core.addresses, rule, selector));
  const order = a && b ? compareSpecificity(a, b) : 0;
  return order !== 0 && stands(order < 0 ? one.rule : other.rule);
}

/** The same peer again, perhaps with another mapping. A private address as identity says little about who it is, unless the NAT is the same. */
const isOwn = (child: ChildSa, ike: IkeSa): boolean =>
  child.ike === ike.id || (child.who === whoIs(ike) && (child.peerId.type !== "ip" || child.spec.remote === ike.path.remote.address));
