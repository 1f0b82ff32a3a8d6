/** docs/interop.md shows what the lab writes, to the letter: configurations that were negotiated with; and what else it shows can be read. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { parseConfiguration } from "../../policy/config.ts";
import { shown, summary } from "../policy/windows/imported.ts";
import { connections as ipsecConf, secrets } from "./libreswan.ts";
import { rule } from "./mainmode.ts";
import { type PeerKind, type Placed, place } from "./scenario.ts";
import { scenarios } from "./scenarios.ts";
import { connections as swanctlConf } from "./strongswan.ts";

/** A row of the table under a shorter name. */
function office(peer: PeerKind): Placed {
  const row = scenarios().find(({ name }) => name === `${peer}-initiator-office`);
  assert.ok(row);
  return { ...place(row, 0), name: "office" };
}

const WRITTEN: Readonly<Record<string, () => string>> = {
  "mainmode.toml": () => rule("us", office("strongswan"), { pki: "", runtime: "" }).join("\n"),
  // The lab alone keeps messages whole, so that tshark can read every one of them.
  "swanctl.conf": () => swanctlConf("theirs", [office("strongswan")], "", undefined).replace("fragmentation = no", ""),
  "ipsec.conf": () => ipsecConf("theirs", [office("libreswan")], undefined),
  "ipsec.secrets": () => secrets("theirs", [office("libreswan")]),
};

const linesOf = (text: string): readonly string[] =>
  text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");

/** Blocks of code, by the name of the file in the comment before them. */
function blocks(): ReadonlyMap<string, string> {
  const text = readFileSync("docs/interop.md", "utf8");
  return new Map([...text.matchAll(/<!-- as .* it: (\S+) -->\n```\w*\n([\s\S]*?)```/g)].map(([, name = "", code = ""]) => [name, code]));
}

for (const [name, write] of Object.entries(WRITTEN))
  test(`the ${name} of docs/interop.md is what the lab writes`, () => {
    const shown = blocks().get(name);
    assert.ok(shown, `no block for ${name}`);
    assert.deepEqual(linesOf(shown), linesOf(write()));
  });

test("both peers of the lab are configured against the same rule", () => {
  const ours = (peer: PeerKind) => rule("us", office(peer), { pki: "", runtime: "" }).join("\n");
  assert.equal(ours("strongswan"), ours("libreswan"));
});

test("every rule of docs/interop.md can be loaded", () => {
  const toml = [...readFileSync("docs/interop.md", "utf8").matchAll(/```toml\n([\s\S]*?)```/g)].map(([, code = ""]) => code);
  assert.equal(toml.length, 2);
  for (const text of toml) {
    const parsed = parseConfiguration(text, "t.toml", () => ({ ok: true, value: new TextEncoder().encode("a key for tests only\n") }));
    assert.ok(parsed.ok, parsed.ok ? "" : parsed.error.map(({ message }) => message).join("\n"));
  }
});

test("the Windows policy of docs/interop.md offers what the rule beside it allows", () => {
  const got = summary(blocks().get("linux.cmd") ?? "", {});
  assert.deepEqual(
    got.codes.filter((code) => code.startsWith("E_")),
    [],
    shown(got),
  );
  assert.match(got.toml, /"me <-> 192\.0\.2\.1"/);
  assert.match(got.toml, /3des-sha1-modp2048/);
  assert.match(got.toml, /esp:3des-sha1"/);
});
