/**
 * `npm run bench [-- --quick] [--json]`: what a negotiation costs, what an SA weighs, how fast the kernel follows.
 * Ratios within one run are what counts; nothing here fails because a machine is slow.
 */
import { availableParallelism, cpus, loadavg } from "node:os";
import { parseArgs } from "node:util";
import { measureKernel } from "./kernel-lines.ts";
import { measureLoopDelay } from "./loop-delay.ts";
import { measureMemory } from "./memory.ts";
import { measureNegotiations, type NegotiationPlan } from "./negotiations.ts";
import { measurePolicy } from "./policy-rules.ts";
import { measureRekeys } from "./rekeys.ts";
import { type Results, report } from "./report.ts";

const USAGE = `npm run bench [-- --quick] [--json]
  --quick  a tenth of the work, for a first look
  --json   one JSON document instead of tables`;

const FULL: NegotiationPlan = { batch: 80, repeats: 25, warmUp: 12, standing: [100, 10_000] };
const QUICK: NegotiationPlan = { batch: 80, repeats: 7, warmUp: 6, standing: [100, 2000] };

async function main(argv: readonly string[]): Promise<number> {
  const options = { quick: { type: "boolean" }, json: { type: "boolean" }, help: { type: "boolean" } } as const;
  const { values } = parseArgs({ args: [...argv], options });
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  const plan = values.quick ? QUICK : FULL;
  const before = loadavg()[0] ?? 0;
  const negotiations = await measureNegotiations(plan, progress);
  progress("renewals");
  const { rekeys, restore } = measureRekeys(plan.standing.at(-1) ?? 0, plan.repeats);
  const loopDelay = await measureLoopDelay(1000, progress);
  const memory = await measureMemory(plan.standing.at(-1) ?? 0, progress);
  progress("kernel");
  const kernel = measureKernel(values.quick ? 500 : 5000);
  progress("policy");
  const policy = [100, 1000].map(measurePolicy);
  progress("");
  const results: Results = { machine: machineNote(before), negotiations, rekeys, restore, loopDelay, memory, kernel, policy };
  console.log(values.json ? JSON.stringify(results, null, 2) : report(results));
  return 0;
}

/** CPU time suffers from neighbours too: shared cores and caches make every instruction dearer. */
function machineNote(loadBefore: number): string {
  const loads = `load ${loadBefore.toFixed(1)} before and ${(loadavg()[0] ?? 0).toFixed(1)} after`;
  const model = cpus()[0]?.model.trim() ?? "unknown processor";
  return `Node ${process.versions.node}, OpenSSL ${process.versions.openssl}, ${availableParallelism()} x ${model}\n${loads}; medians of repeats, CPU time user and system`;
}

/** One line that is written over; nothing where nobody watches. */
function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}

process.exitCode = await main(process.argv.slice(2));
