/**
 * Names for datagrams (`MM1` to `MM6`, `QM1` to `QM4`, `INFO`), by what was seen before in the same world.
 */
import { decodeHeader } from "../../isakmp/message.ts";
import { EXCHANGE, FLAG, PAYLOAD } from "../../isakmp/numbers.ts";

/** `FRAG` is a piece of another message. */
export type Label = "FRAG" | `MM${1 | 2 | 3 | 4 | 5 | 6}` | `QM${1 | 2 | 3 | 4}` | "INFO" | "?";

/** Gives each datagram its name; a repeated one gets the name that it had. `from` is the sender's address. */
export type Labeller = (bytes: Uint8Array, from: string) => Label;

/** A fresh labeller. */
export function labeller(): Labeller {
  const initiators = new Map<string, string>();
  const quickModes = new Map<string, { readonly initiator: string; readonly known: Map<string, Label> }>();
  return (bytes, from) => {
    const decoded = decodeHeader(bytes);
    if (!decoded.ok) return "?";
    const header = decoded.value;
    const cookie = text(header.initiatorCookie);
    if (header.nextPayload === PAYLOAD.FRAGMENT) return "FRAG";
    if (header.exchange === EXCHANGE.Informational) return "INFO";
    if (header.exchange === EXCHANGE["Identity Protection"]) {
      if (header.responderCookie.every((octet) => octet === 0) && !initiators.has(cookie)) initiators.set(cookie, from);
      return mainModeLabel(header.flags, header.nextPayload, initiators.get(cookie) === from);
    }
    if (header.exchange !== EXCHANGE["Quick Mode"]) return "?";
    const key = `${cookie} ${header.messageId}`;
    const exchange = quickModes.get(key) ?? { initiator: from, known: new Map<string, Label>() };
    quickModes.set(key, exchange);
    const content = text(bytes);
    const label = exchange.known.get(content) ?? quickModeLabel(exchange.known, exchange.initiator === from);
    exchange.known.set(content, label);
    return label;
  };
}

const text = (octets: Uint8Array): string => Buffer.from(octets).toString("latin1");

function mainModeLabel(flags: number, nextPayload: number, fromInitiator: boolean): Label {
  if (flags & FLAG.ENCRYPTION) return fromInitiator ? "MM5" : "MM6";
  if (nextPayload === PAYLOAD.SA) return fromInitiator ? "MM1" : "MM2";
  return fromInitiator ? "MM3" : "MM4";
}

function quickModeLabel(known: ReadonlyMap<string, Label>, fromInitiator: boolean): Label {
  const seen = [...known.values()];
  if (fromInitiator) return seen.includes("QM1") ? "QM3" : "QM1";
  return seen.includes("QM2") ? "QM4" : "QM2";
}
