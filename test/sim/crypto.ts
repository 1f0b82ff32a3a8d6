/**
 * Cryptography and randomness for the simulator: everything depends on the seed, and a negotiation costs less than a millisecond.
 * Hashes and ciphers are the real ones; Diffie-Hellman is a toy in the dress of x25519 (same lengths, same refusals, no secrecy).
 */
import { opensslCrypto } from "../../ike/crypto/openssl.ts";
import type { Crypto, Random } from "../../ike/crypto/provider.ts";
import { Secret } from "../../ike/crypto/secret.ts";
import { err, ok } from "../../isakmp/result.ts";

/** A provider that remembers every plaintext it encrypted, so that diagrams can show what was inside. */
export interface Tap {
  readonly crypto: Crypto;
  /** The plaintext of a ciphertext that some host of this world made; undefined for damaged or foreign ones. */
  plaintextOf(sealed: Uint8Array): Uint8Array | undefined;
}

/** Wraps `base`; with `toyGroups` key exchanges become cheap. */
export function tapped(toyGroups: boolean, base: Crypto = opensslCrypto): Tap {
  const plaintexts = new Map<string, Uint8Array>();
  const crypto: Crypto = {
    ...base,
    ...(toyGroups ? { generateKeyPair, agree } : {}),
    encrypt(cipher, key, iv, data) {
      const sealed = base.encrypt(cipher, key, iv, data);
      plaintexts.set(latin1(sealed), Uint8Array.from(data));
      return sealed;
    },
  };
  return { crypto, plaintextOf: (sealed) => plaintexts.get(latin1(sealed)) };
}

const latin1 = (octets: Uint8Array): string => Buffer.from(octets.buffer, octets.byteOffset, octets.length).toString("latin1");

/** The toy: exclusive or commutes, as exponentiation does. */
const generateKeyPair: Crypto["generateKeyPair"] = (group, random) => {
  const x = random(group.publicOctets);
  return { publicValue: x.map((octet) => octet ^ MASK), privateKey: new Secret(x) };
};

const agree: Crypto["agree"] = (group, privateKey, peerPublic) => {
  if (peerPublic.length !== group.publicOctets)
    return err({ kind: "bad-public-value", what: `has ${peerPublic.length} octets, the group needs ${group.publicOctets}` });
  if (peerPublic.every((octet) => octet === 0)) return err({ kind: "bad-public-value", what: "gives a secret of zeros only" });
  return ok(new Secret(privateKey.use((x) => x.map((octet, i) => octet ^ (peerPublic[i] ?? 0)).subarray(0, group.secretOctets))));
};

const MASK = 0x5a;

/** The toy alone, over whatever provider has the hashes and ciphers. */
export const TOY_GROUPS: Pick<Crypto, "generateKeyPair" | "agree"> = { generateKeyPair, agree };

/** Octets that depend on the seed alone (sfc32). Not random enough for anything but tests. */
export function seededRandom(seed: number): Random {
  let [a, b, c, counter] = [seed | 0, 0x9e3779b9 | 0, 0x243f6a88 | 0, 1];
  const next = (): number => {
    const t = (a + b + counter++) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + t;
    return t;
  };
  for (let i = 0; i < 12; i++) next();
  return (length) => Uint8Array.from({ length }, next);
}
