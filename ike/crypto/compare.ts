/**
 * The one place where digests are compared: lengths first, then in constant time.
 */
import { timingSafeEqual } from "node:crypto";

/** Whether two octet strings are equal, without showing where they differ. */
export function sameDigest(ours: Uint8Array, theirs: Uint8Array): boolean {
  const { length } = ours;
  if (length !== theirs.length) return false;
  if (length > LEFT.length) return timingSafeEqual(ours, theirs);
  LEFT.set(ours);
  RIGHT.set(theirs);
  const same = timingSafeEqual(LEFT.subarray(0, length), RIGHT.subarray(0, length));
  LEFT.fill(0);
  RIGHT.fill(0);
  return same;
}

/** Node compares only what lies outside of V8's heap, where moving a small array to is dear: digests are laid side by side here. */
const [LEFT, RIGHT] = [new Uint8Array(64), new Uint8Array(64)];

/** Whether two octet strings are equal; for public values only. */
export function sameOctets(a: Uint8Array, b: Uint8Array): boolean {
  const { length } = a;
  if (length !== b.length) return false;
  if (length > CHEAPER_HERE) return Buffer.compare(a, b) === 0;
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Octets up to which a call of Node costs more than it saves. */
const CHEAPER_HERE = 64;
