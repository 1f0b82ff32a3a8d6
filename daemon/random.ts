/**
 * The one source of unpredictable octets outside tests: the system's generator, as OpenSSL seeds it.
 */
import { randomFillSync } from "node:crypto";
import type { Random } from "../ike/crypto/provider.ts";

/** `length` fresh octets in memory of their own, since a Secret may come to own and wipe them. */
export const systemRandom: Random = (length, use) => {
  if (length <= LONGEST_NAME || (use === "nonce" && length <= STOCK.length)) return fromStock(length);
  const drawn = length <= HAND.length ? HAND.subarray(0, length) : new Uint8Array(length);
  randomFillSync(drawn);
  const octets = drawn.slice();
  drawn.fill(0);
  return octets;
};

/** Node fills only memory outside of V8's heap; small arrays are cheaper inside, so the octets are drawn here and wiped. */
const HAND = new Uint8Array(256);

/** Cookies, SPIs and message ids: so short is no key. What becomes a key is drawn when it is wanted, and was nowhere before. */
const LONGEST_NAME = 8;

/** A call of the generator costs as much as a hundred octets of it: many of these are drawn at once. */
const STOCK = new Uint8Array(4096);
let used = STOCK.length;

/** The next octets, each of which is given out once. */
function fromStock(length: number): Uint8Array {
  if (used + length > STOCK.length) {
    randomFillSync(STOCK);
    used = 0;
  }
  const octets = STOCK.slice(used, used + length);
  STOCK.fill(0, used, used + length);
  used += length;
  return octets;
}
