/**
 * The key schedule of RFC 2409 once more, for the algorithms that Windows offers with pre-shared keys: the Windows-like peer shares no such code with
 * the core. Diffie-Hellman is the simulator's toy.
 */
import { createHash, createHmac } from "node:crypto";
import { type Encryption, encryptionNamed } from "../../ike/crypto/suite.ts";
import type { Phase1Suite, Phase2Suite } from "./windows-releases.ts";

type Octets = Uint8Array;

const HASH_NAMES: Readonly<Record<number, string>> = { 1: "md5", 2: "sha1" };
/** Octets of public values and of g^xy, RFC 2409 §6, RFC 3526, RFC 5903 §7. */
const GROUP_SIZES: Readonly<Record<number, readonly [number, number]>> = {
  1: [96, 96],
  2: [128, 128],
  14: [256, 256],
  19: [64, 32],
  20: [96, 48],
};
const MASK = 0x5a;

/** What the algorithms of a phase 1 suite do. */
export interface Phase1Math {
  readonly cipher: Encryption;
  readonly block: number;
  readonly publicOctets: number;
  prf(key: Octets, ...chunks: readonly Octets[]): Octets;
  hash(...chunks: readonly Octets[]): Octets;
  publicOf(x: Octets): Octets;
  shared(x: Octets, theirs: Octets): Octets;
}

export function mathOf(suite: Phase1Suite): Phase1Math {
  const name = HASH_NAMES[suite.hash] as string;
  const [publicOctets, secretOctets] = GROUP_SIZES[suite.group] as readonly [number, number];
  const cipher = encryptionNamed(suite.cipher === 7 ? (suite.bits === 256 ? "aes256" : "aes128") : suite.cipher === 5 ? "3des" : "des");
  return {
    cipher,
    block: suite.cipher === 7 ? 16 : 8,
    publicOctets,
    prf: (key, ...chunks) => Uint8Array.from(createHmac(name, key).update(Buffer.concat(chunks)).digest()),
    hash: (...chunks) => Uint8Array.from(createHash(name).update(Buffer.concat(chunks)).digest()),
    publicOf: (x) => x.map((octet) => octet ^ MASK),
    shared: (x, theirs) => x.map((octet, i) => octet ^ (theirs[i] ?? 0)).slice(0, secretOctets),
  };
}

/** What phase 1 leaves: RFC 2409 §5 and appendix B. */
export interface Phase1Keys {
  readonly skeyid: Octets;
  readonly d: Octets;
  readonly a: Octets;
  readonly cipher: Octets;
}

export function phase1Keys(m: Phase1Math, psk: Octets, ni: Octets, nr: Octets, gxy: Octets, ci: Octets, cr: Octets): Phase1Keys {
  const skeyid = m.prf(psk, ni, nr);
  const d = m.prf(skeyid, gxy, ci, cr, Uint8Array.of(0));
  const a = m.prf(skeyid, d, gxy, ci, cr, Uint8Array.of(1));
  const e = m.prf(skeyid, a, gxy, ci, cr, Uint8Array.of(2));
  const needed = m.cipher.keyOctets;
  let key = e;
  if (e.length < needed) {
    let last = m.prf(e, Uint8Array.of(0));
    for (key = last; key.length < needed; key = Uint8Array.from([...key, ...last])) last = m.prf(e, last);
  }
  return { skeyid, d, a, cipher: key.slice(0, needed) };
}

const ESP_KEYS: Readonly<Record<number, number>> = { 2: 8, 3: 24, 11: 0 };
const INTEGRITY_KEYS: Readonly<Record<number, number>> = { 1: 16, 2: 20 };

/** KEYMAT of one direction without PFS, RFC 2409 §5.5. */
export function espKeys(m: Phase1Math, d: Octets, suite: Phase2Suite, spi: Octets, ni: Octets, nr: Octets): Octets {
  const needed = (suite.esp === 12 ? (suite.bits ?? 128) / 8 : (ESP_KEYS[suite.esp] ?? 0)) + (INTEGRITY_KEYS[suite.integrity] ?? 0);
  let last = m.prf(d, Uint8Array.of(3), spi, ni, nr);
  let all = last;
  while (all.length < needed) {
    last = m.prf(d, last, Uint8Array.of(3), spi, ni, nr);
    all = Uint8Array.from([...all, ...last]);
  }
  return all.slice(0, needed);
}
