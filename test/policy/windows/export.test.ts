/** What we export, import reads back to the same policy; what Windows can't say is reported. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { compile } from "../../../policy/compile.ts";
import { parseConfiguration } from "../../../policy/config.ts";
import { readPacket } from "../../../policy/decide.ts";
import type { Policy } from "../../../policy/types.ts";
import { explain } from "../../../policy/why.ts";
import { exportPolicy } from "../../../policy/windows/export.ts";
import { windowsFilter } from "../../../policy/windows/filter-text.ts";
import { ourFilter } from "../../../policy/windows/filters.ts";
import { importScript } from "../../../policy/windows/import.ts";
import { OPTIONS } from "./imported.ts";

const folder = mkdtempSync(join(tmpdir(), "mainmode-export-"));
after(() => rmSync(folder, { recursive: true }));

const KEY = "a throwaway key";
const HEAD =
  '[policy]\nname = "P"\n[policy.main-mode]\nproposals = ["3des-sha1-modp2048"]\n[policy.quick-mode]\nproposals = ["esp:3des-sha1"]\npfs = "main-mode"\n';

function read(text: string): Policy {
  const parsed = parseConfiguration(text, "F", () => ({ ok: true, value: new TextEncoder().encode(KEY) }));
  assert.ok(parsed.ok, parsed.ok ? "" : `${parsed.error.map(({ line, message }) => `${line}: ${message}`).join("\n")}\n${text}`);
  return parsed.value.policy;
}

/** Exports, and imports what came of it. */
function again(policy: Policy, mirror?: string): Policy {
  const { script, findings } = exportPolicy(policy, { mirror: mirror === undefined ? undefined : { local: mirror } });
  assert.deepEqual(
    findings.filter(({ weakens }) => weakens),
    [],
  );
  const keys = [...new Set(script.match(/%PSK_[A-Z0-9_]+%/g) ?? [])].map((key) => `set ${key.replaceAll("%", "")}=${KEY}\r\n`);
  const imported = importScript(new TextEncoder().encode(keys.join("") + script), { ...OPTIONS, local: ["192.0.2.1"] });
  assert.ok(imported.ok, script);
  return read(imported.value.toml);
}

/** All that decides about packets and negotiations. */
const meaning = (policy: Policy): unknown => ({
  kernel: compile(policy, ["192.0.2.1"]).map(({ origin, ...wanted }) => [origin.kind === "rule" ? origin.rule.name : origin, wanted]),
  rules: policy.rules.map(({ name, action, auth, clear, mode, tunnel, quickMode, mainMode, defaultResponse }) => ({
    ...{ name, action, clear, mode, tunnel, defaultResponse, methods: auth.map(({ method }) => method) },
    // A rule that negotiates nothing has no use for these.
    ...(auth.length > 0 ? { quickMode: { ...quickMode, proposals: quickMode.proposals.length }, mainMode: mainMode.lifetimeSeconds } : {}),
  })),
});

const rule = fc
  .record({
    action: fc.constantFrom("permit", "block", "request", "require"),
    inbound: fc.boolean(),
    filters: fc.uniqueArray(
      fc.constantFrom(
        "me <-> 192.0.2.7",
        "me <-> 10.1.0.0/16:445 tcp",
        "any -> me:80 tcp",
        "me:53 <-> any udp",
        "me <-> any icmp",
        "me <-> 192.0.2.8-192.0.2.12",
      ),
      { minLength: 1, maxLength: 3 },
    ),
    auth: fc.constantFrom('{ method = "psk", secret-file = "x" }', '{ method = "kerberos", keytab = "k", principal = "host/a@R" }'),
  })
  .map(({ action, inbound, filters, auth }, i = 0) => ({ action, inbound, filters, auth, i }));

const text = (rules: readonly { action: string; inbound: boolean; filters: readonly string[]; auth: string }[]): string =>
  HEAD +
  rules
    .map(({ action, inbound, filters, auth }, i) => {
      const negotiates = action === "require" || action === "request";
      const more = negotiates ? `auth = [${auth}]\ninbound-clear = ${inbound}\n` : "";
      return `[[rule]]\nname = "r${i}"\naction = "${action}"\nfilters = ${JSON.stringify(filters)}\n${more}`;
    })
    .join("");

test("policies that Windows can express come back from their script the same", () => {
  fc.assert(
    fc.property(fc.array(rule, { minLength: 1, maxLength: 4 }), (rules) => {
      const parsed = parseConfiguration(text(rules), "F", () => ({ ok: true, value: new TextEncoder().encode(KEY) }));
      fc.pre(parsed.ok && rules.every(({ auth }) => auth.includes("psk")));
      if (parsed.ok) assert.deepEqual(meaning(again(parsed.value.policy)), meaning(parsed.value.policy));
    }),
    { numRuns: 100 },
  );
});

test("a tunnel comes back as one rule; its mirror image has the ends exchanged", () => {
  const policy = read(
    `${HEAD}[[rule]]\nname = "branch"\naction = "require"\nfilters = ["10.1.0.0/16 <-> 10.2.0.0/16"]\nauth = [{ method = "psk", secret-file = "x" }]\nmode = "tunnel"\ntunnel = { local = "192.0.2.1", remote = "203.0.113.9" }\n`,
  );
  assert.deepEqual(meaning(again(policy)), meaning(policy));
  const { script } = exportPolicy(policy, { mirror: { local: "192.0.2.1" } });
  const peer = importScript(new TextEncoder().encode(`set PSK_BRANCH=${KEY}\r\n${script}`), { ...OPTIONS, local: ["203.0.113.9"] });
  assert.ok(peer.ok);
  const [mirrored] = peer.value.draft.rules;
  assert.deepEqual([mirrored?.tunnel, mirrored?.filters], [{ local: "203.0.113.9", remote: "192.0.2.1" }, ["10.2.0.0/16 <-> 10.1.0.0/16"]]);
});

test("what static policies don't know is said: algorithms, discovery, demands", () => {
  const policy = read(
    '[[rule]]\nname = "r"\naction = "require"\nfilters = ["me <-> 192.0.2.7"]\nauth = [{ method = "psk", secret-file = "x" }]\ndiscovery = true\nremote-ids = ["fqdn:a.example.test"]\n',
  );
  const codes = exportPolicy(policy, { mirror: undefined }).findings.map(({ code }) => code);
  assert.ok(codes.includes("W_NOT_ON_WINDOWS") && codes.includes("E_SUBSET"), codes.join());
});

/** A rule of a configuration; keys are throwaway ones. */
const ruleText = (name: string, action: string, filters: readonly string[], more = ""): string =>
  `[[rule]]\nname = "${name}"\naction = "${action}"\nfilters = ${JSON.stringify(filters)}\n${/require|request/.test(action) ? 'auth = [{ method = "psk", secret-file = "x" }]\n' : ""}${more}`;
const exported = (text: string, mirror?: string) => {
  const { policy, findings, script } = exportPolicy(read(text), { mirror: mirror === undefined ? undefined : { local: mirror } });
  return { policy, script, codes: findings.map(({ code }) => code), weakens: findings.some((finding) => finding.weakens) };
};

test("what is permitted to others is no part of the mirror image, and is said", () => {
  const { policy, codes, weakens } = exported(
    HEAD +
      ruleText("exempt", "permit", ["me <-> dns", "me <-> gateway", "me <-> 10.0.0.5", "me <-> 203.0.113.9"]) +
      ruleText("all", "permit", ["me <-> any"]) +
      ruleText("ping", "permit", ["me <-> any icmp"]) +
      ruleText("web", "permit", ["me <-> 10.0.0.0/8:80 tcp"]) +
      ruleText("corp", "require", ["me <-> 10.0.0.0/8"]),
    "192.0.2.1",
  );
  assert.deepEqual(
    policy.rules.map(({ name, filterList }) => `${name} ${filterList.filters.length}`),
    ["ping 1", "web 1", "corp 1"],
  );
  assert.deepEqual(codes, ["W_OTHERS", "W_OTHERS", "W_OTHERS", "W_OTHERS", "W_OTHERS"]);
  assert.equal(weakens, false);
  assert.deepEqual(
    exported(HEAD + ruleText("exempt", "permit", ["me <-> dns", "me <-> 10.0.0.5"])).codes,
    [],
    "as it is, everything stays",
  );
});

test("a group of Quick Mode's own, exemptions and a second key are said", () => {
  const own = exported(HEAD.replace('pfs = "main-mode"', 'pfs = "modp1536"') + ruleText("r", "require", ["me <-> 192.0.2.7"]));
  assert.deepEqual([own.codes, own.weakens], [["W_PFS_GROUP"], true]);
  const same = exported(HEAD.replace('pfs = "main-mode"', 'pfs = "modp2048"') + ruleText("r", "require", ["me <-> 192.0.2.7"]));
  assert.deepEqual(same.codes, []);
  assert.deepEqual(
    exported(HEAD.replace('name = "P"', 'name = "P"\nexempt = ["icmp"]') + ruleText("r", "block", ["me <-> 192.0.2.7"])).codes,
    ["W_EXEMPT"],
  );
  const keys = 'auth = [{ method = "psk", secret-file = "x" }, { method = "psk", secret-file = "y" }]';
  const two = exported(HEAD + ruleText("r", "require", ["me <-> 192.0.2.7"]).replace(/auth = .*/, keys));
  assert.deepEqual([two.codes, two.script.match(/psk=/g)?.length], [["E_SUBSET"], 1]);
});

test("names that collide on Windows, or with those that a tunnel needs, are made different; so are the variables of keys", () => {
  const tunnel = 'mode = "tunnel"\ntunnel = { local = "192.0.2.1", remote = "203.0.113.9" }\n';
  const names = ["t", "t in", "T OUT", "a-b", "a b", "a b 2", "A B"];
  const text =
    HEAD +
    names
      .map((name, i) =>
        ruleText(name, "require", [i === 0 ? "10.1.0.0/16 <-> 10.2.0.0/16" : `me <-> 192.0.2.${i + 10}`], i === 0 ? tunnel : ""),
      )
      .join("");
  const { policy, script } = exported(text);
  const lower = policy.rules.map(({ name }) => name.toLowerCase());
  assert.equal(new Set(lower).size, lower.length, lower.join());
  assert.equal(new Set(policy.rules.map(({ filterList }) => filterList.name.toLowerCase())).size, lower.length);
  assert.equal(new Set(script.match(/(?<=psk=")%PSK_\w+%/g)).size, names.length, script);
  for (const name of names)
    if (name !== "A B")
      assert.ok(
        policy.rules.some((rule) => rule.name === name),
        name,
      );
  assert.equal(again(read(text)).rules.length, names.length);
});

test("the command writes the script, never a key, and never over a file", () => {
  const main = fileURLToPath(new URL("../../../cli/main.js", import.meta.url));
  const [config, output] = [join(folder, "c.toml"), join(folder, "policy.bat")];
  writeFileSync(
    config,
    `${HEAD}[[rule]]\nname = "hr"\naction = "require"\nfilters = ["me <-> 192.0.2.7"]\nauth = [{ method = "psk", secret = "TOPSECRET" }]\n`,
    {
      mode: 0o600,
    },
  );
  const run = (...argv: readonly string[]) =>
    spawnSync(process.execPath, [main, "policy", "export", "-c", config, ...argv], { encoding: "utf8" });
  const plain = run();
  assert.equal(plain.status, 0, plain.stderr);
  assert.match(plain.stdout, /add rule name=hr policy=P .*psk="%PSK_HR%"/);
  assert.equal(run("-o", output).status, 0);
  assert.equal(readFileSync(output, "utf8"), plain.stdout);
  const twice = run("-o", output);
  assert.deepEqual([twice.status, /exists; it was not touched/.test(twice.stderr)], [1, true]);
  assert.match(run("--mirror", "192.0.2.1").stdout, /srcaddr=me dstaddr=192\.0\.2\.1/);
  assert.equal(run("--mirror", "nonsense").status, 2);
  assert.match(run("--mirror", "192.0.2.1", "--peer", "192.0.2.7").stdout, /srcaddr=me dstaddr=192\.0\.2\.1/);
  assert.doesNotMatch(run("--mirror", "192.0.2.1", "--peer", "192.0.2.8").stdout, /add rule/);
  assert.deepEqual([run("--peer", "192.0.2.7").status, run("--mirror", "192.0.2.1", "--peer", "nonsense").status], [2, 2]);
  assert.ok(!plain.stdout.includes("TOPSECRET"));
  assert.match(execFileSync(process.execPath, [main, "policy", "export", "--help"], { encoding: "utf8" }), /--mirror/);
});

test("ICMP of IPv6 alone keeps its number where no address says which family is meant", () => {
  const at = { line: 1, column: 1 };
  const protocols = ["me <-> any icmpv6", "me <-> 2001:db8::1 icmpv6", "me <-> any icmp"].map((text) => {
    const filter = windowsFilter(text, at);
    assert.ok(filter.ok);
    return [filter.value.protocol, ourFilter(filter.value)];
  });
  assert.deepEqual(protocols, [
    [58, { ok: true, value: "me <-> any icmpv6" }],
    [1, { ok: true, value: "me <-> 2001:db8::1 icmpv6" }],
    [1, { ok: true, value: "me <-> any icmp" }],
  ]);
});

const PEERS = `${HEAD}[[rule]]
name = "database"
action = "require"
filters = ["me <-> 192.0.2.7", "me <-> 192.0.2.7:5432 tcp"]
auth = [{ method = "psk", secret-file = "x" }]
[[rule]]
name = "corp"
action = "request"
filters = ["me <-> 192.0.2.0/24", "me -> any:25 tcp"]
auth = [{ method = "psk", secret-file = "x" }]
[[rule]]
name = "printer"
action = "permit"
filters = ["me <-> 192.0.2.9"]
[[rule]]
name = "by name"
action = "permit"
filters = ["me <-> a.example.test"]
[[rule]]
name = "branch"
action = "require"
filters = ["10.1.0.0/16 <-> 10.2.0.0/16"]
auth = [{ method = "psk", secret-file = "x" }]
mode = "tunnel"
tunnel = { local = "192.0.2.1", remote = "192.0.2.8" }
`;

test("a mirror image for one peer has what is for that peer, and of several filters the narrowest, which decides here", () => {
  const of = (peer: string) => {
    const { policy, findings } = exportPolicy(read(PEERS), { mirror: { local: "192.0.2.1", peer } });
    const lines = policy.rules.map(
      ({ name, filterList }) =>
        `${name}: ${filterList.filters
          .map((one) => ourFilter(one))
          .map((one) => (one.ok ? one.value : ""))
          .join(" | ")}`,
    );
    return [...lines, ...findings.map(({ code, line }) => `${code}@${line}`)];
  };
  assert.deepEqual(of("192.0.2.7"), ["database: me <-> 192.0.2.1 | me:5432 <-> 192.0.2.1 tcp", "W_OTHERS@4"]);
  assert.deepEqual(of("192.0.2.9"), ["printer: me <-> 192.0.2.1", "W_OTHERS@4"]);
  assert.deepEqual(of("192.0.2.30"), ["corp: me <-> 192.0.2.1", "W_OTHERS@4"]);
  assert.deepEqual(of("198.51.100.9"), ["corp: 192.0.2.1 -> me:25 tcp", "W_OTHERS@4"]);
  assert.deepEqual(of("192.0.2.8"), [
    "corp: me <-> 192.0.2.1",
    "branch: 10.2.0.0/16 -> 10.1.0.0/16",
    "branch in: 10.1.0.0/16 -> 10.2.0.0/16",
    "W_OTHERS@4",
  ]);
});

test("a mirror image for all peers says which rules would be for the same two hosts", () => {
  const { findings } = exportPolicy(read(PEERS), { mirror: { local: "192.0.2.1" } });
  assert.deepEqual(
    findings.filter(({ weakens }) => weakens).map(({ code, line, text: said }) => [code, line, said]),
    [["W_SEVERAL_PEERS", 2, 'rule "corp" is for the same traffic as "database"']],
  );
});

test("a Main Mode that lasts no whole minutes is said, and a volume is never none", () => {
  const odd = HEAD.replace('["3des-sha1-modp2048"]', '["3des-sha1-modp2048"]\nlifetime = "90s"');
  const { policy, findings } = exportPolicy(
    read(
      `${odd}[[rule]]\nname = "r"\naction = "require"\nfilters = ["me <-> 192.0.2.7"]\nauth = [{ method = "psk", secret-file = "x" }]\n`,
    ),
    { mirror: undefined },
  );
  assert.deepEqual([policy.lifetimeMinutes, findings.map(({ code }) => code)], [1, ["W_LIFETIME"]]);
});

const PEER = "192.0.2.7";
const transport = fc
  .record({
    left: fc.constantFrom("me", "me", "me:22"),
    arrow: fc.constantFrom("<->", "->", "<-"),
    right: fc.constantFrom(
      PEER,
      `${PEER}:443`,
      "192.0.2.0/24",
      "192.0.2.0/28:443",
      "any",
      "any:443",
      "192.0.2.8",
      "192.0.2.4-192.0.2.40",
      "0.0.0.0/0",
    ),
    turned: fc.boolean(),
  })
  .map(({ left, arrow, right, turned }) => {
    const ports = /:/.test(left + right) ? " tcp" : "";
    return `${turned ? right : left} ${arrow} ${turned ? left : right}${ports}`;
  });

test("what a mirror image for one peer says of every packet between the two is what our policy says of it", () => {
  const rules = fc.array(
    fc.record({
      action: fc.constantFrom("permit", "block", "require", "request"),
      filters: fc.array(transport, { minLength: 1, maxLength: 3 }),
    }),
    { minLength: 1, maxLength: 4 },
  );
  let compared = 0;
  fc.assert(
    fc.property(rules, (drawn) => {
      const auth = 'auth = [{ method = "psk", secret-file = "x" }]\n';
      const source = drawn.map(
        ({ action, filters }, i) =>
          `[[rule]]\nname = "r${i}"\naction = "${action}"\nfilters = ${JSON.stringify(filters)}\n${action.startsWith("re") ? auth : ""}`,
      );
      const parsed = parseConfiguration(HEAD + source.join(""), "F", () => ({ ok: true, value: new TextEncoder().encode(KEY) }));
      if (!parsed.ok) return;
      const ours = parsed.value.policy;
      const { script, findings } = exportPolicy(ours, { mirror: { local: "192.0.2.1", peer: PEER } });
      if (findings.some(({ code }) => code === "W_OTHERS" || code === "W_OVERLAP")) return;
      const keyed = script.replace(/%PSK_[A-Z0-9_]+%/g, KEY);
      const imported = importScript(new TextEncoder().encode(keyed), { ...OPTIONS, local: [PEER] });
      assert.ok(imported.ok && !imported.value.findings.some(({ weakens }) => weakens), script);
      const theirs = read(imported.value.toml);
      for (const [src, dst] of [
        ["192.0.2.1", PEER],
        [PEER, "192.0.2.1"],
      ] as const)
        for (const [protocol, sport, dport] of [
          [17, 9, 9],
          [6, 9, 443],
          [6, 443, 9],
          [6, 22, 443],
          [6, 443, 22],
          [6, 9, 22],
          [6, 22, 9],
        ] as const) {
          const packet = readPacket(src, dst, protocol, sport, dport);
          assert.ok(typeof packet !== "string");
          const [here, there] = [explain(ours, ["192.0.2.1"], packet).rule, explain(theirs, [PEER], packet).rule];
          assert.equal(there, here, `${src}:${sport} ${dst}:${dport} ${protocol}\n${source.join("")}\n${script}`);
          compared++;
        }
    }),
    { numRuns: 300 },
  );
  assert.ok(compared > 500, String(compared));
});

test("what static policies have no words for is said as that", () => {
  const strong = HEAD.replace('["3des-sha1-modp2048"]', '["aes256-sha256-modp2048", "3des-sha1-modp2048"]');
  const { findings } = exportPolicy(
    read(
      `${strong}[[rule]]\nname = "r"\naction = "require"\nfilters = ["me <-> 192.0.2.7"]\nauth = [{ method = "psk", secret-file = "x" }]\n`,
    ),
    { mirror: undefined },
  );
  assert.deepEqual(
    findings.map(({ code, hint }) => [code, /nothing like it/.test(hint)]),
    [["W_NOT_ON_WINDOWS", true]],
  );
});
