/**
 * What cryptography one side of a negotiation can't do without: Main Mode with a pre-shared key and Quick Mode with PFS, RFC 2409 §5 and
 * §5.5 and RFC 3947, for AES-128 and SHA-1. The same provider, random numbers of the same source, inputs of the sizes that stand on the wire; no
 * messages, no states, no sockets. What a side computes beyond this list is overhead.
 */
import type { Crypto, Random } from "../ike/crypto/provider.ts";
import { encryptionNamed, type Group } from "../ike/crypto/suite.ts";

/** A pass over the list for one group; the peer's public values are made once, outside of what is measured. */
export function floorPass(crypto: Crypto, random: Random, group: Group): () => void {
  const peers = [0, 1].map(() => crypto.generateKeyPair(group, random).publicValue) as [Uint8Array, Uint8Array];
  return () => {
    for (const size of DRAWS) random(size);
    const [first, second] = peers.map((peer) => exchange(crypto, random, group, peer)) as [Shared, Shared];
    mainMode(crypto, group, first);
    quickMode(crypto, second);
  };
}

/** A pass over the part of Quick Mode alone, and the delete of the pair that it replaces: what a renewal can't do without. */
export function quickModeFloor(crypto: Crypto, random: Random, group: Group): () => void {
  const peer = crypto.generateKeyPair(group, random).publicValue;
  return () => {
    for (const size of DRAWS.slice(2)) random(size);
    quickMode(crypto, exchange(crypto, random, group, peer));
    informational(crypto);
  };
}

/** Cookie, nonce of Main Mode; message id, SPI, nonce of Quick Mode. Private values are drawn with the key pairs. */
const DRAWS = [8, 32, 4, 4, 32];
const SHA1 = "sha1";
const AES128 = encryptionNamed("aes128");
const octets = (length: number): Uint8Array => new Uint8Array(length).fill(0x5a);
const [KEY, COOKIE, NONCE, MESSAGE_ID] = [octets(20), octets(8), octets(32), octets(4)];
const [CIPHER_KEY, IV] = [octets(16), octets(16)];
/** Bodies as they are on the wire: SA of phase 1 with one transform, ID of an address, SA of phase 2. */
const [SA_BODY, ID_BODY, SA_BODY_2] = [octets(56), octets(8), octets(60)];

interface Shared {
  readonly own: Uint8Array;
  readonly peer: Uint8Array;
  readonly secret: Uint8Array;
}

/** Two exponentiations. */
function exchange(crypto: Crypto, random: Random, group: Group, peer: Uint8Array): Shared {
  const { privateKey, publicValue } = crypto.generateKeyPair(group, random);
  const agreed = crypto.agree(group, privateKey, peer);
  if (!agreed.ok) throw new Error(agreed.error.what);
  const secret = agreed.value.use((shared) => Uint8Array.from(shared));
  for (const used of [privateKey, agreed.value]) used.destroy();
  return { own: publicValue, peer, secret };
}

/** NAT-D of both ends, by which the peer's are checked, too (RFC 3947 §3.2), SKEYID and its family, the first IV, both proofs, two sealed messages. */
function mainMode(crypto: Crypto, group: Group, { own, peer, secret }: Shared): void {
  for (let i = 0; i < 2; i++) crypto.hash(SHA1, COOKIE, COOKIE, octets(6));
  crypto.hmac(SHA1, octets(32), NONCE, NONCE);
  crypto.hmac(SHA1, KEY, secret, COOKIE, COOKIE, octets(1));
  for (const part of [1, 2]) crypto.hmac(SHA1, KEY, octets(20), secret, COOKIE, COOKIE, octets(part));
  crypto.hash(SHA1, own, peer);
  for (const [ours, theirs] of [
    [own, peer],
    [peer, own],
  ] as const)
    crypto.hmac(SHA1, KEY, ours.subarray(0, group.publicOctets), theirs, COOKIE, COOKIE, SA_BODY, ID_BODY);
  // ID and HASH: 12 and 24 octets with their headers.
  crypto.encrypt(AES128, CIPHER_KEY, IV, octets(48));
  crypto.decrypt(AES128, CIPHER_KEY, IV, octets(48));
}

/** The IV, HASH(1) to (3), KEYMAT of both directions in two blocks each, three sealed messages. */
function quickMode(crypto: Crypto, { own, secret }: Shared): void {
  crypto.hash(SHA1, octets(20));
  const body = [SA_BODY_2, NONCE, own, ID_BODY, ID_BODY];
  const rest = octets(body.reduce((sum, part) => sum + part.length + 4, 0));
  crypto.hmac(SHA1, KEY, MESSAGE_ID, rest);
  crypto.hmac(SHA1, KEY, MESSAGE_ID, NONCE, rest);
  crypto.hmac(SHA1, KEY, octets(1), MESSAGE_ID, NONCE, NONCE);
  for (const last of [octets(0), octets(20), octets(0), octets(20)])
    crypto.hmac(SHA1, KEY, last, secret, octets(1), octets(4), NONCE, NONCE);
  const sealed = octets(Math.ceil((rest.length + 25) / 16) * 16);
  crypto.encrypt(AES128, CIPHER_KEY, IV, sealed);
  crypto.decrypt(AES128, CIPHER_KEY, IV, sealed);
  crypto.encrypt(AES128, CIPHER_KEY, IV, octets(32));
}

/** The IV and HASH(1) of a delete, sealed or opened: HASH and DELETE with one SPI are 40 octets with their headers. */
function informational(crypto: Crypto): void {
  crypto.hash(SHA1, octets(20));
  crypto.hmac(SHA1, KEY, MESSAGE_ID, octets(16));
  crypto.encrypt(AES128, CIPHER_KEY, IV, octets(48));
}
