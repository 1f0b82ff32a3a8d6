/**
 * Manual SAs: keys and SPIs from the file, in the kernel for as long as the policy has them, and nothing negotiated (RFC 4301 §4.5.1).
 * There is no replay protection: both ends would have to agree for ever on numbers that a restart forgets.
 */
import { everyAddress, type Family } from "../isakmp/address.ts";
import { manualRule, sameManual } from "../policy/manual-rule.ts";
import { concreteSelectors } from "../policy/selector.ts";
import type { ManualSa } from "../policy/types.ts";
import { type Core, kernel, logError } from "./core.ts";
import { kernelError } from "./errors.ts";
import { kernelSas, type Limits, type SaSpec, saKeys } from "./install.ts";
import { type KernelCommand, type KernelRefusal, type KernelSa, type SaKey, saText } from "./kernel-contract.ts";
import { upkeep } from "./standing.ts";

/** What stands for a manual SA. */
export interface ManualPair {
  readonly manual: ManualSa;
  readonly sas: readonly SaKey[];
  /** The kernel has not answered yet: which of its SAs are ours nobody knows. */
  isAsked: boolean;
  /** The policy has it no longer. It goes with the kernel's answer, and what has its SPIs waits for that. */
  isOver: boolean;
}

const NO_LIMITS: Limits = { softSeconds: null, hardSeconds: null, kilobytes: null, softPackets: null, hardPackets: null, softShare: 1 };

/** Installs what the policy has and takes away what it has no longer, before the policies. `present`: what an earlier run has left. */
export function syncManual(core: Core, present: readonly SaKey[] = []): void {
  const wanted = new Map(core.policy.manual.map((manual) => [manual.name, manual]));
  for (const [name, pair] of core.manual) {
    const now = wanted.get(name);
    pair.isOver = !now || !sameManual(now, pair.manual);
    if (!pair.isOver) wanted.delete(name);
    else if (!pair.isAsked) remove(core, name, pair);
  }
  const going = new Set([...core.manual.values()].flatMap(({ sas, isOver }) => (isOver ? sas.map(saText) : [])));
  for (const manual of wanted.values())
    if (!core.manual.has(manual.name) && !namesOf(manual).some((name) => going.has(saText(name)))) install(core, manual, present);
}

/** The names of a pair's SAs. */
function namesOf({ local, remote, suite, spiIn, spiOut }: ManualSa): readonly SaKey[] {
  return (["in", "out"] as const).flatMap((direction) => saKeys({ local, remote }, [{ suite, spiIn, spiOut }], direction));
}

/** Takes all of them away: for a full stop. */
export function removeManual(core: Core): void {
  for (const [name, pair] of core.manual)
    if (pair.isAsked) pair.isOver = true;
    else remove(core, name, pair);
}

/** Whether an SA in the kernel is a manual one. */
export const isManual = (core: Core, key: SaKey): boolean => [...core.manual.values()].some(({ sas }) => sas.some((sa) => isSame(sa, key)));

/** Whether the kernel takes both for one SA. */
const isSame = (a: SaKey, b: SaKey): boolean => a.protocol === b.protocol && a.spi === b.spi && a.destination === b.destination;

/** The families that a tunnel's filters are about: where that is not the one of its ends alone, Linux wants to be told. */
function insideOf(manual: ManualSa): SaSpec["selector"] {
  if (manual.mode !== "tunnel") return null;
  const rule = manualRule(manual);
  const [family, ...more] = new Set(
    manual.filters.flatMap((filter) => concreteSelectors(filter, rule, []).map(({ local }) => local.family)),
  );
  if (more.length > 0) return "both-families";
  const ends: Family = manual.local.includes(":") ? 6 : 4;
  if (family === undefined || family === ends) return null;
  return { local: everyAddress(family), remote: everyAddress(family), protocol: 0, localPort: 0, remotePort: 0 };
}

function install(core: Core, manual: ManualSa, present: readonly SaKey[]): void {
  const { local, remote, suite, spiIn, spiOut, keyIn: inbound, keyOut: outbound } = manual;
  const rule = manualRule(manual);
  const spec = { rule, selector: insideOf(manual), local, remote, reqid: core.policies.manualReqid(rule.name) };
  const keys = [{ suite, spiIn, spiOut, inbound, outbound }];
  const made = (["in", "out"] as const).flatMap((direction) => kernelSas(spec, keys, direction, NO_LIMITS, null));
  const sas = made.map((sa): KernelSa => ({ ...sa, replayWindow: 0 }));
  const names = namesOf(manual);
  const stale = names.filter((name) => present.some((one) => isSame(one, name)));
  const pair: ManualPair = { manual, sas: names, isAsked: true, isOver: false };
  core.manual.set(manual.name, pair);
  const commands: readonly KernelCommand[] = [
    ...stale.map((sa): KernelCommand => ({ do: "remove-sa", sa })),
    ...sas.map((sa): KernelCommand => ({ do: "add-sa", sa })),
  ];
  kernel(core, commands, { kind: "manual", pair, sas, commands });
}

/** The kernel's answer. What it refused of a pair, the rest of it goes with: half a pair protects nothing. */
export function onManual(core: Core, pair: ManualPair, commands: readonly KernelCommand[], refusal: KernelRefusal | null): void {
  pair.isAsked = false;
  if (!refusal && !pair.isOver) return;
  const { name, remote } = pair.manual;
  const added = commands.slice(0, refusal?.index).flatMap((command) => (command.do === "add-sa" ? [command.sa] : []));
  upkeep(
    core,
    added.map(({ source, destination, protocol, spi }) => ({ do: "remove-sa", sa: { source, destination, protocol, spi } })),
  );
  core.manual.delete(name);
  if (refusal && !pair.isOver) logError(core, "policy.failed", `manual SA ${name}`, kernelError(refusal, "add-sa"), { peer: remote });
  if (pair.isOver && !core.stopping) syncManual(core);
}

function remove(core: Core, name: string, { sas }: ManualPair): void {
  core.manual.delete(name);
  upkeep(
    core,
    sas.map((sa) => ({ do: "remove-sa", sa })),
  );
}
