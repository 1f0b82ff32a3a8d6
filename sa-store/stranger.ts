/**
 * A stranger: somebody whose message 1 we answered, and of whom nothing good has come since. It has no object of its own, only a row of octets;
 * whatever else a negotiation needs follows from these and from the policy, once its message 3 is here.
 * Invariant: what is read from a row lies in memory of its own, since rows move.
 */
import type { Instant, Path } from "../ike/input.ts";

export interface Stranger {
  readonly id: number;
  readonly path: Path;
  readonly cookieI: Uint8Array;
  readonly cookieR: Uint8Array;
  readonly startedAt: Instant;
  /** Name of the rule that its message 1 was answered by. */
  readonly rule: string;
  /**
   * By which its message 1 is known when it comes again: a checksum and the length. Whoever makes another message of the same hears message 2 again,
   * and nothing is gained by that: it is as long, and message 2 at most three times that.
   */
  readonly print: Uint8Array;
  /** The payloads of message 1 that say something to us, the SA first. */
  readonly offer: Uint8Array;
  /** Message 2. */
  readonly flight: Uint8Array;
  /** The peer knew nothing older of us when it was answered. */
  readonly contact: boolean;
  /** It was told that its message 3 is no good: once is enough. */
  readonly told: boolean;
  /** It sends its long messages in fragments. */
  readonly fragmented: boolean;
  /** What was wrong with its message 3: a number of the core's, 0 for nothing yet. */
  readonly trouble: number;
  /** The last message 3 that a job found wanting, and how many those were. */
  readonly refused: { readonly digest: Uint8Array; readonly count: number };
}

/** Octets of a checksum with a length, and of a digest. */
export const PRINT = 10;
export const DIGEST = 16;

/** Where things stand in a row. Behind the head: both addresses, the rule's name, message 2 and the offer, whose lengths the head has. */
const AT = {
  id: 0,
  startedAt: 8,
  localPort: 16,
  remotePort: 18,
  marks: 20,
  trouble: 21,
  refused: 22,
  lengths: 23,
  cookieI: 33,
  cookieR: 41,
  print: 49,
  refusedDigest: 59,
  rest: 75,
} as const;
const MARK = { contact: 1, told: 2, fragmented: 4 } as const;
const PARTS = 5;

/** A stranger as a row, in memory of its own. */
export function writeStranger(s: Stranger): Buffer {
  const { local, remote } = s.path;
  const parts: readonly Uint8Array[] = [Buffer.from(local.address), Buffer.from(remote.address), Buffer.from(s.rule), s.flight, s.offer];
  const row = Buffer.alloc(parts.reduce((sum, { length }) => sum + length, AT.rest as number));
  row.writeDoubleBE(s.id, AT.id);
  row.writeDoubleBE(s.startedAt, AT.startedAt);
  row.writeUInt16BE(local.port, AT.localPort);
  row.writeUInt16BE(remote.port, AT.remotePort);
  row[AT.marks] = (s.contact ? MARK.contact : 0) | (s.told ? MARK.told : 0) | (s.fragmented ? MARK.fragmented : 0);
  row[AT.trouble] = s.trouble;
  row[AT.refused] = s.refused.count;
  row.set(s.cookieI, AT.cookieI);
  row.set(s.cookieR, AT.cookieR);
  row.set(s.print, AT.print);
  row.set(s.refused.digest, AT.refusedDigest);
  let at: number = AT.rest;
  for (const [i, part] of parts.entries()) {
    row.writeUInt16BE(part.length, AT.lengths + 2 * i);
    row.set(part, at);
    at += part.length;
  }
  return row;
}

/** Reads a row; the stranger's octets are views of it. */
export function readStranger(row: Buffer): Stranger {
  const ends: number[] = [];
  let end: number = AT.rest;
  for (let i = 0; i < PARTS; i++) {
    end += row.readUInt16BE(AT.lengths + 2 * i);
    ends.push(end);
  }
  const [local = 0, remote = 0, rule = 0, flight = 0, offer = 0] = ends;
  const marks = row[AT.marks] ?? 0;
  // Views of views: those of a Buffer cost several times as much.
  const octets = new Uint8Array(row.buffer, row.byteOffset, row.length);
  return {
    id: row.readDoubleBE(AT.id),
    path: {
      local: { address: row.toString("utf8", AT.rest, local), port: row.readUInt16BE(AT.localPort) },
      remote: { address: row.toString("utf8", local, remote), port: row.readUInt16BE(AT.remotePort) },
    },
    cookieI: octets.subarray(AT.cookieI, AT.cookieR),
    cookieR: octets.subarray(AT.cookieR, AT.print),
    startedAt: startOfRow(row),
    rule: row.toString("utf8", remote, rule),
    print: octets.subarray(AT.print, AT.refusedDigest),
    offer: octets.subarray(flight, offer),
    flight: octets.subarray(rule, flight),
    contact: (marks & MARK.contact) !== 0,
    told: (marks & MARK.told) !== 0,
    fragmented: (marks & MARK.fragmented) !== 0,
    trouble: row[AT.trouble] ?? 0,
    refused: { digest: octets.subarray(AT.refusedDigest, AT.rest), count: row[AT.refused] ?? 0 },
  };
}

/** When its message 1 came. */
export const startOfRow = (row: Buffer): Instant => row.readDoubleBE(AT.startedAt);

/** What a stranger is found by: the initiator's cookie and the address that it is from. Text of one octet a character. */
export const strangerKey = (cookieI: Uint8Array, remote: string): string => `${String.fromCharCode(...cookieI)}${remote}`;

/** The same, of a row. */
export function keyOfRow(row: Buffer): string {
  const from = AT.rest + row.readUInt16BE(AT.lengths);
  return row.toString("latin1", AT.cookieI, AT.cookieR) + row.toString("utf8", from, from + row.readUInt16BE(AT.lengths + 2));
}
