import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

/** Source files run bare end in .ts, built ones in .js. */
const MAIN = fileURLToPath(new URL(`../../cli/main${import.meta.url.slice(import.meta.url.lastIndexOf("."))}`, import.meta.url));

test("the demo makes a realm of its own, proves both hosts by it, and leaves nothing behind", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "mainmode-test-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const child = spawn(process.execPath, [MAIN, "demo", "--place", "memory", "--auth", "kerberos"], {
    env: { ...process.env, TMPDIR: folder },
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.after(() => child.kill("SIGKILL"));
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
  });
  const [code] = await once(child, "close");
  assert.equal(code, 0, text);
  for (const sign of [
    "A realm of their own",
    'method = "kerberos"',
    "initiator  kerberos",
    "responder  kerberos",
    "KE 260, NONCE 36, GSS ",
  ])
    assert.ok(text.includes(sign), `"${sign}" in\n${text}`);
  for (const line of text.split("\n")) assert.ok(line.length <= 80, line);
  assert.deepEqual(readdirSync(folder), []);
});
