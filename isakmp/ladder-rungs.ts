/**
 * Messages as rungs of a ladder: which exchange, the how manieth of it, whether it is a repeat, and a line for each payload.
 */
import { describePayload } from "./describe.ts";
import { toHex } from "./hex.ts";
import type { LadderRung } from "./ladder-svg.ts";
import type { Header } from "./message.ts";
import { EXCHANGE, FLAG } from "./numbers.ts";
import type { Payload } from "./payloads.ts";
import { exchangeTitle } from "./trace-lines.ts";

/** A message in the ladder. `at`: milliseconds since the first; `payloads` is a note where there are none to show. */
export interface LadderMessage {
  readonly at: number;
  readonly from: "left" | "right";
  readonly bytes: Uint8Array;
  readonly header: Header | undefined;
  readonly payloads: readonly Payload[] | string;
}

/** Makes rungs of messages, one after the other: it remembers what it has seen. */
export function rungMaker(): (message: LadderMessage) => LadderRung {
  const counts = new Map<string, number>();
  const met = new Set<string>();
  return ({ at, from, bytes, header, payloads }) => {
    const parts = typeof payloads === "string" ? [payloads] : payloads.flatMap(describePayload);
    const rung = { at, from, size: `${bytes.length} octets`, parts };
    if (!header) return { ...rung, kind: "message", label: "no ISAKMP message" };
    const octets = toHex(bytes);
    const repeated = met.has(octets);
    met.add(octets);
    const exchange = `${toHex(header.initiatorCookie)} ${header.exchange} ${header.messageId}`;
    const count = (counts.get(exchange) ?? 0) + (repeated ? 0 : 1);
    counts.set(exchange, count);
    const sealed = (header.flags & FLAG.ENCRYPTION) !== 0;
    const number = header.exchange === EXCHANGE.Informational ? "" : ` ${count}`;
    const label = `${exchangeTitle(header.exchange)}${repeated ? ", repeated" : number}${sealed ? ", encrypted" : ""}`;
    return { ...rung, kind: repeated ? "repeat" : "message", label, parts: repeated ? [] : parts };
  };
}
