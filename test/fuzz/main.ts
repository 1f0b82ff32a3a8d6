/**
 * `npm run fuzz`: mutated messages, most of them for the decoder, the rest through whole exchanges. Everything depends on the seed.
 *
 *   npm run fuzz -- [--minutes N | --inputs N] [--seed N] [--keep]
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { decodePcap, isakmpOf } from "../../isakmp/pcap.ts";
import { fuzzDecoder } from "./decoder.ts";
import { fuzzExchanges } from "./exchanges.ts";

const HELP = `npm run fuzz -- [options]
  --minutes N   as many inputs as fit (5)
  --inputs N    so many instead; one in twenty goes through an exchange
  --seed N      another run (1)
  --keep        writes the corpus of the decoder down`;

/** Where the corpus is kept: one message a line, in hexadecimal. */
export const CORPUS = "test/fuzz/corpus/messages.hex";
const SHARE_OF_EXCHANGES = 20;
/** Of a run that is measured in time. */
const TIME_FOR_EXCHANGES = 0.6;
/** Messages of the corpus that are kept, the shortest of each outcome first. */
const MOST_KEPT = 600;
const LONGEST_KEPT = 1024;

/** Inputs that go through exchanges of every kind. */
const WARM_UP = 3000;
/** Octets by which memory may grow, however long the run: outcomes that were seen, and what the machine keeps of its own. */
const MOST_GROWTH = 48 * 2 ** 20;

/** Octets that live, on the heap and beside it, once all garbage is gone. */
function held(): number {
  setFlagsFromString("--expose-gc");
  const collect: () => void = runInNewContext("gc");
  for (let i = 0; i < 3; i++) collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

const megabytes = (octets: number): string => (octets / 2 ** 20).toFixed(1);

/** The kept corpus, and the messages of the recorded captures. */
export function seedMessages(): readonly Uint8Array[] {
  const kept = readFileSync(CORPUS, "utf8").split("\n").filter(Boolean);
  const captured = readdirSync("pcaps")
    .filter((name) => name.endsWith(".pcap"))
    .flatMap((name) => decodePcap(readFileSync(`pcaps/${name}`)).datagrams.flatMap((datagram) => isakmpOf(datagram) ?? []));
  return [...kept.map((line) => Uint8Array.from(Buffer.from(line, "hex"))), ...captured];
}

/** Runs what the command line asks for; the exit code. */
export function main(argv: readonly string[]): number {
  const text = { type: "string" } as const;
  const flag = { type: "boolean" } as const;
  const options = { minutes: text, inputs: text, seed: text, keep: flag, help: flag } as const;
  const { values } = parseArgs({ args: [...argv], options });
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const seed = Number(values.seed ?? 1);
  const inputs = values.inputs === undefined ? Number.POSITIVE_INFINITY : Number(values.inputs);
  const ms = values.inputs === undefined ? Number(values.minutes ?? 5) * 60_000 : Number.POSITIVE_INFINITY;
  // Whatever is made once, keys and tables, is there before memory is measured.
  fuzzExchanges(WARM_UP, seed);
  const before = held();
  const started = performance.now();
  const exchanges = fuzzExchanges(inputs / SHARE_OF_EXCHANGES, seed, started + ms * TIME_FOR_EXCHANGES);
  const between = performance.now();
  console.log(
    `exchanges: ${exchanges.inputs} inputs in ${exchanges.worlds} worlds, ${exchanges.outcomes} outcomes, slowest input ${exchanges.slowestMs.toFixed(0)} ms, ${seconds(started, between)} s`,
  );
  const decoder = fuzzDecoder(seedMessages(), inputs - exchanges.inputs, seed, started + ms);
  console.log(
    `decoder: ${decoder.inputs} inputs, ${decoder.outcomes} outcomes, corpus ${decoder.corpus.length}, slowest input ${decoder.slowestMs.toFixed(0)} ms, ${seconds(between, performance.now())} s`,
  );
  if (values.keep) keep(decoder.corpus);
  const grown = held() - before - decoder.corpus.reduce((sum, { length }) => sum + length, 0);
  console.log(`memory: ${megabytes(before)} MB before, ${megabytes(grown)} MB more after, the corpus aside`);
  const growth = grown > MOST_GROWTH ? [`memory grew by ${megabytes(grown)} MB`] : [];
  const wrong = [...exchanges.wrong, ...decoder.wrong, ...growth];
  for (const text of wrong) console.log(`WRONG ${text}`);
  console.log(`${exchanges.inputs + decoder.inputs} inputs, seed ${seed}: ${wrong.length} wrong`);
  return wrong.length === 0 ? 0 : 1;
}

const seconds = (from: number, to: number): string => ((to - from) / 1000).toFixed(0);

function keep(corpus: readonly Uint8Array[]): void {
  const lines = corpus.filter(({ length }) => length <= LONGEST_KEPT).map((bytes) => Buffer.from(bytes).toString("hex"));
  writeFileSync(
    CORPUS,
    `${lines
      .sort((a, b) => a.length - b.length || (a < b ? -1 : 1))
      .slice(0, MOST_KEPT)
      .join("\n")}\n`,
  );
}
