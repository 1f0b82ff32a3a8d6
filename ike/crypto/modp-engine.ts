/**
 * Exponentiation in the MODP groups, by OpenSSL. One DiffieHellman object per group lives as long as the process and is lent a private
 * value for one operation at a time: a new object for groups 1 and 2 costs tens of milliseconds of primality tests, since OpenSSL knows
 * those two primes by no name. Invariant: between calls no object holds a private value of ours.
 */
import { createDiffieHellman, type DiffieHellman } from "node:crypto";
import { MODP_GENERATOR, type ModpName, modpPrime } from "./modp.ts";

/** `generator` computes 2^x. `power` computes Y^x; the same object wherever that is cheap. `last` is p - 1. */
interface Engine {
  readonly generator: DiffieHellman;
  readonly power: DiffieHellman;
  readonly last: Uint8Array;
}

/** 2^x mod p, exactly as long as p, padded on the left: OpenSSL drops leading zeros, which one value in 256 has. */
export function modpPublicValue(name: ModpName, x: Uint8Array): Uint8Array {
  const { generator, last } = engineOf(name);
  return lend(generator, x, () => {
    generator.generateKeys();
    return leftPad(generator.getPublicKey(), last.length);
  });
}

/** Y^x mod p, exactly as long as p. `peer` must have passed `modpFault`. Null where OpenSSL checks the order (see below) and it's wrong. */
export function modpShared(name: ModpName, x: Uint8Array, peer: Uint8Array): Uint8Array | null {
  const { power, last } = engineOf(name);
  return lend(power, x, () => {
    try {
      return leftPad(power.computeSecret(peer), last.length);
    } catch (error) {
      if (String((error as NodeJS.ErrnoException).code).startsWith("ERR_CRYPTO_INVALID_KEY")) return null;
      throw error;
    }
  });
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

/** Makes the engine of a group now, so that no negotiation pays for it: up to 0.2 s for groups 1, 2, 5 and 14. */
export function warmModp(name: ModpName): void {
  engineOf(name);
}

const engines = new Map<ModpName, Engine>();

function engineOf(name: ModpName): Engine {
  const known = engines.get(name);
  if (known) return known;
  const prime = modpPrime(name);
  const generator = createDiffieHellman(prime, MODP_GENERATOR);
  const slow = prime.length <= UNNAMED_UP_TO && checksOrder(generator, prime);
  const engine = { generator, power: slow ? createDiffieHellman(prime, OTHER_GENERATOR) : generator, last: less(prime, 1) };
  engines.set(name, engine);
  return engine;
}

/**
 * Node 22 and later raise every peer value to the group's order when OpenSSL knows the group by name: seven times the work of the secret
 * itself at 2048 bits, for nothing in a safe-prime group. With a generator that no RFC names the group has no name, and the secret is the
 * same, as it doesn't depend on the generator. The price is one primality test: 0.2 s at 2048 bits, seconds above, where we don't pay it.
 */
const UNNAMED_UP_TO = 256;
const OTHER_GENERATOR = 5;

/** Whether this OpenSSL checks the order: p - 2 is in range but no power of 2, so only that check refuses it. */
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
  return padded;
}
