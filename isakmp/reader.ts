/**
 * A bounded cursor over octets that a peer sent.
 * Invariant: no read passes the end of its window, and every complaint names the offset at which the octets stopped making sense.
 * `MalformedError` is thrown by Reader only and never leaves `readWith`, which turns it into a value.
 */
import { err, ok, type Result } from "./result.ts";

/** Octets that no message can consist of. `notify`: the type RFC 2408 §5 answers it with, where it is not PAYLOAD-MALFORMED. */
export interface Malformed {
  readonly kind: "malformed";
  readonly offset: number;
  readonly what: string;
  readonly notify?: number;
}

/** Runs `decode` over `bytes`. `base` is the offset that `bytes` has in the datagram; it only shifts the offsets of errors. */
export function readWith<T>(bytes: Uint8Array, decode: (r: Reader) => T, base = 0): Result<T, Malformed> {
  try {
    return ok(decode(new Reader(bytes, 0, bytes.length, base)));
  } catch (error) {
    if (error instanceof MalformedError) return err(error.malformed);
    throw error;
  }
}

/** What is read, for complaints: a text, or how to make one where that would cost something. */
export type Label = string | (() => string);

/** A cursor over `bytes[start, end)`. What it returns are views: nothing is copied. */
export class Reader {
  readonly #bytes: Uint8Array;
  readonly #end: number;
  readonly #base: number;
  #at: number;

  constructor(bytes: Uint8Array, start = 0, end = bytes.length, base = 0) {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
    this.#base = base;
  }

  /** Position in the array that the outermost reader was made for. */
  get at(): number {
    return this.#at;
  }

  /** Octets left in the window. */
  get left(): number {
    return this.#end - this.#at;
  }

  /** An unsigned big-endian integer of 1 to 6 octets; `part` of what `what` names. */
  uint(size: number, what: Label, part?: string): number {
    this.#need(size, what, part);
    let value = 0;
    for (let i = 0; i < size; i++) value = value * 256 + (this.#bytes[this.#at + i] as number);
    this.#at += size;
    return value;
  }

  /** The next `size` octets as a view. */
  bytes(size: number, what: Label): Uint8Array {
    this.#need(size, what);
    const view = this.#bytes.subarray(this.#at, this.#at + size);
    this.#at += size;
    return view;
  }

  /** Everything up to the end of the window. */
  rest(): Uint8Array {
    return this.bytes(this.left, "rest");
  }

  /** A reader of the next `size` octets only; this one moves behind them. */
  sub(size: number, what: Label): Reader {
    this.#need(size, what);
    const reader = new Reader(this.#bytes, this.#at, this.#at + size, this.#base);
    this.#at += size;
    return reader;
  }

  /** Everything up to the end of the window, without moving. */
  peek(): Uint8Array {
    return this.#bytes.subarray(this.#at, this.#end);
  }

  /** A second reader of the same window. */
  fork(): Reader {
    return new Reader(this.#bytes, this.#at, this.#end, this.#base);
  }

  /** Fails if octets are left over. */
  finish(what: string): void {
    if (this.left > 0) this.fail(`${this.left} ${octets(this.left)} after the end of ${what}`);
  }

  /** Gives up on the message. `at` is the position to name, by default the current one. */
  fail(what: string, at = this.#at, notify?: number): never {
    const offset = this.#base + at;
    throw new MalformedError(notify === undefined ? { kind: "malformed", offset, what } : { kind: "malformed", offset, what, notify });
  }

  #need(size: number, what: Label, part?: string): void {
    if (size <= this.left) return;
    const label = `${typeof what === "string" ? what : what()}${part === undefined ? "" : `: ${part}`}`;
    this.fail(`${label} needs ${size} ${octets(size)}, ${this.left} left`);
  }
}

class MalformedError extends Error {
  readonly malformed: Malformed;

  constructor(malformed: Malformed) {
    super(`offset ${malformed.offset}: ${malformed.what}`);
    this.malformed = malformed;
  }
}

const octets = (count: number): string => (count === 1 ? "octet" : "octets");
