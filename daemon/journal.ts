/**
 * The journal's file: records appended in the order in which the core made them, each whole or not at all, and rewritten without what is
 * over when it has grown. It lies in memory (tmpfs) and is void after a boot; what a crash leaves behind is read up to the first record
 * that is not whole.
 *
 * A record: length (4 octets, of what follows), CRC-32 of what follows (4), length of the text (4), the text (JSON without secrets), the secret.
 */
import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { crc32 } from "node:zlib";
import { err, ok, type Result } from "../isakmp/result.ts";
import { type JournalImage, type JournalRecord, type JournalValue, playJournal } from "../sa-store/journal-record.ts";
import type { LogRecord } from "./log.ts";

export interface Journal {
  /** Writes records, and wipes their secrets. Once it has returned they survive the process. */
  write(records: readonly JournalRecord[]): void;
  /** Octets of the file. */
  readonly size: number;
  /**
   * Sees to it that a next start finds the file where it looks for it: somebody may have removed it, or its folder. False where there is
   * nothing to find, because it could not be written.
   */
  secure(): boolean;
  /** Nothing is written any more. `remove`: nothing of it is left for a next start, but for records of such owners. */
  close(remove: boolean, except?: (owner: string) => boolean): void;
}

export interface OpenedJournal {
  readonly journal: Journal;
  /** What an earlier run left; empty after a boot, or where there was none. */
  readonly image: JournalImage;
  /** What was wrong with it, for the log; undefined where nothing was. */
  readonly complaint: string | undefined;
}

export interface JournalOptions {
  readonly path: string;
  /** Tells one boot from another: what an earlier one left means nothing now. */
  readonly bootId: string;
  readonly onFailure: (text: string) => void;
  /** Octets beyond which what is over is dropped, once it is more than half. */
  readonly compactAt?: number;
  /** Runs what can wait until the present input is dealt with. */
  readonly later?: (action: () => void) => void;
}

const { O_APPEND, O_CREAT, O_NOFOLLOW, O_RDWR } = constants;
const MAGIC = "mainmode-journal 1";
const HEAD = 12;
const COMPACT_AT = 1 << 20;
/** Writes between two looks at whether the file is still in its place: nobody who removes it says so. */
const LOOK_EVERY = 64;
/** Octets that most groups of records take, and the most that are kept ready for the next group. */
const BUFFER = 1 << 13;
const MOST_KEPT = 1 << 20;
/** More than this is no record of ours. */
const LONGEST = 1 << 20;

/** Opens the journal, or begins one. The error is why it can't be kept: the daemon then works without. */
export function openJournal(options: JournalOptions): Result<OpenedJournal, string> {
  try {
    const left = readJournal(options);
    // A link in its place would make us write keys elsewhere.
    const fd = openSync(options.path, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW, 0o600);
    if (left.usable) ftruncateSync(fd, left.end);
    else ftruncateSync(fd, 0);
    const file = new JournalFile(options, fd, left.usable ? left.end : 0, left.frames);
    if (!left.usable) file.begin();
    return ok({ journal: file, image: playJournal(left.records), complaint: left.complaint });
  } catch (error) {
    return err(`${options.path}: ${(error as Error).message}`);
  }
}

/** Why a next start could not take over; undefined where it can. */
export function whyNotKept(opened: OpenedJournal | undefined): string | undefined {
  if (!opened) return "no journal is kept (keep-across-restart)";
  return opened.journal.secure() ? undefined : "the journal could not be written (see the log)";
}

/** What could not be read of the last run's, for the log. */
export const lossRecord = (complaint: string): LogRecord => ({
  event: "svc.journal",
  level: "warning",
  text: `the journal of the last run: ${complaint}`,
  failurePoint: "me",
  reason: "journal",
  hint: "nothing: what it lost is negotiated again",
});

interface Left {
  readonly usable: boolean;
  readonly records: readonly JournalRecord[];
  readonly frames: readonly Frame[];
  /** Where the last whole record ends. */
  readonly end: number;
  readonly complaint: string | undefined;
}

interface Frame {
  readonly owner: string;
  readonly part: string | null;
  at: number;
  length: number;
}

/** The last word about each part of an owner: one or two parts as most have, or by their names. */
type Words = Frame | [Frame, Frame] | Map<string | null, Frame>;

const NOTHING: Left = { usable: false, records: [], frames: [], end: 0, complaint: undefined };

function readJournal({ path, bootId }: JournalOptions): Left {
  let octets: Buffer;
  try {
    octets = readFileSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return NOTHING;
    throw error;
  }
  const { frames, records, end } = readRecords(octets);
  const first = records[0];
  const torn = end < octets.length;
  octets.fill(0);
  if (first?.owner !== MAGIC)
    return { ...NOTHING, complaint: octets.length > 0 ? "it is no journal of this version, and was not used" : undefined };
  if (first.value !== bootId) return NOTHING;
  const complaint = torn ? `its last ${octets.length - end} octets were not whole, and were dropped` : undefined;
  // The head has a frame like all others, or a copy of what counts would be without it.
  return { usable: true, records: records.slice(1), frames, end, complaint };
}

/** The records from the start up to the first that is not whole. Secrets are copies. */
export function readRecords(octets: Buffer): {
  readonly records: readonly JournalRecord[];
  readonly frames: readonly Frame[];
  readonly end: number;
} {
  const records: JournalRecord[] = [];
  const frames: Frame[] = [];
  let at = 0;
  while (octets.length - at >= HEAD) {
    const length = octets.readUInt32LE(at);
    const body = octets.subarray(at + 8, at + 4 + length);
    if (length < 8 || length > LONGEST || body.length !== length - 4 || crc32(body) !== octets.readUInt32LE(at + 4)) break;
    const record = readRecord(body);
    if (!record) break;
    records.push(record);
    frames.push({ owner: record.owner, part: record.part, at, length: 4 + length });
    at += 4 + length;
  }
  return { records, frames, end: at };
}

function readRecord(body: Buffer): JournalRecord | undefined {
  const textLength = body.readUInt32LE(0);
  if (textLength > body.length - 4) return undefined;
  try {
    const [owner, part, value] = JSON.parse(body.toString("utf8", 4, 4 + textLength)) as [string, string | null, JournalValue];
    const secret = body.subarray(4 + textLength);
    return { owner, part, value, secret: secret.length === 0 ? null : Uint8Array.from(secret) };
  } catch {
    return undefined;
  }
}

/** A record's text, without the secret. */
const textOf = ({ owner, part, value }: JournalRecord): string => JSON.stringify([owner, part, value]);

/** Octets that a record with this text takes at most: UTF-8 makes three of a UTF-16 code unit. */
const mostOctets = (text: string, { secret }: JournalRecord): number => HEAD + 3 * text.length + (secret?.length ?? 0);

/** Puts a record into a buffer that has room for it; its length in octets. */
function put(into: Buffer, at: number, text: string, { secret }: JournalRecord): number {
  const textLength = into.write(text, at + HEAD, "utf8");
  const length = HEAD + textLength + (secret?.length ?? 0);
  into.writeUInt32LE(length - 4, at);
  into.writeUInt32LE(textLength, at + 8);
  if (secret) into.set(secret, at + HEAD + textLength);
  into.writeUInt32LE(crc32(into.subarray(at + 8, at + length)), at + 4);
  return length;
}

/** One record as octets, which hold its secret. */
export function frameOf(record: JournalRecord): Buffer {
  const text = textOf(record);
  const frame = Buffer.alloc(mostOctets(text, record));
  return frame.subarray(0, put(frame, 0, text, record));
}

class JournalFile implements Journal {
  readonly #options: JournalOptions;
  #fd: number;
  #size: number;
  #live = 0;
  #closed = false;
  #copying = false;
  #writes = 0;
  #buffer = Buffer.alloc(BUFFER);
  /** Where the last word about each part stands. */
  readonly #frames = new Map<string, Words>();

  constructor(options: JournalOptions, fd: number, size: number, frames: readonly Frame[]) {
    this.#options = options;
    this.#fd = fd;
    this.#size = size;
    for (const frame of frames) this.#index(frame);
  }

  get size(): number {
    return this.#size;
  }

  begin(): void {
    this.write([{ owner: MAGIC, part: "", value: this.#options.bootId, secret: null }]);
  }

  write(records: readonly JournalRecord[]): void {
    if (this.#closed) return wipe(records);
    const drafts = records.map((record) => ({ record, text: textOf(record), length: 0 }));
    const room = this.#room(drafts.reduce((sum, { record, text }) => sum + mostOctets(text, record), 0));
    let size = 0;
    for (const draft of drafts) {
      draft.length = put(room, size, draft.text, draft.record);
      size += draft.length;
    }
    const octets = room.subarray(0, size);
    try {
      writeAll(this.#fd, octets);
      for (const { record, length } of drafts) {
        const { owner, part } = record;
        this.#index({ owner, part, at: this.#size, length });
        this.#size += length;
      }
    } catch (error) {
      this.#fail(error);
    }
    octets.fill(0);
    wipe(records);
    const grown = this.#size > (this.#options.compactAt ?? COMPACT_AT) && this.#size > 2 * this.#live;
    if (grown || (++this.#writes % LOOK_EVERY === 0 && !this.#isInPlace())) this.#compact();
  }

  /** So many octets in which records wait to be written, and which are wiped after each use: one buffer for all groups but the rare huge ones. */
  #room(octets: number): Buffer {
    if (octets > MOST_KEPT) return Buffer.alloc(octets);
    if (octets > this.#buffer.length) this.#buffer = Buffer.alloc(Math.min(2 * octets, MOST_KEPT));
    return this.#buffer.subarray(0, octets);
  }

  secure(): boolean {
    if (!this.#closed && !this.#isInPlace()) this.#tryRewrite();
    return !this.#closed;
  }

  close(remove: boolean, except: (owner: string) => boolean = () => false): void {
    if (this.#closed) return;
    try {
      if (remove) this.#keepOnly(except);
      if (!this.#closed) this.#end(remove && this.#frames.size < 2);
    } catch (error) {
      this.#options.onFailure(`the journal could not be closed: ${(error as Error).message}`);
    }
  }

  #keepOnly(kept: (owner: string) => boolean): void {
    for (const owner of [...this.#frames.keys()]) if (owner !== MAGIC && !kept(owner)) this.#frames.delete(owner);
    if (this.#frames.size > 1) this.#tryRewrite();
  }

  #end(remove: boolean): void {
    this.#closed = true;
    if (remove) ftruncateSync(this.#fd, 0);
    closeSync(this.#fd);
    if (remove) rmSync(this.#options.path, { force: true });
  }

  /** A journal with a gap would bring back a state that never was: rather none. */
  #fail(error: unknown): void {
    this.#options.onFailure(`the journal can't be written, and is given up: ${(error as Error).message}`);
    try {
      this.#end(true);
    } catch {
      // Where it was there is nothing any more.
    }
  }

  #index(frame: Frame): void {
    const { owner, part, at, length } = frame;
    const words = this.#frames.get(owner);
    if (part === null) {
      for (const old of words ? framesOf(words) : []) this.#live -= old.length;
      this.#frames.delete(owner);
      return;
    }
    this.#live += length;
    if (!words) return void this.#frames.set(owner, frame);
    const old = wordAbout(words, part);
    if (old) {
      this.#live -= old.length;
      old.at = at;
      old.length = length;
    } else if (words instanceof Map) words.set(part, frame);
    else this.#frames.set(owner, Array.isArray(words) ? new Map([...words, frame].map((one) => [one.part, one])) : [words, frame]);
  }

  /** Copies what still counts into a new file that takes the old one's place; a crash leaves one of the two whole. */
  #compact(): void {
    if (this.#copying) return;
    this.#copying = true;
    (this.#options.later ?? setImmediate)(() => {
      this.#copying = false;
      if (!this.#closed) this.#tryRewrite();
    });
  }

  #isInPlace(): boolean {
    try {
      return statSync(this.#options.path).ino === fstatSync(this.#fd).ino;
    } catch {
      return false;
    }
  }

  #tryRewrite(): void {
    try {
      this.#rewrite();
    } catch (error) {
      this.#fail(error);
    }
  }

  #rewrite(): void {
    const { path } = this.#options;
    const old = this.#readAll();
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    // Where a file system in memory was, a disk may be now.
    if (statSync(dirname(path)).dev !== fstatSync(this.#fd).dev) throw new Error(`${dirname(path)} is another file system by now`);
    const next = `${path}.new`;
    rmSync(next, { force: true });
    const fd = openSync(next, "ax+", 0o600);
    const frames = [...this.#frames.values()].flatMap((words) => [...framesOf(words)]);
    const octets = Buffer.concat(frames.map(({ at, length }) => old.subarray(at, at + length)));
    writeAll(fd, octets);
    renameSync(next, path);
    // What is truncated is gone at once, even where a reader has the file open.
    ftruncateSync(this.#fd, 0);
    closeSync(this.#fd);
    this.#fd = fd;
    this.#size = 0;
    this.#live = 0;
    this.#frames.clear();
    for (const { owner, part, length } of frames) {
      this.#index({ owner, part, at: this.#size, length });
      this.#size += length;
    }
    old.fill(0);
    octets.fill(0);
  }

  /** By the open file, which is there although nobody may find it any more. */
  #readAll(): Buffer {
    const octets = Buffer.allocUnsafeSlow(this.#size);
    for (let done = 0; done < octets.length; ) {
      const read = readSync(this.#fd, octets, done, octets.length - done, done);
      if (read === 0) throw new Error("the file is shorter than what was written");
      done += read;
    }
    return octets;
  }
}

const framesOf = (words: Words): Iterable<Frame> => (words instanceof Map ? words.values() : Array.isArray(words) ? words : [words]);

function wordAbout(words: Words, part: string): Frame | undefined {
  if (words instanceof Map) return words.get(part);
  if (!Array.isArray(words)) return words.part === part ? words : undefined;
  return words[0].part === part ? words[0] : words[1].part === part ? words[1] : undefined;
}

function writeAll(fd: number, octets: Buffer): void {
  for (let done = 0; done < octets.length; ) done += writeSync(fd, octets, done);
}

const wipe = (records: readonly JournalRecord[]): void => {
  for (const { secret } of records) secret?.fill(0);
};
