/** Exports of the policy store, built here octet by octet from the published layout. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { shown, summary } from "./imported.ts";

const u32 = (...values: readonly number[]): number[] =>
  values.flatMap((value) => [value & 255, (value >>> 8) & 255, (value >>> 16) & 255, value >>> 24]);
const u16 = (value: number): number[] => [value & 255, value >> 8];
const zeros = (count: number): number[] => new Array<number>(count).fill(0);
const wide = (text: string): number[] => [...Buffer.from(`${text}\0`, "utf16le")];
const sized = (text: string): number[] => (text === "" ? u32(0) : [...u32(wide(text).length), ...wide(text)]);

/** `80DC20B8-2EC8-…` as it lies in the blob: the first three groups little-endian. */
function guid(text: string): number[] {
  const [a = "", b = "", c = "", d = "", e = ""] = text.split("-");
  const octets = (hex: string): number[] => [...Buffer.from(hex, "hex")];
  return [...octets(a).reverse(), ...octets(b).reverse(), ...octets(c).reverse(), ...octets(d), ...octets(e)];
}
const blob = (kind: string, body: readonly number[]): number[] => [...guid(kind), ...u32(body.length), ...body];

const mainMethod = (cipher: number, hash: number, group: number): number[] => [
  ...zeros(4),
  ...u32(cipher, 0, 0),
  ...u32(hash, 0, 0),
  ...zeros(16),
  ...u32(group, 0, 0, 0, 0),
];
const isakmp = blob("80DC20B8-2EC8-11D1-A89E-00A0248D3021", [
  ...zeros(16),
  ...u32(0, 0, 0),
  ...[4, 0, 0, 0],
  ...u32(7, 3600),
  ...zeros(20),
  ...u32(1),
  ...mainMethod(3, 2, 2),
]);
const psk = wide("not-a-real-key");
const AUTH = [...u32(2, 5, 0, 1, psk.length), ...psk];
const rule = (tunnel: boolean, auth: readonly number[] = AUTH, more: readonly number[] = []): number[] =>
  blob("11BBAC00-498D-11D1-8639-00A0248D3021", [
    ...auth,
    ...u32(0xffff_fffd),
    ...sized("To the database"),
    ...[192, 0, 2, 2],
    ...u32(tunnel ? 1 : 0, 1),
    ...u32(0),
    ...more,
  ]);
const offer = (seconds: number, kilobytes: number, ...algorithms: readonly (readonly [number, number, number])[]): number[] => {
  const listed = algorithms.flatMap((algorithm) => [...u32(...algorithm), ...zeros(8)]);
  return [...u32(seconds, kilobytes, 0, 0, algorithms.length), ...listed, ...zeros(60 - listed.length)];
};
const negotiation = blob("80DC20B9-2EC8-11D1-A89E-00A0248D3021", [...u32(2), ...offer(900, 50_000, [3, 2, 2]), ...offer(0, 0)]);
const filter = (special: number): number[] => [
  ...u32(0),
  ...u32(0),
  ...sized("a filter"),
  ...zeros(16),
  ...u32(1),
  ...[0, 0, 0, 0, 255, 255, 255, 255],
  ...[10, 20, 0, 0, 255, 255, 0, 0],
  ...zeros(4),
  ...u32(6),
  ...u16(0),
  ...u16(1433),
  ...[0, special, 0, 0],
];
const filters = blob("80DC20B5-2EC8-11D1-A89E-00A0248D3021", [...u32(2), ...filter(0), ...filter(0x81)]);

const ROOT = "HKEY_LOCAL_MACHINE\\SOFTWARE\\Policies\\Microsoft\\Windows\\IPSec\\Policy\\Local";
const hex = (octets: readonly number[], type = ""): string => {
  const pairs = octets.map((octet) => octet.toString(16).padStart(2, "0"));
  const lines: string[] = [];
  for (let i = 0; i < pairs.length; i += 20) lines.push(pairs.slice(i, i + 20).join(","));
  return `hex${type}:${lines.join(",\\\r\n  ")}`;
};
const names = (...leaves: readonly string[]): string =>
  hex([...leaves.flatMap((leaf) => wide(`SOFTWARE\\Policies\\${leaf}`)), 0, 0], "(7)");
const text = (value: string): string => `"${value.replaceAll("\\", "\\\\")}"`;
const key = (leaf: string, values: Readonly<Record<string, string>>): string =>
  [`[${ROOT}${leaf === "" ? "" : `\\${leaf}`}]`, ...Object.entries(values).map(([name, value]) => `"${name}"=${value}`), ""].join("\r\n");

const exported = (rules: readonly number[] = rule(false), data: readonly number[] = filters): string =>
  [
    "Windows Registry Editor Version 5.00",
    "",
    key("", { ActivePolicy: text(`SOFTWARE\\Policies\\Microsoft\\Windows\\IPSec\\Policy\\Local\\ipsecPolicy{1}`) }),
    key("ipsecPolicy{1}", {
      ipsecName: text("Store"),
      description: text("from the registry"),
      ipsecISAKMPReference: text("x\\ipsecISAKMPPolicy{2}"),
      ipsecNFAReference: names("ipsecNFA{3}", "ipsecNFA{4}"),
    }),
    key("ipsecISAKMPPolicy{2}", { ipsecData: hex(isakmp) }),
    key("ipsecNFA{3}", {
      ipsecName: text("nfa"),
      ipsecData: hex(rules),
      ipsecNegotiationPolicyReference: names("ipsecNegotiationPolicy{5}"),
      ipsecFilterReference: names("ipsecFilter{6}"),
    }),
    key("ipsecNFA{4}", { ipsecData: hex(rule(false)), ipsecNegotiationPolicyReference: names("ipsecNegotiationPolicy{7}") }),
    key("ipsecNegotiationPolicy{5}", {
      ipsecName: text("Ask"),
      ipsecData: hex(negotiation),
      ipsecNegotiationPolicyAction: text("{3f91a81a-7647-11d1-864d-d46a00000000}"),
      ipsecNegotiationPolicyType: text("{62f49e10-6c37-11d1-864c-14a300000000}"),
    }),
    key("ipsecFilter{6}", { ipsecName: text("Database"), ipsecData: hex(data) }),
    key("ipsecNegotiationPolicy{7}", {
      ipsecName: text("Default"),
      ipsecData: hex(negotiation),
      ipsecNegotiationPolicyAction: text("{8a171dd3-77e3-11d1-8659-a04f00000000}"),
      ipsecNegotiationPolicyType: text("{62f49e13-6c37-11d1-864c-14a300000000}"),
    }),
  ].join("\r\n");

test("a policy store from the registry becomes the policy that it holds", () => {
  const got = summary(Uint8Array.from([0xff, 0xfe, ...Buffer.from(exported(), "utf16le")]), { fileName: "policy.reg", allowWeak: true });
  const quick = "by kerberos>psk esp:3des-sha1, 900s, 50000kB, none";
  assert.deepEqual(
    got.rules,
    [
      `To the database: request inbound-clear me <-> 10.20.0.0/16:1433 tcp | me <-> dns:1433 tcp ${quick}`,
      `Default response: respond me <-> any ${quick}`,
    ],
    shown(got),
  );
  assert.equal(got.mainMode, "3des-sha1-modp2048 3des-sha1-modp1024, 60m, 7, false");
  assert.deepEqual(got.codes, []);
});

test("a tunnel of the registry leads to its end", () => {
  const got = summary(exported(rule(true)), { fileName: "policy.reg" });
  assert.match(got.rules.join("\n"), /To the database: .* tunnel me\.\.192\.0\.2\.2 /);
  assert.ok(
    got.codes.some((code) => code.startsWith("W_TUNNEL_MIRRORED")),
    shown(got),
  );
});

test("a blob that is cut anywhere is an error that names its object, and never a rule", () => {
  fc.assert(
    fc.property(fc.nat(filters.length - 1), (length) => {
      const got = summary(exported(rule(false), filters.slice(0, length)), { fileName: "policy.reg" });
      assert.ok(
        got.codes.some((code) => code.startsWith("E_REGISTRY")),
        shown(got),
      );
      assert.ok(!got.rules.some((one) => one.startsWith("To the database")));
    }),
  );
});

test("octets that are no blob end in findings", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.uint8Array({ maxLength: 200 }), (a, b) => {
      const got = summary(
        exported(blob("11BBAC00-498D-11D1-8639-00A0248D3021", [...a]), blob("80DC20B5-2EC8-11D1-A89E-00A0248D3021", [...b])),
        { fileName: "x.reg" },
      );
      assert.ok(got.findings.length > 0 || got.rules.length > 0);
    }),
  );
});

test("a reference to an object that the export does not hold is an error that names it", () => {
  for (const [what, gone] of [
    ["a filter list", "ipsecFilter{6}"],
    ["a filter action", "ipsecNegotiationPolicy{5}"],
    ["a rule", "ipsecNFA{3}"],
    ["the key exchange", "ipsecISAKMPPolicy{2}"],
    ["the active policy", "ipsecPolicy{1}"],
  ] as const) {
    // Its key has another name now; the references stay.
    const got = summary(exported().replace(`[${ROOT}\\${gone}]`, `[${ROOT}\\other${gone}]`), { fileName: "x.reg" });
    assert.ok(
      got.weakens && got.findings.some(({ code, text }) => code === "E_REGISTRY" && text.includes(gone.toLowerCase())),
      `${what}: ${shown(got)}`,
    );
    if (what === "a filter list")
      assert.doesNotMatch(got.rules.join(), /To the database/, "a rule without its filters is not the default response");
  }
});

/** Said of the key whose object can't be read whole; the exit code is 1. */
const told = (reg: string): readonly [readonly string[], string] => {
  const got = summary(reg, { fileName: "x.reg", allowWeak: true });
  assert.ok(got.weakens, shown(got));
  return [got.rules.map((one) => one.replace(/^(.*?: \S+).*$/, "$1")), shown(got)];
};
const STANDARD = "Default response: respond";

test("authentication of an unknown kind is an error, and not Kerberos", () => {
  const [rules, said] = told(exported(rule(false, u32(1, 9, 0))));
  assert.deepEqual(rules, [STANDARD]);
  assert.match(said, /unknown kind 9/);
});

test("what stands behind a rule is said where it is not empty", () => {
  assert.match(told(exported(rule(false, AUTH, [...zeros(15), 2, ...u32(4, 1)])))[1], /behind the rule stand/);
  assert.equal(summary(exported(rule(false, AUTH, zeros(20))), { fileName: "x.reg", allowWeak: true }).weakens, false);
});

test("the end of a tunnel by its name is no address of zeros", () => {
  const named = rule(true).slice(0, -4);
  const body = [...named.slice(20), ...sized("gw.example.test")];
  assert.match(told(exported(blob("11BBAC00-498D-11D1-8639-00A0248D3021", body)))[1], /E_TUNNEL_END/);
});

test("filters in the second form are not read, and said", () => {
  const both = blob("80DC20B5-2EC8-11D1-A89E-00A0248D3021", [
    ...u32(1),
    ...filter(0),
    ...guid("35FECD3D-AE29-4373-8A6A-C5D8FAB2FB08"),
    ...u32(1),
  ]);
  assert.match(told(exported(rule(false), both))[1], /second form/);
  assert.match(told(exported(rule(false), blob("80DC20B5-2EC8-11D1-A89E-00A0248D3021", [...u32(1), ...filter(7)])))[1], /kind of server 7/);
});

test("offers of unknown algorithms are left out whole and said, and none left is no rule", () => {
  const kind = "80DC20B9-2EC8-11D1-A89E-00A0248D3021";
  const withOffers = (...offers: readonly (readonly number[])[]): string =>
    exported().replaceAll(hex(negotiation), hex(blob(kind, [...u32(offers.length), ...offers.flat()])));
  const known = offer(900, 50_000, [3, 2, 2]);
  for (const strange of [
    offer(0, 0, [9, 2, 2]),
    offer(0, 0, [3, 9, 2]),
    offer(0, 0, [2, 0, 1], [9, 2, 2]),
    offer(0, 0, [9, 0, 1]),
    offer(0, 0, [3, 2, 7]),
  ]) {
    const [rules, said] = told(withOffers(known, strange));
    assert.deepEqual([rules.length, /1 offers of unknown/.test(said)], [2, true], said);
    assert.match(summary(withOffers(known, strange), { fileName: "x.reg" }).rules.join(), /esp:3des-sha1, 900s/);
    assert.equal(summary(withOffers(strange), { fileName: "x.reg" }).rules.filter((one) => !one.startsWith("#")).length, 0);
  }
  const strangeMain = exported().replace(
    hex(isakmp),
    hex(blob("80DC20B8-2EC8-11D1-A89E-00A0248D3021", [...isakmp.slice(20, -64), ...mainMethod(9, 2, 2)])),
  );
  assert.match(told(strangeMain)[1], /1 offers of unknown/);
});

test("a rule without a filter list is the default response only if it is marked as that", () => {
  const reg = exported().replace("{62f49e13-6c37-11d1-864c-14a300000000}", "{62f49e10-6c37-11d1-864c-14a300000000}");
  const [rules, said] = told(reg);
  assert.deepEqual(rules, ["To the database: request"]);
  assert.match(said, /without a filter list/);
});

test("two objects of one name are two objects", () => {
  const other = blob("80DC20B5-2EC8-11D1-A89E-00A0248D3021", [...u32(1), ...filter(0x81)]);
  const second = key("ipsecNFA{8}", {
    ipsecData: hex(rule(false)),
    ipsecNegotiationPolicyReference: names("ipsecNegotiationPolicy{9}"),
    ipsecFilterReference: names("ipsecFilter{10}"),
  });
  const block = key("ipsecNegotiationPolicy{9}", {
    ipsecName: text("Ask"),
    ipsecNegotiationPolicyAction: text("{3f91a819-7647-11d1-864d-d46a00000000}"),
    ipsecNegotiationPolicyType: text("{62f49e10-6c37-11d1-864c-14a300000000}"),
  });
  const reg = [
    exported().replace(names("ipsecNFA{3}", "ipsecNFA{4}"), names("ipsecNFA{3}", "ipsecNFA{8}")),
    second,
    block,
    key("ipsecFilter{10}", { ipsecName: text("Database"), ipsecData: hex(other) }),
  ].join("\r\n");
  const got = summary(reg, { fileName: "x.reg", allowWeak: true });
  assert.match(got.rules.join("\n"), /^To the database: request inbound-clear me <-> 10\.20/m, shown(got));
  assert.match(got.rules.join("\n"), /^To the database \(line \d+\): block me <-> dns:1433 tcp$/m, got.rules.join("\n"));
});

test("a value of a hundred thousand lines is read in one pass", () => {
  const lines = Array.from({ length: 100_000 }, () => `${"00,".repeat(20)}\\`).join("\r\n");
  const got = summary(exported().replace(hex(filters), `hex:${lines}\r\n  00`), { fileName: "x.reg" });
  assert.ok(got.codes.some((code) => code.startsWith("E_REGISTRY")));
});
