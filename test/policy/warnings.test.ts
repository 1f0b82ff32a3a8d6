import assert from "node:assert/strict";
import { test } from "node:test";
import { destroyPolicy, parseConfiguration } from "../../policy/config.ts";

const AUTH = 'auth = [{ method = "psk", secret = "k" }]';

/** Line and text of every warning of a configuration that has no error. */
function warningsOf(text: string): readonly string[] {
  const parsed = parseConfiguration(text, "F", () => ({ ok: false, error: "none" }));
  assert.ok(parsed.ok, parsed.ok ? "" : parsed.error.map(({ line, message }) => `${line}: ${message}`).join("\n"));
  destroyPolicy(parsed.value.policy);
  return parsed.value.warnings.map(({ line, message }) => `${line}: ${message}`);
}

const rule = (name: string, action: string, filters: readonly string[], more = ""): string =>
  `[[rule]]\nname = "${name}"\naction = "${action}"\nfilters = ${JSON.stringify(filters)}\n${action === "permit" || action === "block" ? "" : AUTH}\n${more}\n`;

const TUNNEL = 'mode = "tunnel"\ntunnel = { local = "198.51.100.1", remote = "203.0.113.9" }';

const ROWS: readonly (readonly [what: string, text: string, expected: readonly RegExp[]])[] = [
  ["a plain rule", rule("a", "require", ["me <-> 192.0.2.2"]), []],
  [
    "everything required, SSH included",
    rule("a", "require", ["me <-> any"]),
    [/^4: .*lets SSH to this host in only from peers that negotiate/],
  ],
  ["everything blocked, SSH included", rule("a", "block", ["any -> me"]), [/^4: .*blocks SSH to this host from everywhere/]],
  [
    "everything required, with a way in for SSH",
    rule("a", "require", ["me <-> any"]) + rule("ssh", "permit", ["me:22 <-> 192.0.2.0/24 tcp"]),
    [],
  ],
  ["everything required, with clear text accepted", rule("a", "require", ["me <-> any"], "inbound-clear = true"), []],
  ["everything requested", rule("a", "request", ["me <-> any"]), []],
  [
    "offers with AH alone",
    rule("a", "require", ["me <-> 192.0.2.2"], 'quick-mode = { proposals = ["ah:sha256"] }'),
    [/^6: .*every offer has AH, which no address translation survives/],
  ],
  [
    "AH with ESP to fall to",
    rule("a", "require", ["me <-> 192.0.2.2"], 'quick-mode = { proposals = ["ah:sha256", "esp:aes128-sha256"] }'),
    [],
  ],
  [
    "filters that cross with different actions",
    rule("a", "permit", ["me:80 <-> any tcp"]) + rule("b", "block", ["me <-> 192.0.2.0/24 tcp"]),
    [/^10: .*shares packets with "me:80 <-> any tcp" of rule "a" \(permit\), and neither is within the other/],
  ],
  [
    "ranges that cross with different actions",
    rule("a", "permit", ["me <-> 10.0.0.1-10.0.0.6"]) + rule("b", "block", ["me <-> 10.0.0.4-10.0.0.9"]),
    [/^10: .*shares packets/],
  ],
  [
    "ranges that cross with one action",
    rule("a", "block", ["me <-> 10.0.0.1-10.0.0.6"]) + rule("b", "block", ["me <-> 10.0.0.4-10.0.0.9"]),
    [],
  ],
  [
    "a tunnel for one direction",
    rule("a", "require", ["10.1.0.0/16 -> 10.2.0.0/16"], TUNNEL),
    [/^4: .*for one direction only, and no rule through it is about the other/],
  ],
  [
    "a tunnel as two rules, one for each direction",
    rule("a", "require", ["10.1.0.0/16 -> 10.2.0.0/16"], TUNNEL) + rule("b", "require", ["10.1.0.0/16 <- 10.2.0.0/16"], TUNNEL),
    [],
  ],
  [
    "two directions of a tunnel that want different things",
    rule("a", "require", ["10.1.0.0/16 -> 10.2.0.0/16"], TUNNEL) +
      rule("b", "require", ["10.1.0.0/16 <- 10.2.0.0/16"], `${TUNNEL}\nquick-mode = { lifetime = "9m" }`),
    [/^11: .*rule "a" is the other direction of this tunnel, and has other offers or lifetimes/],
  ],
  ["a filter within another", rule("a", "permit", ["me <-> 10.0.0.0/8"]) + rule("b", "block", ["me <-> 10.1.0.0/16:80 tcp"]), []],
  ["filters of two families", rule("a", "permit", ["me <-> 10.0.0.0/8"]) + rule("b", "block", ["me:80 <-> 2001:db8::/32 tcp"]), []],
];
for (const [what, text, expected] of ROWS)
  test(`${what}: ${expected.length === 0 ? "no warning" : "a warning"}`, () => {
    const found = warningsOf(text);
    assert.equal(found.length, expected.length, found.join("\n"));
    for (const [i, pattern] of expected.entries()) assert.match(found[i] ?? "", pattern);
  });

test("what is refused is told by itself, without warnings about what it may mean", () => {
  const parsed = parseConfiguration(`${rule("a", "require", ["me <-> any"])}frob = 1\n`, "F", () => ({ ok: false, error: "none" }));
  assert.ok(!parsed.ok);
  assert.equal(parsed.error.length, 1);
});
