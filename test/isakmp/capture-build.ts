/** Capture files and packets by hand: every byte order, link type and header that the readers must know. */
import { hex, octets, u16, u32 } from "./build.ts";

/** Writes integers in one byte order. */
export interface Order {
  readonly u16: (value: number) => Uint8Array;
  readonly u32: (value: number) => Uint8Array;
}

export const BIG: Order = { u16, u32 };
export const LITTLE: Order = { u16: (value) => u16(value).reverse(), u32: (value) => u32(value).reverse() };

export interface Packet {
  readonly seconds: number;
  readonly fraction: number;
  readonly bytes: Uint8Array;
}

/** A classic capture. */
export const classic = (order: Order, linkType: number, packets: readonly Packet[], magic = 0xa1b2c3d4): Uint8Array =>
  octets(
    order.u32(magic),
    order.u16(2),
    order.u16(4),
    new Uint8Array(8),
    order.u32(0xffff),
    order.u32(linkType),
    ...packets.map((p) =>
      octets(order.u32(p.seconds), order.u32(p.fraction), order.u32(p.bytes.length), order.u32(p.bytes.length), p.bytes),
    ),
  );

const padded = (bytes: Uint8Array): Uint8Array => octets(bytes, new Uint8Array(-bytes.length & 3));

/** A pcapng block; `length` only to lie about it. */
export const block = (order: Order, type: number, body: Uint8Array, length = padded(body).length + 12): Uint8Array =>
  octets(order.u32(type), order.u32(length), padded(body), order.u32(length));

export const section = (order: Order): Uint8Array =>
  block(order, 0x0a0d0d0a, octets(order.u32(0x1a2b3c4d), order.u16(1), order.u16(0), new Uint8Array(8).fill(0xff)));

export const option = (order: Order, code: number, value: Uint8Array): Uint8Array =>
  octets(order.u16(code), order.u16(value.length), padded(value));

export const description = (order: Order, linkType: number, ...options: readonly Uint8Array[]): Uint8Array =>
  block(order, 1, octets(order.u16(linkType), 0, 0, order.u32(0xffff), ...options));

export const enhanced = (order: Order, ticks: bigint, bytes: Uint8Array, id = 0): Uint8Array =>
  block(
    order,
    6,
    octets(
      order.u32(id),
      order.u32(Number(ticks >> 32n)),
      order.u32(Number(ticks & 0xffffffffn)),
      order.u32(bytes.length),
      order.u32(bytes.length),
      padded(bytes),
    ),
  );

/** A UDP packet from port 500 to 500; `length` only to lie about it. */
export const udp = (payload: Uint8Array, length = payload.length + 8): Uint8Array => octets("01f4 01f4", u16(length), "0000", payload);

/** 192.0.2.1 to 192.0.2.2; `fragment` is the flags and offset field. */
export const ipv4 = (body: Uint8Array, { protocol = 17, fragment = 0, id = 7, options = hex(""), total = -1 } = {}): Uint8Array =>
  octets(
    0x45 + options.length / 4,
    0,
    u16(total < 0 ? 20 + options.length + body.length : total),
    u16(id),
    u16(fragment),
    64,
    protocol,
    "0000 c0000201 c0000202",
    options,
    body,
  );

/** 2001:db8::1 to 2001:db8::2. */
export const ipv6 = (body: Uint8Array, next = 17, length = body.length): Uint8Array =>
  octets("60000000", u16(length), next, 64, `20010db8${"00".repeat(11)}01`, `20010db8${"00".repeat(11)}02`, body);

/** Extension headers of IPv6: one of eight octets, and the fragment header. */
export const extension = (next: number): Uint8Array => octets(next, 0, new Uint8Array(6));
export const fragmentHeader = (offset: number, more: boolean, id = 9, next = 17): Uint8Array =>
  octets(next, 0, u16(offset | (more ? 1 : 0)), u32(id));

/** The link layers in front of an IP packet, by their number. */
export const LINKS: readonly (readonly [string, number, (ip: Uint8Array, etherType: number) => Uint8Array])[] = [
  ["NULL of a little-endian machine", 0, (ip) => octets("02000000", ip)],
  ["NULL of a big-endian machine", 0, (ip) => octets("00000002", ip)],
  ["Ethernet", 1, (ip, type) => octets(new Uint8Array(12), u16(type), ip)],
  ["Ethernet with a VLAN tag", 1, (ip, type) => octets(new Uint8Array(12), "8100 0005", u16(type), ip)],
  ["Ethernet with two VLAN tags", 1, (ip, type) => octets(new Uint8Array(12), "88a8 0005 8100 0006", u16(type), ip)],
  ["raw IP of BSD", 12, (ip) => ip],
  ["raw IP of OpenBSD", 14, (ip) => ip],
  ["raw IP", 101, (ip) => ip],
  ["LOOP", 108, (ip) => octets("00000002", ip)],
  ["Linux cooked", 113, (ip, type) => octets(new Uint8Array(14), u16(type), ip)],
  ["Linux cooked, second version", 276, (ip, type) => octets(u16(type), new Uint8Array(18), ip)],
];
