/**
 * The one place where digests are compared: lengths first, then in constant time.
 */
import { timingSafeEqual } from "node:crypto";

/** Whether two octet strings are equal, without showing where they differ. */
export const sameDigest = (ours: Uint8Array, theirs: Uint8Array): boolean => ours.length === theirs.length && timingSafeEqual(ours, theirs);

/** Whether two octet strings are equal; for public values only. */
export const sameOctets = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && Buffer.compare(a, b) === 0;
