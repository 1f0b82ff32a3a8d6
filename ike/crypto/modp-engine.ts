/**
 * Exponentiation in the MODP groups, by OpenSSL. There are two ways, and which is cheaper depends on the group and on Node's version:
 *
 * - A DiffieHellman object per group, alive as long as the process and lent a private value for one operation at a time. Nothing is
 *   faster, but making it may cost primality tests (27 ms for group 2 everywhere, 0.2 s for 14 in Node 24, many seconds above that),
 *   and Node 22 raises each peer's value to the group's order first, seven times the work of the secret itself at 2048 bits.
 * - A key file (`modp-key.ts`): no such costs, but 0.05 ms of parsing for each operation, 0.4 ms in Node 20.
 *
 * Hence objects up to 2048 bits, but for Y^x only where they don't check the order, and key files for everything else.
 * Invariant: between calls no object holds a private value of ours.
 */
import { createDiffieHellman, type DiffieHellman } from "node:crypto";
import { MODP_GENERATOR, type ModpName, modpPrime } from "./modp.ts";
import { modpPower } from "./modp-key.ts";

/** `generator` computes 2^x and `power` computes Y^x; undefined: a key file does. */
interface Engine {
  readonly prime: Uint8Array;
  readonly last: Uint8Array;
  readonly generator: DiffieHellman | undefined;
  readonly power: DiffieHellman | undefined;
}

/** 2^x mod p, exactly as long as p, padded on the left: OpenSSL drops leading zeros, which one value in 256 has. */
export function modpPublicValue(name: ModpName, x: Uint8Array): Uint8Array {
  const { generator, prime } = engineOf(name);
  if (!generator) return leftPad(modpPower(prime, Uint8Array.of(MODP_GENERATOR), x), prime.length);
  return lend(generator, x, () => {
    generator.generateKeys();
    return leftPad(generator.getPublicKey(), prime.length);
  });
}

/** Y^x mod p, exactly as long as p. `peer` must have passed `modpFault`. */
export function modpShared(name: ModpName, x: Uint8Array, peer: Uint8Array): Uint8Array {
  const { power, prime } = engineOf(name);
  if (!power) return leftPad(modpPower(prime, peer, x), prime.length);
  return lend(power, x, () => leftPad(power.computeSecret(peer), prime.length));
}

/**
 * What is wrong with a peer's public value, or null. 0, 1 and p - 1 make the secret known to everyone, p and more are no elements
 * (RFC 2631 §2.1.5). The primes are safe, so nothing between can leak more than one bit of x, and no exponentiation is needed to tell.
 */
export function modpFault(name: ModpName, peer: Uint8Array): string | null {
  const { last } = engineOf(name);
  if (peer.length !== last.length) return `has ${peer.length} octets, the group needs ${last.length}`;
  if (Buffer.compare(peer, last) >= 0) return "is p - 1 or more";
  if (peer.every((octet, at) => octet <= (at === peer.length - 1 ? 1 : 0))) return "is 0 or 1";
  return null;
}

/** Makes the engine of a group now, so that no negotiation pays for it: up to 0.2 s, mostly far less. */
export function warmModp(name: ModpName): void {
  engineOf(name);
}

const OBJECTS_UP_TO_OCTETS = 256;
const engines = new Map<ModpName, Engine>();

function engineOf(name: ModpName): Engine {
  const known = engines.get(name);
  if (known) return known;
  const prime = modpPrime(name);
  const generator = prime.length <= OBJECTS_UP_TO_OCTETS ? createDiffieHellman(prime, MODP_GENERATOR) : undefined;
  const power = generator && !checksOrder(generator, prime) ? generator : undefined;
  const engine = { prime, last: less(prime, 1), generator, power };
  engines.set(name, engine);
  return engine;
}

/** Whether this Node checks the order of peers' values: p - 2 is in range but no power of 2, so only that check refuses it. */
function checksOrder(dh: DiffieHellman, prime: Uint8Array): boolean {
  try {
    lend(dh, RESTING, () => dh.computeSecret(less(prime, 2)));
    return false;
  } catch {
    return true;
  }
}

/** p - n, for a prime that ends in ff, as all of these do. */
function less(prime: Uint8Array, n: number): Uint8Array {
  const result = Uint8Array.from(prime);
  result[result.length - 1] = 0xff - n;
  return result;
}

/** The private value of an idle object: public, and small. Setting it makes OpenSSL clear and free the one before. */
const RESTING = Uint8Array.of(3);

function lend<T>(dh: DiffieHellman, x: Uint8Array, operation: () => T): T {
  dh.setPrivateKey(x);
  try {
    return operation();
  } finally {
    dh.setPrivateKey(RESTING);
  }
}

function leftPad(octets: Uint8Array, length: number): Uint8Array {
  if (octets.length === length) return new Uint8Array(octets.buffer, octets.byteOffset, length);
  const padded = new Uint8Array(length);
  padded.set(octets, length - octets.length);
  octets.fill(0);
  return padded;
}
