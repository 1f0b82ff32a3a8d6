/**
 * Private keys as handles: the core passes them on and cannot look inside; only this folder signs with them.
 * Node keeps the octets inside OpenSSL, where no dump of a JavaScript object shows them; it cannot wipe them on demand (SECURITY.md).
 */
import type { KeyObject } from "node:crypto";
import type { OwnCertificate, PrivateKeyHandle } from "../../policy/types.ts";

export type KeyAlgorithm = OwnCertificate["algorithm"];

export class PrivateKey implements PrivateKeyHandle {
  #key: KeyObject | undefined;

  constructor(key: KeyObject) {
    this.#key = key;
  }

  /** The key, or undefined once destroyed. */
  get key(): KeyObject | undefined {
    return this.#key;
  }

  clone(): PrivateKey {
    if (!this.#key) throw new Error("private key used after destroy");
    return new PrivateKey(this.#key);
  }

  /** Forgets the key. */
  destroy(): void {
    this.#key = undefined;
  }

  toJSON(): string {
    return "<private key>";
  }
}
