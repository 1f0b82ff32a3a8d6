/**
 * What Linux's output and input paths do with a packet under a set of policies and SAs, as pure functions: for `memory.ts`.
 * Invariant: a required template without its SA never lets a packet through in clear.
 */
import type { KernelEvent, KernelPolicy, KernelSa, KernelSelector, KernelTemplate, PolicyDirection } from "../ike/kernel-contract.ts";
import { covers, hostRange, parseAddress, prefixRange } from "../isakmp/address.ts";

/** The fields of a packet that selectors look at. Addresses are canonical text; ports are 0 where the protocol has none. */
export interface Packet {
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

/** `through`: the SAs in the order of their templates. `acquire`: the packet is dropped and the event is due. */
export type Verdict =
  | { readonly kind: "blocked" }
  /** `wanted`: protection would be welcome, and is asked for while the packet goes (level "use"). */
  | { readonly kind: "clear"; readonly wanted: readonly KernelEvent[] }
  | { readonly kind: "protected"; readonly through: readonly KernelSa[] }
  | { readonly kind: "acquire"; readonly event: KernelEvent };

/** The output path. `sas` oldest first: the newest that fits a template is the one that sends. */
export function route(packet: Packet, policies: Iterable<KernelPolicy>, sas: readonly KernelSa[]): Verdict {
  const policy = policyFor(packet, policies, "out");
  if (!policy) return { kind: "clear", wanted: [] };
  if (policy.action === "block") return { kind: "blocked" };
  const through: KernelSa[] = [];
  const wanted: KernelEvent[] = [];
  let ends: Ends = packet;
  for (const template of policy.templates) {
    ends = { source: template.source ?? ends.source, destination: template.destination ?? ends.destination };
    const newest = sas.findLast((sa) => fits(template, ends, sa) && carries(sa, packet));
    if (newest) through.push(newest);
    else if (template.level === "required") return { kind: "acquire", event: acquire(packet, template) };
    else wanted.push(acquire(packet, template));
  }
  return through.length > 0 ? { kind: "protected", through } : { kind: "clear", wanted };
}

/** The input path: whether a packet that was unwrapped by `used` (innermost first) satisfies the policy that it meets. */
export function accepts(
  packet: Packet,
  policies: Iterable<KernelPolicy>,
  used: readonly KernelSa[],
  direction: Exclude<PolicyDirection, "out">,
): boolean {
  const policy = policyFor(packet, policies, direction);
  if (!policy) return used.every((sa) => sa.mode === "transport");
  if (policy.action === "block") return false;
  let at = 0;
  for (const template of policy.templates) {
    const sa = used[at];
    const ends = { source: template.source ?? sa?.source ?? "", destination: template.destination ?? sa?.destination ?? "" };
    if (sa && fits(template, ends, sa)) at++;
    else if (template.level === "required") return false;
  }
  return used.slice(at).every((sa) => sa.mode === "transport");
}

/** Whether an address, protocol and port pair lies in a selector. */
export const selects = (s: KernelSelector, packet: Packet): boolean =>
  inPrefix(packet.source, s.source, s.sourceLength) &&
  inPrefix(packet.destination, s.destination, s.destinationLength) &&
  (s.protocol === 0 || s.protocol === packet.protocol) &&
  (s.sourcePort === 0 || s.sourcePort === packet.sourcePort) &&
  (s.destinationPort === 0 || s.destinationPort === packet.destinationPort);

type Ends = { readonly source: string; readonly destination: string };

/** The smallest priority wins, and among equals the policy that was there first. */
function policyFor(packet: Packet, policies: Iterable<KernelPolicy>, direction: PolicyDirection): KernelPolicy | undefined {
  let best: KernelPolicy | undefined;
  for (const policy of policies) {
    if (policy.direction !== direction || !selects(policy.selector, packet)) continue;
    if (!best || policy.priority < best.priority) best = policy;
  }
  return best;
}

const fits = (template: KernelTemplate, ends: Ends, sa: KernelSa): boolean =>
  sa.protocol === template.protocol &&
  sa.mode === template.mode &&
  (template.reqid === 0 || sa.reqid === template.reqid) &&
  sa.source === ends.source &&
  sa.destination === ends.destination;

/** An SA without a selector carries its own family only; one of the other in a tunnel needs a selector, or the word that it is for both. */
const carries = ({ selector, source }: KernelSa, packet: Packet): boolean =>
  selector === null ? source.includes(":") === packet.source.includes(":") : selector === "both-families" || selects(selector, packet);

const acquire = (packet: Packet, template: KernelTemplate): KernelEvent => ({
  type: "acquire",
  protocol: template.protocol,
  reqid: template.reqid,
  source: packet.source,
  destination: packet.destination,
  ipProtocol: packet.protocol,
  sourcePort: packet.sourcePort,
  destinationPort: packet.destinationPort,
});

function inPrefix(address: string, prefix: string, length: number): boolean {
  const [host, net] = [parseAddress(address), parseAddress(prefix)];
  if (!host || !net || host.family !== net.family) return false;
  return covers(prefixRange(net.family, net.value, length), hostRange(host.family, host.value));
}
