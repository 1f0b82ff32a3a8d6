/**
 * What certificates and CRLs have in common: contents, an algorithm and a signature over the contents' octets (RFC 5280 §4.1.1), and the keys
 * that check them. Invariant: only algorithms in the table verify, and no key whose use could cost more than some milliseconds.
 */
import { constants, createPublicKey, type KeyObject, verify } from "node:crypto";
import { constructed, DER, type DerElement, element, oid, only, optional, smallInteger, wholeBits } from "../../isakmp/der.ts";
import { type Reader, readWith } from "../../isakmp/reader.ts";
import { err, ok, type Result } from "../../isakmp/result.ts";

export interface Signed {
  /** What is signed: `contents` reads it, `octets` are hashed. */
  readonly contents: Reader;
  readonly octets: Uint8Array;
  readonly algorithm: DerElement;
  readonly signature: Uint8Array;
}

/** What old algorithms may be used all the same (`allow-weak`). */
export interface Weakness {
  /** RSA keys from 1024 to 2047 bits. */
  readonly shortRsa: boolean;
  /** Certificates and CRLs signed over SHA-1, for which collisions can be bought. */
  readonly sha1: boolean;
  /** Self-issued certificates of the configuration that are older than the extension by which a CA says that it is one. */
  readonly oldRoots: boolean;
}

/** Reads the outermost sequence of a certificate or CRL, which must be all there is. */
export function readSigned(r: Reader, what: string): Signed {
  const outer = only(r, DER.sequence, what);
  const contents = element(outer, DER.sequence, `${what}'s contents`);
  const algorithm = element(outer, DER.sequence, "signature algorithm");
  const signature = wholeBits(element(outer, DER.bitString, "signature").body, "signature");
  outer.finish(what);
  return { contents: contents.body, octets: contents.der, algorithm, signature };
}

export const WRONG_SIGNATURE = "its signature is wrong";

/** Why a signature does not hold under a key, or undefined where it does. */
export function signatureFault({ octets, algorithm, signature }: Signed, key: KeyObject, weak: Weakness): string | undefined {
  const found = readWith(algorithm.der, readAlgorithm);
  if (!found.ok) return "its signature algorithm cannot be read";
  if (typeof found.value === "string") return found.value;
  const { hash, type, pss } = found.value;
  if (hash === "sha1" && !weak.sha1)
    return 'it is signed over SHA-1, which others can forge; have it issued anew, or add allow-weak = ["sha1-certificates"]';
  if (!type.includes(key.asymmetricKeyType ?? "")) return "its signature is of another kind than the issuer's key";
  const options = pss === undefined ? { key } : { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: pss };
  try {
    return verify(hash, octets, options, signature) ? undefined : WRONG_SIGNATURE;
  } catch {
    // OpenSSL throws for keys and sizes that cannot belong together.
    return WRONG_SIGNATURE;
  }
}

/** A public key that is good enough to be used at all, from a SubjectPublicKeyInfo. */
export function usableKey(spki: Uint8Array, weak: Weakness): Result<KeyObject, string> {
  const named = readWith(spki, hasNamedCurve);
  if (!named.ok) return err("its public key cannot be read");
  if (!named.value) return err("its key's curve is written out instead of named; have it made anew with a named curve");
  let key: KeyObject;
  try {
    key = createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
  } catch {
    return err("its public key cannot be read");
  }
  const fault = keyFault(key, weak);
  return fault === undefined ? ok(key) : err(fault);
}

const EC_PUBLIC_KEY = "1.2.840.10045.2.1";

/**
 * Whether a SubjectPublicKeyInfo is none of an elliptic curve, or names its curve (RFC 5480 §2.1.1). Node calls parameters that are written out by the
 * name of the curve they are like, and a generator of the writer's own choice makes a second private key for another's public one; so this is asked
 * of the octets, before anybody computes with them.
 */
function hasNamedCurve(r: Reader): boolean {
  const algorithm = element(only(r, DER.sequence, "public key"), DER.sequence, "key algorithm").body;
  return oid(algorithm, "key algorithm") !== EC_PUBLIC_KEY || optional(algorithm, DER.oid, "curve") !== undefined;
}

/** What is wrong with the kind and size of a public key. */
function keyFault(key: KeyObject, { shortRsa }: Weakness): string | undefined {
  const { modulusLength = 0, publicExponent = 0n, namedCurve = "" } = key.asymmetricKeyDetails ?? {};
  switch (key.asymmetricKeyType) {
    case "rsa":
    case "rsa-pss":
      if (modulusLength < 1024) return `its RSA key has ${modulusLength} bits, which anybody can factor`;
      if (modulusLength < 2048 && !shortRsa)
        return `its RSA key has ${modulusLength} bits; 2048 are the least, or add allow-weak = ["rsa1024"]`;
      // Both bounds keep the price of a check that strangers may ask for.
      if (modulusLength > MOST_RSA_BITS) return `its RSA key has ${modulusLength} bits; ${MOST_RSA_BITS} are the most`;
      return publicExponent < 3n || publicExponent > MOST_EXPONENT ? "its RSA key has an unusual exponent" : undefined;
    case "ec":
      return namedCurve in CURVES ? undefined : `its key is on the curve ${namedCurve || "of its own"}; P-256, P-384 and P-521 are known`;
    case "ed25519":
    case "ed448":
      return undefined;
    default:
      return `its key is of the kind ${key.asymmetricKeyType}, which is not known`;
  }
}

const MOST_RSA_BITS = 8192;
const MOST_EXPONENT = 2n ** 33n;

/** OpenSSL's names of the curves of RFC 4754, and the names of the methods' numbers. */
export const CURVES: Readonly<Record<string, "ecdsa256" | "ecdsa384" | "ecdsa521">> = {
  prime256v1: "ecdsa256",
  secp384r1: "ecdsa384",
  secp521r1: "ecdsa521",
};

interface Algorithm {
  readonly hash: string | null;
  /** OpenSSL's types of keys. */
  readonly type: readonly string[];
  /** Octets of salt, for PSS. */
  readonly pss: number | undefined;
}

const RSA = ["rsa"];
const EC = ["ec"];
const plain = (hash: string | null, type: readonly string[]): Algorithm => ({ hash, type, pss: undefined });

/** Signature algorithms by object identifier (RFC 4055, RFC 5758, RFC 8410). MD5 and older are no signatures any more. */
const ALGORITHMS: Readonly<Record<string, Algorithm | string>> = {
  "1.2.840.113549.1.1.4": "it is signed over MD5, which others can forge",
  "1.2.840.113549.1.1.5": plain("sha1", RSA),
  "1.2.840.113549.1.1.11": plain("sha256", RSA),
  "1.2.840.113549.1.1.12": plain("sha384", RSA),
  "1.2.840.113549.1.1.13": plain("sha512", RSA),
  "1.2.840.113549.1.1.14": plain("sha224", RSA),
  "1.2.840.10045.4.1": plain("sha1", EC),
  "1.2.840.10045.4.3.1": plain("sha224", EC),
  "1.2.840.10045.4.3.2": plain("sha256", EC),
  "1.2.840.10045.4.3.3": plain("sha384", EC),
  "1.2.840.10045.4.3.4": plain("sha512", EC),
  "1.3.101.112": plain(null, ["ed25519"]),
  "1.3.101.113": plain(null, ["ed448"]),
};
const PSS = "1.2.840.113549.1.1.10";

function readAlgorithm(r: Reader): Algorithm | string {
  const body = only(r, DER.sequence, "signature algorithm");
  const id = oid(body, "signature algorithm");
  if (id === PSS) return readPss(only(body, DER.sequence, "PSS parameters"));
  return ALGORITHMS[id] ?? `it is signed with an algorithm that is not known (${id})`;
}

const HASHES: Readonly<Record<string, string>> = {
  "1.3.14.3.2.26": "sha1",
  "2.16.840.1.101.3.4.2.1": "sha256",
  "2.16.840.1.101.3.4.2.2": "sha384",
  "2.16.840.1.101.3.4.2.3": "sha512",
};

/** RFC 4055 §3.1: hash, mask generation over the same hash, salt. Defaults are SHA-1's. */
function readPss(r: Reader): Algorithm | string {
  const hashField = optional(r, constructed(0), "PSS hash");
  const hash = hashField ? (HASHES[oid(only(hashField.body, DER.sequence, "PSS hash"), "PSS hash")] ?? "") : "sha1";
  const maskField = optional(r, constructed(1), "PSS mask");
  const mask = maskField ? readMask(only(maskField.body, DER.sequence, "PSS mask")) : "sha1";
  const saltField = optional(r, constructed(2), "PSS salt");
  const salt = saltField ? smallInteger(only(saltField.body, DER.integer, "PSS salt"), "PSS salt") : 20;
  if (hash === "" || mask !== hash || salt > 64) return "it is signed with PSS in a form that is not known";
  return { hash, type: ["rsa", "rsa-pss"], pss: salt };
}

function readMask(r: Reader): string | undefined {
  oid(r, "PSS mask");
  return HASHES[oid(only(r, DER.sequence, "PSS mask hash"), "PSS mask hash")];
}
