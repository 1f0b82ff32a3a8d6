import assert from "node:assert/strict";
import { test } from "node:test";
import { liveSecrets } from "../../ike/crypto/secret.ts";
import type { KernelCommand, KernelEvent, KernelPolicy, KernelSa, KernelTemplate } from "../../ike/kernel-contract.ts";
import { memoryKernel, memoryXfrm } from "../../kernel/memory.ts";
import type { Packet } from "../../kernel/memory-traffic.ts";
import { saName } from "../../kernel/xfrm-args.ts";
import { espSa, everySuite, keyOf, policyOf, selectorOf } from "./fixtures.ts";

const addSa = (changes: Partial<KernelSa> = {}): KernelCommand => ({ do: "add-sa", sa: espSa(changes) });
const addPolicy = (changes: Partial<KernelPolicy> = {}): KernelCommand => ({ do: "add-policy", policy: policyOf(changes) });
const packet: Packet = { source: "192.0.2.1", destination: "192.0.2.2", protocol: 6, sourcePort: 40000, destinationPort: 80 };
const tmpl = (changes: Partial<KernelTemplate> = {}): KernelTemplate => ({ ...(policyOf().templates[0] as KernelTemplate), ...changes });

for (const { name, sa } of everySuite) {
  test(`${name} can be installed once, read and removed twice`, () => {
    const xfrm = memoryXfrm();
    const installed = sa();
    assert.deepEqual(xfrm.apply([{ do: "add-sa", sa: installed }]), { ok: true, value: [] });
    const again = xfrm.apply([{ do: "add-sa", sa: installed }]);
    assert.ok(!again.ok && again.error.exists && again.error.reason === "File exists");
    assert.deepEqual(xfrm.apply([{ do: "read-sa", sa: installed }]), { ok: true, value: [{ octets: 0, packets: 0 }] });
    assert.equal(xfrm.apply([{ do: "remove-sa", sa: installed }]).ok, true);
    assert.equal(xfrm.apply([{ do: "remove-sa", sa: installed }]).ok, true);
    assert.equal(xfrm.states.size, 0);
  });
}

test("a group stops at its first refusal and names the command, keys masked", () => {
  const xfrm = memoryXfrm();
  const result = xfrm.apply([addSa(), addSa(), addSa({ spi: 0x2000 })]);
  assert.ok(!result.ok);
  assert.equal(result.error.index, 1);
  assert.match(result.error.command, /^xfrm state add src 192\.0\.2\.1 .* enc cbc\(aes\) <key>$/);
  assert.deepEqual([...xfrm.states.keys()], ["esp 0xc5704d9e 192.0.2.2"]);
});

const refused: readonly (readonly [string, KernelCommand, string])[] = [
  ["an unknown cipher", addSa({ encryption: { name: "cbc(nothing)", key: keyOf(16) } }), "Requested CRYPT algorithm not found."],
  [
    "an unknown integrity",
    addSa({ integrity: { name: "x", key: keyOf(16), truncateBits: 96 } }),
    "Requested AUTH_TRUNC algorithm not found.",
  ],
  [
    "an unknown combined mode",
    addSa({ encryption: null, integrity: null, aead: { name: "x", key: keyOf(20), icvBits: 128 } }),
    "Requested AEAD algorithm not found.",
  ],
  ["a key of the wrong length", addSa({ encryption: { name: "cbc(aes)", key: keyOf(17) } }), "Invalid argument"],
  ["AH with a cipher", addSa({ protocol: "ah" }), "Invalid argument"],
  ["ESP without a cipher", addSa({ encryption: null }), "Invalid argument"],
  ["two families in one SA", addSa({ source: "2001:db8::1" }), "Invalid argument"],
  ["an address that is not canonical", addSa({ source: "2001:DB8::1", destination: "2001:db8::2" }), "Invalid argument"],
  [
    "an algorithm it was built without",
    addSa({ integrity: { name: "hmac(md5)", key: keyOf(16), truncateBits: 96 } }),
    "Requested AUTH_TRUNC algorithm not found.",
  ],
  ["reading an SA that is not there", { do: "read-sa", sa: espSa() }, "No such process"],
  ["a prefix beyond the family", addPolicy({ selector: selectorOf({ sourceLength: 33 }) }), "Invalid prefix length"],
  ["seven templates", addPolicy({ templates: Array.from({ length: 7 }, () => tmpl()) }), "Invalid argument"],
  [
    "an optional tunnel outbound",
    addPolicy({ templates: [tmpl({ mode: "tunnel", level: "use" })] }),
    "Mode in optional template not allowed in outbound policy.",
  ],
];
for (const [name, command, reason] of refused) {
  test(`${name} is refused in the kernel's words and leaves nothing behind`, () => {
    const xfrm = memoryXfrm({ lacks: ["hmac(md5)"] });
    const result = xfrm.apply([command]);
    assert.ok(!result.ok);
    assert.deepEqual([result.error.reason, result.error.exists, result.error.index], [reason, false, 0]);
    assert.equal(xfrm.states.size + xfrm.policies.size, 0);
  });
}

test("a protocol that the kernel was built without is refused as Linux refuses it", () => {
  const result = memoryXfrm({ lacks: ["ah"] }).apply([addSa({ protocol: "ah", encryption: null })]);
  assert.ok(!result.ok && result.error.reason === "Requested type not found.");
});

test("a policy is added once whatever its priority, and replaced by update", () => {
  const xfrm = memoryXfrm();
  assert.equal(xfrm.apply([addPolicy()]).ok, true);
  const again = xfrm.apply([addPolicy({ priority: 1 })]);
  assert.ok(!again.ok && again.error.exists);
  assert.equal(xfrm.apply([{ do: "update-policy", policy: policyOf({ priority: 1 }) }]).ok, true);
  assert.deepEqual(
    [...xfrm.policies.values()].map((p) => p.priority),
    [1],
  );
  assert.equal(
    xfrm.apply([
      { do: "remove-policy", policy: policyOf() },
      { do: "remove-policy", policy: policyOf() },
    ]).ok,
    true,
  );
  assert.equal(xfrm.policies.size, 0);
});

test("keys are copied at installation and wiped with the SA, however it ends", () => {
  const sa = espSa();
  const before = liveSecrets();
  const xfrm = memoryXfrm();
  xfrm.apply([{ do: "add-sa", sa }]);
  assert.equal(liveSecrets(), before + 2);
  const copy = xfrm.states.get(saName(sa))?.sa.encryption?.key;
  sa.encryption?.key.use((octets) => copy?.use((own) => assert.deepEqual(own, octets)));
  xfrm.expire(sa, true);
  assert.equal(liveSecrets(), before);
  xfrm.apply([{ do: "add-sa", sa }]);
  xfrm.apply([{ do: "remove-sa", sa }]);
  assert.equal(liveSecrets(), before);
  xfrm.apply([{ do: "add-sa", sa }]);
  xfrm.clear();
  assert.equal(liveSecrets(), before);
  assert.equal(sa.encryption?.key.length, 16);
});

test("byte limits are tested before the packet that follows their crossing, and the soft one is told once", () => {
  const xfrm = memoryXfrm();
  const sa = espSa({
    limits: { softSeconds: null, hardSeconds: null, softPackets: null, hardPackets: null, softOctets: 1000, hardOctets: 4000 },
  });
  xfrm.apply([{ do: "add-sa", sa }]);
  const told = Array.from({ length: 9 }, () => xfrm.pass(sa, 608)).map(({ passed, events }) => [
    passed,
    ...events.map((e) => e.type === "expire" && (e.hard ? "hard" : "soft")),
  ]);
  assert.deepEqual(told, [[true], [true], [true, "soft"], [true], [true], [true], [true], [false, "hard"], [false]]);
  assert.equal(xfrm.states.size, 0);
});

test("packet limits count packets as byte limits do octets", () => {
  const xfrm = memoryXfrm();
  const sa = espSa({ limits: { ...espSa().limits, softPackets: 2, hardPackets: 4 } });
  xfrm.apply([{ do: "add-sa", sa }]);
  const told = Array.from({ length: 6 }, () => xfrm.pass(sa, 1)).map(({ passed, events }) => [
    passed,
    ...events.map((e) => e.type === "expire" && (e.hard ? "hard" : "soft")),
  ]);
  assert.deepEqual(told, [[true], [true], [true, "soft"], [true], [false, "hard"], [false]]);
});

test("an expiry names the SA and its reqid; one of an absent SA is no event", () => {
  const xfrm = memoryXfrm();
  xfrm.apply([addSa()]);
  const { source, destination, protocol, spi, reqid } = espSa();
  assert.deepEqual(xfrm.expire(espSa(), false), [{ type: "expire", hard: false, sa: { source, destination, protocol, spi }, reqid }]);
  assert.equal(xfrm.states.size, 1);
  assert.equal(xfrm.expire(espSa(), true).length, 1);
  assert.deepEqual(xfrm.expire(espSa(), true), []);
});

test("a packet meets the policy of the smallest priority, and the newest SA sends it", () => {
  const xfrm = memoryXfrm();
  const wide = policyOf({ selector: selectorOf({ sourceLength: 0, destinationLength: 0 }), priority: 10, action: "block", templates: [] });
  assert.deepEqual(xfrm.outbound(packet), { kind: "clear", wanted: [] });
  xfrm.apply([{ do: "add-policy", policy: wide }]);
  assert.deepEqual(xfrm.outbound(packet), { kind: "blocked" });
  xfrm.apply([addPolicy({ priority: 5, selector: selectorOf({ protocol: 6, destinationPort: 80 }) })]);
  const verdict = xfrm.outbound(packet);
  assert.ok(
    verdict.kind === "acquire" &&
      verdict.event.type === "acquire" &&
      verdict.event.reqid === 0x6d6d0001 &&
      verdict.event.destinationPort === 80,
  );
  xfrm.apply([addSa({ spi: 0x1001 }), addSa({ spi: 0x1002 }), addSa({ spi: 0x1003, reqid: 7 })]);
  const sent = xfrm.outbound(packet);
  assert.ok(sent.kind === "protected");
  assert.deepEqual(
    sent.through.map((sa) => sa.spi),
    [0x1002],
  );
  assert.deepEqual(xfrm.outbound({ ...packet, destinationPort: 81 }), { kind: "blocked" });
});

test("an SA's own selector keeps other packets off it", () => {
  const xfrm = memoryXfrm();
  xfrm.apply([addPolicy(), addSa({ selector: selectorOf({ protocol: 17 }) })]);
  assert.equal(xfrm.outbound(packet).kind, "acquire");
  assert.equal(xfrm.outbound({ ...packet, protocol: 17 }).kind, "protected");
});

test("a bundle asks for its first missing SA and takes both, innermost first", () => {
  const xfrm = memoryXfrm();
  xfrm.apply([addPolicy({ templates: [tmpl(), tmpl({ protocol: "ah" })] }), addSa()]);
  const asked = xfrm.outbound(packet);
  assert.ok(asked.kind === "acquire" && asked.event.type === "acquire" && asked.event.protocol === "ah");
  xfrm.apply([addSa({ protocol: "ah", encryption: null })]);
  const sent = xfrm.outbound(packet);
  assert.deepEqual(sent.kind === "protected" && sent.through.map((sa) => sa.protocol), ["esp", "ah"]);
});

test("an optional template lets clear text out until its SA is there, and a tunnel uses its own ends", () => {
  const xfrm = memoryXfrm();
  xfrm.apply([addPolicy({ templates: [tmpl({ level: "use" })] })]);
  assert.equal(xfrm.outbound(packet).kind, "clear");
  xfrm.apply([addSa()]);
  assert.equal(xfrm.outbound(packet).kind, "protected");
  const tunnel = memoryXfrm();
  const ends = { source: "198.51.100.1", destination: "203.0.113.9", mode: "tunnel" } as const;
  tunnel.apply([addPolicy({ templates: [tmpl(ends)] }), addSa()]);
  assert.equal(tunnel.outbound(packet).kind, "acquire");
  tunnel.apply([addSa(ends)]);
  assert.equal(tunnel.outbound(packet).kind, "protected");
});

test("a tunnel carries the other family only with a selector that says so", () => {
  const xfrm = memoryXfrm();
  const ends = { source: "198.51.100.1", destination: "203.0.113.9", mode: "tunnel" } as const;
  const inside = { ...packet, source: "2001:db8::1", destination: "2001:db8::2" };
  const selector = selectorOf({ source: "2001:db8::", sourceLength: 32, destination: "::", destinationLength: 0 });
  xfrm.apply([addPolicy({ selector, templates: [tmpl(ends)] }), addSa(ends)]);
  assert.equal(xfrm.outbound(inside).kind, "acquire");
  xfrm.apply([addSa({ ...ends, spi: 0x2000, selector })]);
  assert.equal(xfrm.outbound(inside).kind, "protected");
});

test("clear text, a foreign SA and an incomplete bundle don't pass a required inbound policy", () => {
  const xfrm = memoryXfrm();
  const [esp, ah] = [espSa(), espSa({ protocol: "ah", encryption: null })];
  const other = espSa({ spi: 0x2000, reqid: 9 });
  assert.equal(xfrm.inbound(packet, []), true);
  xfrm.apply([
    addPolicy({ direction: "in", templates: [tmpl(), tmpl({ protocol: "ah" })] }),
    ...[esp, ah, other].map((sa): KernelCommand => ({ do: "add-sa", sa })),
  ]);
  assert.equal(xfrm.inbound(packet, []), false);
  assert.equal(xfrm.inbound(packet, [esp]), false);
  assert.equal(xfrm.inbound(packet, [other, ah]), false);
  assert.equal(xfrm.inbound(packet, [esp, ah]), true);
  assert.equal(xfrm.inbound(packet, [esp, { ...ah, spi: 5 }]), false);
  assert.equal(xfrm.inbound(packet, [], "fwd"), true);
});

test("a tunnelled packet passes inbound only where a policy asks for that tunnel", () => {
  const xfrm = memoryXfrm();
  const ends = { source: "198.51.100.1", destination: "203.0.113.9", mode: "tunnel" } as const;
  xfrm.apply([addSa(ends)]);
  assert.equal(xfrm.inbound(packet, [espSa(ends)]), false);
  xfrm.apply([addPolicy({ direction: "in", templates: [tmpl(ends)] })]);
  assert.equal(xfrm.inbound(packet, [espSa(ends)]), true);
});

test("the daemon's interface answers from the same database and delivers what is injected", async () => {
  const log: string[] = [];
  const kernel = memoryKernel({ log: (line) => log.push(line) });
  const events: KernelEvent[] = [];
  kernel.listen((event) => events.push(event));
  assert.equal((await kernel.run([addSa(), addSa({ spi: 0x2000, reqid: 9 }), addPolicy()])).ok, true);
  kernel.setCounters(espSa(), { octets: 84, packets: 1 });
  assert.deepEqual(await kernel.run([{ do: "read-sa", sa: espSa() }]), { ok: true, value: [{ octets: 84, packets: 1 }] });
  assert.deepEqual([...(await kernel.counters())], [["esp 0xc5704d9e 192.0.2.2", { octets: 84, packets: 1 }]]);
  for (const event of kernel.expire(espSa(), true)) kernel.inject(event);
  assert.equal(events.length, 1);
  assert.equal(log.length, 4);
  assert.ok(log.every((line) => line.startsWith("xfrm ") && !/0x(a5|5a)/.test(line)));
  await kernel.close();
  kernel.inject(events[0] as KernelEvent);
  assert.equal(events.length, 1);
});
