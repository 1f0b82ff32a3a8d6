/**
 * What a packet meets in the kernel now: the policy, of the rules' own and of those in front of them, and whose SAs that leads to. For `why`.
 */
import type { PacketSelector } from "../policy/packet-selector.ts";
import type { ChildSa } from "../sa-store/child-sa.ts";
import type { Met } from "../sa-store/met.ts";
import type { Core } from "./core.ts";
import { sameProtocols } from "./install.ts";
import type { KernelPolicy, PolicyDirection } from "./kernel-contract.ts";

/** undefined: nothing of ours is about such packets. Every policy and every child is looked at: for a person's question, not for each packet. */
export function metBy(core: Core, packets: PacketSelector, direction: PolicyDirection): Met | undefined {
  const found = core.policies.metBy(packets, direction);
  if (!found) return undefined;
  const { policy, front } = found;
  const carries = (child: ChildSa): boolean => isLedTo(core, policy, child, packets);
  const children = policy.templates.length === 0 ? [] : [...core.store.children.values()].filter(carries).map(({ id }) => id);
  const { selector, priority, templates } = policy;
  return { policy: { direction, selector, priority, level: templates[0]?.level ?? null, action: policy.action }, front, children };
}

/** Whether the kernel takes the SAs of a child for what a policy wants. Selectors apart: a question may leave ports open. */
function isLedTo(core: Core, policy: KernelPolicy, { spec, protections, state }: ChildSa, packets: PacketSelector): boolean {
  const out = policy.direction === "out";
  // A pair that was replaced still takes what comes late, and sends nothing.
  if (out && state === "draining") return false;
  const reqid = out ? spec.reqid : core.policies.knownInboundReqid(spec);
  const tunnelled = policy.templates.find(({ mode }) => mode === "tunnel");
  const [source, destination] = [tunnelled?.source ?? packets.source, tunnelled?.destination ?? packets.destination];
  const [local, remote] = out ? [source, destination] : [destination, source];
  return (
    policy.templates.every((template) => template.reqid === reqid) &&
    (tunnelled !== undefined) === (spec.rule.mode === "tunnel") &&
    spec.local === local &&
    spec.remote === remote &&
    sameProtocols(
      policy,
      protections.map(({ suite }) => suite.protocol),
    )
  );
}
