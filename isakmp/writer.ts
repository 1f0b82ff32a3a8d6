/**
 * A growing buffer of octets in network order. Lengths that are known only later are reserved and patched.
 * Values out of range are bugs of ours and throw RangeError: a silently truncated length would be a forged message.
 */
export class Writer {
  #bytes: Uint8Array;
  #length = 0;

  /** Writes into `bytes` as long as there is room. Most bodies fit into 64 octets, which V8 keeps in its own heap at a twentieth of the price. */
  constructor(bytes: Uint8Array = new Uint8Array(64)) {
    this.#bytes = bytes;
  }

  /** Octets written so far. */
  get length(): number {
    return this.#length;
  }

  /** An unsigned big-endian integer of 1 to 6 octets. */
  uint(value: number, size: number): void {
    const at = this.reserve(size);
    this.patch(at, value, size);
  }

  /** Appends octets. */
  bytes(octets: Uint8Array): void {
    const at = this.reserve(octets.length);
    this.#bytes.set(octets, at);
  }

  /** Appends `size` zero octets and tells where they are. */
  reserve(size: number): number {
    const at = this.#length;
    this.#grow(at + size);
    this.#length = at + size;
    return at;
  }

  /** Overwrites `size` octets at `at` with an integer. */
  patch(at: number, value: number, size: number): void {
    if (!Number.isSafeInteger(value) || value < 0 || value >= (LIMITS[size] ?? 0))
      throw new RangeError(`${value} does not fit into ${size} octets`);
    if (at < 0 || at + size > this.#length) throw new RangeError(`${size} octets at ${at} lie outside the ${this.#length} written`);
    for (let i = at + size - 1, left = value; i >= at; i--, left = Math.floor(left / 256)) this.#bytes[i] = left & 255;
  }

  /** A copy of everything written. */
  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  /** Everything written, without a copy where it fills the buffer; the writer is empty then. */
  take(): Uint8Array {
    const taken = this.#length === this.#bytes.length ? this.#bytes : this.finish();
    this.#bytes = NOTHING;
    this.#length = 0;
    return taken;
  }

  #grow(needed: number): void {
    if (needed <= this.#bytes.length) return;
    // What is written at once, such as a public value, is all that comes.
    const grown = new Uint8Array(this.#length === 0 ? needed : Math.max(needed, 4 * this.#bytes.length));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
  }
}

/** The first value that does not fit into so many octets. */
const LIMITS = [1, 0x100, 0x1_0000, 0x100_0000, 0x1_0000_0000, 0x100_0000_0000, 0x1_0000_0000_0000] as const;

const NOTHING = new Uint8Array(0);
