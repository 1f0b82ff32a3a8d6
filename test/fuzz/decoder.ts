/**
 * The decoder under mutants: whatever comes in, the outcome is a value or `Malformed`, in bounded time. What an input makes the decoder do is told
 * by its outcome, the kinds of payloads or the words of the error; an input with a new outcome joins the corpus, from which further ones are made.
 */
import { describeMessage } from "../../isakmp/describe.ts";
import { bodyOf, decodeHeader, decodePayloads, encodePayloads } from "../../isakmp/message.ts";
import { type Dice, dice, mutated, withLength } from "./mutate.ts";

export interface DecoderReport {
  readonly inputs: number;
  readonly corpus: readonly Uint8Array[];
  /** Different outcomes. */
  readonly outcomes: number;
  readonly slowestMs: number;
  readonly wrong: readonly string[];
}

/** Milliseconds that one input may take, twice in a row, since a busy machine may stop us once: a stop for anything that is not linear. */
export const PATIENCE_MS = 2000;
const MOST_CORPUS = 4000;
const MOST_WRONG = 10;

/** Feeds `inputs` mutants to the decoder, or until `until` (milliseconds of performance.now()). */
export function fuzzDecoder(seeds: readonly Uint8Array[], inputs: number, seed: number, until = Number.POSITIVE_INFINITY): DecoderReport {
  const d = dice(seed);
  const corpus: Uint8Array[] = [];
  const seen = new Map<string, number>();
  const wrong: string[] = [];
  let [done, slowestMs] = [0, 0];
  const feed = (bytes: Uint8Array): void => {
    const [outcome, once] = timed(bytes);
    const took = once > PATIENCE_MS ? timed(bytes)[1] : once;
    slowestMs = Math.max(slowestMs, took);
    done++;
    if (took > PATIENCE_MS) wrong.push(`${took.toFixed(0)} ms for ${hex(bytes)}`);
    if (outcome.startsWith("BUG")) wrong.push(`${outcome} for ${hex(bytes)}`);
    if (!seen.has(outcome) && corpus.length < MOST_CORPUS) corpus.push(bytes);
    seen.set(outcome, (seen.get(outcome) ?? 0) + 1);
  };
  for (const bytes of seeds) feed(bytes);
  while (done < inputs && wrong.length < MOST_WRONG && (done % 1024 !== 0 || performance.now() < until)) feed(mutant(corpus, d));
  return { inputs: done, corpus, outcomes: seen.size, slowestMs, wrong };
}

function timed(bytes: Uint8Array): readonly [outcome: string, ms: number] {
  const started = performance.now();
  const outcome = outcomeOf(bytes);
  return [outcome, performance.now() - started];
}

function mutant(corpus: readonly Uint8Array[], d: Dice): Uint8Array {
  const made = mutated(corpus[d.below(corpus.length)] ?? new Uint8Array(28), d, corpus);
  return d.below(4) === 0 ? made : withLength(made);
}

/** What the decoder makes of octets: kinds of payloads, or the words of the refusal without its numbers. */
export function outcomeOf(bytes: Uint8Array): string {
  try {
    const header = decodeHeader(bytes);
    if (!header.ok) return `header ${words(header.error.what)}`;
    const body = bodyOf(header.value, bytes);
    const sealed = (header.value.flags & 1) !== 0;
    const payloads = decodePayloads(header.value.nextPayload, body, { padding: sealed, base: 28 });
    if (!payloads.ok) return payloads.error.offset > bytes.length ? `BUG offset ${payloads.error.offset}` : words(payloads.error.what);
    describeMessage(header.value, payloads.value);
    if (
      Buffer.compare(encodePayloads(payloads.value), body.subarray(0, encodedLength(payloads.value))) !== 0 &&
      isCanonical(payloads.value, body)
    )
      return "BUG payloads are encoded otherwise than they came";
    return payloads.value.map(({ name }) => name).join(" ");
  } catch (error) {
    return `BUG ${error instanceof Error ? error.stack : String(error)}`;
  }
}

type Chain = Parameters<typeof encodePayloads>[0];
const encodedLength = (payloads: Chain): number => payloads.reduce((sum, { raw }) => sum + raw.length + 4, 0);

/** Whether the reserved octets are zero, which are written so whatever they were. */
function isCanonical(payloads: Chain, body: Uint8Array): boolean {
  let start = 0;
  for (const { raw } of payloads) {
    if (body[start + 1] !== 0) return false;
    start += raw.length + 4;
  }
  return true;
}

const words = (text: string): string => text.replace(/\d+/g, "N").slice(0, 120);
const hex = (bytes: Uint8Array): string => Buffer.from(bytes.subarray(0, 2048)).toString("hex");
