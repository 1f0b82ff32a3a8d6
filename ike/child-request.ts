/**
 * The responder of Quick Mode: what an authenticated peer may ask for. The policy decides (selectors, proposals, lifetimes);
 * a refusal tells the peer, and tells us what was offered, what is configured, and the first difference.
 */

import { acceptsProof } from "../auth/proof.ts";
import { type AddressRange, hostRange, includesAddress, isHost, parseAddress } from "../isakmp/address.ts";
import type { Header } from "../isakmp/message.ts";
import { PROTOCOL } from "../isakmp/numbers.ts";
import { copyOf } from "../isakmp/octets.ts";
import type { Payload } from "../isakmp/payloads.ts";
import { err, ok, type Result } from "../isakmp/result.ts";
import { countOf } from "../policy/packet-selector.ts";
import {
  type Covering,
  coveringOf,
  decidedByAnother,
  explainMismatches,
  negotiates,
  placeInFile,
  ruleCoveringSelectors,
  rulesForPeer,
} from "../policy/select.ts";
import { formatSelector, sameSelector } from "../policy/selector.ts";
import type { Rule, TrafficSelector } from "../policy/types.ts";
import type { ChildSpec } from "../sa-store/child-sa.ts";
import type { IkeSa, QuickExchange } from "../sa-store/ike-sa.ts";
import { installInbound } from "./child-install.ts";
import { type Core, count, log, logError, peerName } from "./core.ts";
import { ikeSuiteName } from "./crypto/suite.ts";
import { ERROR_POLICY, type IkeError } from "./errors.ts";
import { quickFields } from "./event-fields.ts";
import { tellPeer } from "./informational.ts";
import { shorter } from "./life.ts";
import { asSeenHere, originalAddresses, takenByAnother } from "./nat-child.ts";
import { type ChosenChild, chooseChild, readChildTransform } from "./negotiate-child.ts";
import { allowsSuite, type SaBody } from "./negotiate-ike.ts";
import { childResponderLifetime, errorNotify } from "./notifies.ts";
import { chainOf, linger } from "./phase2.ts";
import { waysFor } from "./place.ts";
import { answerRequest, type ChildRequest, destroyChildKeys, pfsGroup, readRequest } from "./quick-mode.ts";
import { quickModesOf } from "./renewal.ts";
import { shutOff } from "./shut.ts";
import { releaseSpis, takeSpi } from "./spis.ts";
import { takenFromOthers } from "./taken.ts";
import { specKey } from "./wishes.ts";

/** A message 1 whose HASH(1) is right. */
export interface AuthenticRequest {
  readonly header: Header;
  readonly bytes: Uint8Array;
  readonly payloads: readonly Payload[];
  readonly plain: Uint8Array;
  /** The IV that follows it. */
  readonly iv: Uint8Array;
}

/** Answers a request, or refuses it. `tries`: how often an SPI collided in the kernel. */
export function respond(core: Core, ike: IkeSa, message: AuthenticRequest, tries: number): void {
  const { messageId } = message.header;
  const hosts = { local: hostOf(ike.path.local.address), remote: hostOf(ike.path.remote.address) };
  const request = andThen(readRequest(message.payloads, hosts), (asked) => asSeenHere(ike, asked, offeredMode(asked.sa)));
  if (!request.ok) return refuse(core, ike, message, request.error);
  const covering = coveringRule(core, ike, request.value);
  if (!covering.ok) return refuse(core, ike, message, covering.error);
  const { rule } = covering.value;
  core.note(() => `${formatSelector(request.value.selector)} is covered by rule ${rule.name}`);
  const limit = quickModesOf(rule);
  if (ike.quickModes > limit)
    return refuse(core, ike, message, { kind: "quick-mode-limit", what: `rule ${rule.name} allows ${limit} under one IKE SA` }, rule);
  const spis = new Map<"esp" | "ah", number>();
  const spiOf = (protocol: "esp" | "ah"): number => spis.get(protocol) ?? (spis.set(protocol, takeSpi(core)).get(protocol) as number);
  const answer = choose(core, ike, message, request.value, rule, spiOf);
  if (!answer.ok) {
    releaseSpis(core, [...spis.values()]);
    return refuse(core, ike, message, answer.error, rule);
  }
  const { agreed, bytes, iv } = answer.value;
  const selector = request.value.selector;
  const place = { rule, selector, local: ike.path.local.address, remote: ike.path.remote.address };
  const taken = takenByAnother(core, ike, { ...place, reqid: NO_REQID });
  if (taken !== undefined) {
    releaseSpis(core, [...spis.values()]);
    destroyChildKeys(agreed.keys);
    return refuse(core, ike, message, { kind: "selectors-taken", what: taken }, rule);
  }
  const spec: ChildSpec = { ...place, reqid: core.policies.reqidFor(rule, covering.value.selector, selector, place.remote) };
  const ex: QuickExchange = {
    ike: ike.id,
    messageId,
    startedAt: core.now,
    role: "responder",
    iv,
    received: copyOf(message.bytes),
    flight: null,
    tries: 0,
    timers: undefined,
    state: { kind: "installing", agreed, spec, wish: null, answer: bytes, request: message, tries },
  };
  ike.exchanges.set(messageId, ex);
  log(core, "child.started", "debug", `${peerName(ike.path)}: Quick Mode begun by the peer`, quickFields(ike, messageId, "responder"));
  installInbound(core, ike, ex);
}

function choose(
  core: Core,
  ike: IkeSa,
  message: AuthenticRequest,
  request: ChildRequest,
  rule: Rule,
  spiOf: (protocol: "esp" | "ah") => number,
) {
  const demand = { suites: rule.quickMode.proposals, mode: rule.mode, udp: ike.sa.nat !== null, group: pfsGroup(rule, ike.sa.suite) };
  const picked = chooseChild(request.sa, demand, spiOf, core.note);
  if (!picked.ok) return picked;
  const { chosen, answer } = picked.value;
  const life = ownLife(rule, chosen);
  const { messageId } = message.header;
  const first = chosen.offers[0]?.suite.protocol ?? "esp";
  const told = life.tell
    ? [childResponderLifetime(first === "esp" ? PROTOCOL.ESP : PROTOCOL.AH, spiOf(first), life.seconds, life.kilobytes)]
    : [];
  const made = answerRequest(core, ike.sa, chainOf(core, ike, messageId, message.iv), messageId, request, chosen, answer, spiOf, [
    ...originalAddresses(ike, rule.mode, false),
    ...told,
  ]);
  if (!made.ok) return made;
  const { keys, ni, nr, group } = made.value.agreed;
  const agreed = { keys, ni, nr, group, lifetimeSeconds: life.seconds, lifetimeKilobytes: life.kilobytes, commit: false };
  return ok({ ...made.value, agreed });
}

/** min(ours, offered); `tell`: ours is the shorter one, so the peer hears RESPONDER-LIFETIME (RFC 2407 §4.6.3.1). */
function ownLife(rule: Rule, chosen: ChosenChild): { readonly seconds: number; readonly kilobytes: number | null; readonly tell: boolean } {
  const { lifetimeSeconds, volumeOctets } = rule.quickMode;
  const ours = volumeOctets === null ? null : Math.max(1, Math.floor(volumeOctets / 1000));
  const seconds = Math.min(lifetimeSeconds, chosen.life.seconds ?? lifetimeSeconds);
  const kilobytes = shorter(ours, chosen.life.kilobytes);
  const tell =
    seconds < (chosen.life.seconds ?? Number.POSITIVE_INFINITY) ||
    (kilobytes !== null && kilobytes < (chosen.life.kilobytes ?? Number.POSITIVE_INFINITY));
  return { seconds, kilobytes, tell };
}

/** The rule whose filter covers what the peer proposes, among those that would have accepted its proof. */
function coveringRule(core: Core, ike: IkeSa, request: ChildRequest): Result<Covering, IkeError> {
  const believing = rulesForPeer(core.policy, ike.path.local.address, ike.path.remote.address).filter((rule) =>
    acceptsProof(rule, ike.sa.proof, ike.sa.peerId),
  );
  const rules = believing.filter((rule) => allowsSuite(rule, ike.sa.suite));
  const others = believing
    .filter((rule) => !rules.includes(rule))
    .slice(0, 6)
    .map(({ name }) => `; rule ${name} does not allow ${ikeSuiteName(ike.sa.suite)}`);
  const mode = offeredMode(request.sa);
  const modes = mode ? [mode] : (["transport", "tunnel"] as const);
  const many = tooManyPrefixes(core, rules, request.selector, modes);
  if (many !== undefined) return err({ kind: "selectors", what: `the peer proposes ${formatSelector(request.selector)}; ${many}` });
  let fault: IkeError | undefined;
  for (let left = rules; ; ) {
    const found = modes.map((m) =>
      ruleCoveringSelectors(left, core.addresses, request.selector, m, (rule) => placeInFile(core.policy, rule)),
    );
    const good = found.find((result) => result.ok);
    if (good?.ok) {
      const one = faultOf(core, ike, rules, good.value, request.selector);
      if (one === undefined) return good;
      fault ??= { kind: "selectors", what: one };
      const { rule, filter } = good.value;
      if (filter.direction === "both") return err(fault);
      // What is about one way only, which is taken, leaves the other one to the next.
      left = left.filter((other) => other !== rule);
      continue;
    }
    const mismatches = found.flatMap((result) => (result.ok ? [] : result.error));
    return err(fault ?? { kind: "selectors", what: `${explainMismatches(request.selector, mismatches)}${others.join("")}` });
  }
}

/** Why a peer gets no child under a rule that covers what it proposes. `rules`: that it may use. */
function faultOf(core: Core, ike: IkeSa, rules: readonly Rule[], found: Covering, proposed: TrafficSelector): string | undefined {
  const { rule, selector: covering } = found;
  if (rule.mode === "transport" && !ownEnds(ike, proposed))
    return `transport mode for ${formatSelector(proposed)}, which are not the two ends that speak IKE`;
  if (isRenewal(core, ike, rule, proposed)) return undefined;
  const fault =
    takenFromOthers(core, (one) => rules.includes(one), found, proposed) ??
    takenInPieces(core, rules, found, proposed) ??
    // As the kernel has it, where also a rule that the peer may use comes first, or a manual SA.
    shutOff(core, { rule, selector: proposed, reqid: core.policies.knownReqid(rule, covering) });
  return fault && `the peer proposes ${formatSelector(proposed)}; ${fault}`;
}

/** Under this very IKE SA there is one already, which ends with whatever changes the answer to all that is asked of a first one. */
const isRenewal = (core: Core, ike: IkeSa, rule: Rule, selector: TrafficSelector): boolean =>
  core.store
    .byKey(specKey({ rule, selector, local: ike.path.local.address, remote: ike.path.remote.address }))
    .some((child) => child.ike === ike.id && child.spec.rule === rule && child.state !== "draining" && child.outbound === "installed");

/** For questions that it makes no difference to. */
const NO_REQID = 0;

/** The same where a range of another rule is the wider one, and its pieces in the kernel are the narrower ones for all that is proposed. */
function takenInPieces(core: Core, rules: readonly Rule[], covering: Covering, proposed: TrafficSelector): string | undefined {
  const ways = () => waysFor(core, { rule: covering.rule, selector: proposed });
  const found = decidedByAnother(core.policy, rules, core.addresses, covering, proposed, ways);
  if (!found) return undefined;
  const { rule, filter } = found;
  const why = negotiates(rule) ? "this peer has not proved what it asks for" : `it decides (${rule.action})`;
  return `rule ${rule.name} ("${filter.text}") is narrower there than "${covering.filter.text}" of rule ${covering.rule.name}, and ${why}`;
}

/** Kernel selectors that a peer may make of one of our own: two IPv6 ranges can hold 60,000. */
const MOST_PREFIXES = 64;

/** Of more only what a filter is about as a whole. Comes before all that looks at them one by one; what no filter covers has its own words. */
function tooManyPrefixes(
  core: Core,
  rules: readonly Rule[],
  proposed: TrafficSelector,
  modes: readonly Rule["mode"][],
): string | undefined {
  const count = countOf(proposed.local, proposed.remote);
  if (count <= MOST_PREFIXES) return undefined;
  const covering = modes.flatMap((mode) => coveringOf(rules, core.addresses, proposed, mode));
  const isOwn = covering.length === 0 || covering.some(({ selector }) => sameSelector(selector, proposed));
  return isOwn ? undefined : `that is ${count} pairs of prefixes`;
}

/** In transport mode a peer may speak for itself only: otherwise it could draw another host's traffic to itself. */
const ownEnds = (ike: IkeSa, { local, remote }: TrafficSelector): boolean =>
  isHost(local) && isHost(remote) && includesAddress(local, ike.path.local.address) && includesAddress(remote, ike.path.remote.address);

/** The mode of the first readable transform; null where none says. */
function offeredMode(sa: SaBody): "transport" | "tunnel" | null {
  for (const proposal of sa.proposals)
    for (const transform of proposal.transforms) {
      const offer = readChildTransform(proposal, transform);
      if (offer.ok) return offer.value.mode;
    }
  return null;
}

/** Tells the peer by an authenticated notify that names its SPI, and ourselves by a log line; a repeat of its message is answered so as well. */
export function refuse(core: Core, ike: IkeSa, message: AuthenticRequest, error: IkeError, rule?: Rule): void {
  count(core, `quick-mode ${ERROR_POLICY[error.kind].reason}`);
  logError(core, "child.failed", `${peerName(ike.path)}${rule ? ` (rule ${rule.name})` : ""}: Quick Mode refused`, error, {
    ...quickFields(ike, message.header.messageId, "responder"),
    ...(rule ? { rule: rule.name } : {}),
  });
  const { notify } = ERROR_POLICY[error.kind];
  const sa = message.payloads.find((p) => p.name === "sa");
  const proposal = sa?.name === "sa" ? sa.value.proposals[0] : undefined;
  if (notify === null) return;
  const { messageId } = message.header;
  const told = tellPeer(core, ike, [errorNotify(notify, proposal ? { protocol: proposal.protocol, spi: proposal.spi } : null)]);
  const ex: QuickExchange = {
    ike: ike.id,
    messageId,
    startedAt: core.now,
    role: "responder",
    iv: message.iv,
    received: copyOf(message.bytes),
    flight: told,
    tries: 0,
    timers: undefined,
    state: { kind: "done" },
  };
  // Its message 1 will come again if the refusal is lost.
  ike.exchanges.set(messageId, ex);
  linger(core, ex);
}

function andThen<T, U>(result: Result<T, IkeError>, next: (value: T) => Result<U, IkeError>): Result<U, IkeError> {
  return result.ok ? next(result.value) : result;
}

/** The range of one address of a path. */
export function hostOf(address: string): AddressRange {
  const parsed = parseAddress(address);
  if (!parsed) throw new Error(`not an address: ${address}`);
  return hostRange(parsed.family, parsed.value);
}
