/**
 * Capture files: classic pcap in both byte orders with micro- and nanoseconds, and pcapng.
 * A capture is as hostile as a datagram, and often cut off: what came before the fault is returned together with the fault.
 */
import { assembler } from "./pcap-packets.ts";
import { type Malformed, type Reader, readWith } from "./reader.ts";

/** One end of a datagram; the address is canonical text. */
export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

/** A UDP datagram; `time` in milliseconds since 1970 with fraction. */
export interface Datagram {
  readonly time: number;
  readonly source: Endpoint;
  readonly destination: Endpoint;
  readonly payload: Uint8Array;
}

/** `number` counts packets from 1 and names the one that completed the datagram; `complete` is false where octets are missing. */
export interface CapturedDatagram extends Datagram {
  readonly number: number;
  readonly complete: boolean;
}

/** `ignored` counts packets that hold no UDP datagram we can read; `problem` says where the file itself stopped making sense. */
export interface Capture {
  readonly datagrams: readonly CapturedDatagram[];
  readonly packets: number;
  readonly ignored: number;
  readonly problem: Malformed | undefined;
}

/** A packet of a capture file before anything of it is understood. `octets` may be fewer than were on the wire. */
export interface CapturedPacket {
  readonly number: number;
  readonly time: number;
  readonly linkType: number;
  readonly octets: Uint8Array;
}

/** Every UDP datagram of a capture file, in the order in which they became whole. Payloads are views where no reassembly was needed. */
export function decodePcap(file: Uint8Array): Capture {
  const datagrams: CapturedDatagram[] = [];
  const parts = assembler();
  let [packets, ignored] = [0, 0];
  const take: Take = (time, linkType, octets) => {
    const outcome = parts.take({ number: ++packets, time, linkType, octets });
    if (outcome === "ignored") ignored++;
    else if (outcome !== "waiting") datagrams.push(outcome);
  };
  const outcome = readWith(file, (r) => readFile(r, take));
  datagrams.push(...parts.flush());
  return { datagrams, packets, ignored, problem: outcome.ok ? undefined : outcome.error };
}

/**
 * The ISAKMP message in a datagram: all of it on a plain port, what follows the non-ESP marker on a marked one (RFC 3948 §2.2).
 * Undefined for ESP, keepalives and other ports.
 */
export function isakmpOf({ source, destination, payload }: Datagram, plain = 500, marked = 4500): Uint8Array | undefined {
  if (source.port === marked || destination.port === marked)
    return payload.length > 4 && payload.subarray(0, 4).every((octet) => octet === 0) ? payload.subarray(4) : undefined;
  return source.port === plain || destination.port === plain ? payload : undefined;
}

type Take = (time: number, linkType: number, octets: Uint8Array) => void;

/** Reads integers in the byte order of the file. */
type Uint = (r: Reader, size: number, what: string) => number;

const bigEndian: Uint = (r, size, what) => r.uint(size, what);
const littleEndian: Uint = (r, size, what) => r.bytes(size, what).reduceRight((value, octet) => value * 256 + octet, 0);

/** Classic formats by their first four octets: byte order, and fractions of a second. */
const CLASSIC: Readonly<Record<number, { readonly uint: Uint; readonly perSecond: number }>> = {
  [0xa1b2c3d4]: { uint: bigEndian, perSecond: 1e6 },
  [0xd4c3b2a1]: { uint: littleEndian, perSecond: 1e6 },
  [0xa1b23c4d]: { uint: bigEndian, perSecond: 1e9 },
  [0x4d3cb2a1]: { uint: littleEndian, perSecond: 1e9 },
};

const SECTION = 0x0a0d0d0a;

function readFile(r: Reader, take: Take): void {
  const magic = r.fork().uint(4, "file format");
  const format = CLASSIC[magic];
  if (magic === SECTION) readBlocks(r, take);
  else if (format) readClassic(r, format.uint, format.perSecond, take);
  else r.fail(`neither pcap nor pcapng: the file begins with ${magic.toString(16).padStart(8, "0")}`);
}

function readClassic(r: Reader, uint: Uint, perSecond: number, take: Take): void {
  r.bytes(4, "file format");
  const at = r.at;
  const major = uint(r, 2, "version");
  if (major !== 2) r.fail(`pcap version ${major}, only 2 is known`, at);
  r.bytes(14, "file header");
  // The upper half says how long the frame check sequence is.
  const linkType = uint(r, 4, "link type") & 0xffff;
  while (r.left > 0) {
    const seconds = uint(r, 4, "packet time");
    const fraction = uint(r, 4, "packet time");
    const length = uint(r, 4, "packet length");
    r.bytes(4, "packet length on the wire");
    take(seconds * 1000 + fraction / (perSecond / 1000), linkType, r.bytes(length, "packet"));
  }
}

interface Interface {
  readonly linkType: number;
  readonly ticksPerSecond: bigint;
  readonly offset: bigint;
}

const INTERFACES = 1024;
const BYTE_ORDER = 0x1a2b3c4d;
const BLOCK = { interface: 1, packet: 2, simple: 3, enhanced: 6 } as const;

/** pcapng: blocks of type, length, body and length again; a section header sets the byte order and forgets the interfaces. */
function readBlocks(r: Reader, take: Take): void {
  let uint = bigEndian;
  let interfaces: Interface[] = [];
  while (r.left > 0) {
    const at = r.at;
    if (r.fork().uint(4, "block type") === SECTION) {
      uint = byteOrder(r);
      interfaces = [];
    }
    const type = uint(r, 4, "block type");
    const length = uint(r, 4, "block length");
    if (length < 12 || length % 4 !== 0) r.fail(`block length ${length}`, at + 4);
    const body = r.sub(length - 12, "block");
    if (uint(r, 4, "block length, repeated") !== length) r.fail("the two lengths of the block differ", at + 4);
    if (type === BLOCK.interface) {
      if (interfaces.length === INTERFACES) r.fail(`more than ${INTERFACES} interfaces`, at);
      interfaces.push(readInterface(body, uint));
    } else if (type === BLOCK.enhanced || type === BLOCK.packet || type === BLOCK.simple) readPacket(type, body, uint, interfaces, take);
  }
}

function byteOrder(r: Reader): Uint {
  const ahead = r.fork();
  ahead.bytes(8, "section header");
  const at = ahead.at;
  const mark = ahead.uint(4, "byte order");
  if (mark === BYTE_ORDER) return bigEndian;
  if (mark !== 0x4d3c2b1a) ahead.fail(`byte order mark ${mark.toString(16).padStart(8, "0")}`, at);
  return littleEndian;
}

const OPTION = { resolution: 9, offset: 14 } as const;

function readInterface(body: Reader, uint: Uint): Interface {
  const linkType = uint(body, 2, "link type");
  body.bytes(6, "interface description");
  let ticksPerSecond = 1_000_000n;
  let offset = 0n;
  while (body.left >= 4) {
    const code = uint(body, 2, "option");
    const length = uint(body, 2, "option length");
    if (code === 0) break;
    const value = body.sub(length, "option");
    body.bytes(Math.min(-length & 3, body.left), "option padding");
    if (code === OPTION.resolution && length === 1) {
      const resolution = value.uint(1, "time resolution");
      ticksPerSecond = resolution & 0x80 ? 1n << BigInt(resolution & 0x7f) : 10n ** BigInt(resolution);
    } else if (code === OPTION.offset && length === 8) offset = wide(value, uint, "time offset");
  }
  return { linkType, ticksPerSecond, offset: BigInt.asIntN(64, offset) };
}

function wide(r: Reader, uint: Uint, what: string): bigint {
  const [first, second] = [BigInt(uint(r, 4, what)), BigInt(uint(r, 4, what))];
  return uint === bigEndian ? (first << 32n) | second : (second << 32n) | first;
}

function readPacket(type: number, body: Reader, uint: Uint, interfaces: readonly Interface[], take: Take): void {
  const at = body.at;
  const id = type === BLOCK.simple ? 0 : uint(body, type === BLOCK.packet ? 2 : 4, "interface");
  const source = interfaces[id];
  if (!source) body.fail(`packet of interface ${id}, ${interfaces.length} are described`, at);
  if (type === BLOCK.simple) {
    const length = uint(body, 4, "packet length");
    take(0, source.linkType, body.bytes(Math.min(length, body.left), "packet"));
    return;
  }
  if (type === BLOCK.packet) body.bytes(2, "drop count");
  // The upper half of the time comes first in both byte orders.
  const ticks = (BigInt(uint(body, 4, "packet time")) << 32n) | BigInt(uint(body, 4, "packet time"));
  const length = uint(body, 4, "packet length");
  body.bytes(4, "packet length on the wire");
  const microseconds = (ticks * 1_000_000n) / source.ticksPerSecond + source.offset * 1_000_000n;
  take(Number(microseconds) / 1000, source.linkType, body.bytes(length, "packet"));
}
