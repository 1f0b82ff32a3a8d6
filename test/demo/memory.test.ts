import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";

/** Source files run bare end in .ts, built ones in .js. */
const MAIN = fileURLToPath(new URL(`../../cli/main${import.meta.url.slice(import.meta.url.lastIndexOf("."))}`, import.meta.url));

/** Starts `mainmode demo` with temporary files in a folder of its own. */
function startDemo(t: TestContext, ...options: readonly string[]) {
  const folder = mkdtempSync(join(tmpdir(), "mainmode-test-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const child = spawn(process.execPath, [MAIN, "demo", ...options], {
    env: { ...process.env, TMPDIR: folder },
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.after(() => child.kill("SIGKILL"));
  const said = { text: "" };
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    said.text += text;
  });
  return { child, folder, said };
}

test("on loopback two daemons negotiate, pass packets, and leave nothing behind", async (t) => {
  const { child, folder, said } = startDemo(t, "--place", "memory");
  const [code] = await once(child, "close");
  const text = said.text;
  assert.equal(code, 0, text);
  for (const sign of [
    "ip xfrm policy add src 127.0.0.2/32 dst 127.0.0.3/32 dir out",
    "hmac(sha256) <key>",
    "peer proved ip:127.0.0.3",
    "3 packets on each of 4 SAs",
    "established",
    "neither kernel holds an SA or a policy",
    "-- Main Mode 1 --",
    "decrypted: HASH 36, SA 68, NONCE 36, KE 260, ID 12+12",
    "<- Quick Mode 2 --",
    "== ESP SPI 0x",
  ])
    assert.ok(text.includes(sign), `"${sign}" in\n${text}`);
  for (const line of text.split("\n")) assert.ok(line.length <= 80, line);
  assert.ok(!text.includes("\u001b"), "no colours outside of a terminal");
  assert.deepEqual(readdirSync(folder), []);
});

test("the same with certificates: each host proves its subject, and no key stays on the disk", async (t) => {
  const { child, folder, said } = startDemo(t, "--place", "memory", "--auth", "x509");
  const [code] = await once(child, "close");
  const { text } = said;
  assert.equal(code, 0, text);
  for (const sign of ['method = "x509"', "peer proved dn:O=mainmode demo, CN=b", " rsa ", "3 packets on each of 4 SAs", "CERT ", "SIG "])
    assert.ok(text.includes(sign), `"${sign}" in\n${text}`);
  for (const line of text.split("\n")) assert.ok(line.length <= 80, line);
  assert.deepEqual(readdirSync(folder), []);
});

test("Ctrl-C ends the demo, and what it made goes", async (t) => {
  const { child, folder } = startDemo(t, "--place", "memory");
  await once(child.stdout, "data");
  child.kill("SIGINT");
  const [code] = await once(child, "close");
  // It may have been at its end already, where it was fast.
  assert.ok(code === 130 || code === 0, `ended with ${code}`);
  assert.ok(existsSync(folder));
  assert.deepEqual(readdirSync(folder), []);
});
