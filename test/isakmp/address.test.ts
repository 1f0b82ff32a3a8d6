import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import {
  type AddressRange,
  addressBytes,
  addressFromBytes,
  bitsOf,
  canonicalAddress,
  covers,
  everyAddress,
  type Family,
  formatAddress,
  formatEndpoint,
  formatRange,
  hostRange,
  includesAddress,
  intersection,
  isHost,
  parseAddress,
  parseRange,
  prefixesOf,
  prefixLength,
  prefixRange,
  sameRange,
} from "../../isakmp/address.ts";
import { hex } from "./build.ts";

const family = fc.constantFrom<Family>(4, 6);
const anyValue = (f: Family) => fc.bigInt({ min: 0n, max: (1n << BigInt(bitsOf(f))) - 1n });
const address = family.chain((f) => anyValue(f).map((value) => ({ family: f, value })));
const rangeOf = (f: Family): fc.Arbitrary<AddressRange> =>
  fc.tuple(anyValue(f), anyValue(f)).map(([a, b]) => ({ family: f, first: a < b ? a : b, last: a < b ? b : a }));
const range = family.chain(rangeOf);
const twoRanges = family.chain((f) => fc.tuple(rangeOf(f), rangeOf(f), anyValue(f)));

const must = (text: string): AddressRange => {
  const parsed = parseRange(text);
  assert.ok(parsed, text);
  return parsed;
};

test("addresses have one canonical text", () => {
  const texts = [
    ["192.0.2.1", "192.0.2.1"],
    ["0.0.0.0", "0.0.0.0"],
    ["2001:DB8:0:0:0:0:0:1", "2001:db8::1"],
    ["0:0:0:0:0:0:0:0", "::"],
    ["::ffff:192.0.2.1", "::ffff:c000:201"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"],
    ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["fe80::", "fe80::"],
    ["1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"],
  ];
  for (const [text, canonical] of texts) assert.equal(canonicalAddress(text ?? ""), canonical, text);
});

test("what is no address is refused", () => {
  const bad = ["", "1", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2.3.-4", " 1.2.3.4", "1.2.3.4 ", "1.2.3.4/32", "0x1.2.3.4"];
  const bad6 = [
    ":",
    ":::",
    "1::2::3",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "1:2:3:4:5:6:7:8::",
    "12345::",
    "g::",
    "fe80::1%eth0",
    "::1.2.3",
    "1.2.3.4::",
  ];
  for (const text of [...bad, ...bad6]) assert.equal(parseAddress(text), undefined, text);
});

test("every address comes back from its text and from its octets", () => {
  fc.assert(
    fc.property(address, (a) => {
      assert.deepEqual(parseAddress(formatAddress(a.family, a.value)), a);
      assert.deepEqual(addressFromBytes(addressBytes(a.family, a.value)), a);
    }),
  );
});

test("octets are in network order, and only 4 or 16 are an address", () => {
  assert.deepEqual(addressBytes(4, 0xc0000201n), hex("c0000201"));
  assert.deepEqual(addressBytes(6, 1n), hex(`${"00".repeat(15)}01`));
  for (const size of [0, 3, 5, 15, 17]) assert.equal(addressFromBytes(new Uint8Array(size)), undefined);
});

test("ranges are read as host, prefix or interval, host bits cleared", () => {
  assert.deepEqual(must("192.0.2.1"), hostRange(4, 0xc0000201n));
  assert.deepEqual(must("192.0.2.77/24"), { family: 4, first: 0xc0000200n, last: 0xc00002ffn });
  assert.deepEqual(must("192.0.2.1-192.0.2.9"), { family: 4, first: 0xc0000201n, last: 0xc0000209n });
  assert.deepEqual(must("0.0.0.0/0"), everyAddress(4));
  assert.deepEqual(must("::/0"), everyAddress(6));
  assert.deepEqual(must("10.0.0.1/32"), must("10.0.0.1"));
});

test("what is no range is refused", () => {
  const bad = [
    "",
    "/24",
    "10.0.0.0/",
    "10.0.0.0/33",
    "::/129",
    "10.0.0.0/-1",
    "10.0.0.0/ 8",
    "10.0.0.9-10.0.0.1",
    "10.0.0.1-::1",
    "10.0.0.1-",
    "-10.0.0.1",
    "10.0.0.0/8-10.1.0.0",
  ];
  for (const text of bad) assert.equal(parseRange(text), undefined, text);
});

test("a range reads as a prefix where it is one, and comes back from its text", () => {
  assert.equal(formatRange(must("10.1.2.3/8")), "10.0.0.0/8");
  assert.equal(formatRange(must("192.0.2.1")), "192.0.2.1/32");
  assert.equal(formatRange(must("192.0.2.1-192.0.2.2")), "192.0.2.1-192.0.2.2");
  assert.equal(formatRange(must("192.0.2.0-192.0.2.255")), "192.0.2.0/24");
  fc.assert(fc.property(range, (r) => assert.deepEqual(must(formatRange(r)), r)));
});

test("a prefix has the length it was made with", () => {
  fc.assert(
    fc.property(address, fc.nat(128), (a, n) => {
      const length = n % (bitsOf(a.family) + 1);
      const prefix = prefixRange(a.family, a.value, length);
      assert.equal(prefixLength(prefix), length);
      assert.ok(includesAddress(prefix, formatAddress(a.family, a.value)));
    }),
  );
  assert.equal(prefixLength(must("192.0.2.1-192.0.2.2")), undefined);
  assert.equal(prefixLength(must("192.0.2.1-192.0.2.3")), undefined);
});

test("the prefixes of a range follow each other, fill it exactly and are few", () => {
  fc.assert(
    fc.property(range, (r) => {
      const prefixes = prefixesOf(r);
      let next = r.first;
      for (const { address: text, length } of prefixes) {
        const part = must(`${text}/${length}`);
        assert.equal(part.first, next);
        next = part.last + 1n;
      }
      assert.equal(next, r.last + 1n);
      assert.ok(prefixes.length <= 2 * bitsOf(r.family) - 2 || prefixes.length === 1);
    }),
  );
  assert.deepEqual(prefixesOf(everyAddress(6)), [{ address: "::", length: 0 }]);
  assert.deepEqual(prefixesOf(must("192.0.2.1-192.0.2.4")), [
    { address: "192.0.2.1", length: 32 },
    { address: "192.0.2.2", length: 31 },
    { address: "192.0.2.4", length: 32 },
  ]);
});

test("covering, intersection and membership agree with each other", () => {
  fc.assert(
    fc.property(twoRanges, ([a, b, value]) => {
      const common = intersection(a, b);
      const text = formatAddress(a.family, value);
      assert.equal(common !== undefined && includesAddress(common, text), includesAddress(a, text) && includesAddress(b, text));
      assert.equal(covers(a, b), common !== undefined && sameRange(common, b));
      assert.equal(isHost(a), a.first === a.last);
    }),
  );
});

test("families never mix", () => {
  const [four, six] = [everyAddress(4), everyAddress(6)];
  assert.equal(covers(six, four), false);
  assert.equal(intersection(six, four), undefined);
  assert.equal(sameRange(must("0.0.0.1"), must("::1")), false);
  assert.equal(includesAddress(six, "192.0.2.1"), false);
  assert.equal(includesAddress(six, "no address"), false);
});

test("an endpoint has brackets round an IPv6 address only", () => {
  assert.equal(formatEndpoint("192.0.2.1", 500), "192.0.2.1:500");
  assert.equal(formatEndpoint("2001:db8::1", 4500), "[2001:db8::1]:4500");
});
