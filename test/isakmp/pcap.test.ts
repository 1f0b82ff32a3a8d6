import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import test from "node:test";
import fc from "fast-check";
import { toHex } from "../../isakmp/hex.ts";
import { type CapturedDatagram, decodePcap, isakmpOf } from "../../isakmp/pcap.ts";
import { vectors } from "../vectors.ts";
import { mutated, octets } from "./arbitraries.ts";
import { hex, octets as join } from "./build.ts";
import { BIG, block, classic, description, enhanced, ipv4, LITTLE, option, section, udp } from "./capture-build.ts";

const PACKET = ipv4(udp(hex("aabb")));
const ORDERS = [
  ["big-endian", BIG],
  ["little-endian", LITTLE],
] as const;

for (const [name, order] of ORDERS) {
  test(`a ${name} capture in microseconds gives time, ends and payload`, () => {
    assert.deepEqual(decodePcap(classic(order, 101, [{ seconds: 1_700_000_000, fraction: 250_500, bytes: PACKET }])), {
      datagrams: [
        {
          number: 1,
          time: 1_700_000_000_250.5,
          source: { address: "192.0.2.1", port: 500 },
          destination: { address: "192.0.2.2", port: 500 },
          payload: hex("aabb"),
          complete: true,
        },
      ],
      packets: 1,
      ignored: 0,
      problem: undefined,
    });
  });

  test(`a ${name} capture in nanoseconds gives the same time`, () => {
    const file = classic(order, 101, [{ seconds: 1_700_000_000, fraction: 250_500_000, bytes: PACKET }], 0xa1b23c4d);
    assert.equal(decodePcap(file).datagrams[0]?.time, 1_700_000_000_250.5);
  });

  test(`a ${name} pcapng file is read, with the time units of each interface`, () => {
    const offset = order === BIG ? hex("0000000000000064") : hex("6400000000000000");
    const file = join(
      section(order),
      description(order, 101),
      description(order, 101, option(order, 2, hex("616263")), option(order, 9, hex("09")), option(order, 0, hex(""))),
      description(order, 101, option(order, 9, hex("8a")), option(order, 14, offset)),
      enhanced(order, 1_700_000_000_250_500n, PACKET, 0),
      enhanced(order, 1_700_000_000_250_500_000n, PACKET, 1),
      enhanced(order, 1536n, PACKET, 2),
    );
    const capture = decodePcap(file);
    assert.equal(capture.problem, undefined);
    assert.deepEqual(times(capture.datagrams), [1_700_000_000_250.5, 1_700_000_000_250.5, 101_500]);
  });
}

test("what a link type says of frame check sequences is not part of its number", () => {
  assert.equal(decodePcap(classic(BIG, 0x14000065, [{ seconds: 1, fraction: 0, bytes: PACKET }])).datagrams.length, 1);
});

test("pcapng: times may be counted from before 1970", () => {
  const file = join(section(BIG), description(BIG, 101, option(BIG, 14, hex("fffffffffffffffe"))), enhanced(BIG, 3_500_000n, PACKET));
  assert.deepEqual(times(decodePcap(file).datagrams), [1500]);
});

test("pcapng: simple and old packets are read, unknown blocks skipped", () => {
  const old = block(LITTLE, 2, join("0000 0000", LITTLE.u32(0), LITTLE.u32(5000), LITTLE.u32(30), LITTLE.u32(30), PACKET));
  const simple = block(LITTLE, 3, join(LITTLE.u32(PACKET.length), PACKET));
  const capture = decodePcap(join(section(LITTLE), block(LITTLE, 0x0bad, hex("01020304")), description(LITTLE, 101), old, simple));
  assert.equal(capture.problem, undefined);
  assert.deepEqual(times(capture.datagrams), [5, 0]);
});

test("pcapng: a new section has its own byte order and interfaces", () => {
  const little = join(section(LITTLE), description(LITTLE, 101), enhanced(LITTLE, 1000n, PACKET));
  const big = join(section(BIG), description(BIG, 1), description(BIG, 101), enhanced(BIG, 2000n, PACKET, 1));
  const capture = decodePcap(join(little, big));
  assert.deepEqual([times(capture.datagrams), capture.problem], [[1, 2], undefined]);
  const forgotten = decodePcap(join(little, section(BIG), enhanced(BIG, 2000n, PACKET)));
  assert.match(forgotten.problem?.what ?? "", /interface 0, 0 are described/);
});

const WHOLE = classic(BIG, 101, [
  { seconds: 1, fraction: 0, bytes: PACKET },
  { seconds: 2, fraction: 0, bytes: PACKET },
]);
const NG = join(section(BIG), description(BIG, 101), enhanced(BIG, 1n, PACKET));

const BROKEN: readonly (readonly [string, Uint8Array, number, RegExp, number])[] = [
  ["an empty file", hex(""), 0, /file format needs 4 octets, 0 left/, 0],
  ["a file of another kind", hex("89504e47 0d0a1a0a"), 0, /neither pcap nor pcapng: the file begins with 89504e47/, 0],
  ["a file that ends inside its header", WHOLE.slice(0, 20), 20, /link type needs 4 octets/, 0],
  ["a pcap version of the future", join(WHOLE.subarray(0, 4), "0003", WHOLE.subarray(6)), 4, /version 3/, 0],
  ["a file that ends inside the second packet", WHOLE.slice(0, -1), 24 + 16 + 30 + 16, /packet needs 30 octets, 29 left/, 1],
  ["a packet longer than the file", join(WHOLE.subarray(0, 32), "ffffffff", WHOLE.subarray(36)), 40, /packet needs 4294967295 octets/, 0],
  ["a pcapng byte order that is none", join(NG.subarray(0, 8), "01020304", NG.subarray(12)), 8, /byte order mark 01020304/, 0],
  ["a pcapng block of length zero", join(NG, block(BIG, 5, hex(""), 0)), NG.length + 4, /block length 0/, 1],
  ["a pcapng block of length 13", join(NG, block(BIG, 5, hex(""), 13)), NG.length + 4, /block length 13/, 1],
  ["a pcapng block beyond the file", join(NG, block(BIG, 5, hex(""), 0xfffffffc)), NG.length + 8, /block needs 4294967280 octets/, 1],
  ["two lengths that differ", join(NG, "00000005 0000000c 00000010"), NG.length + 4, /two lengths/, 1],
  ["a packet of an interface nobody described", join(NG, enhanced(BIG, 1n, PACKET, 7)), NG.length + 8, /interface 7, 1 are described/, 1],
  [
    "a packet longer than its block",
    join(NG, block(BIG, 6, join(new Uint8Array(12), "00000100 00000100"))),
    NG.length + 28,
    /packet needs 256 octets, 0 left/,
    1,
  ],
];

for (const [name, file, offset, what, datagrams] of BROKEN)
  test(`${name} is reported at octet ${offset}, after ${datagrams} datagrams`, () => {
    const capture = decodePcap(file);
    assert.match(capture.problem?.what ?? "nothing was wrong", what);
    assert.equal(capture.problem?.offset, offset);
    assert.equal(capture.datagrams.length, datagrams);
  });

test("more than 1024 interfaces are not remembered", () => {
  const capture = decodePcap(join(section(BIG), ...Array.from({ length: 1025 }, () => description(BIG, 101))));
  assert.match(capture.problem?.what ?? "", /more than 1024 interfaces/);
});

test("the recorded negotiation gives its 15 datagrams, the six of Main Mode first", () => {
  const capture = recorded();
  assert.deepEqual([capture.packets, capture.ignored, capture.problem], [29, 14, undefined]);
  assert.equal(capture.datagrams.length, 15);
  const { mainMode } = vectors<{ readonly mainMode: { readonly messages: readonly string[] } }>("kerberos");
  assert.deepEqual(
    capture.datagrams.slice(0, 6).map(({ payload }) => toHex(payload)),
    mainMode.messages,
  );
  const [first] = capture.datagrams;
  assert.deepEqual(first?.source, { address: "10.99.0.1", port: 500 });
  assert.ok(capture.datagrams.every(({ complete }) => complete));
});

test("ISAKMP is found on its port, and behind the marker on the other, never in ESP or keepalives", () => {
  const at = (port: number, payload: string): CapturedDatagram => ({
    number: 1,
    time: 0,
    source: { address: "192.0.2.1", port: 32514 },
    destination: { address: "192.0.2.2", port },
    payload: hex(payload),
    complete: true,
  });
  const found = (d: CapturedDatagram, ...ports: number[]) => toHex(isakmpOf(d, ...ports) ?? hex("ff"));
  assert.equal(found(at(500, "00000000aa")), "00000000aa");
  assert.equal(found(at(4500, "00000000aa")), "aa");
  for (const payload of ["ff", "c5704d9e00000001", "00000000", ""]) assert.equal(isakmpOf(at(4500, payload)), undefined, payload);
  assert.equal(isakmpOf(at(53, "aa")), undefined);
  assert.equal(found(at(10500, "aa"), 10500, 14500), "aa");
  assert.equal(found(at(14500, "00000000aa"), 10500, 14500), "aa");
});

test("any octets are a capture or a problem within the file, and never an exception", () => {
  const start = fc.constantFrom(WHOLE, NG, classic(LITTLE, 1, [{ seconds: 1, fraction: 2, bytes: PACKET }]));
  fc.assert(
    fc.property(
      fc.oneof(
        octets(),
        mutated(start),
        fc.tuple(start, octets()).map(([a, b]) => join(a, b)),
      ),
      (file) => {
        const { problem } = decodePcap(file);
        if (problem) assert.ok(problem.offset >= 0 && problem.offset <= file.length, `${problem.offset} of ${file.length}`);
      },
    ),
    { numRuns: 500 },
  );
});

const times = (datagrams: readonly CapturedDatagram[]): readonly number[] => datagrams.map(({ time }) => time);

function recorded() {
  for (let folder = new URL("./", import.meta.url); ; folder = new URL("../", folder)) {
    const file = new URL("pcaps/kerberos-main-mode.pcap", folder);
    if (existsSync(file)) return decodePcap(readFileSync(file));
    assert.notEqual(folder.pathname, "/", "no pcaps folder above the tests");
  }
}
