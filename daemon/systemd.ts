/**
 * systemd's side of a service: readiness, status line, watchdog (sd_notify(3)), and records for the journal.
 * Outside systemd, or without koffi, all of it is silently absent. Every datagram is sent without waiting.
 */
import { fstatSync } from "node:fs";
import { AF_UNIX, type Native, unixAddress } from "./native.ts";

export interface ServiceManager {
  /** Everything is up: dependent units may start. Without a status the line of `systemctl status` stays. */
  ready(status?: string): void;
  /** One line for `systemctl status`. */
  status(text: string): void;
  /** The configuration is being read again; `ready` follows (sd_notify(3), RELOADING). */
  reloading(): void;
  stopping(): void;
  close(): void;
}

/** Environment variables that systemd sets for a service. */
export interface ServiceEnvironment {
  readonly NOTIFY_SOCKET?: string | undefined;
  readonly WATCHDOG_USEC?: string | undefined;
  readonly WATCHDOG_PID?: string | undefined;
  readonly JOURNAL_STREAM?: string | undefined;
}

/**
 * Speaks to NOTIFY_SOCKET (a path, or an abstract name after `@`). `alive` is asked before every sign of life for the watchdog,
 * at half the interval that systemd allows.
 */
export function serviceManager(env: ServiceEnvironment, native: Native | undefined, alive: () => boolean): ServiceManager {
  const send = datagramSender(env.NOTIFY_SOCKET, native);
  const interval = watchdogMs(env);
  const timer = send && interval !== undefined ? setInterval(() => alive() && send.text("WATCHDOG=1"), interval / 2) : undefined;
  timer?.unref();
  return {
    ready: (status) => send?.text(status === undefined ? "READY=1" : `READY=1\nSTATUS=${oneLine(status)}`),
    status: (text) => send?.text(`STATUS=${oneLine(text)}`),
    reloading: () => send?.text(`RELOADING=1\nMONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`),
    stopping: () => send?.text("STOPPING=1\nSTATUS=stopping"),
    close: () => {
      clearInterval(timer);
      send?.close();
    },
  };
}

const JOURNAL_SOCKET = "/run/systemd/journal/socket";

/**
 * A sender of records with fields to the journal, where `fd` (stderr) is connected to it, as JOURNAL_STREAM says ("device:inode").
 * It returns false where the record did not go: the caller writes a line instead.
 */
export function journalSender(
  env: ServiceEnvironment,
  native: Native | undefined,
  fd = 2,
  path = JOURNAL_SOCKET,
): ((fields: ReadonlyMap<string, string>) => boolean) | undefined {
  if (!env.JOURNAL_STREAM || env.JOURNAL_STREAM !== streamOf(fd)) return undefined;
  const send = datagramSender(path, native);
  if (!send) return undefined;
  // Values are single lines, so the simple form of the protocol is enough.
  return (fields) => send.text([...fields].map(([name, value]) => `${name}=${oneLine(value)}\n`).join(""));
}

/** Milliseconds of the watchdog, if it is meant for this process. */
export function watchdogMs(env: ServiceEnvironment, pid = process.pid): number | undefined {
  if (env.WATCHDOG_PID !== undefined && env.WATCHDOG_PID !== String(pid)) return undefined;
  const microseconds = Number(env.WATCHDOG_USEC);
  return Number.isSafeInteger(microseconds) && microseconds > 0 ? microseconds / 1000 : undefined;
}

interface Sender {
  text(text: string): boolean;
  close(): void;
}

function datagramSender(name: string | undefined, native: Native | undefined): Sender | undefined {
  if (!native || !name || !/^[/@]/.test(name)) return undefined;
  const address = unixAddress(name);
  const socket = address && native.socket(AF_UNIX);
  if (!address || !socket?.ok) return undefined;
  return {
    text: (text) => native.sendTo(socket.value, new TextEncoder().encode(text), address).ok,
    close: () => native.close(socket.value),
  };
}

function streamOf(fd: number): string | undefined {
  try {
    const { dev, ino } = fstatSync(fd);
    return `${dev}:${ino}`;
  } catch {
    return undefined;
  }
}

const oneLine = (text: string): string => text.replace(/[\r\n]+/g, " ");
