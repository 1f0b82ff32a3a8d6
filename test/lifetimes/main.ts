/**
 * `npm run lifetimes`: what an SA lives through, in virtual time.
 *
 *   npm run lifetimes -- [--hours N | --days N] [--peers N] [--loss SHARE] [--restarts N] [--seed N]
 */
import { parseArgs } from "node:util";
import { exploreDelays } from "./delays.ts";
import { SCENARIOS } from "./duel.ts";
import { type Explored, explore } from "./interleavings.ts";
import { runWeeks, type WeeksReport } from "./weeks.ts";

const HELP = `npm run lifetimes -- [--hours N | --days N] [--peers N] [--loss SHARE] [--restarts N] [--seed N]
  --days N      virtual days (7), or --hours N
  --peers N     of one host (100)
  --loss SHARE  of datagrams (0.01)
  --restarts N  of each peer a day (1)
  --seed N      another run (1)
  --interleavings N  instead: up to N orders (or "all") of each of the scenarios in which two negotiations meet
  --delays N    instead: every order of these scenarios in which so many events have to stand behind all others`;

/** Runs what the command line asks for; the exit code. */
export function main(argv: readonly string[]): number {
  const option = { type: "string" } as const;
  const options = {
    hours: option,
    days: option,
    peers: option,
    loss: option,
    restarts: option,
    seed: option,
    help: { type: "boolean" },
    interleavings: option,
    delays: option,
  } as const;
  const { values } = parseArgs({ args: [...argv], options });
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const { interleavings, delays } = values;
  if (interleavings !== undefined)
    return meet((scenario, losses) =>
      explore(scenario, { losses, orders: interleavings === "all" ? Number.POSITIVE_INFINITY : Number(interleavings) }),
    );
  if (delays !== undefined)
    return meet((scenario, losses) => exploreDelays(scenario, { losses, delays: Number(delays), orders: Number.POSITIVE_INFINITY }));
  const started = performance.now();
  const plan = {
    peers: Number(values.peers ?? 100),
    hours: values.hours === undefined ? Number(values.days ?? 7) * 24 : Number(values.hours),
    loss: Number(values.loss ?? 0.01),
    restarts: Number(values.restarts ?? 1),
    seed: Number(values.seed ?? 1),
  };
  let said = started;
  const found = runWeeks(plan, (text) => {
    if (performance.now() - said < 10_000) return;
    said = performance.now();
    console.log(text);
  });
  console.log(report(found));
  console.log(`${plan.hours} hours of ${plan.peers} peers in ${((performance.now() - started) / 60_000).toFixed(1)} min`);
  return found.wrong.length === 0 ? 0 : 1;
}

/** Orders of events; an invariant that breaks is thrown with its order. */
function meet(run: (scenario: (typeof SCENARIOS)[number], losses: number) => Explored): number {
  for (const scenario of SCENARIOS)
    for (const losses of [0, 1]) {
      const started = performance.now();
      const found = run(scenario, losses);
      const all = found.complete ? "all" : "the first";
      const seconds = ((performance.now() - started) / 1000).toFixed(0);
      console.log(
        `${scenario}, at most ${losses} lost: ${all} ${found.orders} orders of up to ${found.longest} events hold, in ${seconds} s`,
      );
    }
  return 0;
}

/** The figures, one a line. */
export function report(found: WeeksReport): string {
  const { packets, excused, sizes } = found;
  const lines = [
    `packets passed ${packets.protected}; asked for an SA ${packets.waits}, met none at the peer ${packets.void} (${excused} of these after a restart or a pause), in clear ${packets.clear}`,
    `rekeys ${found.rekeys}, Main Modes ${found.mainModes}, idle pairs let go ${found.letGo}, restarts of peers ${found.restarts}, datagrams ${found.datagrams}`,
    `pairs for one child: at most ${found.mostPairs}, more than one at ${found.doubled} of ${found.looks} looks; IKE SAs with one peer: at most ${found.mostIkeSas}`,
    `entries in the tables of the host: ${sizes[0]} after an hour, ${sizes[1]} at most, ${sizes[2]} at the end`,
    ...found.wrong.map((text) => `WRONG ${text}`),
  ];
  return lines.join("\n");
}
