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

/** `add-policy` commands for IKE's ports, both families. */
export const bypassCommands = (ports: readonly number[]): readonly KernelCommand[] =>
  policiesFor(ports).map((policy) => ({ do: "add-policy", policy }));

/**
 * The bypass of a daemon. What somebody else put there does what ours would, and is not ours to remove.
 */
export class Bypass {
  readonly #kernel: Pick<Kernel, "run" | "listPolicies" | "listen">;
  #ports: readonly number[] = [];
  #isOver = false;
  /** What is under way, or was last. */
  #asking: Promise<unknown> = Promise.resolve();
  /** The names of those that are ours: this run has added them, or one that crashed. */
  readonly #own = new Set<string>();

  constructor(kernel: Pick<Kernel, "run" | "listPolicies" | "listen">) {
    this.#kernel = kernel;
  }

  /** Whether it was asked for. */
  get isLaid(): boolean {
    return this.#ports.length > 0;
  }

  /** Installs it for those ports, one policy at a time. Returns the kernel's words where it refused, else undefined. */
  install(ports: readonly number[]): Promise<string | undefined> {
    this.#ports = ports;
    return this.#asks();
  }

  #asks(): Promise<string | undefined> {
    const asking = this.#ask();
    this.#asking = asking.catch(() => undefined);
    return asking;
  }

  async #ask(): Promise<string | undefined> {
    const taken: KernelPolicy[] = [];
    for (const policy of policiesFor(this.#ports)) {
      if (this.#isOver) return undefined;
      const done = await this.#kernel.run([{ do: "add-policy", policy }]);
      if (done.ok) this.#own.add(policyName(policy));
      else if (done.error.exists) taken.push(policy);
      else return `${done.error.command}: ${done.error.reason}`;
    }
    if (taken.length > 0) await this.#judge(taken);
    return undefined;
  }

  /** Of those that are there already it is the kernel that knows whose they are; where it does not tell, they are nobody's to remove but those known before. */
  async #judge(taken: readonly KernelPolicy[]): Promise<void> {
    const there = await this.#kernel.listPolicies().catch(() => undefined);
    if (!there) return;
    const own = new Set(there.filter((policy) => policy.ours && isBypass(policy)).map(policyName));
    for (const name of taken.map(policyName))
      if (own.has(name)) this.#own.add(name);
      else this.#own.delete(name);
  }

  /** Asks for it again where one of its policies may have gone from the kernel; however many go at once, once and once more. */
  keep(): void {
    // What can't be had now was told at the start, or is told by what IKE does without it.
    const ask = oneAtATime(async () => void (await this.#asks().catch(() => undefined)));
    this.#kernel.listen((event) => {
      if (event.type !== "policy-gone" || this.#isOver) return;
      const gone = event.policy && policyName(event.policy);
      if (gone === null ? this.isLaid : policiesFor(this.#ports).some((policy) => policyName(policy) === gone)) void ask();
    });
  }

  /** Nothing is asked for any more. */
  end(): void {
    this.#isOver = true;
  }

  /** Takes out what is ours, for good. */
  async remove(): Promise<void> {
    this.end();
    await this.#asking;
    const own = policiesFor(this.#ports).filter((policy) => this.#own.has(policyName(policy)));
    await this.#kernel.run(own.map(({ direction, selector }) => ({ do: "remove-policy", policy: { direction, selector } })));
  }
}

/** Whether a policy says what the bypass does. */
const isBypass = ({ action, priority, templates }: KernelPolicy): boolean =>
  action === "allow" && priority === BYPASS_PRIORITY && templates.length === 0;

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
