/**
 * What the tests of cryptography share: both providers, hexadecimal text, fixed and seeded random sources.
 */
import { createHash } from "node:crypto";
import { nobleCrypto } from "../../../ike/crypto/noble.ts";
import { opensslCrypto } from "../../../ike/crypto/openssl.ts";
import type { Crypto, Random } from "../../../ike/crypto/provider.ts";
import { Secret } from "../../../ike/crypto/secret.ts";
import type { Group } from "../../../ike/crypto/suite.ts";
import type { Result } from "../../../isakmp/result.ts";

export const PROVIDERS: readonly Crypto[] = [opensslCrypto, nobleCrypto];

export const unhex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, "hex"));
export const hex = (octets: Uint8Array): string => Buffer.from(octets).toString("hex");
export const secret = (text: string): Secret => new Secret(unhex(text));
export const reveal = (value: Secret): string => value.use(hex);

/** Gives the listed values one after the other, and fails when asked for another length or for more. */
export function drawing(...values: readonly string[]): Random {
  const left = values.map(unhex);
  return (length) => {
    const next = left.shift();
    if (next?.length !== length) throw new Error(`asked for ${length} octets, the next value has ${next?.length}`);
    return next;
  };
}

/** An endless source that depends on the seed alone. */
export function seeded(seed: string): Random {
  let counter = 0;
  return (length) => {
    const octets = new Uint8Array(length);
    for (let filled = 0; filled < length; filled += 32) {
      const block = createHash("sha256").update(`${seed} ${counter++}`).digest();
      octets.set(block.subarray(0, length - filled), filled);
    }
    return octets;
  };
}

/** The outcome of `agree` as text: the secret in hexadecimal, or why not. */
export function outcome(result: Result<Secret, { readonly what: string }>): string {
  return result.ok ? reveal(result.value) : `refused: ${result.error.what}`;
}

/** `agree` with a private value in hexadecimal. */
export const agreed = (crypto: Crypto, group: Group, privateKey: string, peer: Uint8Array): string =>
  outcome(crypto.agree(group, secret(privateKey), peer));
