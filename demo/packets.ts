/**
 * From captured packets to rungs of the ladder, and to the count of what went over the wire in clear. Pure.
 */
import { opensslCrypto } from "../ike/crypto/openssl.ts";
import { Secret } from "../ike/crypto/secret.ts";
import { Tracer } from "../ike/trace.ts";
import { toHex } from "../isakmp/hex.ts";
import { EXCHANGE, PAYLOAD } from "../isakmp/numbers.ts";
import { type Payload, payloadType } from "../isakmp/payloads.ts";
import { decodePcap, isakmpOf } from "../isakmp/pcap.ts";
import { nameOf } from "../isakmp/registry.ts";
import type { Rung } from "./ladder.ts";

/** A frame as it was on an Ethernet wire; `at` in milliseconds since 1970. */
export interface Frame {
  readonly at: number;
  readonly octets: Uint8Array;
}

/** An ISAKMP message on its way. */
export interface Message {
  readonly at: number;
  readonly from: Rung["from"];
  readonly bytes: Uint8Array;
}

export interface EspPacket {
  readonly at: number;
  readonly from: Rung["from"];
  readonly spi: number;
  readonly sequence: number;
  /** ESP header and what follows. */
  readonly octets: number;
}

/** Everything on the wire. `neighbours`: ARP and IPv6 neighbour discovery, which find out who has an address. `clear`: anything else. */
export interface Wire {
  readonly messages: readonly Message[];
  readonly esp: readonly EspPacket[];
  readonly neighbours: number;
  readonly clear: number;
}

/** Sorts the frames of a capture. `left` is the address of the host on the left. */
export function readWire(frames: readonly Frame[], left: string): Wire {
  const messages = decodePcap(pcapOf(frames)).datagrams.flatMap((datagram): readonly (Message & { readonly number: number })[] => {
    const bytes = isakmpOf(datagram);
    const from = datagram.source.address === left ? "left" : "right";
    return bytes ? [{ at: datagram.time, from, bytes, number: datagram.number }] : [];
  });
  const numbers = new Set(messages.map(({ number }) => number));
  const others = frames.filter((_, i) => !numbers.has(i + 1));
  const esp = others.flatMap((frame) => espOf(frame, left) ?? []);
  const neighbours = others.filter(({ octets }) => isNeighbourly(octets)).length;
  return { messages, esp, neighbours, clear: others.length - esp.length - neighbours };
}

/** A classic capture file of Ethernet frames, times in microseconds. */
export function pcapOf(frames: readonly Frame[]): Uint8Array {
  const file = new Uint8Array(frames.reduce((sum, { octets }) => sum + 16 + octets.length, 24));
  const view = new DataView(file.buffer);
  [0xa1b2c3d4, 0x00020004, 0, 0, 0x40000, 1].forEach((word, i) => {
    view.setUint32(4 * i, word);
  });
  let offset = 24;
  for (const { at, octets } of frames) {
    const micros = Math.round(at * 1000);
    [Math.floor(micros / 1e6), micros % 1e6, octets.length, octets.length].forEach((word, i) => {
      view.setUint32(offset + 4 * i, word);
    });
    file.set(octets, offset + 16);
    offset += 16 + octets.length;
  }
  return file;
}

/** Whether a text stands anywhere in the frames: then it went in clear. */
export const holdsText = (frames: readonly Frame[], text: string): boolean =>
  frames.some(({ octets }) => Buffer.from(octets.buffer, octets.byteOffset, octets.length).includes(text));

/** Messages as rungs, decrypted with the key of their phase 1 cipher where it is known. Times count from `begin`. */
export function ikeRungs(messages: readonly Message[], key: Uint8Array | undefined, begin: number): readonly Rung[] {
  const keys = new Map<string, Secret>();
  const counts = new Map<string, number>();
  const met = new Set<string>();
  for (const { bytes } of messages) {
    const cookie = toHex(bytes.subarray(0, 8));
    if (key && !keys.has(cookie)) keys.set(cookie, new Secret(Uint8Array.from(key)));
  }
  const tracer = new Tracer(opensslCrypto, keys);
  try {
    return messages.map(({ at, from, bytes }): Rung => {
      const traced = tracer.take(bytes);
      const rung = { at: at - begin, from, kind: "ike", octets: bytes.length } as const;
      if (!traced.ok) return { ...rung, label: "not ISAKMP", parts: traced.error.what };
      const { header, payloads, decrypted } = traced.value;
      const exchange = `${header.exchange} ${header.messageId}`;
      const repeated = met.has(toHex(bytes));
      met.add(toHex(bytes));
      const count = (counts.get(exchange) ?? 0) + (repeated ? 0 : 1);
      counts.set(exchange, count);
      const parts = typeof payloads === "string" ? "encrypted" : `${decrypted ? "decrypted: " : ""}${partsText(payloads)}`;
      return { ...rung, label: repeated ? `${exchangeName(header.exchange)}, repeated` : label(header.exchange, count), parts };
    });
  } finally {
    for (const secret of keys.values()) secret.destroy();
  }
}

/** The line of an ESP packet in the ladder; `begin`: milliseconds of the first packet. */
export const espRung = ({ at, from, spi, sequence, octets }: EspPacket, begin: number): Rung => ({
  ...{ at: at - begin, from, kind: "esp", octets, parts: "" },
  label: `ESP SPI 0x${spi.toString(16).padStart(8, "0")}, packet ${sequence}`,
});

/** Payloads with their sizes in octets, generic headers included; neighbours of one kind stand together. */
export function partsText(payloads: readonly Payload[]): string {
  const groups: { readonly name: string; readonly sizes: number[] }[] = [];
  for (const payload of payloads) {
    const name = nameOf(PAYLOAD, payloadType(payload));
    const size = payload.raw.length + 4;
    const last = groups.at(-1);
    if (last?.name === name) last.sizes.push(size);
    else groups.push({ name, sizes: [size] });
  }
  return groups.map(({ name, sizes }) => `${name} ${sizes.join("+")}`).join(", ");
}

const exchangeName = (exchange: number): string =>
  exchange === EXCHANGE["Identity Protection"] ? "Main Mode" : nameOf(EXCHANGE, exchange);

const label = (exchange: number, count: number): string =>
  exchange === EXCHANGE.Informational ? exchangeName(exchange) : `${exchangeName(exchange)} ${count}`;

const [IPV4, IPV6, ARP, ESP] = [0x0800, 0x86dd, 0x0806, 50];
const ETHERNET = 14;

const typeOf = (octets: Uint8Array): number => ((octets[12] ?? 0) << 8) | (octets[13] ?? 0);

/** Hop-by-hop in front of ICMPv6 is multicast listener discovery, 133 to 137 neighbour discovery (RFC 4861). */
function isNeighbourly(octets: Uint8Array): boolean {
  if (typeOf(octets) === ARP) return true;
  const [next, type] = [octets[ETHERNET + 6], octets[ETHERNET + 40] ?? 0];
  return typeOf(octets) === IPV6 && (next === 0 || (next === 58 && type >= 133 && type <= 137));
}

/** IPv4 only: that is what the demo sends. */
function espOf({ at, octets }: Frame, left: string): EspPacket | undefined {
  if (typeOf(octets) !== IPV4 || octets[ETHERNET + 9] !== ESP) return undefined;
  const view = new DataView(octets.buffer, octets.byteOffset + ETHERNET, octets.length - ETHERNET);
  const header = (view.getUint8(0) & 15) * 4;
  const total = view.getUint16(2);
  if (view.byteLength < header + 8 || total < header + 8) return undefined;
  const source = octets.subarray(ETHERNET + 12, ETHERNET + 16).join(".");
  const [spi, sequence] = [view.getUint32(header), view.getUint32(header + 4)];
  return { at, from: source === left ? "left" : "right", spi, sequence, octets: total - header };
}
