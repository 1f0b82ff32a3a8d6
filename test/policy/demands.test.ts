/** A rule that demands less decides about packets of one that demands more, although neither filter is within the other: `check` says so. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { destroyPolicy, parseConfiguration } from "../../policy/config.ts";

const AUTH = 'auth = [{ method = "psk", secret = "throwaway" }]';
const ENCRYPTED = `require-encryption = true\n${AUTH}`;
const BARE = `quick-mode = { proposals = ["esp:null-sha256"] }\n${AUTH}`;
const known = (name: string): string => `remote-ids = ["fqdn:${name}.example.test"]\n${AUTH}`;
const named = (name: string): string => `auth = [{ method = "psk", secret = "throwaway", remote-id = "fqdn:${name}.example.test" }]`;

const rule = (name: string, more: string, ...filters: readonly string[]): string =>
  `[[rule]]\nname = "${name}"\nfilters = ${JSON.stringify(filters)}\n${/action/.test(more) ? "" : 'action = "require"\n'}${more}\n`;

function saidOf(text: string): readonly string[] {
  const parsed = parseConfiguration(text, "F", () => ({ ok: false, error: "none" }));
  assert.ok(parsed.ok, parsed.ok ? "" : parsed.error.map(({ message }) => message).join("\n"));
  destroyPolicy(parsed.value.policy);
  return parsed.value.warnings.flatMap(({ message }) => (/demand|so many/.test(message) ? [message] : []));
}

const WIDE = "me <-> 10.0.0.0/8:445 tcp";
const NARROW = "me <-> 10.1.0.0/16";
const ROWS: readonly (readonly [what: string, text: string, expected: readonly string[]])[] = [
  [
    "encryption, and an offer without",
    rule("enc", ENCRYPTED, WIDE) + rule("int", BARE, NARROW),
    [
      `rule "enc": filters: its rule demands encryption, but "${NARROW}" of rule "int", which takes offers without it, decides about what both share; add the filter "me <-> 10.1.0.0/16:445 tcp" to this rule, or write require-encryption = true in that rule, too`,
    ],
  ],
  [
    "the identity of the peer, and none",
    rule("plain", AUTH, NARROW) + rule("id", known("boss"), WIDE),
    [
      `rule "id": filters: its rule demands who the peer is, but "${NARROW}" of rule "plain", which takes other peers, decides about what both share; add the filter "me <-> 10.1.0.0/16:445 tcp" to this rule, or write the same identities in that rule, too`,
    ],
  ],
  [
    "the identity in an entry, and another one",
    rule("id", named("boss"), WIDE) + rule("other", named("clerk"), NARROW),
    [
      `rule "id": filters: its rule demands who the peer is, but "${NARROW}" of rule "other", which takes other peers, decides about what both share; add the filter "me <-> 10.1.0.0/16:445 tcp" to this rule, or write the same identities in that rule, too`,
    ],
  ],
  ["encryption, and another rule of which every offer encrypts", rule("enc", ENCRYPTED, WIDE) + rule("all", AUTH, NARROW), []],
  ["encryption, which the rule that decides demands", rule("enc", ENCRYPTED, NARROW) + rule("int", BARE, WIDE), []],
  ["one identity of several, which is the stricter demand", rule("id", known("boss"), WIDE) + rule("same", named("boss"), NARROW), []],
  ["encryption, with a filter for what is shared", rule("enc", ENCRYPTED, "me <-> 10.1.0.0/16:445 tcp") + rule("int", BARE, NARROW), []],
  ["encryption, in filters that share nothing", rule("enc", ENCRYPTED, WIDE) + rule("int", BARE, "me <-> 10.1.0.0/16 udp"), []],
];
for (const [what, text, expected] of ROWS)
  test(`of two rules that cross, one demands ${what}: ${expected.length === 0 ? "nothing is said" : "a warning"}`, () => {
    assert.deepEqual(saidOf(text), expected);
  });

test("what is shared between two ports alone is told once, and not where more is shared", () => {
  const services = [1, 2, 3].map((i) => rule(`s${i}`, AUTH, `me <-> 10.${i}.0.0/16:${400 + i} tcp`)).join("");
  const [said, ...more] = saidOf(services + rule("id", known("boss"), "me:443 <-> 10.0.0.0/8 tcp", "me:444 <-> 10.0.0.0/8 tcp"));
  assert.deepEqual(more, []);
  assert.match(
    said ?? "",
    /add the filter "me:443 <-> 10\.1\.0\.0\/16:401 tcp" .* \(it is packets between the port of the one and the port of the other\); the same holds for 1 more filter$/,
  );
  const [whole, ...others] = saidOf(
    services + rule("id", known("boss"), "me:443 <-> 10.0.0.0/8 tcp") + rule("net", AUTH, "me <-> 10.1.0.0/16"),
  );
  assert.deepEqual(others, []);
  assert.match(whole ?? "", /but "me <-> 10\.1\.0\.0\/16" of rule "net"/);
});

test("a range that is no network decides about some of what it shares with a network", () => {
  const said = saidOf(rule("enc", ENCRYPTED, "me <-> 10.0.0.0/24") + rule("int", BARE, "me <-> 10.0.0.200-10.0.1.200"));
  assert.equal(said.length, 1);
  assert.match(said[0] ?? "", /decides about what both share; add the filter "me <-> 10\.0\.0\.200-10\.0\.0\.255" to this rule/);
});

test("of many rules that each know their peer none is compared with those that it shares nothing with", () => {
  const tunnels = Array.from({ length: 1000 }, (_, i) =>
    rule(
      `t${i}`,
      `mode = "tunnel"\ntunnel = { remote = "203.0.${i >> 8}.${i & 255}" }\n${named(`p${i}`)}`,
      ...[0, 1, 2, 3, 4].map((n) => `10.${i >> 8}.${i & 255}.${16 * n}/28 <-> any`),
    ),
  );
  assert.deepEqual(saidOf(tunnels.join("")), []);
});
