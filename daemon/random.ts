/**
 * The one source of unpredictable octets outside tests: the system's generator, as OpenSSL seeds it.
 */
import { randomFillSync } from "node:crypto";
import type { Random } from "../ike/crypto/provider.ts";

/** `length` fresh octets in memory of their own, since a Secret may come to own and wipe them. */
export const systemRandom: Random = (length) => randomFillSync(new Uint8Array(length));
