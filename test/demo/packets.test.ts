import assert from "node:assert/strict";
import { test } from "node:test";
import { type Frame, holdsText, ikeRungs, readWire } from "../../demo/packets.ts";
import { encodeMessage } from "../../isakmp/message.ts";
import { EXCHANGE, FLAG } from "../../isakmp/numbers.ts";
import { pcapRecord } from "../../isakmp/pcap-writer.ts";

const MESSAGE = encodeMessage(
  {
    initiatorCookie: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8),
    responderCookie: new Uint8Array(8),
    exchange: EXCHANGE["Identity Protection"],
    flags: 0,
    messageId: 0,
  },
  [],
);

const frame = (type: number, packet: Uint8Array | readonly number[], at = 1000): Frame => ({
  at,
  octets: Uint8Array.from([...new Uint8Array(12), type >> 8, type & 255, ...packet]),
});

/** An IPv4 packet with UDP in it, without the record's header. */
const udp = (source: string, port: number, payload: Uint8Array): Uint8Array =>
  pcapRecord({
    time: 0,
    source: { address: source, port },
    destination: { address: source === "192.0.2.1" ? "192.0.2.2" : "192.0.2.1", port },
    payload,
  }).subarray(16);

/** An IPv4 packet of any protocol. */
function ipv4(protocol: number, payload: readonly number[]): readonly number[] {
  const header = [0x45, 0, 0, 20 + payload.length, 0, 0, 0, 0, 64, protocol, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
  return [...header, ...payload];
}

const ESP = frame(0x0800, ipv4(50, [0xc5, 0x70, 0x4d, 0x9e, 0, 0, 0, 7, ...Array(100).fill(0x5a)]));

test("IKE, ESP and neighbour discovery are told apart, and anything else went in clear", () => {
  const wire = readWire(
    [
      frame(0x0806, Array(28).fill(0)),
      frame(0x0800, udp("192.0.2.2", 500, MESSAGE), 2000.25),
      ESP,
      frame(0x86dd, [0x60, 0, 0, 0, 0, 8, 58, 255, ...Array(32).fill(0), 135, 0]),
      frame(0x0800, udp("192.0.2.1", 53, Uint8Array.of(1))),
      frame(0x0800, ipv4(1, [8, 0, 0, 0])),
    ],
    "192.0.2.1",
  );
  assert.deepEqual(wire.messages, [{ at: 2000.25, from: "right", bytes: MESSAGE, number: 2 }]);
  assert.deepEqual(wire.esp, [{ at: 1000, from: "left", spi: 0xc5704d9e, sequence: 7, octets: 108 }]);
  assert.deepEqual([wire.neighbours, wire.clear], [2, 2]);
});

test("frames that are cut short count as clear and break nothing", () => {
  for (const { octets } of [ESP, frame(0x0800, udp("192.0.2.1", 500, MESSAGE))])
    for (let size = 0; size < 14 + 20 + 8; size++) {
      const wire = readWire([{ at: 0, octets: octets.slice(0, size) }], "192.0.2.1");
      assert.deepEqual([wire.esp.length, wire.clear], [0, wire.messages.length === 0 ? 1 : 0], `${size} octets`);
    }
});

test("a text is found in a frame wherever it stands", () => {
  const frames = [ESP, frame(0x0800, ipv4(1, [8, 0, ...Buffer.from("in clear")]))];
  assert.equal(holdsText(frames, "in clear"), true);
  assert.equal(holdsText([ESP], "in clear"), false);
});

test("messages are counted per exchange; one that comes again is called repeated, one without its key encrypted", () => {
  const sealed = Uint8Array.from([...MESSAGE, ...new Uint8Array(16)]);
  new DataView(sealed.buffer).setUint32(24, sealed.length);
  sealed[19] = FLAG.ENCRYPTION;
  const messages = [MESSAGE, MESSAGE, sealed, Uint8Array.of(1)].map((bytes, i) => ({ at: 10 + i, from: "left" as const, bytes }));
  assert.deepEqual(
    ikeRungs(messages, undefined, 10).map(({ at, label, octets, parts }) => [at, label, octets, parts]),
    [
      [0, "Main Mode 1", 28, ""],
      [1, "Main Mode, repeated", 28, ""],
      [2, "Main Mode 2", 44, "encrypted"],
      [3, "not ISAKMP", 1, "header needs 28 octets, 1 left"],
    ],
  );
});
