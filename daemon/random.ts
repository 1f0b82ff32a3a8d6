/**
 * The one source of unpredictable octets outside tests: the system's generator, as OpenSSL seeds it.
 */
import { randomBytes } from "node:crypto";
import type { Random } from "../ike/crypto/provider.ts";

/** Fresh octets in memory of their own (`randomBytes` may share a pool), since a Secret may come to own and wipe them. */
export const systemRandom: Random = (length) => new Uint8Array(randomBytes(length));
