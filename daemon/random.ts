/**
 * The one source of unpredictable octets outside tests: the system's generator, as OpenSSL seeds it.
 */
import { randomFillSync } from "node:crypto";
import type { Random } from "../ike/crypto/provider.ts";

/** `length` fresh octets in memory of their own, since a Secret may come to own and wipe them. */
export const systemRandom: Random = (length) => {
  const drawn = length <= HAND.length ? HAND.subarray(0, length) : new Uint8Array(length);
  randomFillSync(drawn);
  const octets = drawn.slice();
  drawn.fill(0);
  return octets;
};

/** Node fills only memory outside of V8's heap; small arrays are cheaper inside, so the octets are drawn here and wiped. */
const HAND = new Uint8Array(256);
