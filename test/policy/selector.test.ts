import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type AddressRange, covers, everyAddress, type Family, hostRange, parseRange, prefixRange } from "../../isakmp/address.ts";
import { parseFilter } from "../../policy/filter.ts";
import {
  concreteSelectors,
  coversSelector,
  formatSelector,
  idPayloadOf,
  isOfMany,
  isReachable,
  rangeOfId,
  type SelectorContext,
  sameSelector,
} from "../../policy/selector.ts";
import type { Filter, Side, TrafficSelector } from "../../policy/types.ts";

const filterOf = (text: string): Filter => {
  const filter = parseFilter(text);
  assert.ok(filter.ok, filter.ok ? "" : filter.error);
  return filter.value;
};
const rangeOf = (text: string): AddressRange => {
  const range = parseRange(text);
  assert.ok(range, text);
  return range;
};

const transport: SelectorContext = { action: "require", mode: "transport", tunnel: null, peer: null };
const tunnel = (local: string | null): SelectorContext => ({
  action: "require",
  mode: "tunnel",
  tunnel: { local, remote: "203.0.113.9" },
  peer: null,
});
const texts = (filter: string, context: SelectorContext, addresses: readonly string[]) =>
  concreteSelectors(filterOf(filter), context, addresses).map(formatSelector);

const HOST = ["192.0.2.1", "127.0.0.1", "fe80::1", "::1", "2001:db8::1"];

const CONCRETE: readonly (readonly [string, SelectorContext, readonly string[]])[] = [
  ["me <-> 192.0.2.2", transport, ["192.0.2.1 <-> 192.0.2.2"]],
  ["192.0.2.2 <-> me", transport, ["192.0.2.1 <-> 192.0.2.2"]],
  ["me <-> any", transport, ["192.0.2.1 <-> 0.0.0.0/0", "2001:db8::1 <-> ::/0"]],
  ["me <-> any", { ...transport, peer: rangeOf("192.0.2.0/24") }, ["192.0.2.1 <-> 192.0.2.0/24"]],
  ["me <-> 192.0.2.2-198.51.100.1", { ...transport, peer: rangeOf("192.0.2.9") }, ["192.0.2.1 <-> 192.0.2.9"]],
  ["me:445 <-> 10.1.0.0/16 tcp", transport, ["192.0.2.1:445 <-> 10.1.0.0/16 tcp"]],
  ["10.1.0.0/16:445 <-> me tcp", transport, ["192.0.2.1 <-> 10.1.0.0/16:445 tcp"]],
  ["me <-> any icmp", transport, ["192.0.2.1 <-> 0.0.0.0/0 icmp", "2001:db8::1 <-> ::/0 icmpv6"]],
  ["me <-> any icmpv6", transport, ["2001:db8::1 <-> ::/0 icmpv6"]],
  ["127.0.0.1 <-> 127.0.0.2", transport, ["127.0.0.1 <-> 127.0.0.2"]],
  ["fe80::1 <-> any", transport, []],
  ["fe80::1 <-> any", { ...transport, action: "block" }, ["fe80::1 <-> ::/0"]],
  ["192.0.2.0/24 <-> 10.0.0.1", transport, ["192.0.2.1 <-> 10.0.0.1"]],
  ["any <-> 10.0.0.1", transport, ["192.0.2.1 <-> 10.0.0.1"]],
  ["192.168.0.0/24 <-> 10.0.0.1", transport, []],
  ["10.1.0.0/16 <-> 10.2.0.0/16", tunnel(null), ["10.1.0.0/16 <-> 10.2.0.0/16"]],
  ["me <-> 10.2.0.0/16", tunnel("198.51.100.1"), ["198.51.100.1 <-> 10.2.0.0/16"]],
  ["me <-> 10.2.0.0/16", tunnel("127.0.0.1"), ["127.0.0.1 <-> 10.2.0.0/16"]],
  ["me <-> any", tunnel(null), ["192.0.2.1 <-> 0.0.0.0/0", "2001:db8::1 <-> ::/0"]],
  ["any <-> any", tunnel(null), ["0.0.0.0/0 <-> 0.0.0.0/0", "::/0 <-> ::/0"]],
  ["any <-> 2001:db8:2::/48", tunnel(null), ["::/0 <-> 2001:db8:2::/48"]],
];
for (const [filter, context, expected] of CONCRETE) {
  test(`${filter} in ${context.mode} mode${context.peer ? " with a peer" : ""} stands for ${expected.join(" and ") || "nothing"} here`, () => {
    assert.deepEqual(texts(filter, context, HOST), expected);
  });
}

test("loopback, IPv6 link-local, multicast and unspecified addresses are never me; documentation, private, IPv4 link-local ones and those of 0/8 and 240/4 are", () => {
  for (const address of [
    "127.0.0.1",
    "127.9.9.9",
    "0.0.0.0",
    "224.0.0.1",
    "239.255.255.255",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "ff02::1",
    "nonsense",
  ]) {
    assert.equal(isReachable(address), false, address);
  }
  const four = [
    "192.0.2.1",
    "10.0.0.1",
    "169.253.0.1",
    "169.254.0.1",
    "128.0.0.1",
    "0.0.0.1",
    "0.255.255.255",
    "240.0.0.0",
    "255.255.255.254",
  ];
  for (const address of [...four, "::2", "fd00::1", "fec0::1", "2001:db8::1"]) {
    assert.equal(isReachable(address), true, address);
    assert.equal(isOfMany(address), false, address);
  }
});

const REFUSED: readonly (readonly [string, string])[] = [
  ["", '"" is no filter; write "me <-> 192.0.2.2" or "me <-> 10.1.0.0/16:445 tcp"'],
  ["me 192.0.2.2", '"me 192.0.2.2" is no filter; write "me <-> 192.0.2.2" or "me <-> 10.1.0.0/16:445 tcp"'],
  ["me <-> me", '"me <-> me": both sides are me; traffic of this host with itself is never protected'],
  ["192.0.2.1 <-> 2001:db8::1", '"192.0.2.1 <-> 2001:db8::1": one side is IPv4 and the other IPv6'],
  ["me <-> any:445", '"me <-> any:445": a port needs a protocol that has ports; add tcp, udp or sctp at the end'],
  ["me:1 <-> any icmp", '"me:1 <-> any icmp": a port needs a protocol that has ports; add tcp, udp or sctp at the end'],
  ["me <-> any:0 tcp", '"any:0": "0" is no port; one port from 1 to 65535 is possible, or none for all of them'],
  ["me <-> any:65536 tcp", '"any:65536": "65536" is no port; one port from 1 to 65535 is possible, or none for all of them'],
  ["me <-> any:80-90 tcp", '"any:80-90": "80-90" is no port; one port from 1 to 65535 is possible, or none for all of them'],
  ["me <-> [2001:db8::1]: tcp", '"[2001:db8::1]:": "" is no port; one port from 1 to 65535 is possible, or none for all of them'],
  ["me <-> host_example", '"host_example" is not me, any, an address, a subnet (10.1.0.0/16), a range (10.1.0.1-10.1.0.9) or a host name'],
  ["me <-> 10.0.0.0/33", '"10.0.0.0/33" is not me, any, an address, a subnet (10.1.0.0/16), a range (10.1.0.1-10.1.0.9) or a host name'],
  [
    "me <-> 10.0.0.9-10.0.0.1",
    '"10.0.0.9-10.0.0.1" is not me, any, an address, a subnet (10.1.0.0/16), a range (10.1.0.1-10.1.0.9) or a host name',
  ],
  [
    "me <-> 2001:db8::/32:445 tcp",
    '"2001:db8::/32:445" is not me, any, an address, a subnet (10.1.0.0/16), a range (10.1.0.1-10.1.0.9) or a host name; write [2001:db8::/32]:445 for a port',
  ],
  [
    "me <-> any http",
    'unknown protocol "http"; known are any, icmp, tcp, udp, gre, esp, ah, icmpv6, sctp, l2tp, rdp, ggp, egp, pup, xns, rvd, and numbers up to 255',
  ],
  [
    "me <-> any 256",
    'unknown protocol "256"; known are any, icmp, tcp, udp, gre, esp, ah, icmpv6, sctp, l2tp, rdp, ggp, egp, pup, xns, rvd, and numbers up to 255',
  ],
  ["me <-> any tcp udp", '"me <-> any tcp udp": "udp" after the protocol is too much'],
  ["me <-> 2001:db8::1 icmp", '"me <-> 2001:db8::1 icmp": icmp of IPv6 is called icmpv6'],
  ["me <-> 192.0.2.2 58", '"me <-> 192.0.2.2 58": icmpv6 between IPv4 addresses does not exist; write icmp'],
];
for (const [text, message] of REFUSED) {
  test(`the filter ${JSON.stringify(text)} is refused with a reason`, () =>
    assert.deepEqual(parseFilter(text), { ok: false, error: message }));
}

test("a filter keeps its text, and blanks round arrows and dashes do not matter", () => {
  assert.equal(filterOf("me<->10.0.0.1").text, "me<->10.0.0.1");
  const tight = filterOf("10.0.0.1-10.0.0.9<->[2001:db8::1]:1 tcp".replace("[2001:db8::1]:1", "10.9.0.0/16:1"));
  const loose = filterOf("  10.0.0.1 - 10.0.0.9  <->  10.9.0.0/16:1   TCP ");
  assert.deepEqual({ ...loose, text: "" }, { ...tight, text: "" });
});

const families = fc.constantFrom<Family>(4, 6);
const ranges: fc.Arbitrary<AddressRange> = families.chain((family) => {
  const bits = family === 4 ? 32 : 128;
  const address = fc.bigInt({ min: 0n, max: everyAddress(family).last });
  return fc.oneof(
    address.map((value) => hostRange(family, value)),
    fc.tuple(address, fc.integer({ min: 0, max: bits })).map(([value, length]) => prefixRange(family, value, length)),
    fc.tuple(address, address).map(([a, b]) => ({ family, first: a < b ? a : b, last: a < b ? b : a })),
  );
});
const selectors: fc.Arbitrary<TrafficSelector> = fc
  .tuple(ranges, ranges, fc.constantFrom(0, 1, 6, 17, 47, 58, 132, 200), fc.nat(65535), fc.nat(65535))
  .filter(([local, remote, protocol]) => local.family === remote.family && protocol !== (local.family === 4 ? 58 : 1))
  .map(([local, remote, protocol, a, b]) => {
    const ports = [6, 17, 132].includes(protocol);
    return { local, remote, protocol, localPort: ports ? a : 0, remotePort: ports ? b : 0 };
  });

test("the text of a selector is a filter for that selector", () => {
  fc.assert(
    fc.property(selectors, (selector) => {
      const filter = filterOf(formatSelector(selector));
      const found = concreteSelectors(filter, tunnel(null), []);
      assert.equal(found.length, 1);
      assert.deepEqual(found[0], selector);
    }),
    { numRuns: 500 },
  );
});

test("any text is a filter or a refusal, never an exception", () => {
  const words = fc.array(fc.constantFrom("me", "any", "<->", " ", "->", "10.0.0.1", "/8", ":", "[", "]", "::1", "-", "tcp", "445"), {
    maxLength: 12,
  });
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        words.map((parts) => parts.join("")),
      ),
      (text) => {
        const filter = parseFilter(text);
        if (filter.ok) assert.equal(filter.value.remote.kind === "me", false);
        else assert.ok(filter.error.length > 0);
      },
    ),
    { numRuns: 1000 },
  );
});

test("what a selector covers is no wider in any respect", () => {
  fc.assert(
    fc.property(selectors, selectors, (a, b) => {
      const narrower = { ...a, protocol: a.protocol || 6, remotePort: a.remotePort || 80 };
      assert.equal(coversSelector(a, a), true);
      assert.equal(coversSelector(a, narrower), true);
      assert.equal(coversSelector(narrower, a), sameSelector(a, narrower));
      const all = (family: Family): TrafficSelector => {
        return { local: everyAddress(family), remote: everyAddress(family), protocol: 0, localPort: 0, remotePort: 0 };
      };
      assert.equal(coversSelector(all(a.local.family), b), a.local.family === b.local.family);
      if (coversSelector(a, b)) assert.ok(covers(a.local, b.local) && covers(a.remote, b.remote));
    }),
  );
  const base = concreteSelectors(filterOf("10.1.0.0/16:445 <-> 10.2.0.0/16 tcp"), tunnel(null), [])[0];
  assert.ok(base);
  for (const other of [
    "10.0.0.0/15:445 <-> 10.2.0.0/16 tcp",
    "10.1.0.0/16:445 <-> 10.2.0.0/15 tcp",
    "10.1.0.0/16:445 <-> 10.2.0.0/16 udp",
    "10.1.0.0/16:446 <-> 10.2.0.0/16 tcp",
    "10.1.0.0/16 <-> 10.2.0.0/16 tcp",
    "10.1.0.0/16 <-> 10.2.0.0/16",
  ]) {
    assert.equal(coversSelector(base, concreteSelectors(filterOf(other), tunnel(null), [])[0] as TrafficSelector), false, other);
  }
});

const hex = (data: Uint8Array) => Buffer.from(data).toString("hex");
const IDS: readonly (readonly [string, number, string])[] = [
  ["192.0.2.1", 1, "c0000201"],
  ["10.1.0.0/16", 4, "0a010000ffff0000"],
  ["0.0.0.0/0", 4, "0000000000000000"],
  ["10.0.0.1-10.0.0.9", 7, "0a0000010a000009"],
  ["10.0.0.0-10.0.0.255", 4, "0a000000ffffff00"],
  ["2001:db8::1", 5, "20010db8000000000000000000000001"],
  ["2001:db8::/33", 6, "20010db8000000000000000000000000ffffffff800000000000000000000000"],
  ["2001:db8::1-2001:db8::3", 8, "20010db800000000000000000000000120010db8000000000000000000000003"],
];
for (const [text, type, data] of IDS) {
  test(`${text} is an ID payload of type ${type}`, () => {
    const id = idPayloadOf(rangeOf(text), 6, 445);
    assert.deepEqual({ ...id, data: hex(id.data) }, { type, protocol: 6, port: 445, data });
    assert.deepEqual(rangeOfId(id), rangeOf(text));
  });
}

test("every range comes back from its ID payload", () => {
  fc.assert(
    fc.property(ranges, (range) => assert.deepEqual(rangeOfId(idPayloadOf(range, 0, 0)), range)),
    { numRuns: 500 },
  );
});

const BAD_IDS: readonly (readonly [string, number, string])[] = [
  ["a mask with a hole", 4, "0a010000ff00ff00"],
  ["a mask without leading ones", 4, "0a0100000000ffff"],
  ["a short address", 1, "0a0100"],
  ["an IPv4 type with 16 octets", 1, "20010db8000000000000000000000001"],
  ["an IPv4 subnet of 5 octets", 4, "0a01000010"],
  ["an IPv4 subnet with an IPv6 mask", 4, "0a010000ffffffff800000000000000000000000"],
  ["an IPv4 address of 8 octets", 1, "0a0100000a010000"],
  ["a range that ends before it starts", 7, "0a0000090a000001"],
  ["half an IPv6 range", 8, "20010db8000000000000000000000001"],
  ["a host name", 2, "6d6f6f6e"],
  ["an unknown type", 200, "c0000201"],
  ["nothing", 1, ""],
];
for (const [what, type, data] of BAD_IDS) {
  test(`${what} is no selector`, () => assert.equal(rangeOfId({ type, data: Buffer.from(data, "hex") }), undefined));
}

test("address bits beyond the mask of a subnet ID are ignored", () => {
  assert.deepEqual(rangeOfId({ type: 4, data: Buffer.from("0a010203ffff0000", "hex") }), rangeOf("10.1.0.0/16"));
});

test("any octets are a range or nothing, and the range's own ID payload means the same", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 12 }), fc.uint8Array({ maxLength: 40 }), (type, data) => {
      const range = rangeOfId({ type, data });
      if (range) assert.deepEqual(rangeOfId(idPayloadOf(range, 0, 0)), range);
    }),
    { numRuns: 2000 },
  );
});

test("of many addresses the one that is asked for is found as among all of them", () => {
  const mine = ["192.0.2.1", "192.0.2.7", "2001:db8::1", "203.0.113.9", "198.51.100.4", "127.0.0.1", "2001:db8::7"];
  const filters = ["me <-> any", "192.0.2.0/29 <-> 198.51.100.0/24", "2001:db8::/64 <-> any", "203.0.113.9 <-> any"];
  for (const text of filters)
    for (const [action, mode] of [
      ["require", "transport"],
      ["require", "tunnel"],
      ["permit", "transport"],
    ] as const)
      for (const asked of [...mine, "192.0.2.2", "192.0.2.0/28", "2001:db8::/32"])
        for (const addresses of [mine, mine.slice(0, 2)]) {
          const filter = parseFilter(text);
          const local = parseRange(asked);
          assert.ok(filter.ok && local);
          const rule = { action, mode, tunnel: null, peer: null };
          const all = concreteSelectors(filter.value, rule, addresses);
          const shared = all.filter(
            (one) => one.local.family === local.family && one.local.first <= local.last && local.first <= one.local.last,
          );
          assert.deepEqual(concreteSelectors(filter.value, rule, addresses, { local }), shared, `${text} ${action} ${asked}`);
        }
});

test("both sides of a filter are local first, wherever me stood", () => {
  const kinds = (side: Side) => side.kind;
  const filter = filterOf("any:443 <-> me tcp");
  assert.deepEqual([kinds(filter.local), kinds(filter.remote), filter.localPort, filter.remotePort], ["me", "any", 0, 443]);
});
