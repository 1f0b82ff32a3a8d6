/**
 * What goes over a wire: packets as they are captured, and what can be read of them from outside.
 * Invariant: nothing here decides or decrypts; sealed messages are looked up by their octets among those that the demo's own hosts told us of.
 */
import { decodeHeader, decodePayloads, HEADER_SIZE, type Header } from "../isakmp/message.ts";
import { EXCHANGE, FLAG, PAYLOAD } from "../isakmp/numbers.ts";
import { type Payload, payloadType } from "../isakmp/payloads.ts";
import { nameOf } from "../isakmp/registry.ts";

/** A packet on the wire. `time` in milliseconds since 1970; `octets`: the UDP datagram's contents, or those of ESP. */
export interface Seen {
  readonly time: number;
  readonly source: string;
  readonly destination: string;
  readonly protocol: "udp" | "esp" | "other";
  readonly octets: Uint8Array;
}

/** A packet as it is drawn. `what` goes into the arrow, `about` behind it. */
export interface Step {
  readonly time: number;
  readonly source: string;
  readonly kind: "clear" | "sealed" | "esp" | "other";
  readonly what: string;
  readonly about: string;
}

/** The plaintext of sealed messages, both as hexadecimal: what the hosts of the demo tell about what they seal. */
export type Plaintexts = ReadonlyMap<string, string>;

/** Reads packets in the order in which they came. */
export function readSteps(packets: readonly Seen[], plaintexts: Plaintexts): readonly Step[] {
  const counts = new Map<string, number>();
  const next = (key: string): number => {
    counts.set(key, (counts.get(key) ?? 0) + 1);
    return counts.get(key) ?? 0;
  };
  const seen = new Set<string>();
  return packets.map(({ time, source, protocol, octets }): Step => {
    if (protocol === "esp") return { time, source, kind: "esp", ...espText(octets) };
    const header = protocol === "udp" ? decodeHeader(octets) : undefined;
    if (!header?.ok) return { time, source, kind: "other", what: "", about: `${octets.length} octets` };
    const sealed = (header.value.flags & FLAG.ENCRYPTION) !== 0;
    const text = hex(octets);
    const again = seen.has(text) ? " again" : "";
    const exchange = nameOf(EXCHANGE, header.value.exchange);
    const number = again ? counts.get(exchangeKey(header.value)) : next(exchangeKey(header.value));
    seen.add(text);
    const name = exchange === "Informational" ? exchange : `${EXCHANGE_NAMES[exchange] ?? exchange} ${number}`;
    const payloads = payloadsOf(header.value, octets, plaintexts);
    const what = payloads ? payloadNames(payloads) : "?";
    return { time, source, kind: sealed ? "sealed" : "clear", what, about: `${name}${again}, ${octets.length} octets` };
  });
}

/** RFC 2408 calls Main Mode by its purpose; people don't. */
const EXCHANGE_NAMES: Readonly<Record<string, string>> = { "Identity Protection": "Main Mode" };

/** Messages of one exchange share cookies and message id; the responder's cookie is not known in the first one. */
const exchangeKey = (header: Header): string => `${header.exchange} ${hex(header.initiatorCookie)} ${header.messageId}`;

function payloadsOf(header: Header, octets: Uint8Array, plaintexts: Plaintexts): readonly Payload[] | undefined {
  const body = octets.subarray(HEADER_SIZE, header.length);
  const sealed = (header.flags & FLAG.ENCRYPTION) !== 0;
  const plain = sealed ? plaintexts.get(hex(body)) : hex(body);
  if (plain === undefined) return undefined;
  const payloads = decodePayloads(header.nextPayload, Uint8Array.from(Buffer.from(plain, "hex")), { padding: sealed });
  return payloads.ok ? payloads.value : undefined;
}

/** The RFC's letters, spelled out where one alone says little. */
const PAYLOAD_NAMES: Readonly<Record<string, string>> = { N: "NOTIFY", D: "DELETE" };

/** `SA VID x2`: what comes several times in a row is counted. */
export function payloadNames(payloads: readonly Payload[]): string {
  const runs: { name: string; count: number }[] = [];
  for (const payload of payloads) {
    const number = nameOf(PAYLOAD, payloadType(payload));
    const name = PAYLOAD_NAMES[number] ?? number;
    const last = runs.at(-1);
    if (last?.name === name) last.count++;
    else runs.push({ name, count: 1 });
  }
  return runs.map(({ name, count }) => (count > 1 ? `${name} x${count}` : name)).join(" ");
}

/** RFC 4303 §2: SPI and sequence number are all that shows. */
function espText(octets: Uint8Array): Pick<Step, "what" | "about"> {
  const view = new DataView(octets.buffer, octets.byteOffset, octets.length);
  if (octets.length < 8) return { what: "ESP", about: `${octets.length} octets` };
  const spi = `0x${view.getUint32(0).toString(16).padStart(8, "0")}`;
  return { what: `ESP ${spi}`, about: `packet ${view.getUint32(4)}, ${octets.length} octets` };
}

const hex = (octets: Uint8Array): string => Buffer.from(octets).toString("hex");

const [ETHERNET_OCTETS, ETHERTYPE_IPV4] = [14, 0x0800];

/** An IPv4 packet out of an Ethernet frame; undefined for anything else, and for fragments but the first. */
export function readFrame(frame: Uint8Array, time: number): Seen | undefined {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  if (frame.length < ETHERNET_OCTETS + 20 || view.getUint16(12) !== ETHERTYPE_IPV4) return undefined;
  const packet = frame.subarray(ETHERNET_OCTETS);
  const [headerOctets, totalOctets] = [((packet[0] ?? 0) & 15) * 4, view.getUint16(ETHERNET_OCTETS + 2)];
  if (view.getUint16(ETHERNET_OCTETS + 6) & 0x1fff) return undefined;
  const [source, destination] = [packet.subarray(12, 16).join("."), packet.subarray(16, 20).join(".")];
  const contents = packet.subarray(headerOctets, totalOctets);
  const protocol = packet[9] === 17 ? "udp" : packet[9] === 50 ? "esp" : "other";
  return { time, source, destination, protocol, octets: Uint8Array.from(protocol === "udp" ? contents.subarray(8) : contents) };
}
