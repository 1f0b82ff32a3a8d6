import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { canonicalAddress } from "../../isakmp/address.ts";
import { type Datagram, decodePcap } from "../../isakmp/pcap.ts";
import { encodePcap, pcapHeader, pcapRecord } from "../../isakmp/pcap-writer.ts";
import { octets, uint16 } from "./arbitraries.ts";
import { hex, octets as join } from "./build.ts";

const DATAGRAM: Datagram = {
  time: 1_700_000_000_250.5,
  source: { address: "192.0.2.1", port: 500 },
  destination: { address: "192.0.2.2", port: 4500 },
  payload: hex("aabbcc"),
};

const end = (address: fc.Arbitrary<string>) => fc.record({ address: address.map((text) => canonicalAddress(text) ?? "::"), port: uint16 });
const between = (address: fc.Arbitrary<string>): fc.Arbitrary<Datagram> =>
  fc.record({
    time: fc.integer({ min: 0, max: 4_294_967_295_999 }),
    source: end(address),
    destination: end(address),
    payload: octets({ maxLength: 300 }),
  });
const datagram = fc.oneof(between(fc.ipV4()), between(fc.ipV6().map((text) => (text.includes("%") ? "::1" : text))));

test("a record is an IP packet with the times and lengths of the datagram", () => {
  const ip = "4500001f 00000000 4011 f6ca c0000201 c0000202";
  const udp = "01f4 1194 000b f18f aabbcc";
  assert.deepEqual(pcapRecord(DATAGRAM), join("6553f100 0003d284 0000001f 0000001f", ip, udp));
});

test("a file is its header and its records", () => {
  assert.deepEqual(pcapHeader(), hex("a1b2c3d4 0002 0004 00000000 00000000 00040000 00000065"));
  assert.deepEqual(encodePcap([DATAGRAM, DATAGRAM]), join(pcapHeader(), pcapRecord(DATAGRAM), pcapRecord(DATAGRAM)));
});

test("every datagram comes back from the file it was written to", () => {
  fc.assert(
    fc.property(fc.array(datagram, { maxLength: 5 }), (datagrams) => {
      const capture = decodePcap(encodePcap(datagrams));
      assert.deepEqual([capture.problem, capture.ignored], [undefined, 0]);
      const plain = (list: readonly Datagram[]) =>
        list.map(({ time, source, destination, payload }) => ({ time, source: { ...source }, destination: { ...destination }, payload }));
      assert.deepEqual(plain(capture.datagrams), plain(datagrams));
    }),
  );
});

test("checksums are right: header and datagram add up to all ones", () => {
  fc.assert(
    fc.property(datagram, (d) => {
      const packet = pcapRecord(d).subarray(16);
      const isFour = (packet[0] ?? 0) >> 4 === 4;
      if (isFour) assert.equal(sum(packet.subarray(0, 20)), 0xffff);
      const [addresses, udp] = isFour ? [packet.subarray(12, 20), packet.subarray(20)] : [packet.subarray(8, 40), packet.subarray(40)];
      assert.equal(sum(join(addresses, 0, 17, udp.subarray(4, 6), udp)), 0xffff);
      assert.notDeepEqual(udp.subarray(6, 8), hex("0000"), "a checksum of zero would mean there is none");
    }),
  );
});

test("a checksum that comes out as zero is sent as all ones", () => {
  const ofZeros = pcapRecord({ ...DATAGRAM, payload: hex("0000") });
  const payload = ofZeros.slice(-4, -2);
  assert.deepEqual(pcapRecord({ ...DATAGRAM, payload }).slice(-4, -2), hex("ffff"));
});

test("times round to microseconds without ever counting a million of them", () => {
  const at = (time: number) => decodePcap(encodePcap([{ ...DATAGRAM, time }])).datagrams[0]?.time;
  assert.equal(at(1999.9999), 2000);
  assert.equal(at(0.0004), 0);
  assert.equal(at(1234.567), 1234.567);
});

test("the largest datagram fits, and one octet more is a bug of the caller", () => {
  const sized = (length: number, address = "192.0.2.1"): Datagram => ({
    ...DATAGRAM,
    source: { address, port: 1 },
    destination: { address, port: 2 },
    payload: new Uint8Array(length),
  });
  assert.equal(decodePcap(encodePcap([sized(65507)])).datagrams[0]?.payload.length, 65507);
  assert.throws(() => pcapRecord(sized(65508)), RangeError);
  assert.equal(decodePcap(encodePcap([sized(65527, "::1")])).datagrams[0]?.payload.length, 65527);
  assert.throws(() => pcapRecord(sized(65528, "::1")), RangeError);
});

test("no packet goes between families, or from what is no address", () => {
  for (const address of ["2001:db8::1", "localhost", ""])
    assert.throws(() => pcapRecord({ ...DATAGRAM, source: { address, port: 1 } }), /no packet goes from/);
});

/** One's complement sum of 16-bit words. */
function sum(bytes: Uint8Array): number {
  let total = 0;
  for (let i = 0; i < bytes.length; i += 2) total += ((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0);
  while (total > 0xffff) total = (total & 0xffff) + (total >> 16);
  return total;
}
