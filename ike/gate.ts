/**
 * Who may cost us something before anything is proved: budgets for each source and each network of sources, and under load a second look.
 * While many negotiations wait for a message 3, a message 1 is answered when it comes for the second time: every implementation repeats it
 * (RFC 2408 §5.1), and a flood from forged addresses, each used once, leaves two bits behind instead of an entry.
 * Which addresses share a budget only this process knows: nobody can pick addresses of his own that use up another's.
 * Invariant: the memory is constant whatever comes, a refusal costs a few hashes of the address, and a peer that repeats itself gets through
 * whoever else uses its address: what is repeated has a budget of its own.
 */
import type { Random } from "./crypto/provider.ts";
import type { Instant } from "./input.ts";

/** Load of the table of strangers from which on message 1 has to be repeated: so many, or the memory of so many. */
export const LOAD = 1000;

/** Messages at once, and more of them a second: from an address, and from its network (24 bits of IPv4, 64 of IPv6). */
export const BUDGETS = {
  /** Message 1, answered at once. */
  fresh: { address: [100, 20], network: [1000, 250] },
  /** Message 1 that came before. */
  repeated: { address: [100, 20], network: [1000, 250] },
  /** Message 3: each costs a Diffie-Hellman. */
  exponent: { address: [100, 50], network: [1000, 250] },
} as const;

export type Admission = "welcome" | "again" | "limited";

export class Gate {
  readonly #budgets: Readonly<Record<keyof typeof BUDGETS, Budget>>;
  readonly #seen: Seen;

  constructor(random: Random) {
    const secret = lazily(() => seedsFrom(random));
    const budget = (name: keyof typeof BUDGETS): Budget => new Budget(BUDGETS[name], secret);
    this.#budgets = { fresh: budget("fresh"), repeated: budget("repeated"), exponent: budget("exponent") };
    this.#seen = new Seen(secret);
  }

  /** What becomes of a message 1: `again` means that it will be taken when it is repeated. `load`: of the table of strangers. */
  first(address: string, cookie: Uint8Array, load: number, now: Instant): Admission {
    if (load < LOAD && this.#budgets.fresh.take(address, now)) return "welcome";
    if (!this.#seen.note(address, cookie, now)) return "again";
    return this.proven(address, now) ? "welcome" : "limited";
  }

  /** Whether a message 1 is taken whose sender has shown that it gets what is sent to its address. */
  proven(address: string, now: Instant): boolean {
    return this.#budgets.repeated.take(address, now);
  }

  /** Whether a message 3 of this address may cost a Diffie-Hellman now. */
  exponent(address: string, now: Instant): boolean {
    return this.#budgets.exponent.take(address, now);
  }
}

/** Secrets of the hashes, made when they are first needed. */
type Seeds = readonly [number, number];

function seedsFrom(random: Random): Seeds {
  const octets = new DataView(Uint8Array.from(random(8)).buffer);
  return [octets.getInt32(0), octets.getInt32(4)];
}

function lazily<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

type Rate = readonly [burst: number, perSecond: number];

/** Both budgets of a source have to have something left. */
class Budget {
  readonly #address: Buckets;
  readonly #network: Buckets;
  readonly #seeds: () => Seeds;

  constructor({ address, network }: { readonly address: Rate; readonly network: Rate }, seeds: () => Seeds) {
    this.#address = new Buckets(address);
    this.#network = new Buckets(network);
    this.#seeds = seeds;
  }

  take(address: string, now: Instant): boolean {
    const [one, other] = this.#seeds();
    return this.#address.take(hash(address, one), now) && this.#network.take(hash(networkOf(address), other), now);
  }
}

const BUCKETS = 1 << 12;

/** Token buckets found by a hash: sources that meet in one share it, and no table of sources can grow. */
class Buckets {
  readonly #rate: Rate;
  readonly #spent = new Float64Array(BUCKETS);
  readonly #at = new Float64Array(BUCKETS);

  constructor(rate: Rate) {
    this.#rate = rate;
  }

  take(key: number, now: Instant): boolean {
    const [burst, perSecond] = this.#rate;
    const i = key & (BUCKETS - 1);
    const spent = Math.max(0, (this.#spent[i] ?? 0) - (Math.max(0, now - (this.#at[i] ?? 0)) * perSecond) / 1000);
    this.#at[i] = now;
    const left = spent + 1 <= burst;
    this.#spent[i] = left ? spent + 1 : spent;
    return left;
  }
}

/**
 * Bits of one generation, hashes of one message, and how long a generation lasts: a repetition must fall into this one or the next. A minute, since
 * the kernel may have dropped the repetitions between (daemon/sieve.ts), and strongSwan's come 23 and 42 s apart in the end.
 */
const BITS = 1 << 23;
const HASHES = 3;
const GENERATION_MS = 60_000;
/** More would make strangers look familiar: with as many, one in a hundred does. */
const MOST = 600_000;

/** Which messages were seen lately: two generations of a Bloom filter under a secret, made when it is first needed. */
class Seen {
  readonly #seeds: () => Seeds;
  #filter: Filter | undefined;

  constructor(seeds: () => Seeds) {
    this.#seeds = seeds;
  }

  /** Whether it came before; from now on it did. */
  note(address: string, cookie: Uint8Array, now: Instant): boolean {
    const filter = this.#current(now);
    const text = `${address} ${String.fromCharCode(...cookie)}`;
    const [one, other] = this.#seeds();
    const [a, b] = [hash(text, one), hash(text, other) | 1];
    let [here, earlier] = [true, true];
    for (let i = 0; i < HASHES; i++) {
      const bit = (a + Math.imul(i, b)) & (BITS - 1);
      const mask = 1 << (bit & 7);
      here &&= ((filter.now[bit >> 3] ?? 0) & mask) !== 0;
      earlier &&= ((filter.before[bit >> 3] ?? 0) & mask) !== 0;
      filter.now[bit >> 3] = (filter.now[bit >> 3] ?? 0) | mask;
    }
    if (!here) filter.count++;
    return here || earlier;
  }

  #current(now: Instant): Filter {
    this.#filter ??= makeFilter(now);
    const filter = this.#filter;
    if (now - filter.since < GENERATION_MS && filter.count < MOST) return filter;
    // After a long silence both generations are old.
    if (now - filter.since >= 2 * GENERATION_MS) filter.now.fill(0);
    [filter.now, filter.before] = [filter.before.fill(0), filter.now];
    filter.since = now;
    filter.count = 0;
    return filter;
  }
}

interface Filter {
  now: Uint8Array;
  before: Uint8Array;
  since: Instant;
  count: number;
}

function makeFilter(since: Instant): Filter {
  const [now, before] = [new Uint8Array(BITS / 8), new Uint8Array(BITS / 8)];
  return { now, before, since, count: 0 };
}

/** The network of an address in its canonical form: what one customer of a provider surely has. */
function networkOf(address: string): string {
  if (!address.includes(":")) return address.slice(0, address.lastIndexOf("."));
  const [head = "", tail] = address.split("::");
  const groups = head === "" ? [] : head.split(":");
  const missing = tail === undefined ? 0 : 8 - groups.length - (tail === "" ? 0 : tail.split(":").length);
  return [...groups, ...new Array<string>(Math.max(0, missing)).fill("0"), ...(tail ?? "").split(":")].slice(0, 4).join(":");
}

/** 32 bits of a text: FNV-1a, and a last stir so that the low bits depend on all of it. */
function hash(text: string, seed: number): number {
  let h = 0x811c9dc5 ^ seed;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  h = Math.imul(h ^ (h >>> 16) ^ seed, 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
