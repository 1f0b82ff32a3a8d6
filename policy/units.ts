/**
 * Durations (`30s 5m 480m 8h`) and volumes (`100MB` of 10^6, `100MiB` of 2^20 octets) as text.
 */
import { err, ok, type Result } from "../isakmp/result.ts";

/** Life durations are 32 bits wide where every peer can read them (RFC 2407 §4.5). */
const LIMIT = 0xffff_ffff;

const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600 };
const OCTETS: Readonly<Record<string, number>> = { kB: 1e3, KB: 1e3, KiB: 2 ** 10, MB: 1e6, MiB: 2 ** 20, GB: 1e9, GiB: 2 ** 30 };

/** Seconds, from 1 to 2^32 - 1. */
export function parseDuration(text: string): Result<number, string> {
  const [, digits, unit] = /^(\d{1,12})(s|m|h)$/.exec(text.trim()) ?? [];
  if (digits === undefined || unit === undefined) return err(`${JSON.stringify(text)} is no duration; write 30s, 5m or 8h`);
  const seconds = Number(digits) * (SECONDS[unit] ?? 0);
  return seconds >= 1 && seconds <= LIMIT ? ok(seconds) : err(`${JSON.stringify(text)} is out of range; from 1s to ${LIMIT}s are possible`);
}

/** Octets, from 1000 to 1000 * (2^32 - 1): one kilobyte on the wire is 1000 octets. */
export function parseVolume(text: string): Result<number, string> {
  const [, digits, unit] = /^(\d{1,15}) ?(kB|KB|KiB|MB|MiB|GB|GiB)$/.exec(text.trim()) ?? [];
  if (digits === undefined || unit === undefined) return err(`${JSON.stringify(text)} is no volume; write 100MB, 100MiB or 2GB`);
  const octets = Number(digits) * (OCTETS[unit] ?? 0);
  return octets >= 1000 && octets <= LIMIT * 1000
    ? ok(octets)
    : err(`${JSON.stringify(text)} is out of range; from 1kB to ${LIMIT}kB are possible`);
}
