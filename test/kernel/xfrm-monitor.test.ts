import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { KernelEvent } from "../../ike/kernel-contract.ts";
import { xfrmMonitor } from "../../kernel/xfrm-monitor.ts";

/** Tab, and the blank that `ip` leaves at the end of some lines (editors like to remove it). */
const [T, END] = ["\t", " "];

/** What iproute2 6.1 prints for a TCP packet that meets a policy for ESP, then AH. Ends with an empty line. */
const acquireTcp = [
  `acquire proto esp${END}`,
  `  sel src 10.0.0.1/32 dst 10.0.0.2/32 proto tcp sport 0 dport 80 dev va${END}`,
  `  policy src 10.0.0.1/32 dst 10.0.0.2/32 proto tcp dport 80${END}`,
  `    ${T}dir out priority 50 ptype main${END}`,
  `    ${T}tmpl src 10.0.0.1 dst 10.0.0.2`,
  `    ${T}${T}proto esp reqid 8 mode transport`,
  `    ${T}tmpl src 10.0.0.1 dst 10.0.0.2`,
  `    ${T}${T}proto ah reqid 9 mode transport`,
  "",
];
const tcp: KernelEvent = {
  type: "acquire",
  protocol: "esp",
  reqid: 8,
  source: "10.0.0.1",
  destination: "10.0.0.2",
  ipProtocol: 6,
  sourcePort: 0,
  destinationPort: 80,
};

/** The same with `-s`: SPIs in two forms, lifetimes, and a last line instead of the empty one. */
const acquireStats = [
  `acquire proto esp spi 0x00000000(0)${END}`,
  "  sel src 10.0.0.1/32 dst 10.0.0.2/32 proto tcp sport 0 dport 80 dev va uid 0",
  "  policy src 10.0.0.1/32 dst 10.0.0.2/32 uid 0",
  `    ${T}dir out action allow index 1 priority 50 ptype main share any flag  (0x00000000)`,
  `    ${T}lifetime current:`,
  `    ${T}  0(bytes), 0(packets)`,
  `    ${T}tmpl src 0.0.0.0 dst 0.0.0.0`,
  `    ${T}${T}proto esp spi 0x00000000(0) reqid 8(0x00000008) mode transport`,
  `    ${T}${T}level required share any${END}`,
  "  seq 0x00000001 enc-mask ffffffff auth-mask ffffffff comp-mask ffffffff",
];

const expiry = (hard: 0 | 1): readonly string[] => [
  "Expired src 10.0.0.1 dst 10.0.0.2",
  `${T}proto esp spi 0xc0000001 reqid 9 mode transport`,
  `${T}replay-window 32${END}`,
  `${T}sel src 0.0.0.0/0 dst 0.0.0.0/0${END}`,
  `${T}hard ${hard}`,
];
const expired = (hard: boolean): KernelEvent => ({
  type: "expire",
  hard,
  sa: { source: "10.0.0.1", destination: "10.0.0.2", protocol: "esp", spi: 0xc0000001 },
  reqid: 9,
});

const expiryStats = [
  "Expired src 2001:db8:0:0:1::1 dst 2001:db8::2",
  `${T}proto ah spi 0xfffffff0(4294967280) reqid 1835859969(0x6d6d0001) mode tunnel`,
  `${T}replay-window 32 seq 0x00000000 flag  (0x00000000)`,
  `${T}lifetime config:`,
  `${T}  limit: soft (INF)(bytes), hard (INF)(bytes)`,
  `${T}hard 1`,
];

/** Records of an unfiltered monitor, none of which is an event of ours. */
const others: readonly (readonly string[])[] = [
  ["Async event  (0x20)  timer expired ", `${T}src 10.0.0.1 dst 10.0.0.2  reqid 0x9 protocol esp  SPI 0xc0000001`],
  ["Async event  (0x10)  replay update ", `${T}src 10.0.0.1 dst 10.0.0.2  reqid 0x9 protocol esp  SPI 0xc0000001`],
  ["src 10.0.0.1 dst 10.0.0.2", `${T}proto esp spi 0x00001000 reqid 9 mode transport`, `${T}enc cbc(aes) 0x0011223344`, `${T}hard 1`],
  ["Updated src 10.0.0.1 dst 10.0.0.2", `${T}proto esp spi 0x00001000 reqid 9 mode transport`],
  ["Deleted src 10.0.0.1 dst 10.0.0.2", `${T}proto esp spi 0x00001000 reqid 9 mode transport`],
  ["Updated src 10.0.0.1/32 dst 10.0.0.2/32 dev wg0 ", `${T}dir out priority 1000 ptype main `],
  ["Updated src 10.0.0.1/32 dst 10.0.0.2/32 ", `${T}dir out priority 1000 ptype sub `],
  ["Flushed state proto 0"],
  ["acquire proto comp ", "  sel src 10.0.0.1/32 dst 10.0.0.2/32 ", `    ${T}${T}proto comp reqid 8 mode transport`],
];

const read = (lines: readonly string[]) => {
  const monitor = xfrmMonitor();
  return { events: monitor.push(Buffer.from(`${lines.join("\n")}\n`)), ignored: monitor.ignored };
};
const acquireOf = (selector: string, protocol = "esp") => [
  `acquire proto ${protocol} `,
  `  sel ${selector} `,
  `    ${T}tmpl src :: dst ::`,
  `    ${T}${T}proto ${protocol} reqid 5 mode transport`,
  "",
];

test("an acquire names protocol, reqid, addresses and ports", () => assert.deepEqual(read(acquireTcp), { events: [tcp], ignored: 0 }));
test("the statistics form of an acquire gives the same event", () => assert.deepEqual(read(acquireStats), { events: [tcp], ignored: 0 }));
test("an acquire is told before its record ends, so that it needs no further record", () => {
  assert.deepEqual(read(acquireTcp.slice(0, 6)).events, [tcp]);
});
test("the reqid of a bundle's acquire is that of the protocol whose SA is missing", () => {
  const event = read(acquireTcp.with(0, "acquire proto ah ")).events[0];
  assert.deepEqual(event, { ...tcp, protocol: "ah", reqid: 9 });
});
test("a soft and a hard expiry name the SA", () => {
  assert.deepEqual(read([...expiry(0), ...expiry(1)]), { events: [expired(false), expired(true)], ignored: 0 });
});
test("the statistics form of an expiry gives the same, with addresses in canonical text", () => {
  const sa = { source: "2001:db8::1:0:0:1", destination: "2001:db8::2", protocol: "ah", spi: 0xfffffff0 } as const;
  assert.deepEqual(read(expiryStats).events, [{ type: "expire", hard: true, sa, reqid: 0x6d6d0001 }]);
});

const selectors: readonly (readonly [string, string, Partial<KernelEvent>])[] = [
  [
    "ICMPv6, dropping type and code",
    "src fd00::1/128 dst fd00::2/128 proto ipv6-icmp type 128 code 0",
    { source: "fd00::1", destination: "fd00::2", ipProtocol: 58, sourcePort: 0, destinationPort: 0 },
  ],
  [
    "ICMP, dropping type and code",
    "src 10.0.0.1/32 dst 10.0.0.2/32 proto icmp type 8 code 0 dev va",
    { ipProtocol: 1, sourcePort: 0, destinationPort: 0 },
  ],
  ["UDP", "src 10.0.0.1/32 dst 10.0.0.2/32 proto udp sport 39481 dport 53", { ipProtocol: 17, sourcePort: 39481, destinationPort: 53 }],
  ["omitted ports", "src 10.0.0.1/32 dst 10.0.0.2/32 proto tcp", { ipProtocol: 6, sourcePort: 0, destinationPort: 0 }],
  ["a protocol without a name", "src 10.0.0.1/32 dst 10.0.0.2/32 proto 253", { ipProtocol: 253 }],
  ["GRE with its key", "src 10.0.0.1/32 dst 10.0.0.2/32 proto gre key 7", { ipProtocol: 47, sourcePort: 0, destinationPort: 0 }],
  ["no protocol at all", "src 10.0.0.1/32 dst 10.0.0.2/32", { ipProtocol: 0 }],
];
for (const [name, selector, expected] of selectors) {
  test(`an acquire reads ${name}`, () => {
    const { events, ignored } = read(acquireOf(selector));
    assert.equal(ignored, 0);
    assert.deepEqual({ ...events[0], ...expected }, events[0]);
  });
}

test("other records are counted, and events between them are told", () => {
  for (const record of others) {
    const { events, ignored } = read([...expiry(0), ...record, ...acquireTcp]);
    assert.deepEqual([events, ignored], [[expired(false), tcp], 1], record[0]);
  }
});
test("a time stamp before a record is counted, a name space glued to it is not in the way", () => {
  assert.deepEqual(read(["Timestamp: Sat Nov 21 04:41:44 2026 445782 usec", ...acquireTcp]), { events: [tcp], ignored: 1 });
  const glued = (lines: readonly string[]) => lines.with(0, `[nsid current]${lines[0]}`);
  assert.deepEqual(read([...glued(acquireTcp), ...glued(expiry(1))]), { events: [tcp, expired(true)], ignored: 0 });
});

test("a policy that was deleted is named, and one that we can't read is passed over", () => {
  const deleted = (selector: string) => [`Deleted ${selector} `, `${T}dir fwd action block priority 1000 ptype main `];
  const selector = { source: "10.0.0.0", sourceLength: 8, destination: "10.0.0.2", destinationLength: 32 };
  assert.deepEqual(read(deleted("src 10.0.0.0/8 dst 10.0.0.2/32 proto ospf")), {
    events: [
      { type: "policy-gone", policy: { direction: "fwd", selector: { ...selector, protocol: 89, sourcePort: 0, destinationPort: 0 } } },
    ],
    ignored: 0,
  });
  for (const other of ["proto nonsense", "dev wg0", "proto gre key 7"])
    assert.deepEqual(read(deleted(`src 10.0.0.0/8 dst 10.0.0.2/32 ${other}`)), { events: [], ignored: 1 });
});

test("a policy that was changed is named, with what its first lines say", () => {
  const updated = (line: string) => ["Updated src 10.0.0.1/32 dst 10.0.0.2/32 proto 6 ", `${T}${line}`, `${T}tmpl src 0.0.0.0 dst 0.0.0.0`];
  const ends = { source: "10.0.0.1", sourceLength: 32, destination: "10.0.0.2", destinationLength: 32 };
  const selector = { ...ends, protocol: 6, sourcePort: 0, destinationPort: 0 };
  for (const [line, action, priority] of [
    ["dir out priority 1000 ptype main ", "allow", 1000],
    ["dir out action block priority 5 ptype main ", "block", 5],
    ["dir out action allow index 3510080593 priority 7 ptype main share any flag  (0x00000000)", "allow", 7],
  ] as const)
    assert.deepEqual(read(updated(line)).events, [{ type: "policy-changed", policy: { direction: "out", selector, action, priority } }]);
});

test("a policy that was changed to what has other words is told all the same", () => {
  const record = (...lines: readonly string[]) => ["Updated src 10.0.0.1/32 dst 10.0.0.2/32 ", ...lines.map((line) => `${T}${line}`)];
  const ends = { source: "10.0.0.1", sourceLength: 32, destination: "10.0.0.2", destinationLength: 32 };
  const policy = { direction: "out", selector: { ...ends, protocol: 0, sourcePort: 0, destinationPort: 0 } } as const;
  const changed = (action: string, priority: number) => [{ type: "policy-changed", policy: { ...policy, action, priority } }];
  for (const [events, ...lines] of [
    [
      changed("allow", 5),
      "dir out priority 5 ptype main ",
      "mark 0x5/0xff ",
      "tmpl src 0.0.0.0 dst 0.0.0.0",
      "\tproto comp reqid 9 mode beet",
    ],
    [
      changed("block", 5),
      "security context system_u:object_r:x_t:s0 ",
      "dir out action block priority 5 ptype main flag localok 80",
      "if_id 0x5",
    ],
    [changed("allow", 5), "dir out action 2 colour blue priority 5 ", "crypto offload parameters: dev eth0 mode packet"],
    [[{ type: "policy-gone", policy }], "dir out action allow rank first", "colour blue"],
  ] as const)
    assert.deepEqual(read(record(...lines)).events, events);
});

test("a flush of policies names none", () => {
  for (const line of ["Flushed policy ptype main ", "Flushed policy ", "[nsid current]Flushed policy ptype main "])
    assert.deepEqual(read([line]), { events: [{ type: "policy-gone", policy: null }], ignored: 0 });
});

const broken: readonly (readonly [string, readonly string[]])[] = [
  ["no template of its protocol", [...acquireTcp.slice(0, 5), ""]],
  ["an unknown protocol name", acquireOf("src 10.0.0.1/32 dst 10.0.0.2/32 proto nonsense")],
  ["an address that is none", acquireOf("src 10.0.0.256/32 dst 10.0.0.2/32")],
  ["an expiry without an SPI", [...expiry(1).filter((line) => !line.includes("spi")), ""]],
  ["an expiry with broken addresses", expiry(1).with(0, "Expired src here dst there")],
  ["an expiry cut short", [...expiry(1).slice(0, 4), ""]],
];
for (const [name, lines] of broken) {
  test(`a record with ${name} is counted and gives no event`, () => assert.deepEqual(read(lines), { events: [], ignored: 1 }));
}

test("events do not depend on how the octets are cut into chunks", () => {
  const text = [...expiry(0), ...acquireTcp, ...others.flat(), ...acquireStats, ...expiry(1)].map((line) => `${line}\n`).join("");
  const whole = xfrmMonitor().push(Buffer.from(text));
  assert.equal(whole.length, 4);
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: text.length }), { maxLength: 20 }), (cuts) => {
      const monitor = xfrmMonitor();
      const at = [0, ...cuts.toSorted((a, b) => a - b), text.length];
      const events = at.slice(1).flatMap((end, i) => monitor.push(Buffer.from(text.slice(at[i], end))));
      assert.deepEqual(events, whole);
    }),
  );
});

test("any octets are survived", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 10 }), (chunks) => {
      const monitor = xfrmMonitor();
      for (const chunk of chunks) monitor.push(chunk);
      assert.deepEqual(monitor.push(Buffer.from(`\n${expiry(1).join("\n")}\n`)), [expired(true)]);
    }),
  );
});

test("a line without end takes no memory and hides only itself", () => {
  const monitor = xfrmMonitor();
  for (let i = 0; i < 100; i++) assert.deepEqual(monitor.push(new Uint8Array(10_000).fill(0x61)), []);
  assert.deepEqual(monitor.push(Buffer.from(`\n${expiry(1).join("\n")}\n`)), [expired(true)]);
});

test("a changed mapping names the SA and where its packets come from now", () => {
  const read = (text: string) => xfrmMonitor().push(new TextEncoder().encode(text));
  const sa = { destination: "192.0.2.1", protocol: "esp", spi: 0xc0000001 };
  const tail = "\tdst 192.0.2.1  reqid 0x6d6d0001 protocol esp  SPI 0xc0000001\n";
  assert.deepEqual(read(`Mapping change 198.51.100.1:4500 -> 198.51.100.1:1025\n${tail}`), [
    { type: "mapping", sa, from: { address: "198.51.100.1", port: 1025 } },
  ]);
  assert.deepEqual(read(`Mapping change 2001:db8::1:4500 -> 2001:db8::2:1025\n${tail}`), [
    { type: "mapping", sa, from: { address: "2001:db8::2", port: 1025 } },
  ]);
  for (const bad of ["Mapping change 198.51.100.1:1 -> nobody:2\n", "Mapping change 198.51.100.1:1 -> 198.51.100.1:0\n"])
    assert.deepEqual(read(bad + tail), []);
});
