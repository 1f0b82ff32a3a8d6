/**
 * What `why` says where the kernel has something in front of the rules' own policies: that of a child for a part of its rule, or of a soft SA. And which
 * children's SAs are those that the kernel takes.
 */
import { directionOf, formatPackets, type Packet, selectorOf } from "../policy/decide.ts";
import { hasPorts } from "../policy/filter.ts";
import { answerTo, type Explanation, type Verdict } from "../policy/why.ts";
import type { Met } from "../sa-store/met.ts";
import type { StatusDocument } from "../sa-store/view.ts";
import { type Carrying, isWithin, keptFromClear } from "./kept-from-clear.ts";

/** What there is now. */
export interface Now {
  readonly status: StatusDocument;
  /** All addresses of this host. */
  readonly own: readonly string[];
  readonly metBy: (packets: ReturnType<typeof selectorOf>, direction: Explanation["direction"]) => Met | undefined;
}

export interface MetNow {
  readonly explained: Explanation;
  readonly installed: StatusDocument["childSas"];
  readonly soft: StatusDocument["softSas"];
  readonly guards: StatusDocument["guards"];
}

/** The explanation as it holds with what stands now. `asksKernel`: whether the kernel asks any policy about the packet. */
export function metNow(explanation: Explanation, now: Now, asksKernel: boolean): MetNow {
  const { packet, direction, rule } = explanation;
  const { childSas, softSas, guards } = now.status;
  // What passes through goes into a tunnel, or comes out of it.
  const ways = direction === "fwd" ? [false, true] : [direction === "in"];
  const isAbout = (sa: Carrying): boolean => ways.some((turned) => isWithin(packet, turned, sa));
  const isOfRule = (sa: Carrying & { readonly rule: string }): boolean => sa.rule === rule && isAbout(sa);
  const met = asksKernel ? frontAt(packet, direction, explanation.policy, now) : undefined;
  const leading = new Set(!asksKernel ? [] : met ? met.children : childrenAt(packet, direction, now));
  const isTaken = (sa: StatusDocument["childSas"][number]): boolean =>
    leading.has(sa.id) ? isAbout(sa) : isOfRule(sa) && isOfPart(sa, packet);
  const own = met && !isGuard(met, now) ? withFront(explanation, met, now) : keptFromClear(explanation, guards.filter(isAbout));
  const explained = asksKernel ? answered(own, now) : own;
  return { explained, installed: childSas.filter(isTaken), soft: softSas.filter(isOfRule), guards: guards.filter(isOfRule) };
}

/** Whether an SA is about only some of the packets that a question leaves open. */
const isOfPart = (sa: Carrying, { protocol, sourcePort, destinationPort }: Packet): boolean =>
  (protocol === 0 && sa.protocol !== "any") ||
  ((protocol === 0 || hasPorts(protocol)) && (sourcePort === 0 || destinationPort === 0) && (sa.localPort ?? sa.remotePort) !== null);

const isGuard = ({ front }: Met, { status }: Now): boolean => status.guards.some(({ id }) => id === front);

/** What the kernel is asked about a packet, in the order in which it is. */
const lookUps = (direction: Explanation["direction"]): readonly Explanation["direction"][] =>
  direction === "fwd" ? ["fwd", "out"] : [direction];

const childrenAt = (packet: Packet, direction: Explanation["direction"], { metBy }: Now): readonly number[] =>
  lookUps(direction).flatMap((way) => metBy(selectorOf(packet), way)?.children ?? []);

/**
 * What stands in front of the rules for a packet, where it decides: of what passes through the stricter counts. `policy`: what decides by the rules.
 */
function frontAt(packet: Packet, direction: Explanation["direction"], policy: Explanation["policy"], now: Now): Met | undefined {
  const fronts = lookUps(direction)
    .flatMap((way) => now.metBy(selectorOf(packet), way) ?? [])
    .filter(({ front }) => front !== null);
  const isStricter = (met: Met): boolean => policy?.direction === met.policy.direction || policy?.level !== "required";
  return fronts.filter(isStricter).toSorted((a, b) => STRICTEST.indexOf(a.policy.level) - STRICTEST.indexOf(b.policy.level))[0];
}

const STRICTEST: readonly Met["policy"]["level"][] = ["required", "use", null];

function verdictOf({ policy: { action, level } }: Met): Verdict {
  if (action === "block") return "drop";
  return level === "required" ? "protect" : level === "use" ? "protect-if-possible" : "clear";
}

function withFront(explanation: Explanation, met: Met, { status }: Now): Explanation {
  const { front, policy } = met;
  const verdict = verdictOf(met);
  const owner = [...status.childSas, ...status.softSas].find(({ id }) => id === front);
  const way = WORDS[explanation.direction];
  const what = verdict === "clear" ? `${way} in clear` : verdict === "protect" ? `${way} only protected` : `${way} in clear or protected`;
  const because =
    verdict === "clear"
      ? `${owner?.remote} sends no IKE packet, and soft SA ${front} lets it past the rule's own policy`
      : `child ${front} has a policy of its own for it, which stands in front of the rule's`;
  return {
    ...{ ...explanation, verdict },
    says: `rule ${owner?.rule ?? explanation.rule}: ${what} now: ${because}`,
    policy: { ...policy, selector: formatPackets(policy.selector) },
  };
}

const WORDS: Readonly<Record<Explanation["direction"], string>> = { out: "sent", in: "accepted", fwd: "passed on" };

/** The same of its answer. */
function answered(explanation: Explanation, now: Now): Explanation {
  const answer = answerTo(explanation.packet);
  const met = frontAt(answer, directionOf(answer, now.own), null, now);
  return met && !isGuard(met, now) ? { ...explanation, answer: { ...explanation.answer, verdict: verdictOf(met) } } : explanation;
}
