/** Mutations of octet strings: everything depends on the seed. Lengths, counts and types are changed more often than what lies between them. */

/** A source of whole numbers below a limit. */
export interface Dice {
  below(limit: number): number;
}

/** Dice that depend on the seed alone (mulberry32). */
export function dice(seed: number): Dice {
  let state = seed | 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (t ^ (t >>> 14)) >>> 0;
  };
  return { below: (limit) => (limit <= 1 ? 0 : next() % limit) };
}

/** Values at which parsers break. */
const EDGES = [0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 20, 27, 28, 31, 32, 63, 64, 127, 128, 129, 130, 132, 250, 251, 252, 253, 254, 255];
const LONGEST = 65_535;

type Mutation = (bytes: Uint8Array, d: Dice, others: readonly Uint8Array[]) => Uint8Array;

const at = (bytes: Uint8Array, d: Dice): number => d.below(bytes.length);
const set = (bytes: Uint8Array, i: number, value: number): Uint8Array => {
  const out = Uint8Array.from(bytes);
  if (i < out.length) out[i] = value;
  return out;
};
const joined = (...parts: readonly Uint8Array[]): Uint8Array => Uint8Array.from(Buffer.concat(parts).subarray(0, LONGEST));

const MUTATIONS: readonly Mutation[] = [
  // One bit; one octet; one octet to an edge.
  (bytes, d) => {
    const i = at(bytes, d);
    return set(bytes, i, (bytes[i] ?? 0) ^ (1 << d.below(8)));
  },
  (bytes, d) => set(bytes, at(bytes, d), d.below(256)),
  (bytes, d) => set(bytes, at(bytes, d), EDGES[d.below(EDGES.length)] ?? 0),
  // A number of two octets a little more or less, as lengths and counts are.
  (bytes, d) => {
    const i = at(bytes, d);
    const number = (((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0)) + d.below(9) - 4;
    return set(set(bytes, i, (number >> 8) & 255), i + 1, number & 255);
  },
  // Cut off; something more at the end.
  (bytes, d) => bytes.slice(0, d.below(bytes.length + 1)),
  (bytes, d) =>
    joined(
      bytes,
      Uint8Array.from({ length: 1 + d.below(40) }, () => d.below(256)),
    ),
  // A stretch taken out, said twice, or taken from another message.
  (bytes, d) => {
    const from = at(bytes, d);
    return joined(bytes.subarray(0, from), bytes.subarray(from + 1 + d.below(24)));
  },
  (bytes, d) => {
    const from = at(bytes, d);
    return joined(bytes.subarray(0, from), bytes.subarray(from, from + 1 + d.below(64)), bytes.subarray(from));
  },
  (bytes, d, others) => {
    const other = others[d.below(others.length)] ?? bytes;
    const from = at(bytes, d);
    const theirs = d.below(other.length);
    return joined(bytes.subarray(0, from), other.subarray(theirs, theirs + 1 + d.below(64)), bytes.subarray(from + d.below(64)));
  },
  // A stretch of one value.
  (bytes, d) => {
    const out = Uint8Array.from(bytes);
    const from = at(bytes, d);
    return out.fill(EDGES[d.below(EDGES.length)] ?? 0, from, from + 1 + d.below(32));
  },
];

/** A mutant of a string: one change, seldom up to four. */
export function mutated(bytes: Uint8Array, d: Dice, others: readonly Uint8Array[] = []): Uint8Array {
  let out = bytes;
  for (let times = 1 + (d.below(3) === 0 ? d.below(4) : 0); times > 0; times--)
    out = (MUTATIONS[d.below(MUTATIONS.length)] as Mutation)(out, d, others);
  return out;
}

/** A message whose header tells its true length, as most decoders look at little else otherwise. */
export function withLength(message: Uint8Array): Uint8Array {
  const out = Uint8Array.from(message);
  if (out.length >= 28) new DataView(out.buffer).setUint32(24, out.length);
  return out;
}
