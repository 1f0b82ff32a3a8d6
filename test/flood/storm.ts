/**
 * Sends first messages from forged addresses, each from another one, at a given rate: frames through a packet socket (packet(7)), as fast as told.
 *
 *   node storm.js INTERFACE-INDEX OUR-MAC ITS-MAC ITS-ADDRESS RATE SECONDS
 */
import { randomFillSync } from "node:crypto";
import koffi from "koffi";
import { encodeMessage } from "../../isakmp/message.ts";
import { EXCHANGE } from "../../isakmp/numbers.ts";
import { payload } from "../../isakmp/payloads.ts";
import { VENDOR_IDS } from "../../isakmp/vendor-ids.ts";
import { offerIke } from "../sim/peer-payloads.ts";

const [AF_PACKET, SOCK_RAW, ETH_P_IP] = [17, 3, 0x0800];
/** Where things stand in a frame: Ethernet, IP, UDP, message. */
const [IP, UDP, MESSAGE] = [14, 34, 42];
const TICK_MS = 10;
/** Frames for one system call. */
const TOGETHER = 50;

const octetsOf = (text: string, separator: string, radix: number): Uint8Array =>
  Uint8Array.from(text.split(separator).map((part) => Number.parseInt(part, radix)));

/** A frame with a message 1 in it; cookie and source are filled in for each. */
function makeFrame(from: Uint8Array, to: Uint8Array, target: Uint8Array, windows: boolean): Buffer {
  const header = {
    initiatorCookie: new Uint8Array(8),
    responderCookie: new Uint8Array(8),
    exchange: EXCHANGE["Identity Protection"],
    flags: 0,
    messageId: 0,
  };
  const vid = payload("vid", { data: Uint8Array.from([...VENDOR_IDS["MS NT5"].bytes, 0, 0, 0, 7]) });
  const message = encodeMessage(header, [offerIke(), ...(windows ? [vid] : [])]);
  const frame = Buffer.alloc(MESSAGE + message.length);
  frame.set(to, 0);
  frame.set(from, 6);
  frame.writeUInt16BE(ETH_P_IP, 12);
  frame[IP] = 0x45;
  frame.writeUInt16BE(frame.length - IP, IP + 2);
  frame[IP + 8] = 64;
  frame[IP + 9] = 17;
  frame.set(target, IP + 16);
  frame.writeUInt16BE(500, UDP + 2);
  frame.writeUInt16BE(frame.length - UDP, UDP + 4);
  frame.set(message, MESSAGE);
  return frame;
}

/** Another sender, from 14 random octets: address, port and cookie, and the header's checksum (RFC 791 §3.1). */
function disguise(frame: Buffer, fresh: Uint8Array): void {
  frame.set(fresh.subarray(0, 4), IP + 12);
  frame[IP + 12] = 11 + ((fresh[0] ?? 0) % 100);
  frame.set(fresh.subarray(4, 6), UDP);
  frame[UDP] = (frame[UDP] ?? 0) | 4;
  frame.set(fresh.subarray(6, 14), MESSAGE);
  frame.writeUInt16BE(0, IP + 10);
  let sum = 0;
  for (let i = IP; i < UDP; i += 2) sum += frame.readUInt16BE(i);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  frame.writeUInt16BE(~sum & 0xffff, IP + 10);
}

/** What sends frames through one interface: as many as it is given, in one system call; how many went. */
function sender(index: number): (frames: readonly Buffer[]) => number {
  const libc = koffi.load(null);
  koffi.struct("storm_iovec", { base: "const uint8_t *", length: "size_t" });
  // `struct msghdr` is a multiple of eight octets, and so is `struct mmsghdr` around it.
  koffi.struct("storm_message", {
    name: "const uint8_t *",
    namelen: "uint32_t",
    iov: "storm_iovec *",
    iovlen: "size_t",
    control: "const uint8_t *",
    controllen: "size_t",
    flags: "int",
    gap: "uint32_t",
    sent: "uint64_t",
  });
  const socket = libc.func("int socket(int family, int type, int protocol)");
  const sendmmsg = libc.func("int sendmmsg(int fd, const storm_message *messages, uint32_t count, int flags)");
  const fd = socket(AF_PACKET, SOCK_RAW, 0) as number;
  if (fd < 0) throw new Error("no packet socket: CAP_NET_RAW is missing");
  const name = Buffer.alloc(20);
  name.writeUInt16LE(AF_PACKET, 0);
  name.writeInt32LE(index, 4);
  return (frames) => {
    const messages = frames.map((base) => ({
      ...{ name, namelen: name.length, iov: [{ base, length: base.length }], iovlen: 1 },
      ...{ control: null, controllen: 0, flags: 0, gap: 0, sent: 0 },
    }));
    return Math.max(0, sendmmsg(fd, messages, messages.length, 0) as number);
  };
}

async function main([index = "", from = "", to = "", target = "", rate = "", seconds = ""]: readonly string[]): Promise<void> {
  const send = sender(Number(index));
  const [mac, itsMac, its] = [octetsOf(from, ":", 16), octetsOf(to, ":", 16), octetsOf(target, ".", 10)];
  const frames = Array.from({ length: TOGETHER }, (_, i) => makeFrame(mac, itsMac, its, i % 10 === 0));
  const fresh = new Uint8Array(TOGETHER * 14);
  const started = performance.now();
  const end = Number(seconds) * 1000;
  let [sent, failed, over] = [0, 0, false];
  process.once("SIGTERM", () => {
    over = true;
  });
  for (let at = 0; at < end && !over; at = performance.now() - started) {
    // What a tick missed the next one makes good, up to a tenth of a second.
    const due = Math.min((at * Number(rate)) / 1000, sent + failed + Number(rate) / 10);
    while (sent + failed < due) {
      randomFillSync(fresh);
      for (const [i, frame] of frames.entries()) disguise(frame, fresh.subarray(14 * i, 14 * i + 14));
      const went = send(frames);
      sent += went;
      failed += TOGETHER - went;
    }
    await new Promise((resolve) => setTimeout(resolve, TICK_MS));
  }
  console.log(JSON.stringify({ sent, failed, seconds: (performance.now() - started) / 1000 }));
}

await main(process.argv.slice(2));
