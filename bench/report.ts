/**
 * The benchmark's results as text: aligned tables, 80 columns at most, and what was hoped for beside what was found.
 */

import type { Result } from "../isakmp/result.ts";
import type { KernelCost } from "./kernel-lines.ts";
import type { LoopDelayCost } from "./loop-delay.ts";
import type { MemoryCost } from "./memory.ts";
import type { NegotiationCost, SideCost } from "./negotiations.ts";
import type { PolicyCost } from "./policy-rules.ts";
import type { RekeyCost, RestoreCost } from "./rekeys.ts";

export interface Results {
  readonly machine: string;
  readonly negotiations: readonly NegotiationCost[];
  readonly rekeys: readonly RekeyCost[];
  readonly restore: RestoreCost;
  readonly loopDelay: LoopDelayCost;
  readonly memory: MemoryCost;
  readonly kernel: Result<KernelCost, string>;
  readonly policy: readonly PolicyCost[];
}

/** What CONTRIBUTING.md asks for. */
const TARGET = {
  ratio: 1.3,
  otherMs: 0.5,
  growth: 1.2,
  pairKiB: 16,
  rekeyRatio: 1.4,
  rekeyMs: 0.35,
  restoreSeconds: 2,
  loopDelayMs: 50,
} as const;

/** All of it. */
export const report = (results: Results): string =>
  [
    negotiationLines(results.negotiations),
    rekeyLines(results.rekeys),
    restoreLines(results.restore),
    loopDelayLines(results.loopDelay),
    memoryLines(results.memory),
    kernelLines(results.kernel),
    policyLines(results.policy),
    [results.machine],
  ]
    .map((lines) => lines.join("\n"))
    .join("\n\n");

function negotiationLines(costs: readonly NegotiationCost[]): readonly string[] {
  const rows = costs.flatMap((cost) =>
    (["initiator", "responder"] as const).map((role) => [
      ...[cost.group, count(cost.standing), role, ms(cost[role].cpuMs), ms(cost[role].floorMs)],
      ...[`${cost[role].ratio.toFixed(2)} x`, ms(cost[role].otherMs), `${cost[role].spread.toFixed(2)} x`],
    ]),
  );
  return [
    "CPU time of one negotiation (PSK, Main Mode, Quick Mode with PFS), one side, ms",
    ...table([["group", "SAs", "side", "cost", "floor", "ratio", "rest", "noise"], ...rows], 3),
    "floor: the exponentiations, hashes and ciphers that it can't do without",
    "rest: everything else; noise: dearest by cheapest repeat",
    ...verdicts(costs),
  ];
}

function verdicts(costs: readonly NegotiationCost[]): readonly string[] {
  const sides = (wanted: (cost: NegotiationCost) => boolean): readonly SideCost[] =>
    costs.filter(wanted).flatMap(({ initiator, responder }) => [initiator, responder]);
  const ratio = Math.max(...sides(({ group }) => group === "modp2048").map((side) => side.ratio));
  const other = Math.max(...sides(() => true).map((side) => side.otherMs));
  const growth = growthOf(costs);
  return [
    verdict("modp2048 by its floor", ratio, TARGET.ratio, (value) => `${value.toFixed(2)} x`),
    verdict("everything but cryptography", other, TARGET.otherMs, (value) => `${value.toFixed(2)} ms`),
    ...(growth === undefined ? [] : [verdict("cost with many SAs by cost with few", growth, TARGET.growth, (value) => value.toFixed(2))]),
  ];
}

/** The worst growth of a ratio from the fewest to the most standing SAs; undefined where only one number was measured. */
function growthOf(costs: readonly NegotiationCost[]): number | undefined {
  const standing = costs.map((cost) => cost.standing);
  const [fewest, most] = [Math.min(...standing), Math.max(...standing)];
  if (fewest === most) return undefined;
  const growths = costs
    .filter((cost) => cost.standing === most)
    .flatMap((many) => {
      const few = costs.find((cost) => cost.group === many.group && cost.standing === fewest);
      return few ? [many.initiator.ratio / few.initiator.ratio, many.responder.ratio / few.responder.ratio] : [];
    });
  return Math.max(...growths);
}

function rekeyLines(costs: readonly RekeyCost[]): readonly string[] {
  const rows = costs.flatMap(({ group, standing, initiatorMs, responderMs, floorMs }) =>
    [["initiator", initiatorMs] as const, ["responder", responderMs] as const].map(([role, cost]) => [
      ...[group, count(standing), role, count(1000 / cost), ms(cost), ms(floorMs), `${(cost / floorMs).toFixed(2)} x`, ms(cost - floorMs)],
    ]),
  );
  const of = (group: string, found: (cost: RekeyCost) => number): number =>
    Math.max(0, ...costs.filter((cost) => cost.group === group).map(found));
  const worst = ({ initiatorMs, responderMs }: RekeyCost): number => Math.max(initiatorMs, responderMs);
  return [
    "Renewal by a Quick Mode with PFS, core, journal, and kernel in memory, one side",
    ...table([["group", "children", "side", "a second", "cost", "floor", "ratio", "rest"], ...rows], 3),
    verdict(
      "modp2048 by its floor",
      of("modp2048", (cost) => worst(cost) / cost.floorMs),
      TARGET.rekeyRatio,
      (value) => `${value.toFixed(2)} x`,
    ),
    verdict(
      "x25519 above its floor",
      of("x25519", (cost) => worst(cost) - cost.floorMs),
      TARGET.rekeyMs,
      (value) => `${value.toFixed(2)} ms`,
    ),
  ];
}

const restoreLines = ({ ikes, children, milliseconds, journalOctets, memoryOctets }: RestoreCost): readonly string[] => [
  "A start that takes over what the last run left",
  `  ${count(ikes)} IKE SAs and ${count(children)} children; journal ${kib(journalOctets)} KiB; memory ${kib(memoryOctets)} KiB more`,
  verdict("journal read and SAs restored", milliseconds / 1000, TARGET.restoreSeconds, (value) => `${value.toFixed(2)} s`),
];

function loopDelayLines({ peers, milliseconds, delays }: LoopDelayCost): readonly string[] {
  const row = (role: keyof typeof delays): readonly string[] => [role, delays[role].p99.toFixed(1), delays[role].peak.toFixed(1)];
  return [
    `Event loop while ${count(peers)} peers renew in the same second (modp2048)`,
    ...table([["side", "waits ms, 99th percentile", "longest"], row("initiator"), row("responder")], 1),
    `  all were renewed after ${(milliseconds / 1000).toFixed(1)} s`,
    verdict(
      "event loop, 99th percentile",
      Math.max(delays.initiator.p99, delays.responder.p99),
      TARGET.loopDelayMs,
      (value) => `${value.toFixed(1)} ms`,
    ),
  ];
}

function memoryLines({ few, many, fresh, settled }: MemoryCost): readonly string[] {
  const row = (name: string, { initiator, responder }: MemoryCost["fresh"]): readonly string[] => [name, kib(initiator), kib(responder)];
  return [
    "Resident memory of a pair of IKE SA and child SA, KiB",
    ...table([["", "initiator", "responder"], row("at once", fresh), row("after 165 s", settled)], 1),
    `growth from ${count(few)} to ${count(many)} pairs, by their difference; after gc()`,
    verdict("a pair", Math.max(...Object.values(settled)) / 1024, TARGET.pairKiB, (value) => `${value.toFixed(1)} KiB`),
  ];
}

function kernelLines(kernel: Result<KernelCost, string>): readonly string[] {
  const title = "Kernel, through one ip -batch";
  if (!kernel.ok) return [`${title}: not measured, ${kernel.error}`];
  const { what, lines, linesPerSecond, ourMicroseconds, ipMicroseconds } = kernel.value;
  return [
    `${title}: ${count(lines)} lines (${what})`,
    `  ${count(linesPerSecond)} lines a second; CPU of a line: ${ourMicroseconds.toFixed(0)} us here, ${ipMicroseconds.toFixed(0)} us in ip`,
    ...(what === "policies" ? ["  policies only: this kernel has no ESP"] : []),
  ];
}

const verdict = (what: string, found: number, target: number, format: (value: number) => string): string =>
  `  ${found <= target ? "ok    " : "MISSED"} ${what}: ${format(found)} (at most ${format(target)})`;

const ms = (value: number): string => value.toFixed(2);
const kib = (octets: number): string => (octets / 1024).toFixed(1);
const count = (value: number): string => Math.round(value).toLocaleString("en").replaceAll(",", " ");

/** Columns two blanks apart; the first `left` are words, the others numbers. */
export function table(rows: readonly (readonly string[])[], left: number): readonly string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) => {
    const cells = row.map((cell, column) => (column < left ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)));
    return `  ${cells.join("  ")}`.trimEnd();
  });
}

function policyLines(costs: readonly PolicyCost[]): readonly string[] {
  const rows = costs.map(({ rules, kernelPolicies, loadMs, compileMs, installMs, reloadMs, whyMs, lookUpMicroseconds }) => [
    ...[rules, kernelPolicies].map(String),
    ...[loadMs, compileMs, installMs, reloadMs, whyMs].map((value) => value.toFixed(0)),
    lookUpMicroseconds.toFixed(1),
  ]);
  return [
    "Policy: rules of 5 filters; milliseconds but for the look-up",
    ...table([["rules", "policies", "read", "compute", "install", "reload", "first why", "look-up us"], ...rows], 0),
  ];
}
