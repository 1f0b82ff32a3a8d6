/**
 * The second provider: audited JavaScript (`@noble/*`) for hashes, HMAC, AES, the ECP groups and X25519. 3DES and MODP stay OpenSSL's.
 * Slower (hashes twice, curves twenty times and more), but it keeps algorithms going where a FIPS build of OpenSSL refuses them.
 */
import { cbc } from "@noble/ciphers/aes.js";
import { x25519 } from "@noble/curves/ed25519.js";
import { p256, p384, p521 } from "@noble/curves/nist.js";
import { hmac } from "@noble/hashes/hmac.js";
import { md5, sha1 } from "@noble/hashes/legacy.js";
import { sha256, sha384, sha512 } from "@noble/hashes/sha2.js";
import { err, ok } from "../../isakmp/result.ts";
import { type EcpName, ecpPrivateKey } from "./ecp.ts";
import { opensslCrypto } from "./openssl.ts";
import type { BadPublicValue, Crypto } from "./provider.ts";
import { Secret } from "./secret.ts";
import type { Encryption, Group } from "./suite.ts";

/** The primitives by noble. Wrong sizes of keys, IVs and data are bugs of ours and throw; peers' public values give errors. */
export const nobleCrypto: Crypto = {
  name: "noble",

  hash(name, ...chunks) {
    const h = HASHERS[name].create();
    for (const chunk of chunks) h.update(chunk);
    return h.digest();
  },

  hmac(name, key, ...chunks) {
    const h = hmac.create(HASHERS[name], key);
    for (const chunk of chunks) h.update(chunk);
    return h.digest();
  },

  encrypt(cipher, key, iv, data) {
    return isAes(cipher) ? aes(cipher, key, iv).encrypt(data) : opensslCrypto.encrypt(cipher, key, iv, data);
  },

  decrypt(cipher, key, iv, data) {
    return isAes(cipher) ? aes(cipher, key, iv).decrypt(data) : opensslCrypto.decrypt(cipher, key, iv, data);
  },

  generateKeyPair: (group, random) => KINDS[group.kind].generateKeyPair(group, random),

  agree: (group, privateKey, peerPublic) => KINDS[group.kind].agree(group, privateKey, peerPublic),
};

const HASHERS = { md5, sha1, sha256, sha384, sha512 };

const isAes = (cipher: Encryption): boolean => cipher.keyLengthAttribute !== null;

/** noble takes any AES key length for any of the three ciphers, so ours is checked here. */
function aes(cipher: Encryption, key: Uint8Array, iv: Uint8Array): ReturnType<typeof cbc> {
  if (key.length !== cipher.keyOctets) throw new RangeError(`${cipher.name} takes ${cipher.keyOctets} octets of key, not ${key.length}`);
  return cbc(key, iv, { disablePadding: true });
}

type Kind = Pick<Crypto, "generateKeyPair" | "agree">;

const bad = (what: string) => err<BadPublicValue>({ kind: "bad-public-value", what });

const CURVES = { ecp256: p256, ecp384: p384, ecp521: p521 };

/** RFC 5903 §7: x | y on the wire, so SEC 1's octet 04 (uncompressed) comes off and goes on; the secret is x alone. */
const ECP: Kind = {
  generateKeyPair(group, random) {
    const d = ecpPrivateKey(group, random);
    return { publicValue: CURVES[group.name as EcpName].getPublicKey(d, false).slice(1), privateKey: new Secret(d) };
  },
  agree(group, privateKey, peerPublic) {
    const curve = CURVES[group.name as EcpName];
    if (peerPublic.length !== group.publicOctets) return bad(wrongLength(group, peerPublic));
    const encoded = new Uint8Array(1 + peerPublic.length);
    encoded[0] = 4;
    encoded.set(peerPublic, 1);
    // A point off the curve would let the peer learn our private value residue by residue.
    if (!curve.utils.isValidPublicKey(encoded, false)) return bad("is not a point on the curve");
    const point = privateKey.use((d) => curve.getSharedSecret(d, encoded));
    const shared = new Secret(point.slice(1));
    point.fill(0);
    return ok(shared);
  },
};

/** RFC 7748 and RFC 8031. */
const X25519: Kind = {
  generateKeyPair(_group, random) {
    const k = random(32);
    return { publicValue: x25519.getPublicKey(k), privateKey: new Secret(k) };
  },
  agree(group, privateKey, peerPublic) {
    if (peerPublic.length !== group.publicOctets) return bad(wrongLength(group, peerPublic));
    return privateKey.use((k) => {
      try {
        return ok(new Secret(x25519.getSharedSecret(k, peerPublic)));
      } catch {
        // The only failure that is left: points of small order give zeros, and so a secret that everyone knows (RFC 7748 §6.1).
        return bad("gives a secret of zeros only");
      }
    });
  },
};

const KINDS: Readonly<Record<Group["kind"], Kind>> = { modp: opensslCrypto, ecp: ECP, x25519: X25519 };

const wrongLength = (group: Group, octets: Uint8Array): string => `has ${octets.length} octets, the group needs ${group.publicOctets}`;
