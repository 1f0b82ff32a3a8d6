/**
 * ike-scan as a real stranger on loopback: what it sends by itself, and what it can be told to send wrong. For each the answer that is right.
 */
import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { startDaemon } from "../../daemon/daemon.ts";
import { createLog } from "../../daemon/log.ts";
import { loadNative } from "../../daemon/native.ts";
import { systemRandom } from "../../daemon/random.ts";
import { opensslCrypto } from "../../ike/crypto/openssl.ts";
import { memoryKernel } from "../../kernel/memory.ts";
import { loadConfiguration } from "../../policy/config.ts";

/** What comes back: message 2, a notify in clear, or nothing. */
type Answer = "handshake" | "notify" | "nothing";

/** A proposal that the daemon takes: AES-128, SHA-256, a shared key, X25519. */
const GOOD = "--trans=(1=7,14=128,2=4,3=1,4=31)";

const SCANS: readonly (readonly [Answer, ...string[]])[] = [
  ["notify"],
  ["handshake", GOOD],
  ["handshake", GOOD, "--lifetime=none"],
  ["handshake", GOOD, "--vendor=f4ed19e0c114eb516faaac0ee37daf2807b4381f"],
  ["handshake", GOOD, "--hdrflags=254"],
  ["handshake", GOOD, "--mbz=255"],
  ["notify", "--trans=(1=7,14=256,2=4,3=1,4=31)"],
  ["notify", "--trans=(1=5,2=2,3=65001,4=2)"],
  ["notify", GOOD, "--protocol=3"],
  ["nothing", GOOD, "--aggressive", "--id=nobody"],
  ["nothing", GOOD, "--cookie=0000000000000000"],
  ["nothing", GOOD, "--rcookie=0102030405060708"],
  ["nothing", GOOD, "--headerlen=1000000"],
  ["nothing", GOOD, "--headerver=32"],
  ["nothing", GOOD, "--hdrmsgid=5"],
  ["nothing", GOOD, "--exchange=243"],
  ["nothing", GOOD, "--exchange=5"],
  ["nothing", GOOD, "--exchange=32"],
  ["nothing", GOOD, "--hdrflags=1"],
  ["nothing", "--ikev2"],
];

const installed = spawnSync("ike-scan", ["--version"]).error === undefined;
const [PORT, NAT_PORT] = [15_500, 15_501];

async function scan(options: readonly string[]): Promise<{ readonly answer: Answer; readonly said: string }> {
  const argv = ["--sport=0", `--dport=${PORT}`, "--retry=1", "--timeout=700", "--nodns", ...options, "127.0.0.1"];
  const said = await new Promise<string>((resolve) =>
    execFile("ike-scan", argv, { timeout: 20_000 }, (_error, out, err) => resolve(`${out}${err}`)),
  );
  assert.match(said, /Ending ike-scan/, argv.join(" "));
  const answer = /Handshake returned/.test(said) ? "handshake" : /Notify message/.test(said) ? "notify" : "nothing";
  return { answer, said };
}

if (!installed) test("ike-scan is not installed here, so nothing scans the daemon", () => {});
else
  test("ike-scan gets the answer that is right for each of its scans, and leaves nothing behind that lasts", async () => {
    const folder = mkdtempSync(join(tmpdir(), "mainmode-scan-"));
    const file = join(folder, "mainmode.toml");
    const text = `[daemon]\ncontrol = "${folder}/control.sock"\nport = ${PORT}\nnat-port = ${NAT_PORT}\naddresses = ["127.0.0.1"]
[policy.main-mode]\nproposals = ["aes128-sha256-x25519"]
[[rule]]\nname = "anybody"\nfilters = ["me <-> any"]\naction = "respond"\nauth = [{ method = "psk", secret = "a throwaway key for this test" }]\n`;
    writeFileSync(file, text, { mode: 0o600 });
    const configuration = loadConfiguration(file, undefined);
    assert.ok(configuration.ok, configuration.ok ? "" : JSON.stringify(configuration.error));
    const native = await loadNative();
    const log = createLog({ format: "json", prefixed: false, write: () => {}, time: () => Date.now() });
    const started = await startDaemon({
      configuration: configuration.value,
      crypto: opensslCrypto,
      random: systemRandom,
      kernel: memoryKernel(),
      log,
      native: native.ok ? native.value : undefined,
    });
    assert.ok(started.ok, started.ok ? "" : started.error.text);
    try {
      const wrong: string[] = [];
      for (const [expected, ...options] of SCANS) {
        const { answer, said } = await scan(options);
        if (answer !== expected) wrong.push(`${options.join(" ")}: ${answer} instead of ${expected}: ${said.split("\n")[1] ?? ""}`);
      }
      assert.deepEqual(wrong, []);
      assert.equal((await scan([GOOD])).answer, "handshake");
    } finally {
      assert.equal(await started.value.stop(), true);
      rmSync(folder, { recursive: true });
    }
  });
