/** The stock policies in examples/ mean what Windows means. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { destroyPolicy, parseConfiguration } from "../../policy/config.ts";
import { readPacket } from "../../policy/decide.ts";
import { explain, type Verdict } from "../../policy/why.ts";

const tree = fileURLToPath(new URL(import.meta.url.includes("/dist/") ? "../../../" : "../../", import.meta.url));
const ME = ["192.0.2.1"];
const [TCP, ICMP] = [6, 1];

const ROWS: readonly (readonly [file: string, protocol: number, port: number, out: Verdict, incoming: Verdict])[] = [
  ["server", TCP, 445, "protect", "protect-if-possible"],
  ["server", ICMP, 0, "clear", "clear"],
  ["secure-server", TCP, 445, "protect", "protect-if-possible"],
  ["secure-server", ICMP, 0, "clear", "clear"],
  ["firewall", TCP, 443, "clear", "clear"],
  ["firewall", TCP, 445, "clear", "drop"],
  ["firewall", ICMP, 0, "clear", "clear"],
  ["http-and-ftp", TCP, 80, "clear", "clear"],
  ["http-and-ftp", TCP, 21, "protect", "protect"],
  ["http-and-ftp", TCP, 20, "protect", "protect"],
  ["http-and-ftp", TCP, 443, "clear", "clear"],
];
for (const [file, protocol, port, out, incoming] of ROWS)
  test(`${file}: protocol ${protocol}, our port ${port}: ${out} out, ${incoming} in`, () => {
    const text = readFileSync(`${tree}examples/${file}.toml`, "utf8");
    const parsed = parseConfiguration(text, file, () => ({ ok: false, error: "none" }));
    assert.ok(parsed.ok, parsed.ok ? "" : JSON.stringify(parsed.error));
    // That is what requiring security means.
    const expected = file === "secure-server" ? [/lets SSH to this host in only from peers that negotiate/] : [];
    assert.equal(parsed.value.warnings.length, expected.length);
    for (const [i, { message }] of parsed.value.warnings.entries()) assert.match(message, expected[i] as RegExp);
    const { policy } = parsed.value;
    const [leaving, coming] = [
      readPacket("192.0.2.1", "198.51.100.7", protocol, port, 0),
      readPacket("198.51.100.7", "192.0.2.1", protocol, 0, port),
    ];
    assert.ok(typeof leaving !== "string" && typeof coming !== "string");
    assert.deepEqual([explain(policy, ME, leaving).verdict, explain(policy, ME, coming).verdict], [out, incoming]);
    destroyPolicy(policy);
  });
