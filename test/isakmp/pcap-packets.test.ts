import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import type { CapturedDatagram } from "../../isakmp/pcap.ts";
import { type Assembler, assembler } from "../../isakmp/pcap-packets.ts";
import { mutated, octets } from "./arbitraries.ts";
import { hex, octets as join } from "./build.ts";
import { extension, fragmentHeader, ipv4, ipv6, LINKS, udp } from "./capture-build.ts";

const MORE = 0x2000;
const PAYLOAD = Uint8Array.from({ length: 52 }, (_, i) => i);
const UDP_PACKET = udp(PAYLOAD);

let number = 0;
const take = (packet: Uint8Array, parts: Assembler = assembler(), linkType = 101) =>
  parts.take({ number: ++number, time: number, linkType, octets: packet });

const payloadOf = (outcome: ReturnType<Assembler["take"]>): Uint8Array | string =>
  typeof outcome === "string" ? outcome : outcome.payload;

for (const [name, linkType, wrap] of LINKS) {
  test(`${name}: IPv4 and IPv6 are found behind it`, () => {
    for (const [ip, etherType, source] of [
      [ipv4(UDP_PACKET), 0x0800, "192.0.2.1"],
      [ipv6(UDP_PACKET), 0x86dd, "2001:db8::1"],
    ] as const) {
      const outcome = take(wrap(ip, etherType), assembler(), linkType);
      assert.deepEqual(payloadOf(outcome), PAYLOAD);
      assert.ok(typeof outcome !== "string" && outcome.source.address === source);
    }
  });
}

const IGNORED: readonly (readonly [string, Uint8Array, number?])[] = [
  ["an unknown link type", ipv4(UDP_PACKET), 147],
  ["ARP", join(new Uint8Array(12), "0806", new Uint8Array(28)), 1],
  ["five VLAN tags", join(new Uint8Array(12), "8100 0001 8100 0001 8100 0001 8100 0001 8100 0001 0800", ipv4(UDP_PACKET)), 1],
  ["an empty packet", hex("")],
  ["IP of version 5", join("55", ipv4(UDP_PACKET).subarray(1))],
  ["TCP", ipv4(UDP_PACKET, { protocol: 6 })],
  ["ESP in IPv6", ipv6(UDP_PACKET, 50)],
  ["an IPv4 header of four octets", join("41", ipv4(UDP_PACKET).subarray(1))],
  ["an IPv4 header longer than the packet", join("4f", ipv4(hex("")).subarray(1))],
  ["an IPv4 length less than its header", ipv4(UDP_PACKET, { total: 19 })],
  ["a UDP header cut off", ipv4(UDP_PACKET.subarray(0, 7))],
  ["a UDP length of seven", ipv4(udp(PAYLOAD, 7))],
  ["an IPv6 header cut off", ipv6(UDP_PACKET).subarray(0, 39)],
  ["an IPv6 extension header longer than the packet", ipv6(join(17, 255, UDP_PACKET), 0)],
  ["an IPv6 fragment header cut off", ipv6(hex("1100 0000"), 44)],
];

for (const [name, packet, linkType] of IGNORED)
  test(`${name} holds no datagram`, () => {
    assert.equal(take(packet, assembler(), linkType), "ignored");
  });

test("padding of short Ethernet frames is no part of the datagram", () => {
  const outcome = take(join(new Uint8Array(12), "0800", ipv4(udp(hex("aa"))), new Uint8Array(20)), assembler(), 1);
  assert.deepEqual(payloadOf(outcome), hex("aa"));
});

test("options of IPv4 and extension headers of IPv6 are stepped over", () => {
  assert.deepEqual(payloadOf(take(ipv4(UDP_PACKET, { options: new Uint8Array(8) }))), PAYLOAD);
  assert.deepEqual(payloadOf(take(ipv6(join(extension(43), extension(60), extension(17), UDP_PACKET), 0))), PAYLOAD);
});

test("lengths of zero mean the rest, as segmentation in network cards leaves them", () => {
  assert.deepEqual(payloadOf(take(ipv4(UDP_PACKET, { total: 0 }))), PAYLOAD);
  assert.deepEqual(payloadOf(take(join(new Uint8Array(12), "0800", ipv4(UDP_PACKET, { total: 0 })), assembler(), 1)), PAYLOAD);
  assert.deepEqual(payloadOf(take(ipv4(udp(PAYLOAD, 0)))), PAYLOAD);
  assert.deepEqual(payloadOf(take(ipv6(UDP_PACKET, 17, 0))), PAYLOAD);
});

const INCOMPLETE: readonly (readonly [string, Uint8Array])[] = [
  ["a packet cut by the capture", ipv4(UDP_PACKET).slice(0, -2)],
  ["a UDP length beyond the IP packet", ipv4(udp(PAYLOAD.subarray(0, 50), 60))],
  ["an IPv6 packet cut by the capture", ipv6(UDP_PACKET).slice(0, -2)],
];

for (const [name, packet] of INCOMPLETE)
  test(`${name} is given as far as it goes, and marked`, () => {
    const outcome = take(packet);
    assert.ok(typeof outcome !== "string");
    assert.deepEqual([outcome.payload, outcome.complete], [PAYLOAD.subarray(0, 50), false]);
  });

test("a whole datagram is marked complete", () => {
  const outcome = take(ipv4(UDP_PACKET));
  assert.ok(typeof outcome !== "string" && outcome.complete);
});

interface Piece {
  readonly offset: number;
  readonly end: number;
}

/** The 60 octets of UDP in fragments of 24, 24 and 12 octets. */
const PIECES: readonly Piece[] = [
  { offset: 0, end: 24 },
  { offset: 24, end: 48 },
  { offset: 48, end: 60 },
];

const piece4 = ({ offset, end }: Piece, body = UDP_PACKET, id = 7): Uint8Array =>
  ipv4(body.subarray(offset, end), { fragment: offset / 8 + (end < body.length ? MORE : 0), id });
const piece6 = ({ offset, end }: Piece): Uint8Array =>
  ipv6(join(fragmentHeader(offset, end < UDP_PACKET.length), UDP_PACKET.subarray(offset, end)), 44);

test("fragments make a datagram in any order, repeated or not, in both families", () => {
  const order = fc.shuffledSubarray([0, 1, 2], { minLength: 3 });
  fc.assert(
    fc.property(order, fc.nat(2), fc.constantFrom(piece4, piece6), (sequence, again, cut) => {
      const parts = assembler();
      const pieces = [...sequence.slice(0, 2), sequence[again === 2 ? 0 : again] ?? 0, sequence[2] ?? 0].map((i) =>
        cut(PIECES[i] as Piece),
      );
      const outcomes = pieces.map((packet) => payloadOf(take(packet, parts)));
      assert.deepEqual(outcomes, ["waiting", "waiting", "waiting", PAYLOAD]);
      assert.deepEqual(parts.flush(), []);
    }),
  );
});

test("an IPv6 datagram in one fragment is whole at once", () => {
  assert.deepEqual(payloadOf(take(piece6({ offset: 0, end: UDP_PACKET.length }))), PAYLOAD);
});

test("the datagram has the number and time of the packet that completed it", () => {
  const parts = assembler();
  const outcomes = PIECES.map((p) => take(piece4(p), parts));
  assert.equal((outcomes[2] as CapturedDatagram).number, number);
});

test("fragments of two datagrams don't mix", () => {
  const parts = assembler();
  const other = udp(PAYLOAD.toReversed());
  const outcomes = PIECES.flatMap((p) => [take(piece4(p), parts), take(piece4(p, other, 8), parts)]).map(payloadOf);
  assert.deepEqual(outcomes, ["waiting", "waiting", "waiting", "waiting", PAYLOAD, PAYLOAD.toReversed()]);
});

const LIES: readonly (readonly [string, readonly Uint8Array[]])[] = [
  ["overlap", [piece4({ offset: 0, end: 24 }), piece4({ offset: 16, end: 40 })]],
  ["hold another", [piece4({ offset: 8, end: 16 }), piece4({ offset: 0, end: 24 })]],
  ["end at two places", [piece4({ offset: 48, end: 60 }), ipv4(hex("00"), { fragment: 100 })]],
  ["go on behind the end", [ipv4(UDP_PACKET.subarray(0, 8), { fragment: 2 }), piece4({ offset: 24, end: 48 })]],
  ["pass 65535 octets", [piece4({ offset: 0, end: 24 }), ipv4(new Uint8Array(16), { fragment: 0x1fff })]],
];

for (const [name, packets] of LIES)
  test(`fragments that ${name} end their datagram`, () => {
    const parts = assembler();
    assert.deepEqual(
      packets.map((packet) => take(packet, parts)),
      ["waiting", "ignored"],
    );
    assert.deepEqual(parts.flush(), []);
  });

test("what is known of an unfinished datagram is given at the end, up to its first gap", () => {
  const parts = assembler();
  take(piece4({ offset: 0, end: 24 }), parts);
  take(piece4({ offset: 48, end: 60 }), parts);
  const [rest, ...none] = parts.flush();
  assert.deepEqual([rest?.payload, rest?.complete, none], [PAYLOAD.subarray(0, 16), false, []]);
});

test("an unfinished datagram without its beginning is nothing", () => {
  const parts = assembler();
  take(piece4({ offset: 24, end: 48 }), parts);
  assert.deepEqual(parts.flush(), []);
});

test("no more than 256 unfinished datagrams are kept, and the oldest goes", () => {
  const parts = assembler();
  for (let id = 0; id < 300; id++) take(piece4({ offset: 0, end: 24 }, UDP_PACKET, id), parts);
  assert.equal(parts.flush().length, 256);
  assert.equal(take(piece4({ offset: 24, end: 48 }, UDP_PACKET, 0), parts), "waiting");
  assert.equal(take(piece4({ offset: 48, end: 60 }, UDP_PACKET, 0), parts), "waiting");
});

test("no more than 512 fragments of a datagram are kept", () => {
  const parts = assembler();
  const outcomes = Array.from({ length: 513 }, (_, i) => take(ipv4(new Uint8Array(8), { fragment: (2 * i) | MORE }), parts));
  assert.deepEqual([outcomes[511], outcomes[512]], ["waiting", "ignored"]);
});

test("any packet is a datagram, a fragment or ignored, and never an exception", () => {
  const good = fc.constantFrom(ipv4(UDP_PACKET), ipv6(UDP_PACKET), ...PIECES.map((p) => piece4(p)), ...PIECES.map(piece6));
  fc.assert(
    fc.property(
      fc.array(fc.oneof(octets(), mutated(good)), { maxLength: 10 }),
      fc.constantFrom(0, 1, 101, 113, 276),
      (packets, linkType) => {
        const parts = assembler();
        for (const packet of packets) {
          const outcome = take(packet, parts, linkType);
          assert.ok(outcome === "waiting" || outcome === "ignored" || outcome.payload.length <= 65535);
        }
        assert.ok(parts.flush().length <= packets.length);
      },
    ),
    { numRuns: 500 },
  );
});
