/**
 * From the frames of a capture to UDP datagrams: link layers, IPv4 and IPv6, fragments (RFC 791 §3.2, RFC 8200 §4.5).
 * Bounded in the number of half-received datagrams, in fragments of each and in header chains. Checksums are not looked at,
 * since network cards fill them in after the capture was taken.
 */
import { addressFromBytes, formatAddress } from "./address.ts";
import type { CapturedDatagram, CapturedPacket } from "./pcap.ts";
import { type Reader, readWith } from "./reader.ts";

/** Turns packets into datagrams. `flush` gives what is known of datagrams whose other fragments never came. */
export interface Assembler {
  take(packet: CapturedPacket): CapturedDatagram | "waiting" | "ignored";
  flush(): readonly CapturedDatagram[];
}

/** Puts IP fragments of a capture together; holds a bounded number of unfinished datagrams. */
export function assembler(): Assembler {
  const sets = new Map<string, FragmentSet>();
  return {
    take: (packet) => {
      const ip = readWith(packet.octets, (r) => readLink(packet.linkType, r));
      if (!ip.ok || ip.value?.protocol !== UDP) return "ignored";
      if (ip.value.fragment === undefined) return datagram(packet, ip.value, ip.value.payload) ?? "ignored";
      return collect(sets, packet, ip.value, ip.value.fragment);
    },
    flush: () => [...sets.values()].flatMap((set) => datagram(set.packet, set.ip, contiguous(set)) ?? []),
  };
}

const UDP = 17;
const UDP_HEADER = 8;

/** Half-received datagrams kept, and fragments of each; the oldest makes room. */
const SETS = 256;
const FRAGMENTS = 512;
const LARGEST = 0xffff;

interface IpPacket {
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  readonly payload: Uint8Array;
  readonly fragment: Fragment | undefined;
}

interface Fragment {
  readonly id: number;
  readonly offset: number;
  readonly more: boolean;
}

interface FragmentSet {
  /** The packet and header seen last. */
  packet: CapturedPacket;
  ip: IpPacket;
  total: number | undefined;
  octets: number;
  readonly parts: { readonly offset: number; readonly octets: Uint8Array }[];
}

/** UDP's own length says whether the capture has all of it, whatever cut it short. */
function datagram(packet: CapturedPacket, ip: IpPacket, octets: Uint8Array): CapturedDatagram | undefined {
  const read = readWith(octets, (r) => {
    const [source, destination] = [r.uint(2, "source port"), r.uint(2, "destination port")];
    const length = r.uint(2, "UDP length") || octets.length;
    if (length < UDP_HEADER) r.fail(`UDP length ${length}`, 4);
    r.bytes(2, "UDP checksum");
    const payload = r.bytes(Math.min(length - UDP_HEADER, r.left), "UDP payload");
    return { source, destination, payload, complete: payload.length === length - UDP_HEADER };
  });
  if (!read.ok) return undefined;
  const { number, time } = packet;
  const source = { address: ip.source, port: read.value.source };
  const destination = { address: ip.destination, port: read.value.destination };
  return { number, time, source, destination, payload: read.value.payload, complete: read.value.complete };
}

function collect(
  sets: Map<string, FragmentSet>,
  packet: CapturedPacket,
  ip: IpPacket,
  fragment: Fragment,
): CapturedDatagram | "waiting" | "ignored" {
  const key = `${ip.source} ${ip.destination} ${ip.protocol} ${fragment.id}`;
  const set = sets.get(key) ?? { packet, ip, total: undefined, octets: 0, parts: [] };
  set.packet = packet;
  set.ip = ip;
  if (!addPart(set, ip, fragment)) {
    sets.delete(key);
    return "ignored";
  }
  // Parts never overlap, so that many octets are all of them.
  if (set.octets === set.total) {
    sets.delete(key);
    return datagram(packet, ip, contiguous(set)) ?? "ignored";
  }
  sets.set(key, set);
  const [oldest] = sets.keys();
  if (sets.size > SETS && oldest !== undefined) sets.delete(oldest);
  return "waiting";
}

/** False where the fragments contradict each other: an overlap is an attack and ends the datagram (RFC 5722); a repeat is none. */
function addPart(set: FragmentSet, ip: IpPacket, { offset, more }: Fragment): boolean {
  const octets = ip.payload;
  const end = offset + octets.length;
  if (end > LARGEST || set.parts.length === FRAGMENTS) return false;
  if (set.parts.some((part) => part.offset === offset && part.octets.length === octets.length)) return true;
  if (set.parts.some((part) => offset < part.offset + part.octets.length && part.offset < end)) return false;
  if (!more && set.total !== undefined && set.total !== end) return false;
  if (!more) set.total = end;
  if (set.total !== undefined && end > set.total) return false;
  set.octets += octets.length;
  set.parts.push({ offset, octets });
  set.parts.sort((a, b) => a.offset - b.offset);
  return true;
}

/** The octets from the beginning to the first gap. */
function contiguous(set: FragmentSet): Uint8Array {
  const out: Uint8Array[] = [];
  let end = 0;
  for (const part of set.parts) {
    if (part.offset !== end) break;
    out.push(part.octets);
    end += part.octets.length;
  }
  const joined = new Uint8Array(end);
  let at = 0;
  for (const octets of out) {
    joined.set(octets, at);
    at += octets.length;
  }
  return joined;
}

/** Link types of the tcpdump registry. NULL and LOOP have four octets in front of the IP header, the raw ones nothing. */
const LINK: Readonly<Record<number, (r: Reader) => IpPacket | undefined>> = {
  0: (r) => behind(r, 4),
  1: readEthernet,
  12: readIp,
  14: readIp,
  101: readIp,
  108: (r) => behind(r, 4),
  113: (r) => behindType(r, 14, 0),
  228: readIp,
  229: readIp,
  276: (r) => behindType(r, 0, 18),
};

const readLink = (linkType: number, r: Reader): IpPacket | undefined => LINK[linkType]?.(r);

function behind(r: Reader, size: number): IpPacket | undefined {
  r.bytes(size, "link header");
  return readIp(r);
}

/** A link header with an EtherType between `before` and `after` further octets (Linux cooked captures). */
function behindType(r: Reader, before: number, after: number): IpPacket | undefined {
  r.bytes(before, "link header");
  const type = r.uint(2, "protocol type");
  r.bytes(after, "link header");
  return isIp(type) ? readIp(r) : undefined;
}

const isIp = (etherType: number): boolean => etherType === 0x0800 || etherType === 0x86dd;
const isTag = (etherType: number): boolean => etherType === 0x8100 || etherType === 0x88a8 || etherType === 0x9100;

function readEthernet(r: Reader): IpPacket | undefined {
  r.bytes(12, "Ethernet addresses");
  let type = r.uint(2, "EtherType");
  for (let tags = 0; isTag(type) && tags < 4; tags++) {
    r.bytes(2, "VLAN tag");
    type = r.uint(2, "EtherType");
  }
  return isIp(type) ? readIp(r) : undefined;
}

function readIp(r: Reader): IpPacket | undefined {
  const version = r.fork().uint(1, "IP version") >> 4;
  if (version === 4) return readIpv4(r);
  return version === 6 ? readIpv6(r) : undefined;
}

function readIpv4(r: Reader): IpPacket {
  const start = r.at;
  const headerLength = (r.uint(1, "IPv4 header length") & 15) * 4;
  if (headerLength < 20) r.fail(`IPv4 header of ${headerLength} octets`, start);
  r.bytes(1, "type of service");
  // Zero where the network card was to cut the packet into segments.
  const total = r.uint(2, "IPv4 length") || 4 + r.left;
  const id = r.uint(2, "identification");
  const flags = r.uint(2, "fragment offset");
  r.bytes(1, "time to live");
  const protocol = r.uint(1, "protocol");
  r.bytes(2, "checksum");
  const [source, destination] = [addressText(r, 4), addressText(r, 4)];
  r.bytes(headerLength - 20, "IPv4 options");
  if (total < headerLength) r.fail(`IPv4 length ${total}`, start + 2);
  const payload = r.bytes(Math.min(total - headerLength, r.left), "IPv4 payload");
  const [offset, more] = [(flags & 0x1fff) * 8, (flags & 0x2000) !== 0];
  const fragment = offset > 0 || more ? { id, offset, more } : undefined;
  return { source, destination, protocol, payload, fragment };
}

const FRAGMENT_HEADER = 44;
/** Hop-by-hop options, routing and destination options: next header, length in units of 8 octets, more. */
const SKIPPED = new Set([0, 43, 60]);

function readIpv6(r: Reader): IpPacket {
  r.bytes(4, "IPv6 header");
  const length = r.uint(2, "IPv6 length");
  let protocol = r.uint(1, "next header");
  r.bytes(1, "hop limit");
  const [source, destination] = [addressText(r, 16), addressText(r, 16)];
  const body = r.sub(Math.min(length === 0 ? r.left : length, r.left), "IPv6 payload");
  let fragment: Fragment | undefined;
  for (let headers = 0; (SKIPPED.has(protocol) || protocol === FRAGMENT_HEADER) && headers < 16; headers++) {
    const next = body.uint(1, "next header");
    const size = body.uint(1, "extension header length");
    if (protocol === FRAGMENT_HEADER) {
      const bits = body.uint(2, "fragment offset");
      fragment = { offset: bits & 0xfff8, more: (bits & 1) !== 0, id: body.uint(4, "fragment identification") };
      protocol = next;
      // What follows in a later fragment is no header.
      break;
    }
    body.bytes(6 + 8 * size, "extension header");
    protocol = next;
  }
  return { source, destination, protocol, payload: body.rest(), fragment };
}

function addressText(r: Reader, size: 4 | 16): string {
  const address = addressFromBytes(r.bytes(size, "IP address"));
  return address ? formatAddress(address.family, address.value) : "";
}
