/**
 * The host's half: shares the scenarios out among guests, runs some guests at a time, and judges what they bring back.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { Outcome, Plan } from "./guest.ts";
import { makePki } from "./pki.ts";
import { type PeerKind, type Placed, place, type Scenario } from "./scenario.ts";
import { type Shell, shell } from "./shell.ts";
import { judgeKeys, judgeTold } from "./told.ts";
import { uml } from "./uml.ts";
import { judgeMessages, judgeScenario } from "./wire.ts";

export interface MatrixOptions {
  readonly scenarios: readonly Scenario[];
  /** Where captures, logs and transcripts go. */
  readonly directory: string;
  /** Who plays our part; strongSwan where the lab itself is to be tried. */
  readonly as: PeerKind;
  /** How many guests run at a time. */
  readonly guests: number;
  /** Told of every outcome as it comes in. */
  readonly tell: (outcome: Outcome) => void;
}

/** Runs all scenarios; the outcomes in the order of the guests. A guest that does not end well is an outcome too. */
export async function runMatrix(options: MatrixOptions): Promise<readonly Outcome[]> {
  const waiting = shareOut(options.scenarios, options.guests);
  const outcomes: Outcome[] = [];
  const worker = async (): Promise<void> => {
    for (let next = waiting.shift(); next; next = waiting.shift()) outcomes.push(...(await runGuest(options, next)));
  };
  await Promise.all(Array.from({ length: options.guests }, worker));
  return outcomes;
}

const MOST_IN_A_GUEST = 24;
/** Starting a guest takes as long as some scenarios do. */
const LEAST_TO_SPLIT = 6;
/** For one that hangs: four times what a slow machine needs. */
const GUEST_SECONDS = 1500;

interface Share {
  readonly name: string;
  readonly theirs: PeerKind;
  readonly scenarios: readonly Scenario[];
}

/** One kind of peer to a guest, the shares of a kind of about one size; none so large that the other guest of a pair is done long before. */
export function shareOut(all: readonly Scenario[], atOnce: number): Share[] {
  const most = Math.min(MOST_IN_A_GUEST, Math.max(LEAST_TO_SPLIT, Math.ceil(all.length / atOnce)));
  return [...new Set(all.map((one) => one.peer))].flatMap((theirs) => {
    const own = all.filter((one) => one.peer === theirs);
    const guests = Math.ceil(own.length / most);
    return Array.from({ length: guests }, (_, guest) => ({
      name: guests === 1 ? theirs : `${theirs}-${guest + 1}`,
      theirs,
      scenarios: own.filter((_, index) => index % guests === guest),
    }));
  });
}

async function runGuest({ directory: parent, as, tell }: MatrixOptions, share: Share): Promise<readonly Outcome[]> {
  const directory = resolve(parent, share.name);
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  const plan: Plan = { directory, us: as, theirs: share.theirs, placed: share.scenarios.map(place) };
  const [planFile, resultFile] = [`${directory}/plan.json`, `${directory}/results.jsonl`];
  makePki(`${directory}/pki`, plan.placed);
  writeFileSync(planFile, JSON.stringify(plan, null, 1));
  const guest = fileURLToPath(import.meta.url).replace(/matrix(\.[jt]s)$/, "guest$1");
  const argv = ["-m", "2G", "-t", `${GUEST_SECONDS}`, "-w", directory, process.execPath, guest, planFile, resultFile];
  const started = performance.now();
  const { status, said } = await uml(argv);
  const seconds = (performance.now() - started) / 1000;
  const outcomes = readOutcomes(resultFile);
  const ofGuest = outcomes.filter(({ name }) => name.startsWith("guest"));
  const all: readonly Outcome[] = [
    ...(await Promise.all(plan.placed.map((scenario) => withWire(plan, scenario, outcomes)))),
    ...ofGuest.map((one) => ({ ...one, name: `${share.name}-${one.name}` })),
    ...(share.theirs === "strongswan" ? [await outcomeOf(plan, `${share.name}-messages`, judgeMessages)] : []),
    ...(as === "mainmode" ? [await outcomeOf(plan, `${share.name}-keys`, judgeKeys)] : []),
    { name: `${share.name}-guest`, wrong: status === 0 ? [] : [`ended with ${status}: ${said.slice(-2000)}`], seconds },
  ];
  all.forEach(tell);
  return all;
}

/** A scenario's outcome together with what is wrong on the wire, and with what we told of it. */
async function withWire({ directory, us }: Plan, scenario: Placed, outcomes: readonly Outcome[]): Promise<Outcome> {
  const { name } = scenario;
  const outcome = outcomes.find((one) => one.name === name);
  if (!outcome) return { name, wrong: [`the guest ended before, see ${directory}`], seconds: 0 };
  const run = shell(() => `${directory}/${name}.txt`);
  const wire = await judgeScenario(run, directory, scenario).catch((error: unknown) => [String(error)]);
  const told = us === "mainmode" ? await judgeTold(run, directory, scenario).catch((error: unknown) => [String(error)]) : [];
  return { ...outcome, wrong: [...outcome.wrong, ...wire, ...told] };
}

type GuestJudge = (run: Shell, directory: string, placed: readonly Placed[]) => Promise<readonly string[]>;

async function outcomeOf({ directory, placed }: Plan, name: string, judge: GuestJudge): Promise<Outcome> {
  const started = performance.now();
  const run = shell(() => `${directory}/${judge.name}.txt`);
  const wrong = await judge(run, directory, placed).catch((error: unknown) => [String(error)]);
  return { name, wrong, seconds: (performance.now() - started) / 1000 };
}

function readOutcomes(file: string): readonly Outcome[] {
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, "utf8").split("\n");
  return lines.filter((line) => line !== "").map((line) => JSON.parse(line));
}
