/**
 * The default provider: node:crypto, that is OpenSSL. It draws no random numbers; private values come from the injected source.
 * Results are plain Uint8Arrays of their own memory, never pooled Buffers, so that a Secret can own and wipe them.
 */
import {
  createCipheriv,
  createDecipheriv,
  createECDH,
  createHmac,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  hash as hashOnce,
  type KeyObject,
} from "node:crypto";
import { err, ok } from "../../isakmp/result.ts";
import { type EcpName, ecpPrivateKey } from "./ecp.ts";
import type { ModpName } from "./modp.ts";
import { modpFault, modpPublicValue, modpShared, warmModp } from "./modp-engine.ts";
import type { BadPublicValue, Crypto } from "./provider.ts";
import { Secret } from "./secret.ts";
import type { Encryption, Group } from "./suite.ts";

/** The primitives by OpenSSL. Wrong sizes of keys, IVs and data are bugs of ours and throw; peers' public values give errors. */
export const opensslCrypto: Crypto = {
  name: "openssl",

  hash(name, ...chunks) {
    const place = deskFor(0, chunks);
    const end = lay(place, 0, chunks);
    try {
      return small(hashOnce(name, place.subarray(0, end), "buffer"));
    } finally {
      place.fill(0, 0, end);
    }
  },

  hmac(name, key, ...chunks) {
    const place = deskFor(key.length, chunks);
    place.set(key);
    const end = lay(place, key.length, chunks);
    try {
      return small(createHmac(name, place.subarray(0, key.length)).update(place.subarray(key.length, end)).digest());
    } finally {
      place.fill(0, 0, end);
    }
  },

  encrypt: (cipher, key, iv, data) => cbc(createCipheriv, cipher, key, iv, data),

  decrypt: (cipher, key, iv, data) => cbc(createDecipheriv, cipher, key, iv, data),

  generateKeyPair: (group, random) => KINDS[group.kind].generateKeyPair(group, random),

  agree: (group, privateKey, peerPublic) => KINDS[group.kind].agree(group, privateKey, peerPublic),
};

/** Prepares the groups that policy allows, so that no negotiation waits for it; groups without preparation cost nothing. */
export function warmUp(groups: readonly Group[]): void {
  for (const group of groups) if (group.kind === "modp") warmModp(group.name as ModpName);
}

/**
 * Where `first` octets and these chunks have room, one behind the other; who lays them there wipes them. V8 keeps small arrays in its own heap until
 * somebody asks for their memory; from then on each costs ten times as much, for as long as it lives. OpenSSL would ask for all of ours: it is shown
 * copies in one place instead.
 */
function deskFor(first: number, chunks: readonly Uint8Array[]): Uint8Array {
  let length = first;
  for (const chunk of chunks) length += chunk.length;
  return length <= DESK.length ? DESK : new Uint8Array(length);
}

/** Lays the chunks down from `at`, and says where they end. */
function lay(place: Uint8Array, at: number, chunks: readonly Uint8Array[]): number {
  let end = at;
  for (const chunk of chunks) {
    place.set(chunk, end);
    end += chunk.length;
  }
  return end;
}

/** Room for all that a negotiation hashes; nothing here is entered twice, since every call is synchronous. */
const DESK = new Uint8Array(4096);

/** A digest in V8's own heap, where most live as long as their SA. */
function small(digest: Uint8Array): Uint8Array {
  const copy = new Uint8Array(digest.length);
  copy.set(digest);
  digest.fill(0);
  return copy;
}

/** The same memory without Buffer's methods, some of which differ (`slice` is no copy). */
const plain = (buffer: Uint8Array): Uint8Array => new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length);

const CIPHERS = {
  aes128: "aes-128-cbc",
  aes192: "aes-192-cbc",
  aes256: "aes-256-cbc",
  "3des": "des-ede3-cbc",
  des: "des-ede3-cbc",
} as const;

/** OpenSSL 3 has single DES only in its legacy provider; 3DES with K|K|K is the same function. */
function opensslKey(cipher: Encryption, key: Uint8Array): Uint8Array {
  if (key.length !== cipher.keyOctets) throw new RangeError(`${cipher.name} takes ${cipher.keyOctets} octets of key, not ${key.length}`);
  if (cipher.name !== "des") return key;
  const tripled = new Uint8Array(24);
  for (let offset = 0; offset < 24; offset += 8) tripled.set(key, offset);
  return tripled;
}

function cbc(
  create: typeof createCipheriv | typeof createDecipheriv,
  cipher: Encryption,
  key: Uint8Array,
  iv: Uint8Array,
  data: Uint8Array,
): Uint8Array {
  if (data.length % cipher.blockOctets !== 0) throw new RangeError(`${data.length} octets are not whole blocks of ${cipher.name}`);
  const full = opensslKey(cipher, key);
  const end = full.length + iv.length;
  DESK.set(full);
  DESK.set(iv, full.length);
  try {
    const context = create(CIPHERS[cipher.name], DESK.subarray(0, full.length), DESK.subarray(full.length, end));
    context.setAutoPadding(false);
    // Without padding `update` gives all of it, and `final` would add nothing.
    return plain(context.update(data));
  } finally {
    DESK.fill(0, 0, end);
  }
}

type Kind = Pick<Crypto, "generateKeyPair" | "agree">;

const bad = (what: string) => err<BadPublicValue>({ kind: "bad-public-value", what });

const MODP: Kind = {
  generateKeyPair(group, random) {
    const x = random(group.exponentOctets);
    x[0] = (x[0] ?? 0) | 0x80;
    return { publicValue: modpPublicValue(group.name as ModpName, x), privateKey: new Secret(x) };
  },
  agree(group, privateKey, peerPublic) {
    const name = group.name as ModpName;
    const fault = modpFault(name, peerPublic);
    return fault === null ? ok(new Secret(privateKey.use((x) => modpShared(name, x, peerPublic)))) : bad(fault);
  },
};

const CURVES: Readonly<Record<EcpName, string>> = { ecp256: "prime256v1", ecp384: "secp384r1", ecp521: "secp521r1" };

/** RFC 5903 §7: x | y on the wire, so SEC 1's octet 04 (uncompressed) comes off and goes on; the secret is x alone. */
const ECP: Kind = {
  generateKeyPair(group, random) {
    const d = ecpPrivateKey(group, random);
    const ecdh = createECDH(CURVES[group.name as EcpName]);
    ecdh.setPrivateKey(d);
    return { publicValue: Uint8Array.from(ecdh.getPublicKey().subarray(1)), privateKey: new Secret(d) };
  },
  agree(group, privateKey, peerPublic) {
    if (peerPublic.length !== group.publicOctets) return bad(wrongLength(group, peerPublic));
    const point = new Uint8Array(1 + peerPublic.length);
    point[0] = 4;
    point.set(peerPublic, 1);
    const ecdh = createECDH(CURVES[group.name as EcpName]);
    privateKey.use((d) => ecdh.setPrivateKey(d));
    try {
      return ok(new Secret(plain(ecdh.computeSecret(point))));
    } catch (error) {
      // A point off the curve would let the peer learn our private value residue by residue.
      if ((error as NodeJS.ErrnoException).code === "ERR_CRYPTO_ECDH_INVALID_PUBLIC_KEY") return bad("is not a point on the curve");
      throw error;
    }
  },
};

/** RFC 7748 and RFC 8031. Keys go in as JWK: parsing DER costs OpenSSL 3.0 ten times as much as the key exchange. */
const X25519: Kind = {
  generateKeyPair(_group, random) {
    const k = random(32);
    const { x } = createPublicKey(x25519Private(k)).export({ format: "jwk" });
    return { publicValue: Uint8Array.from(Buffer.from(x ?? "", "base64url")), privateKey: new Secret(k) };
  },
  agree(group, privateKey, peerPublic) {
    if (peerPublic.length !== group.publicOctets) return bad(wrongLength(group, peerPublic));
    const publicKey = createPublicKey({ key: { kty: "OKP", crv: "X25519", x: base64url(peerPublic) }, format: "jwk" });
    const key = privateKey.use(x25519Private);
    try {
      return ok(new Secret(plain(diffieHellman({ privateKey: key, publicKey }))));
    } catch {
      // The only failure that is left: points of small order give zeros, and so a secret that everyone knows (RFC 7748 §6.1).
      return bad("gives a secret of zeros only");
    }
  },
};

const KINDS: Readonly<Record<Group["kind"], Kind>> = { modp: MODP, ecp: ECP, x25519: X25519 };

const wrongLength = (group: Group, octets: Uint8Array): string => `has ${octets.length} octets, the group needs ${group.publicOctets}`;

const base64url = (octets: Uint8Array): string => Buffer.from(octets.buffer, octets.byteOffset, octets.length).toString("base64url");

/** JWK demands the public half, but Node computes it from `d` and doesn't look at `x`. */
function x25519Private(k: Uint8Array): KeyObject {
  return createPrivateKey({ key: { kty: "OKP", crv: "X25519", x: NO_PUBLIC, d: base64url(k) }, format: "jwk" });
}

const NO_PUBLIC = base64url(new Uint8Array(32));
