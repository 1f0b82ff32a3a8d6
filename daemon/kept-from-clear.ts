/**
 * What `why` says of a flow that was protected and is kept from the clear for a while: what stands in the kernel for that, instead of what its rule comes to
 * at other times.
 */
import { includesAddress, parseRange } from "../isakmp/address.ts";
import { formatProtocol } from "../policy/filter.ts";
import type { ExplainedPolicy, Explanation } from "../policy/why.ts";
import type { GuardPolicyView, GuardView, StatusDocument } from "../sa-store/view.ts";

/** What an SA, a soft SA or a guard is about. */
export type Carrying = Pick<StatusDocument["softSas"][number], "local" | "remote" | "localPort" | "remotePort" | "protocol">;
type Packet = Explanation["packet"];

/** The explanation of a packet as it holds while `guards` stand, which are about it or its answer: about that of both which leaves. */
export function keptFromClear(explanation: Explanation, guards: readonly GuardView[]): Explanation {
  const { packet, direction, answer } = explanation;
  if (direction === "fwd") return explanation;
  if (direction === "in")
    return frontOf(guards, answer.rule, packet) ? { ...explanation, answer: { ...answer, verdict: "protect" } } : explanation;
  const [guard] = guards.filter(({ rule }) => rule === explanation.rule).toSorted((a, b) => b.secondsLeft - a.secondsLeft);
  const front = frontOf(guards, explanation.rule, packet);
  // Under `request` the rule's own policies let nothing out, but for a soft SA, which a guard keeps from opening.
  if (!guard || !(front || explanation.verdict === "protect")) return explanation;
  return { ...explanation, verdict: "protect", says: sentence(guard), policy: front ?? explanation.policy };
}

const sentence = ({ rule, remote, secondsLeft }: GuardView): string =>
  `rule ${rule}: sent only protected, for ${secondsLeft} seconds more at least: this traffic with ${remote} was protected, and its last SA has ended, so that it is kept from the clear which the rule lets through at other times`;

/** The strongest policy that guards of a rule have in front of its own for a packet that leaves, or whose answer does. */
function frontOf(guards: readonly GuardView[], rule: string | null, packet: Packet): ExplainedPolicy | undefined {
  const [front] = guards
    .filter((guard) => guard.rule === rule)
    .flatMap(({ policies }) => policies.filter((one) => one.direction === "out" && isAbout(one, packet)))
    .toSorted((a, b) => a.priority - b.priority);
  return front && explained(front);
}

const isAbout = ({ source, destination, sourcePort, destinationPort, protocol }: GuardPolicyView, packet: Packet): boolean => {
  const sides = { local: source, remote: destination, localPort: sourcePort, remotePort: destinationPort, protocol };
  return [false, true].some((turned) => isWithin(packet, turned, sides));
};

function explained({
  direction,
  source,
  destination,
  sourcePort,
  destinationPort,
  protocol,
  level,
  priority,
}: GuardPolicyView): ExplainedPolicy {
  const end = (place: string, port: number | null): string => `${place}${port === null ? "" : ` port ${port}`}`;
  const ends = `${end(source, sourcePort)} -> ${end(destination, destinationPort)}`;
  return { direction, selector: protocol === "any" ? ends : `${ends} ${protocol}`, action: "allow", level, priority };
}

/** Whether a packet is within the selectors of an SA; what the question leaves open is. `turned`: it comes from the remote side. */
export function isWithin(packet: Packet, turned: boolean, { local, remote, localPort, remotePort, protocol }: Carrying): boolean {
  const [own, far] = [
    { address: packet.source, port: packet.sourcePort },
    { address: packet.destination, port: packet.destinationPort },
  ];
  const [ours, theirs] = turned ? [far, own] : [own, far];
  const mayBe = (asked: number, has: number | null): boolean => asked === 0 || has === null || asked === has;
  return (
    includes(local, ours.address) &&
    includes(remote, theirs.address) &&
    (packet.protocol === 0 || protocol === "any" || protocol === formatProtocol(packet.protocol)) &&
    mayBe(ours.port, localPort) &&
    mayBe(theirs.port, remotePort)
  );
}

function includes(text: string, address: string): boolean {
  const range = parseRange(text);
  return range !== undefined && includesAddress(range, address);
}
