/**
 * Key material. A Secret owns its octets, shows them only inside `use`, prints as its length, and can be wiped.
 * What JavaScript cannot promise (copies by the garbage collector, big integers, strings) is listed in SECURITY.md.
 */

import { inspect } from "node:util";

let live = 0;

/** Secrets made and not yet destroyed: the simulator's leak check. */
export const liveSecrets = (): number => live;

export class Secret {
  #bytes: Uint8Array | undefined;

  /** Takes ownership of `bytes`: the caller must not keep them. */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    live++;
  }

  /** Length in octets; 0 after `destroy`. */
  get length(): number {
    return this.#bytes?.length ?? 0;
  }

  /** Lends the octets to `f`, which must not keep them. A destroyed secret is a bug and throws. */
  use<T>(f: (bytes: Uint8Array) => T): T {
    if (!this.#bytes) throw new Error("secret used after destroy");
    return f(this.#bytes);
  }

  /** A secret with a copy of the same octets and a life of its own. */
  clone(): Secret {
    return this.use((bytes) => new Secret(new Uint8Array(bytes)));
  }

  /** Fills the octets with zeros. Idempotent. */
  destroy(): void {
    if (!this.#bytes) return;
    this.#bytes.fill(0);
    this.#bytes = undefined;
    live--;
  }

  toJSON(): string {
    return this.toString();
  }

  toString(): string {
    return this.#bytes ? `<secret ${this.#bytes.length} B>` : "<secret destroyed>";
  }

  [inspect.custom](): string {
    return this.toString();
  }
}
