/**
 * Manual SAs: keys and SPIs from the file, in the kernel for as long as the policy has them, and nothing negotiated (RFC 4301 §4.5.1).
 * There is no replay protection: both ends would have to agree for ever on numbers that a restart forgets.
 */
import { manualRule, sameManual } from "../policy/manual-rule.ts";
import type { ManualSa } from "../policy/types.ts";
import { type Core, kernel, logError } from "./core.ts";
import { kernelError } from "./errors.ts";
import { kernelSas, type Limits, saKeys } from "./install.ts";
import type { KernelCommand, KernelRefusal, KernelSa, SaKey } from "./kernel-contract.ts";
import { upkeep } from "./standing.ts";

/** What stands for a manual SA. */
export interface ManualPair {
  readonly manual: ManualSa;
  readonly sas: readonly SaKey[];
}

const NO_LIMITS: Limits = { softSeconds: null, hardSeconds: null, kilobytes: null, softShare: 1 };

/** Installs what the policy has and takes away what it has no longer, before the policies. `present`: what an earlier run has left. */
export function syncManual(core: Core, present: readonly SaKey[] = []): void {
  const wanted = new Map(core.policy.manual.map((manual) => [manual.name, manual]));
  for (const [name, pair] of core.manual) {
    const now = wanted.get(name);
    if (now && sameManual(now, pair.manual)) wanted.delete(name);
    else remove(core, name, pair);
  }
  for (const manual of wanted.values()) install(core, manual, present);
}

/** Takes all of them away: for a full stop. */
export function removeManual(core: Core): void {
  for (const [name, pair] of core.manual) remove(core, name, pair);
}

/** Whether an SA in the kernel is a manual one. */
export const isManual = (core: Core, key: SaKey): boolean => [...core.manual.values()].some(({ sas }) => sas.some((sa) => isSame(sa, key)));

/** Whether the kernel takes both for one SA. */
const isSame = (a: SaKey, b: SaKey): boolean => a.protocol === b.protocol && a.spi === b.spi && a.destination === b.destination;

function install(core: Core, manual: ManualSa, present: readonly SaKey[]): void {
  const { local, remote, suite, spiIn, spiOut, keyIn: inbound, keyOut: outbound } = manual;
  const rule = manualRule(manual);
  const spec = { rule, selector: null, local, remote, reqid: core.policies.manualReqid(rule.name) };
  const keys = [{ suite, spiIn, spiOut, inbound, outbound }];
  const made = (["in", "out"] as const).flatMap((direction) => kernelSas(spec, keys, direction, NO_LIMITS, null));
  const sas = made.map((sa): KernelSa => ({ ...sa, replayWindow: 0 }));
  const names = (["in", "out"] as const).flatMap((direction) => saKeys(spec, keys, direction));
  const stale = names.filter((name) => present.some((one) => isSame(one, name)));
  core.manual.set(manual.name, { manual, sas: names });
  const commands: readonly KernelCommand[] = [
    ...stale.map((sa): KernelCommand => ({ do: "remove-sa", sa })),
    ...sas.map((sa): KernelCommand => ({ do: "add-sa", sa })),
  ];
  kernel(core, commands, { kind: "manual", name: manual.name, sas, commands });
}

/** The kernel's answer. What it refused of a pair, the rest of it goes with: half a pair protects nothing. */
export function onManual(core: Core, name: string, commands: readonly KernelCommand[], refusal: KernelRefusal | null): void {
  const pair = core.manual.get(name);
  if (!refusal) return;
  const added = commands.slice(0, refusal.index).flatMap((command) => (command.do === "add-sa" ? [command.sa] : []));
  upkeep(
    core,
    added.map(({ source, destination, protocol, spi }) => ({ do: "remove-sa", sa: { source, destination, protocol, spi } })),
  );
  if (!pair) return;
  core.manual.delete(name);
  logError(core, "policy.failed", `manual SA ${name}`, kernelError(refusal, "add-sa"), { peer: pair.manual.remote });
}

function remove(core: Core, name: string, { sas }: ManualPair): void {
  core.manual.delete(name);
  upkeep(
    core,
    sas.map((sa) => ({ do: "remove-sa", sa })),
  );
}
