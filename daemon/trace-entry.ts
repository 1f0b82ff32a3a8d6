/**
 * What a trace is made of: messages with what was under their encryption, decisions, events, and keys where they were asked for.
 * Entries are what the tap makes; documents are the same for the control socket, octets as hexadecimal digits.
 */
import type { SaEvent } from "../ike/effect.ts";
import { toHex } from "../isakmp/hex.ts";
import type { Endpoint } from "../isakmp/pcap.ts";

/** `at`: milliseconds since 1970, with fraction. `peer` is an address and `cookie` the initiator's, 16 hex digits; "" where none is known. */
interface Common {
  readonly at: number;
  readonly peer: string;
  readonly cookie: string;
}

export interface MessageEntry extends Common {
  readonly kind: "message";
  readonly way: "in" | "out";
  readonly local: Endpoint;
  readonly remote: Endpoint;
  /** An ISAKMP header first. */
  readonly bytes: Uint8Array;
  /** What stood under the encryption, padding included; null for a message in clear, and for one that was not decrypted. */
  readonly plain: Uint8Array | null;
  /** On the wire the non-ESP marker of RFC 3948 §2.2 stands in front. */
  readonly marked: boolean;
  /** Put together from fragments, which have entries of their own; it was not on the wire as it is. */
  readonly assembled: boolean;
}

/** A decision, or a step that nobody sees on the wire. */
export interface NoteEntry extends Common {
  readonly kind: "note";
  readonly text: string;
}

/** A record of the log. */
export interface EventEntry extends Common, Omit<SaEvent, "peer"> {
  readonly kind: "event";
}

/** A phase 1 cipher's key, in hexadecimal digits: secret. */
export interface IkeKeyEntry extends Common {
  readonly kind: "ike-key";
  readonly key: string;
}

/** One ESP SA's keys under the kernel's names: secret. Algorithms and keys are "" where there are none. */
export interface EspKeyEntry extends Common {
  readonly kind: "esp-key";
  readonly source: string;
  readonly destination: string;
  readonly spi: string;
  readonly encryption: string;
  readonly encryptionKey: string;
  readonly integrity: string;
  /** Of the check value in each packet; 0 where there is none of its own. */
  readonly integrityBits: number;
  readonly integrityKey: string;
}

/** What everybody may see who may control the daemon. */
export type TapEntry = MessageEntry | NoteEntry | EventEntry;
export type KeyEntry = IkeKeyEntry | EspKeyEntry;

type Printed<E> = E extends MessageEntry
  ? Omit<MessageEntry, "bytes" | "plain"> & { readonly bytes: string; readonly plain: string | null }
  : E;

/** An entry on the control socket. */
export type TraceDocument = Printed<TapEntry | KeyEntry>;

/** An entry as the control socket tells it. */
export function traceDocument(entry: TapEntry | KeyEntry): TraceDocument {
  if (entry.kind !== "message") return entry;
  return { ...entry, bytes: toHex(entry.bytes), plain: entry.plain && toHex(entry.plain) };
}

/** Octets of memory that an entry holds, about. */
export const sizeOfEntry = (entry: TapEntry): number =>
  200 + (entry.kind === "message" ? entry.bytes.length + (entry.plain?.length ?? 0) : entry.text.length);
