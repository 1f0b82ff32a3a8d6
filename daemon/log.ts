/**
 * The log: one record per event, as a line of text, a line of JSON, or a record of the journal.
 * Invariant: a record is one line whatever a peer put into it, and no peer can fill the disk: each has a budget (`log-limit.ts`).
 * Fields are those of SaEvent only, which has none for secrets.
 */
import type { EventName, Level, SaEvent } from "../ike/effect.ts";
import { withWindowsIds } from "./event-table.ts";
import { createLimiter } from "./log-limit.ts";

/** Records of the daemon's own, besides those of the core. */
export type DaemonEventName =
  | EventName
  | "svc.started"
  | "svc.stopping"
  | "svc.stopped"
  | "svc.failed"
  | "svc.addresses"
  | "svc.socket"
  | "svc.command"
  | "svc.kernel"
  | "svc.journal"
  | "svc.names"
  | "policy.reloaded"
  | "policy.changed"
  | "drop.bad-spi"
  | "drop.integrity"
  | "drop.replay"
  | "drop.cleartext"
  | "policy.warning"
  | "log.suppressed";

/** A record of the log: an event of the core, or one of the daemon's. */
export type LogRecord = Omit<SaEvent, "event"> & { readonly event: DaemonEventName };

export type LogFormat = "text" | "json";

/** `prefixed` puts the priority in front for systemd; a `send` that returns false makes the record a line. */
export interface LogOptions {
  readonly format: LogFormat;
  readonly prefixed: boolean;
  readonly write: (line: string) => void;
  readonly journal?: (fields: ReadonlyMap<string, string>) => boolean;
  /** Milliseconds since 1970: records carry the time of day. */
  readonly time: () => number;
  /** The least important level that is written. */
  readonly level?: Level;
  /** Runs something some time later; it need not keep the process. */
  readonly later?: (act: () => void) => void;
}

/** How long a peer's last records may have been left out before that is said, if nothing else is. */
const SAID_AFTER_MS = 30_000;

/** Writes a record. */
export type Log = (record: LogRecord) => void;

/** Priorities of syslog (RFC 5424 §6.2.1). */
export const PRIORITY: Readonly<Record<Level, number>> = { error: 3, warning: 4, notice: 5, info: 6, debug: 7 };

/** A log with the options given. */
export function createLog(options: LogOptions): Log {
  const least = PRIORITY[options.level ?? "info"];
  const put = (record: LogRecord): void => {
    if (options.journal?.(journalFields(record))) return;
    options.write(options.format === "json" ? jsonLine(record, options.time()) : textLine(record, options));
  };
  const limiter = createLimiter();
  const later = options.later ?? ((act) => void setTimeout(act, SAID_AFTER_MS).unref());
  let due = false;
  const sayLeftOut = (): void => {
    due = false;
    for (const { peer, count } of limiter.unsaid()) put(suppressedRecord(peer, count));
  };
  return (bare) => {
    if (PRIORITY[bare.level] > least) return;
    const record = withWindowsIds(bare);
    const { pass, suppressed } = limiter(record, options.time());
    if (suppressed) put(suppressedRecord(suppressed.peer, suppressed.count));
    if (pass) put(record);
    else if (!due) {
      due = true;
      later(sayLeftOut);
    }
  };
}

const suppressedRecord = (peer: string, count: number): LogRecord => ({
  event: "log.suppressed",
  level: "warning",
  text: `${count} records about ${peer === "" ? "many peers" : peer} were left out`,
  ...(peer === "" ? {} : { peer }),
});

/** Machine fields in the order in which they are written; those of a line of text, then what only JSON and the journal have. */
const TEXT_FIELDS = [
  "rule",
  "peer",
  "initiatorCookie",
  "responderCookie",
  "spiIn",
  "spiOut",
  "messageId",
  "winEventId",
  "failurePoint",
  "reason",
] as const satisfies readonly (keyof LogRecord)[];
const FIELDS = [
  ...TEXT_FIELDS,
  "winEventIdXp",
  "exchange",
  "cause",
  "role",
  "state",
  "goesOn",
  "ike",
  "child",
  "local",
  "localId",
  "remoteId",
  "auth",
  "encryption",
  "hash",
  "group",
  "protection",
  "mode",
  "selector",
  "lifetimeSeconds",
  "lifetimeKilobytes",
] as const satisfies readonly (keyof LogRecord)[];

/** Long enough for a proposal list or a stack, short enough for any log reader. */
const LONGEST_TEXT = 4096;

/** A record with its time (ISO 8601, UTC), as JSON shows it. */
export type EventDocument = LogRecord & { readonly time: string };

/** The order of keys is fixed. Fields without a value are left out. `time` in milliseconds since 1970. */
export function eventDocument(record: LogRecord, time: number): EventDocument {
  const { level, event, text, hint } = record;
  const fields = FIELDS.flatMap((name) => (record[name] === undefined ? [] : [[name, record[name]]]));
  return {
    ...{ time: new Date(time).toISOString(), level, event, text: text.slice(0, LONGEST_TEXT) },
    ...Object.fromEntries(fields),
    ...(hint === undefined ? {} : { hint }),
  };
}

/** One JSON object on one line. */
export const jsonLine = (record: LogRecord, time: number): string => plainJson(eventDocument(record, time));

/** JSON leaves DEL and the C1 control characters as they are, which a terminal does not. */
const plainJson = (value: unknown): string =>
  JSON.stringify(value).replace(/[\u007f-\u009f]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);

/** `TIME LEVEL TEXT [EVENT key=value …] (HINT)`, or `<N>TEXT […]` where the journal keeps the time. */
export function textLine(record: LogRecord, options: Pick<LogOptions, "prefixed" | "time">): string {
  let fields: string = record.event;
  for (const name of TEXT_FIELDS) if (record[name] !== undefined) fields += ` ${name}=${quoted(String(record[name]))}`;
  const hint = record.hint === undefined ? "" : ` (${oneLine(record.hint)})`;
  const head = options.prefixed ? `<${PRIORITY[record.level]}>` : `${timeText(options.time())} ${record.level} `;
  return `${head}${oneLine(record.text)}${hint} [${fields}]`;
}

/** ISO 8601 in UTC. All that comes in one second has the same text up to the point. */
function timeText(time: number): string {
  const second = Math.floor(time / 1000);
  if (second !== lastSecond.second) lastSecond = { second, text: new Date(second * 1000).toISOString().slice(0, -4) };
  return `${lastSecond.text}${String(Math.floor(time) - second * 1000).padStart(3, "0")}Z`;
}

let lastSecond = { second: Number.NaN, text: "" };

/** Fields of the journal's native protocol: capital letters; WIN_EVENT_ID stands for the Windows event. */
export function journalFields(record: LogRecord): ReadonlyMap<string, string> {
  const hint = record.hint === undefined ? "" : ` (${record.hint})`;
  const fields = new Map([
    ["MESSAGE", oneLine(record.text + hint)],
    ["PRIORITY", String(PRIORITY[record.level])],
    ["SYSLOG_IDENTIFIER", "mainmode"],
    ["EVENT", record.event],
  ]);
  for (const name of FIELDS) {
    const value = record[name];
    if (value !== undefined) fields.set(name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase(), oneLine(String(value)));
  }
  return fields;
}

/** Everything that is not printable becomes an escape: a peer's text must not forge lines or move a terminal's cursor. */
const oneLine = (text: string): string => (isPlain(text) ? text : escaped(text));

/** Nearly every record: printable ASCII, and not too long. */
function isPlain(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x20 || code > 0x7e) return false;
  }
  return text.length <= LONGEST_TEXT;
}

const escaped = (text: string): string =>
  text.slice(0, LONGEST_TEXT).replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, (character) => {
    if (character === "\n") return "\\n";
    return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;
  });

const quoted = (text: string): string => (/^[\w.:/@+-]+$/.test(text) ? text : JSON.stringify(oneLine(text)));
