/**
 * Runs inside a guest of the lab: makes the network, starts both daemons once, performs every scenario of the plan and writes what
 * came out as one JSON object a line.
 *
 *   node guest.js PLAN RESULTS
 */
import { appendFileSync, mkdirSync, readFileSync } from "node:fs";
import { everything } from "./kernel-view.ts";
import { libreswan } from "./libreswan.ts";
import { mainmode } from "./mainmode.ts";
import { answerTcp, capture, makeNetwork } from "./network.ts";
import type { Party, PartyOptions } from "./party.ts";
import { perform } from "./perform.ts";
import type { PeerKind, Placed } from "./scenario.ts";
import { shell, stop } from "./shell.ts";
import { strongswan } from "./strongswan.ts";
import { inGuest, keepLedgerIn } from "./uml.ts";

/** What one guest has to do. */
export interface Plan {
  readonly directory: string;
  readonly us: PeerKind;
  readonly theirs: PeerKind;
  readonly placed: readonly Placed[];
}

/** What came out of one scenario, or (`guest`) of the guest as a whole. */
export interface Outcome {
  readonly name: string;
  /** What is wrong. */
  readonly wrong: readonly string[];
  readonly seconds: number;
}

const PARTIES: Readonly<Record<PeerKind, (options: PartyOptions) => Party>> = { strongswan, libreswan, mainmode };

async function main(planFile: string, resultFile: string): Promise<void> {
  const plan: Plan = JSON.parse(readFileSync(planFile, "utf8"));
  keepLedgerIn(plan.directory);
  let current = "guest";
  const run = shell(() => `${plan.directory}/${current}.txt`);
  const timed = async (name: string, work: () => Promise<readonly string[]>): Promise<boolean> => {
    current = name;
    const started = performance.now();
    const wrong = await work().catch((error: unknown) => [String(error instanceof Error ? error.stack : error)]);
    const seconds = (performance.now() - started) / 1000;
    appendFileSync(resultFile, `${JSON.stringify({ name, wrong, seconds } satisfies Outcome)}\n`);
    return wrong.length === 0;
  };

  await makeNetwork(run, plan.placed);
  const wire = await capture(run, `${plan.directory}/wire.pcap`, `${plan.directory}/tcpdump.txt`);
  if (plan.placed.some(({ only }) => only === "tcp")) await answerTcp(`${plan.directory}/knock.txt`);
  const party = (side: "us" | "theirs"): Party => {
    const directory = `${plan.directory}/${side}`;
    mkdirSync(directory, { recursive: true });
    return PARTIES[plan[side]]({ side, placed: plan.placed, run, directory, pki: `${plan.directory}/pki` });
  };
  const [us, theirs] = [party("us"), party("theirs")];
  const started = await timed("guest-start", async () => {
    await Promise.all([us.start(), theirs.start()]);
    return [];
  });
  if (!started) throw new Error("the daemons did not start");
  for (const scenario of plan.placed) await timed(scenario.name, () => perform({ run, us, theirs }, scenario));
  await timed("guest-end", async () => {
    await us.stop();
    const left = await everything(run, "us");
    await theirs.stop();
    return left ? [`in our kernel after the daemon stopped:\n${left}`] : [];
  });
  await stop(wire);
}

await inGuest(main);
