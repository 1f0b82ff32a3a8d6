/**
 * A message before and after decryption as lines: for `trace`, `last-failure` and the web monitor.
 */
import { describeMessage, describePayload } from "./describe.ts";
import { toHex } from "./hex.ts";
import { bodyOf, decodeHeader, decodePayloads, type Header } from "./message.ts";
import { EXCHANGE, FLAG } from "./numbers.ts";
import type { Payload } from "./payloads.ts";
import { nameOf } from "./registry.ts";

/** A message as it can be shown. `payloads` is a note where there are none to show. */
export interface Shown {
  readonly header: Header | undefined;
  /** The message as it was on the wire. */
  readonly before: readonly string[];
  /** What stood under its encryption; empty for a message in clear. */
  readonly after: readonly string[];
  readonly payloads: readonly Payload[];
}

/** Reads a message; `plain` is what stood under its encryption, where that is known. */
export function showMessage(bytes: Uint8Array, plain: Uint8Array | null): Shown {
  const decoded = decodeHeader(bytes);
  if (!decoded.ok)
    return { header: undefined, before: [`no ISAKMP: ${decoded.error.what} at octet ${decoded.error.offset}`], after: [], payloads: [] };
  const header = decoded.value;
  const body = bodyOf(header, bytes);
  if ((header.flags & FLAG.ENCRYPTION) === 0) {
    const payloads = decodePayloads(header.nextPayload, body, { base: 28 });
    const shown = payloads.ok ? payloads.value : `malformed at octet ${payloads.error.offset}: ${payloads.error.what}`;
    return { header, before: describeMessage(header, shown), after: [], payloads: payloads.ok ? payloads.value : [] };
  }
  const digits = `${toHex(body.subarray(0, 16))}${body.length > 16 ? "..." : ""}`;
  const before = describeMessage(header, `${body.length} encrypted octets ${digits}`);
  if (!plain) return { header, before, after: ["not decrypted"], payloads: [] };
  const payloads = decodePayloads(header.nextPayload, plain, { padding: true });
  if (!payloads.ok) {
    const { offset, what } = payloads.error;
    return { header, before, after: [`decrypts to no payloads, the keys of both ends differ: ${what} at octet ${offset}`], payloads: [] };
  }
  return { header, before, after: payloads.value.flatMap(describePayload), payloads: payloads.value };
}

/** `Main Mode`, `Quick Mode`, `Informational`: what people call an exchange. */
export const exchangeTitle = (exchange: number): string =>
  exchange === EXCHANGE["Identity Protection"] ? "Main Mode" : nameOf(EXCHANGE, exchange);
