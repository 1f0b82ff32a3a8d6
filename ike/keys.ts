/**
 * Every key of IKE, from nonces and g^xy to the octets that go into the kernel: RFC 2409 §5, §5.5 and appendix B.
 * Pure functions; a Secret that is passed in stays the caller's to destroy, one that is returned becomes the caller's.
 */
import { uint32Octets } from "../isakmp/octets.ts";
import type { Crypto } from "./crypto/provider.ts";
import { Secret } from "./crypto/secret.ts";
import type { HashAlgorithm, IkeSuite } from "./crypto/suite.ts";

/** SKEYID_d, SKEYID_a and SKEYID_e (RFC 2409 §5): derivation, authentication, encryption; `hash.octets` long each. */
export interface Skeyids {
  readonly d: Secret;
  readonly a: Secret;
  readonly e: Secret;
}

/** SKEYID for pre-shared keys: prf(psk, Ni_b | Nr_b). `hash.octets` long. RFC 2409 §5. */
export function skeyidPsk(crypto: Crypto, hash: HashAlgorithm, psk: Secret, ni: Uint8Array, nr: Uint8Array): Secret {
  return psk.use((key) => new Secret(crypto.hmac(hash.name, key, ni, nr)));
}

/** SKEYID for signatures, and for GSS: prf(Ni_b | Nr_b, g^xy). `hash.octets` long. RFC 2409 §5. */
export function skeyidSignature(crypto: Crypto, hash: HashAlgorithm, ni: Uint8Array, nr: Uint8Array, gxy: Secret): Secret {
  return gxy.use((shared) => new Secret(crypto.hmac(hash.name, join(ni, nr), shared)));
}

/** SKEYID_d, SKEYID_a and SKEYID_e from SKEYID, g^xy and the two cookies of 8 octets. RFC 2409 §5. */
export function deriveSkeyids(
  crypto: Crypto,
  hash: HashAlgorithm,
  skeyid: Secret,
  gxy: Secret,
  cookieI: Uint8Array,
  cookieR: Uint8Array,
): Skeyids {
  return skeyid.use((key) =>
    gxy.use((shared) => {
      const d = crypto.hmac(hash.name, key, shared, cookieI, cookieR, ZERO);
      const a = crypto.hmac(hash.name, key, d, shared, cookieI, cookieR, ONE);
      const e = crypto.hmac(hash.name, key, a, shared, cookieI, cookieR, TWO);
      return { d: new Secret(d), a: new Secret(a), e: new Secret(e) };
    }),
  );
}

/**
 * The phase 1 cipher's key, `encryption.keyOctets` long: the first octets of SKEYID_e, or where that is too short, of
 * K1 | K2 | ... with K1 = prf(SKEYID_e, 0) and Kn = prf(SKEYID_e, Kn-1). RFC 2409 appendix B.
 * Weak DES keys are not looked for: one key in 2^52 is weak, and the RFC doesn't say which octets would come next.
 */
export function cipherKey(crypto: Crypto, suite: IkeSuite, skeyidE: Secret): Secret {
  const octets = suite.encryption.keyOctets;
  return skeyidE.use((key) =>
    key.length >= octets ? new Secret(part(key, 0, octets)) : expand(octets, (last) => crypto.hmac(suite.hash.name, key, last ?? ZERO)),
  );
}

/** The IV of the first encrypted Main Mode message: hash(g^xi | g^xr), cut to one block. RFC 2409 appendix B. */
export function phase1Iv(crypto: Crypto, suite: IkeSuite, gxi: Uint8Array, gxr: Uint8Array): Uint8Array {
  return crypto.hash(suite.hash.name, gxi, gxr).slice(0, suite.encryption.blockOctets);
}

/**
 * The IV of the first message of an exchange under an IKE SA: hash(last block of phase 1 | M-ID), cut to one block.
 * `messageId` is an unsigned 32-bit number. RFC 2409 appendix B.
 */
export function phase2Iv(crypto: Crypto, suite: IkeSuite, lastBlock: Uint8Array, messageId: number): Uint8Array {
  return crypto.hash(suite.hash.name, lastBlock, uint32Octets(messageId)).slice(0, suite.encryption.blockOctets);
}

/**
 * KEYMAT of one direction of one protocol, `octets` long: K1 | K2 | ... with
 * Kn = prf(SKEYID_d, Kn-1 | [ g(qm)^xy | ] protocol | SPI | Ni_b | Nr_b). RFC 2409 §5.5.
 * `gxy` is that of Quick Mode, null without PFS. `spi` is the 4 octets that the receiver of this direction chose.
 */
export function keymat(
  crypto: Crypto,
  hash: HashAlgorithm,
  skeyidD: Secret,
  gxy: Secret | null,
  protocol: number,
  spi: Uint8Array,
  ni: Uint8Array,
  nr: Uint8Array,
  octets: number,
): Secret {
  const tail = [Uint8Array.of(protocol), spi, ni, nr];
  const blocks = (shared: Uint8Array) =>
    skeyidD.use((key) => expand(octets, (last) => crypto.hmac(hash.name, key, last ?? NOTHING, shared, ...tail)));
  return gxy === null ? blocks(NOTHING) : gxy.use(blocks);
}

/**
 * Cuts KEYMAT into keys of the given lengths in octets, first come first: for ESP the cipher's key (with its salt), then the
 * integrity key (RFC 2401 §4.6.2). Each key is a copy with a life of its own. Throws unless the lengths add up to all of it.
 */
export function splitKeymat(material: Secret, lengths: readonly number[]): Secret[] {
  const total = lengths.reduce((sum, length) => sum + length, 0);
  if (total !== material.length) throw new RangeError(`keys of ${total} octets from ${material.length}`);
  let offset = 0;
  return material.use((octets) =>
    lengths.map((length) => {
      offset += length;
      return new Secret(part(octets, offset - length, offset));
    }),
  );
}

const NOTHING = new Uint8Array(0);
const ZERO = Uint8Array.of(0);
const ONE = Uint8Array.of(1);
const TWO = Uint8Array.of(2);

/** The first `octets` of next(undefined) | next(K1) | next(K2) | ...; the blocks themselves are wiped. */
function expand(octets: number, next: (last: Uint8Array | undefined) => Uint8Array): Secret {
  const material = new Uint8Array(octets);
  let block: Uint8Array | undefined;
  for (let filled = 0; filled < octets; ) {
    const following = next(block);
    block?.fill(0);
    block = following;
    const fitting = following.length > octets - filled ? part(following, 0, octets - filled) : following;
    material.set(fitting, filled);
    filled += fitting.length;
    if (fitting !== following) fitting.fill(0);
  }
  block?.fill(0);
  return new Secret(material);
}

/** A copy, even where the octets are a Buffer, whose own `slice` would share them. */
function part(octets: Uint8Array, start: number, end: number): Uint8Array {
  const copy = new Uint8Array(end - start);
  for (let i = start; i < end; i++) copy[i - start] = octets[i] as number;
  return copy;
}

function join(a: Uint8Array, b: Uint8Array): Uint8Array {
  const joined = new Uint8Array(a.length + b.length);
  joined.set(a);
  joined.set(b, a.length);
  return joined;
}
