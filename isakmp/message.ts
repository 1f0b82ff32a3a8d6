/**
 * The ISAKMP header (RFC 2408 §3.1) and the chain of payloads behind it (§3.2).
 * Whatever octets come in, the outcome is a value or `Malformed`; bodies are views into the datagram and are hashed as they came.
 */
import { bytes, struct, uint, type ValueOf } from "./codec.ts";
import { EXCHANGE, ISAKMP_VERSION, NOTIFY, PAYLOAD } from "./numbers.ts";
import { decodeBody, GENERIC_HEADER, generic, LIMITS, type Payload, payloadType } from "./payloads.ts";
import { type Malformed, type Reader, readWith } from "./reader.ts";
import { nameOf } from "./registry.ts";
import type { Result } from "./result.ts";
import { Writer } from "./writer.ts";

export type { Malformed } from "./reader.ts";

/** Octets of the ISAKMP header. */
export const HEADER_SIZE = 28;

const HEADER = struct("header", {
  initiatorCookie: bytes(8),
  responderCookie: bytes(8),
  nextPayload: uint(1, PAYLOAD),
  version: uint(1),
  exchange: uint(1, EXCHANGE),
  flags: uint(1),
  messageId: uint(4),
  length: uint(4),
});

/** The header as received; cookies are views of 8 octets, `length` counts header and payloads. */
export type Header = ValueOf<typeof HEADER>;

/** The header fields that both ends share in one exchange. */
export type Addressing = Pick<Header, "initiatorCookie" | "responderCookie" | "exchange" | "messageId">;

/** What a sender chooses of the header; version, next payload and length follow from the message. */
export type HeaderFields = Addressing & Pick<Header, "flags">;

/**
 * Reads the header and checks it against the datagram. Octets behind `length` are not part of the message; see `bodyOf`.
 * Malformed: fewer than 28 octets, another major or a larger minor version (RFC 2408 §3.1), a length below 28 or beyond the datagram.
 */
export function decodeHeader(datagram: Uint8Array): Result<Header, Malformed> {
  return readWith(datagram, (r) => {
    if (r.left < HEADER_SIZE) r.fail(`header needs ${HEADER_SIZE} octets, ${r.left} left`);
    const header = HEADER.decode(r);
    const [major, minor] = [header.version >> 4, header.version & 15];
    if (major !== ISAKMP_VERSION >> 4) r.fail(`version ${major}.${minor}, only 1.0 is spoken here`, 17, NOTIFY["INVALID-MAJOR-VERSION"]);
    if (minor !== 0) r.fail(`version ${major}.${minor}, only 1.0 is spoken here`, 17, NOTIFY["INVALID-MINOR-VERSION"]);
    if (header.length < HEADER_SIZE) r.fail(`length ${header.length} is less than the header`, 24);
    if (header.length > datagram.length) r.fail(`length ${header.length} in a datagram of ${datagram.length} octets`, 24);
    return header;
  });
}

/** Everything between the header and the end that it names: payloads, or ciphertext. A view. */
export const bodyOf = (header: Header, datagram: Uint8Array): Uint8Array => datagram.subarray(HEADER_SIZE, header.length);

/** `padding`: any octets may follow the last payload (decrypted text). `base`: offset of `bytes` in the message, for error texts. */
export interface ChainOptions {
  readonly padding?: boolean;
  readonly base?: number;
}

/**
 * Reads a chain of payloads whose first has the type `first`. `start` and `end` of each are offsets into `bytes`:
 * HASH(1) of RFC 2409 §5.5 and §5.7 is taken over `bytes.subarray(payloads[0].end, payloads.at(-1).end)`.
 * Without `padding` up to three octets behind the last payload are let through, as RFC 2408 §3.6 pads messages to four octets.
 */
export function decodePayloads(first: number, bytes: Uint8Array, options: ChainOptions = {}): Result<readonly Payload[], Malformed> {
  return readWith(bytes, (r) => readChain(first, r, options.padding === true), options.base);
}

/** Octets of a chain of payloads, generic headers included. */
export function chainLength(payloads: readonly Payload[]): number {
  let length = 0;
  for (const p of payloads) length += GENERIC_HEADER + p.raw.length;
  return length;
}

/** A chain of payloads with generic headers, and zeros behind it up to `size` octets. The type of the first belongs into the header: see `firstType`. */
export function encodePayloads(payloads: readonly Payload[], size = chainLength(payloads)): Uint8Array {
  const out = new Uint8Array(size);
  putPayloads(payloads, out, 0);
  return out;
}

/** Runs `use` on what `encodePayloads` would give; the octets are good until it returns. Most messages need no memory of their own for this. */
export function withEncoded<T>(payloads: readonly Payload[], size: number, use: (octets: Uint8Array) => T): T {
  if (size > DESK.length || deskInUse) return use(encodePayloads(payloads, size));
  deskInUse = true;
  const out = DESK.subarray(0, size).fill(0);
  try {
    putPayloads(payloads, out, 0);
    return use(out);
  } finally {
    deskInUse = false;
  }
}

const DESK = new Uint8Array(4096);
let deskInUse = false;

/** The next-payload number that announces a chain: the type of its first payload, or NONE. */
export const firstType = (payloads: readonly Payload[]): number => (payloads[0] ? payloadType(payloads[0]) : PAYLOAD.NONE);

/** A header of 28 octets; `length` counts it and what follows, ciphertext included. */
export function encodeHeader(fields: FullHeader): Uint8Array {
  const out = new Uint8Array(HEADER_SIZE);
  putFields(fields, fields.flags, fields.nextPayload, fields.length, out);
  return out;
}

/** Writes the header of a message into its first 28 octets; `message` has the length that it will have on the wire. */
export const putHeader = (to: Addressing, flags: number, nextPayload: number, message: Uint8Array): void =>
  putFields(to, flags, nextPayload, message.length, message);

/** Field by field: a header is written for every message, and a spread with more behind it makes V8 lay out a new kind of object each time. */
function putFields(
  { initiatorCookie, responderCookie, exchange, messageId }: Addressing,
  flags: number,
  nextPayload: number,
  length: number,
  out: Uint8Array,
): void {
  const version = ISAKMP_VERSION;
  HEADER.encode({ initiatorCookie, responderCookie, nextPayload, version, exchange, flags, messageId, length }, new Writer(out));
}

type FullHeader = HeaderFields & Pick<Header, "nextPayload" | "length">;

/** A message in clear. */
export function encodeMessage(fields: HeaderFields, payloads: readonly Payload[]): Uint8Array {
  const out = new Uint8Array(HEADER_SIZE + chainLength(payloads));
  putHeader(fields, fields.flags, firstType(payloads), out);
  putPayloads(payloads, out, HEADER_SIZE);
  return out;
}

function readChain(first: number, r: Reader, padding: boolean): readonly Payload[] {
  const payloads: Payload[] = [];
  let type = first;
  const what = (): string => `payload ${payloads.length + 1} (${nameOf(PAYLOAD, type)})`;
  while (type !== PAYLOAD.NONE) {
    if (payloads.length === LIMITS.payloads) r.fail(`more than ${LIMITS.payloads} payloads`);
    const start = r.at;
    const next = r.uint(1, what, "next payload");
    payloads.push(decodeBody(type, generic(r, what), start));
    type = next;
  }
  if (!padding && r.left >= GENERIC_HEADER) r.finish("the last payload");
  return payloads;
}

function putPayloads(payloads: readonly Payload[], out: Uint8Array, at: number): void {
  let start = at;
  payloads.forEach((p, i) => {
    const following = payloads[i + 1];
    start = putPayload(p, following ? payloadType(following) : PAYLOAD.NONE, out, start);
  });
}

/** Writes one payload at `at` and tells where it ends. */
function putPayload(p: Payload, next: number, out: Uint8Array, at: number): number {
  const length = GENERIC_HEADER + p.raw.length;
  if (length > 0xffff) throw new RangeError(`a payload of ${length} octets, 65535 fit`);
  out[at] = next;
  out[at + 2] = length >> 8;
  out[at + 3] = length & 0xff;
  out.set(p.raw, at + GENERIC_HEADER);
  return at + length;
}
