/**
 * Kernel policies that let IKE itself pass by IPsec. Only for daemons whose sockets can't carry such policies of their own.
 * RFC 2401 §4.4.1 wants IKE exempt explicitly: a rule that covers all traffic to a peer would otherwise cover the negotiation too.
 */
import { BYPASS_PRIORITY, type KernelCommand, type KernelPolicy, type PolicyDirection } from "../ike/kernel-contract.ts";
import type { Kernel } from "../kernel/port.ts";
import { policyName } from "../kernel/xfrm-args.ts";
import { oneAtATime } from "./addresses.ts";

const UDP = 17;
const ANY = { 4: "0.0.0.0", 6: "::" } as const;

/** `add-policy` commands for IKE's ports, both families; `remove` undoes one. */
export const bypassCommands = (ports: readonly number[]): readonly KernelCommand[] =>
  policiesFor(ports).map((policy) => ({ do: "add-policy", policy }));

/** What takes the same policies out again. */
export const removeBypassCommands = (ports: readonly number[]): readonly KernelCommand[] =>
  policiesFor(ports).map(({ direction, selector }) => ({ do: "remove-policy", policy: { direction, selector } }));

/**
 * Installs the bypass, one policy at a time: one that is there already (a crash of ours left it, or an administrator wants it)
 * is as good as ours. Returns the kernel's words where it refused, else undefined.
 */
export async function installBypass(kernel: Kernel, ports: readonly number[]): Promise<string | undefined> {
  for (const command of bypassCommands(ports)) {
    const done = await kernel.run([command]);
    if (!done.ok && !done.error.exists) return `${done.error.command}: ${done.error.reason}`;
  }
  return undefined;
}

/** Asks for the bypass of those ports again where one of its policies may have gone from the kernel; however many go at once, once and once more. */
export function keepBypass(kernel: Kernel, ports: () => readonly number[]): void {
  // What can't be had now was told at the start, or is told by what IKE does without it.
  const ask = oneAtATime(async () => void (await installBypass(kernel, ports()).catch(() => undefined)));
  kernel.listen((event) => {
    if (event.type !== "policy-gone") return;
    const gone = event.policy && policyName(event.policy);
    if (gone === null ? ports().length > 0 : policiesFor(ports()).some((policy) => policyName(policy) === gone)) void ask();
  });
}

/** Our port is local: source of what leaves, destination of what comes. A peer behind NAT may have any port. */
const policiesFor = (ports: readonly number[]): readonly KernelPolicy[] =>
  ports.flatMap((port) =>
    ([4, 6] as const).flatMap((family) => [
      bypass("out", family, { sourcePort: port, destinationPort: 0 }),
      bypass("in", family, { sourcePort: 0, destinationPort: port }),
    ]),
  );

const bypass = (
  direction: PolicyDirection,
  family: 4 | 6,
  ports: { readonly sourcePort: number; readonly destinationPort: number },
): KernelPolicy => ({
  direction,
  selector: { source: ANY[family], sourceLength: 0, destination: ANY[family], destinationLength: 0, protocol: UDP, ...ports },
  action: "allow",
  priority: BYPASS_PRIORITY,
  templates: [],
});
