/**
 * ISAKMP messages without their encryption, in the form in which Wireshark takes PDUs from elsewhere (link type 252, WIRESHARK_UPPER_PDU): tags
 * say who dissects them and between whom they went. The header's flag and length are those of the message as it stands here.
 */
import { addressBytes, parseAddress } from "./address.ts";
import { decodeHeader, decodePayloads } from "./message.ts";
import { FLAG } from "./numbers.ts";
import type { Datagram } from "./pcap.ts";
import { pcapHeader, recordOf } from "./pcap-writer.ts";
import { Writer } from "./writer.ts";

const LINKTYPE_UPPER_PDU = 252;
/** Tags, and the port type of UDP. */
const TAG = {
  dissector: 12,
  ipv4Source: 20,
  ipv4Destination: 21,
  ipv6Source: 22,
  ipv6Destination: 23,
  portType: 24,
  source: 25,
  destination: 26,
};
const UDP = 3;

/** The 24 octets such a capture begins with. */
export const exportedHeader = (): Uint8Array => pcapHeader(LINKTYPE_UPPER_PDU);

/** One record; the payload of `datagram` is an ISAKMP message without the marker of port 4500. RangeError for what is no address. */
export function exportedRecord({ time, source, destination, payload }: Datagram): Uint8Array {
  const out = new Writer();
  tag(out, TAG.dissector, new TextEncoder().encode("isakmp"));
  for (const [{ address }, v4, v6] of [
    [source, TAG.ipv4Source, TAG.ipv6Source] as const,
    [destination, TAG.ipv4Destination, TAG.ipv6Destination] as const,
  ]) {
    const parsed = parseAddress(address);
    if (!parsed) throw new RangeError(`no address: ${address}`);
    tag(out, parsed.family === 4 ? v4 : v6, addressBytes(parsed.family, parsed.value));
  }
  for (const [name, value] of [
    [TAG.portType, UDP] as const,
    [TAG.source, source.port] as const,
    [TAG.destination, destination.port] as const,
  ])
    tag(out, name, Uint8Array.of(0, 0, value >> 8, value & 255));
  out.reserve(4);
  out.bytes(payload);
  return recordOf(time, out.finish());
}

/** A sealed message as it would have been in clear: `plain` is what stood under the encryption. Undefined where that is no chain of payloads. */
export function inClear(bytes: Uint8Array, plain: Uint8Array): Uint8Array | undefined {
  const header = decodeHeader(bytes);
  const payloads = header.ok ? decodePayloads(header.value.nextPayload, plain, { padding: true }) : undefined;
  if (!header.ok || !payloads?.ok) return undefined;
  const end = payloads.value.at(-1)?.end ?? 0;
  const message = new Uint8Array(28 + end);
  message.set(bytes.subarray(0, 28));
  message.set(plain.subarray(0, end), 28);
  const view = new DataView(message.buffer);
  view.setUint8(19, header.value.flags & ~FLAG.ENCRYPTION);
  view.setUint32(24, message.length);
  return message;
}

/** Type and length of two octets each, and the value, padded to a multiple of four. */
function tag(out: Writer, type: number, value: Uint8Array): void {
  const missing = -value.length & 3;
  out.uint(type, 2);
  out.uint(value.length + missing, 2);
  out.bytes(value);
  if (missing > 0) out.reserve(missing);
}
