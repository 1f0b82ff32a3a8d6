/**
 * Writes captures that every analyser reads: classic pcap, microseconds, link type RAW, with IP and UDP headers made up for each datagram.
 * Header and records come apart, so that a trace can be written as it happens.
 */
import { addressBytes, parseAddress } from "./address.ts";
import type { Datagram } from "./pcap.ts";
import { Writer } from "./writer.ts";

/** A whole capture file. */
export function encodePcap(datagrams: readonly Datagram[]): Uint8Array {
  const out = new Writer();
  out.bytes(pcapHeader());
  for (const datagram of datagrams) out.bytes(pcapRecord(datagram));
  return out.finish();
}

/** The 24 octets a capture file begins with; raw IP unless said otherwise. */
export function pcapHeader(linkType = LINKTYPE_RAW): Uint8Array {
  const out = new Writer();
  out.uint(0xa1b2c3d4, 4);
  out.uint(2, 2);
  out.uint(4, 2);
  out.reserve(8);
  out.uint(0x40000, 4);
  out.uint(linkType, 4);
  return out.finish();
}

/** One record. RangeError where the addresses are no addresses of one family, or the payload is larger than UDP allows. */
export const pcapRecord = (datagram: Datagram): Uint8Array => recordOf(datagram.time, ipPacket(datagram));

/** A record of any link type; `time` in milliseconds since 1970. */
export function recordOf(time: number, packet: Uint8Array): Uint8Array {
  const microseconds = Math.round(time * 1000);
  const out = new Writer();
  out.uint(Math.floor(microseconds / 1e6), 4);
  out.uint(microseconds % 1e6, 4);
  out.uint(packet.length, 4);
  out.uint(packet.length, 4);
  out.bytes(packet);
  return out.finish();
}

const LINKTYPE_RAW = 101;
const UDP = 17;
const HOPS = 64;

function ipPacket({ source, destination, payload }: Datagram): Uint8Array {
  const [from, to] = [parseAddress(source.address), parseAddress(destination.address)];
  if (!from || !to || from.family !== to.family) throw new RangeError(`no packet goes from ${source.address} to ${destination.address}`);
  const addresses = new Writer();
  addresses.bytes(addressBytes(from.family, from.value));
  addresses.bytes(addressBytes(to.family, to.value));
  const udp = udpPacket(source.port, destination.port, payload, addresses.finish());
  const out = new Writer();
  out.bytes(from.family === 4 ? ipv4Header(udp.length, addresses.finish()) : ipv6Header(udp.length, addresses.finish()));
  out.bytes(udp);
  return out.finish();
}

function udpPacket(source: number, destination: number, payload: Uint8Array, addresses: Uint8Array): Uint8Array {
  const out = new Writer();
  out.uint(source, 2);
  out.uint(destination, 2);
  out.uint(8 + payload.length, 2);
  const checksumAt = out.reserve(2);
  out.bytes(payload);
  // Pseudo header of RFC 768 and RFC 8200 §8.1, added up without its zero octets.
  const sum = checksum(out.finish(), ones(addresses) + UDP + out.length);
  out.patch(checksumAt, sum === 0 ? 0xffff : sum, 2);
  return out.finish();
}

function ipv4Header(length: number, addresses: Uint8Array): Uint8Array {
  const out = new Writer();
  out.uint(0x4500, 2);
  out.uint(20 + length, 2);
  out.reserve(4);
  out.uint(HOPS, 1);
  out.uint(UDP, 1);
  const checksumAt = out.reserve(2);
  out.bytes(addresses);
  out.patch(checksumAt, checksum(out.finish()), 2);
  return out.finish();
}

function ipv6Header(length: number, addresses: Uint8Array): Uint8Array {
  const out = new Writer();
  out.uint(0x60000000, 4);
  out.uint(length, 2);
  out.uint(UDP, 1);
  out.uint(HOPS, 1);
  out.bytes(addresses);
  return out.finish();
}

/** Internet checksum, RFC 1071. */
function checksum(octets: Uint8Array, start = 0): number {
  let sum = start + ones(octets);
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return 0xffff - sum;
}

/** Sum of the 16-bit words, a missing last octet taken as zero; below 2^32 for any packet. */
function ones(octets: Uint8Array): number {
  let sum = 0;
  for (const [i, octet] of octets.entries()) sum += i % 2 === 0 ? octet * 256 : octet;
  return sum;
}
