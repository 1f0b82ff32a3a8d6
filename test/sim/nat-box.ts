/**
 * A router of the simulator that translates addresses, as masquerading does: hosts inside share its outer address, each of their ports gets one of
 * its own, and what comes to a port that nobody has used lately goes nowhere.
 */
export interface NatBoxOptions {
  /** Its address towards the world. */
  readonly outer: string;
  readonly inside: readonly string[];
  /** Ports of the outer address that lead to a host inside, to the same port there. */
  readonly forwards?: Readonly<Record<number, string>>;
  /** How long a mapping is kept without a packet from inside; 30 s. */
  readonly forgetAfterMs?: number;
}

interface End {
  readonly address: string;
  readonly port: number;
}

/** Both ends of a packet of UDP as it is at one point of its way. */
export interface Translated {
  readonly source: End;
  readonly destination: End;
}

interface Mapping {
  readonly inner: End;
  readonly port: number;
  usedAt: number;
}

export class NatBox {
  readonly inside: ReadonlySet<string>;
  readonly #options: NatBoxOptions;
  readonly #now: () => number;
  #mappings: Mapping[] = [];
  #outer: string;
  #next = 20_000;

  constructor(options: NatBoxOptions, now: () => number) {
    this.#options = options;
    this.#now = now;
    this.#outer = options.outer;
    this.inside = new Set(options.inside);
  }

  get outer(): string {
    return this.#outer;
  }

  /** Forgets every mapping, as after a restart: whoever speaks next gets another port; perhaps the whole box has another address. */
  rebind(outer: string = this.#outer): void {
    this.#mappings = [];
    this.#outer = outer;
  }

  /** The source as the world sees it; a packet between hosts inside stays as it is. */
  outward({ source, destination }: Translated): Translated {
    if (!this.inside.has(source.address) || this.inside.has(destination.address)) return { source, destination };
    if (this.#options.forwards?.[source.port] === source.address)
      return { source: { address: this.#outer, port: source.port }, destination };
    const mapping = this.#live().find(({ inner }) => inner.address === source.address && inner.port === source.port) ?? this.#make(source);
    mapping.usedAt = this.#now();
    return { source: { address: this.#outer, port: mapping.port }, destination };
  }

  /** The destination inside; undefined where nothing leads there. */
  inward({ source, destination }: Translated): Translated | undefined {
    if (destination.address !== this.#outer)
      return this.inside.has(destination.address) && !this.inside.has(source.address) ? undefined : { source, destination };
    const forward = this.#options.forwards?.[destination.port];
    if (forward !== undefined) return { source, destination: { address: forward, port: destination.port } };
    const mapping = this.#live().find(({ port }) => port === destination.port);
    return mapping && { source, destination: mapping.inner };
  }

  #live(): readonly Mapping[] {
    const oldest = this.#now() - (this.#options.forgetAfterMs ?? 30_000);
    this.#mappings = this.#mappings.filter(({ usedAt }) => usedAt >= oldest);
    return this.#mappings;
  }

  #make(inner: End): Mapping {
    const mapping = { inner, port: ++this.#next, usedAt: this.#now() };
    this.#mappings.push(mapping);
    return mapping;
  }
}

/** A packet as it leaves its sender's network. */
export const outward = (boxes: readonly NatBox[], packet: Translated): Translated =>
  boxes.reduce((translated, box) => box.outward(translated), packet);

/** A packet as it arrives, or undefined where it does not. */
export const inward = (boxes: readonly NatBox[], packet: Translated): Translated | undefined =>
  boxes.reduce<Translated | undefined>((translated, box) => translated && box.inward(translated), packet);
