import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Secret } from "../../ike/crypto/secret.ts";
import { ESP_CIPHERS, espCipherNamed, INTEGRITIES, integrityNamed } from "../../ike/crypto/suite.ts";
import type { KernelCommand, KernelPolicy, KernelSa, KernelSelector } from "../../ike/kernel-contract.ts";
import { commandLine, describeCommand, formatSpi, isOurIndex, policyIndex, policyName, saName } from "../../kernel/xfrm-args.ts";
import { algorithms, espSa, everySuite, keyOf, lineOf, policyOf, selectorOf } from "./fixtures.ts";

const add = (changes: Partial<KernelSa>): KernelCommand => ({ do: "add-sa", sa: espSa(changes) });
const out = (changes: Partial<KernelPolicy>): KernelCommand => ({ do: "add-policy", policy: policyOf(changes) });
const forPacket = (changes: Partial<KernelSelector>): KernelCommand => out({ selector: selectorOf(changes), templates: [] });
const a5 = (octets: number): string => `0x${"a5".repeat(octets)}`;
const id = "src 192.0.2.1 dst 192.0.2.2 proto esp spi 0xc5704d9e";
const start = `xfrm state add ${id} reqid 1835859969 mode transport replay-window 0`;
const sha1 = `auth-trunc hmac(sha1) 0x${"5a".repeat(20)} 96`;
const aes = `enc cbc(aes) ${a5(16)}`;
const hosts = "src 192.0.2.1/32 dst 192.0.2.2/32";
const esp = "tmpl proto esp reqid 1835859969 mode transport";
const noLimits = espSa().limits;

const lines: readonly (readonly [string, KernelCommand, string])[] = [
  ["an ESP transport SA", add({}), `${start} ${sha1} ${aes}`],
  [
    "an SA for one hour and 100 MB",
    add({
      limits: {
        softSeconds: 3000,
        hardSeconds: 3600,
        softPackets: null,
        hardPackets: null,
        softOctets: 80_000_000,
        hardOctets: 100_000_000,
      },
    }),
    `${start} ${sha1} ${aes} limit time-soft 3000 limit time-hard 3600 limit byte-soft 80000000 limit byte-hard 100000000`,
  ],
  ["a hard time limit alone", add({ limits: { ...noLimits, hardSeconds: 300 } }), `${start} ${sha1} ${aes} limit time-hard 300`],
  [
    "limits of packets",
    add({ limits: { ...noLimits, softPackets: 3_000_000_000, hardPackets: 4_294_967_295 } }),
    `${start} ${sha1} ${aes} limit packet-soft 3000000000 limit packet-hard 4294967295`,
  ],
  [
    "a limit beyond 32 bits",
    add({ limits: { ...noLimits, hardOctets: 2 ** 40 } }),
    `${start} ${sha1} ${aes} limit byte-hard 1099511627776`,
  ],
  ["an inbound SA's replay window", add({ replayWindow: 32 }), `${start.replace("window 0", "window 32")} ${sha1} ${aes}`],
  [
    "an IPv6 tunnel SA with a narrower selector",
    add({
      source: "2001:db8::1",
      destination: "2001:db8::2",
      mode: "tunnel",
      selector: selectorOf({
        source: "10.1.0.0",
        sourceLength: 16,
        destination: "10.2.0.0",
        destinationLength: 16,
        protocol: 6,
        destinationPort: 445,
      }),
    }),
    `xfrm state add src 2001:db8::1 dst 2001:db8::2 proto esp spi 0xc5704d9e reqid 1835859969 mode tunnel replay-window 0 ${sha1} ${aes} sel src 10.1.0.0/16 dst 10.2.0.0/16 proto 6 dport 445`,
  ],
  [
    "an SA for both families",
    add({ mode: "tunnel", selector: "both-families" }),
    `${start.replace("transport", "tunnel")} ${sha1} ${aes} flag af-unspec`,
  ],
  [
    "AH on IPv4 for both families",
    add({ protocol: "ah", encryption: null, mode: "tunnel", selector: "both-families" }),
    `${start.replace("esp", "ah").replace("transport", "tunnel")} ${sha1} flag align4 af-unspec`,
  ],
  [
    "AH on IPv4, whose ICV is filled up to 4 octets",
    add({ protocol: "ah", encryption: null }),
    `${start.replace("esp", "ah")} ${sha1} flag align4`,
  ],
  [
    "AH on IPv6, to 8",
    add({ protocol: "ah", encryption: null, source: "2001:db8::1", destination: "2001:db8::2" }),
    `${start.replace("esp", "ah").replaceAll("192.0.2.", "2001:db8::")} ${sha1}`,
  ],
  ["a small SPI, padded", { do: "read-sa", sa: { ...espSa(), spi: 0x1000 } }, `xfrm state get ${id.replace("c5704d9e", "00001000")}`],
  ["a removal", { do: "remove-sa", sa: espSa() }, `xfrm state delete ${id}`],
  ["a removal of an AH SA", { do: "remove-sa", sa: { ...espSa(), protocol: "ah" } }, `xfrm state delete ${id.replace("esp", "ah")}`],
  ["an outbound policy", out({}), `xfrm policy add ${hosts} dir out priority 1000 ${esp}`],
  ["its replacement", { do: "update-policy", policy: policyOf({ priority: 7 }) }, `xfrm policy update ${hosts} dir out priority 7 ${esp}`],
  ["its removal", { do: "remove-policy", policy: policyOf({ direction: "in" }) }, `xfrm policy delete ${hosts} dir in`],
  ["a policy that blocks", out({ action: "block", templates: [] }), `xfrm policy add ${hosts} dir out action block priority 1000`],
  ["a policy that lets through", out({ templates: [] }), `xfrm policy add ${hosts} dir out priority 1000`],
  [
    "AH over ESP, innermost first",
    out({ direction: "in", templates: [...policyOf().templates, ...policyOf().templates.map((t) => ({ ...t, protocol: "ah" as const }))] }),
    `xfrm policy add ${hosts} dir in priority 1000 ${esp} ${esp.replace("esp", "ah")}`,
  ],
  [
    "a forwarding tunnel policy",
    out({
      direction: "fwd",
      templates: [{ source: "198.51.100.1", destination: "203.0.113.9", protocol: "esp", reqid: 9, mode: "tunnel", level: "required" }],
    }),
    `xfrm policy add ${hosts} dir fwd priority 1000 tmpl src 198.51.100.1 dst 203.0.113.9 proto esp reqid 9 mode tunnel`,
  ],
  [
    "a template that may be missing",
    out({ direction: "in", templates: policyOf().templates.map((t) => ({ ...t, level: "use" as const })) }),
    `xfrm policy add ${hosts} dir in priority 1000 ${esp} level use`,
  ],
  ["TCP to one port", forPacket({ protocol: 6, destinationPort: 80 }), `xfrm policy add ${hosts} proto 6 dport 80 dir out priority 1000`],
  ["UDP from one port", forPacket({ protocol: 17, sourcePort: 53 }), `xfrm policy add ${hosts} proto 17 sport 53 dir out priority 1000`],
  ["a protocol without ports", forPacket({ protocol: 47 }), `xfrm policy add ${hosts} proto 47 dir out priority 1000`],
  ["any ICMP", forPacket({ protocol: 1 }), `xfrm policy add ${hosts} proto 1 dir out priority 1000`],
  [
    "an ICMPv6 type and code in the place of ports",
    forPacket({
      source: "2001:db8::",
      sourceLength: 32,
      destination: "::",
      destinationLength: 0,
      protocol: 58,
      sourcePort: 128,
      destinationPort: 1,
    }),
    "xfrm policy add src 2001:db8::/32 dst ::/0 proto 58 type 128 code 1 dir out priority 1000",
  ],
];
for (const [name, command, line] of lines) {
  test(`${name} becomes one line of ip -batch`, () => {
    const index = command.do === "add-policy" || command.do === "update-policy" ? ` index ${policyIndex(command.policy)}` : "";
    assert.equal(lineOf(command), line.replace(/ dir \w+/, `$&${index}`));
    assert.equal(commandLine(command).at(-1), 0x0a);
  });
}

test("the number of a policy is one of ours, ends in its direction, and is hardly ever that of another one", () => {
  const policies = (["in", "out", "fwd"] as const).flatMap((direction) =>
    Array.from({ length: 1000 }, (_, i) => ({ direction, selector: selectorOf({ destination: `10.9.${i >> 8}.${i & 255}` }) })),
  );
  const numbers = policies.map(policyIndex);
  assert.ok(numbers.every(isOurIndex));
  assert.deepEqual(
    numbers.map((number) => number & 7),
    policies.map(({ direction }) => ({ in: 0, out: 1, fwd: 2 })[direction]),
  );
  assert.ok(new Set(numbers).size >= numbers.length - 3);
  for (const other of [1, 8, 97, 0xcfffffff, 0xe0000000]) assert.equal(isOurIndex(other), false);
});

const cipherWords: Record<string, string> = {
  aes128: `enc cbc(aes) ${a5(16)}`,
  aes192: `enc cbc(aes) ${a5(24)}`,
  aes256: `enc cbc(aes) ${a5(32)}`,
  aes128gcm16: `aead rfc4106(gcm(aes)) ${a5(20)} 128`,
  aes192gcm16: `aead rfc4106(gcm(aes)) ${a5(28)} 128`,
  aes256gcm16: `aead rfc4106(gcm(aes)) ${a5(36)} 128`,
  "3des": `enc cbc(des3_ede) ${a5(24)}`,
  des: `enc cbc(des) ${a5(8)}`,
  null: 'enc ecb(cipher_null) ""',
};
for (const { name } of ESP_CIPHERS) {
  test(`cipher ${name} is written as the kernel names it`, () => {
    const words = cipherWords[name] ?? assert.fail(`no expectation for ${name}`);
    assert.equal(lineOf(add(algorithms(espCipherNamed(name), null))), `${start} ${words}`);
  });
}

const integrityWords: Record<string, readonly [octets: number, bits: number]> = {
  md5: [16, 96],
  sha1: [20, 96],
  sha256: [32, 128],
  sha384: [48, 192],
  sha512: [64, 256],
};
for (const { name } of INTEGRITIES) {
  test(`integrity ${name} carries its truncation, as the kernel's default for sha256 is another`, () => {
    const [octets, bits] = integrityWords[name] ?? assert.fail(`no expectation for ${name}`);
    const words = `auth-trunc hmac(${name}) 0x${"5a".repeat(octets)} ${bits}`;
    assert.equal(lineOf(add(algorithms(null, integrityNamed(name)))), `${start} ${words}`);
  });
}

test("no line changes a default of the kernel: no flag but that of AH on IPv4 and that of a tunnel for both families, no mark, encap, offload, share or dir of an SA", () => {
  const commands = [...everySuite.map(({ sa }): KernelCommand => ({ do: "add-sa", sa: sa() })), ...lines.map(([, command]) => command)];
  for (const command of commands)
    assert.doesNotMatch(
      lineOf(command)
        .replace(/(?<= proto ah .*) flag align4/, "")
        .replace(/(?<= mode tunnel .*) (flag )?af-unspec$/, ""),
      / (flag|extra-flag|mark|encap|offload|if_id|share|ptype) /,
    );
  for (const { sa } of everySuite) assert.doesNotMatch(lineOf({ do: "add-sa", sa: sa() }), / dir /);
});

test("a description is the line with <key> for every key", () => {
  assert.equal(describeCommand(add({})), `${start} auth-trunc hmac(sha1) <key> 96 enc cbc(aes) <key>`);
  for (const { sa } of everySuite) {
    const command: KernelCommand = { do: "add-sa", sa: sa() };
    assert.equal(describeCommand(command), lineOf(command).replaceAll(/0x(a5|5a)+/g, "<key>"));
  }
});

test("every octet of a key is written as two hex digits", () => {
  const key = new Secret(Uint8Array.from({ length: 256 }, (_, i) => i));
  const hex = Buffer.from(Array.from({ length: 256 }, (_, i) => i)).toString("hex");
  assert.match(lineOf(add({ encryption: { name: "cbc(aes)", key }, integrity: null })), new RegExp(`enc cbc\\(aes\\) 0x${hex}$`));
});

test("a destroyed key throws and is never written as no key", () => {
  const key = keyOf(16);
  key.destroy();
  assert.throws(() => commandLine(add({ encryption: { name: "cbc(aes)", key } })), /after destroy/);
});

test("a text field can't add a word, a line or a comment", () => {
  const hostile = fc
    .tuple(fc.string(), fc.constantFrom(" ", "\n", "\r", "\t", '"', "'", "#", "\\", "\0", ";"), fc.string())
    .map((parts) => parts.join(""));
  fc.assert(
    fc.property(hostile, (text) => {
      assert.throws(() => commandLine(add({ source: text })), /can't be a word/);
      assert.throws(() => commandLine(add({ encryption: { name: text, key: keyOf(16) } })), /can't be a word/);
      assert.throws(() => commandLine(forPacket({ destination: text })), /can't be a word/);
      assert.throws(() => describeCommand(forPacket({ destination: text })), /can't be a word/);
    }),
  );
  assert.throws(() => commandLine(add({ source: "" })), /can't be a word/);
});

test("a number that is negative, broken or too large is refused", () => {
  for (const reqid of [-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53]) {
    assert.throws(() => commandLine(add({ reqid })), /can't be a number/);
  }
});

test("names of SAs and policies tell apart what the kernel tells apart", () => {
  assert.equal(saName(espSa({ spi: 0x1001 })), "esp 0x00001001 192.0.2.2");
  assert.equal(formatSpi(0xffffffff), "0xffffffff");
  const base = policyOf();
  const others = [
    policyOf({ direction: "in" }),
    policyOf({ selector: selectorOf({ sourceLength: 24 }) }),
    policyOf({ selector: selectorOf({ destination: "192.0.2.3" }) }),
    policyOf({ selector: selectorOf({ protocol: 6 }) }),
    policyOf({ selector: selectorOf({ sourcePort: 5 }) }),
    policyOf({ selector: selectorOf({ destinationPort: 5 }) }),
  ];
  assert.equal(new Set([base, ...others].map(policyName)).size, others.length + 1);
  assert.equal(policyName(base), policyName(policyOf({ priority: 5, action: "block", templates: [] })));
});

test("an SA in UDP names both ports, in either direction, and gets new ones by an update", () => {
  const sa = espSa({ encap: { sourcePort: 4500, destinationPort: 31337 } });
  assert.match(lineOf({ do: "add-sa", sa }), /^xfrm state add .* encap espinudp 4500 31337 0\.0\.0\.0$/);
  assert.match(lineOf({ do: "update-sa", sa }), /^xfrm state update src 192\.0\.2\.1 .* encap espinudp 4500 31337 0\.0\.0\.0$/);
});
