/**
 * Rows of octets without gaps: the last one fills the place of one that goes, so that any of them can be drawn by its number, and nobody needs to
 * remember free places. Invariant: who keeps a row has a copy, since rows move.
 */
export interface Rows {
  readonly size: number;
  /** Octets that all of them take. */
  readonly octets: number;
  /** A copy of a row, which may have zeros behind it. */
  at(place: number): Buffer;
  /** The row itself, good until any row changes or moves. */
  peek(place: number): Buffer;
  /** Octets of a row. */
  lengthAt(place: number): number;
  /** Adds a row behind the others. */
  push(row: Uint8Array): void;
  set(place: number, row: Uint8Array): void;
  /** Takes a row away; the one that fills its place, or undefined where it was the last. */
  take(place: number): Buffer | undefined;
}

/** Rows in a chunk: it comes and goes as one piece of memory outside of V8's heap, about which no collection of garbage has to think. */
const CHUNK = 128;

/** Rows of one width, of which none has an object of its own. */
export class Slab implements Rows {
  readonly #width: number;
  readonly #chunks: Buffer[] = [];
  #size = 0;

  constructor(width: number) {
    this.#width = width;
  }

  get size(): number {
    return this.#size;
  }

  get octets(): number {
    return this.#chunks.length * CHUNK * this.#width;
  }

  at(place: number): Buffer {
    return Buffer.from(this.peek(place));
  }

  lengthAt(): number {
    return this.#width;
  }

  push(row: Uint8Array): void {
    if (this.#size === this.#chunks.length * CHUNK) this.#chunks.push(Buffer.alloc(CHUNK * this.#width));
    this.set(this.#size++, row);
  }

  set(place: number, row: Uint8Array): void {
    if (row.length > this.#width) throw new RangeError(`a row of ${row.length} octets, ${this.#width} fit`);
    this.peek(place).fill(0, row.length).set(row);
  }

  take(place: number): Buffer | undefined {
    const last = this.at(--this.#size);
    // One chunk more than needed stays, or rows that come and go at its edge would make it come and go; also of none: mostly few rows are here.
    const needed = Math.ceil(this.#size / CHUNK) + 1;
    if (this.#chunks.length > needed) this.#chunks.length = needed;
    if (place === this.#size) return undefined;
    this.set(place, last);
    return last;
  }

  peek(place: number): Buffer {
    const at = (place % CHUNK) * this.#width;
    return (this.#chunks[Math.floor(place / CHUNK)] as Buffer).subarray(at, at + this.#width);
  }
}

/** What V8 and Node keep of a piece of memory beside its octets, at most. */
const PIECE = 512;

/** Rows of any width, each with memory of its own. */
export class LooseRows implements Rows {
  readonly #rows: Buffer[] = [];
  octets = 0;

  get size(): number {
    return this.#rows.length;
  }

  at(place: number): Buffer {
    return Buffer.from(this.peek(place));
  }

  peek(place: number): Buffer {
    return this.#rows[place] as Buffer;
  }

  lengthAt(place: number): number {
    return (this.#rows[place] as Buffer).length;
  }

  push(row: Uint8Array): void {
    this.#rows.push(owned(row));
    this.octets += row.length + PIECE;
  }

  set(place: number, row: Uint8Array): void {
    this.octets += row.length - (this.#rows[place]?.length ?? 0);
    this.#rows[place] = owned(row);
  }

  take(place: number): Buffer | undefined {
    const last = this.#rows.pop() as Buffer;
    this.octets -= (place === this.size ? last : (this.#rows[place] as Buffer)).length + PIECE;
    if (place === this.size) return undefined;
    this.#rows[place] = last;
    return last;
  }
}

/** A copy in memory of its own: what `Buffer.from` makes of a few hundred octets keeps eight thousand alive, which nobody counts. */
function owned(row: Uint8Array): Buffer {
  const own = Buffer.alloc(row.length);
  own.set(row);
  return own;
}
