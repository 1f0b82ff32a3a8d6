/** A tunnel that leaves its own end to the route, in a kernel with ESP: the route moves to another address of the host, and the tunnel with it. */
import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";
import { Lab, wait } from "./lab.ts";

const [FIRST, SECOND, PEER] = ["192.0.2.1", "192.0.2.3", "192.0.2.2"] as const;
const [OURS, FAR] = ["10.1.0.1", "10.2.0.1"] as const;

const configuration = (control: string, filter: string, ends: string): string => `[daemon]
control = "${control}"
[policy.main-mode]
proposals = ["aes128-sha256-x25519"]
[policy.quick-mode]
proposals = ["esp:aes128-sha256"]
pfs = "none"
[[rule]]
name = "sites"
filters = ["${filter}"]
action = "require"
mode = "tunnel"
tunnel = { ${ends} }
auth = [{ method = "psk", secret = "a throwaway key for this test" }]
`;

/** Our end in the kernel's policy for what leaves. */
const end = (): string | undefined =>
  /\bdir out .*?tmpl src (\S+)/s.exec(
    execFileSync("ip", ["-n", "us", "xfrm", "policy", "list", "src", `${OURS}/32`, "dst", `${FAR}/32`], { encoding: "utf8" }),
  )?.[1];

async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 300; i++) {
    if (await isSo()) return;
    await wait(100);
  }
  assert.fail(what);
}

async function isAnswered(): Promise<boolean> {
  const argv = ["netns", "exec", "us", "ping", "-n", "-q", "-c", "1", "-W", "1", "-I", OURS, FAR];
  return promisify(execFile)("ip", argv).then(
    () => true,
    () => false,
  );
}

test("the route to the far end moves between two addresses that both stay: the tunnel follows it at once, and traffic passes from there", async () => {
  const lab = new Lab({ us: [FIRST, SECOND, OURS], theirs: [PEER, FAR] });
  const route = (how: string, source: string): void => {
    execFileSync("ip", ["-n", "us", "route", how, `${PEER}/32`, "dev", "eth0", "src", source]);
  };
  try {
    execFileSync("ip", ["-n", "us", "route", "add", "10.2.0.0/16", "via", PEER]);
    execFileSync("ip", ["-n", "theirs", "route", "add", "10.1.0.0/16", "via", SECOND]);
    route("add", FIRST);
    await lab.watch();
    await lab.start("theirs", configuration(lab.control("theirs"), `${FAR} <-> ${OURS}`, `local = "${PEER}", remote = "${SECOND}"`));
    await lab.start("us", configuration(lab.control("us"), `${OURS} <-> ${FAR}`, `remote = "${PEER}"`));
    await until("the first end", () => end() === FIRST);
    // The other site knows the second address only.
    assert.equal(await isAnswered(), false);
    route("replace", SECOND);
    await until("the second end", () => end() === SECOND);
    await until("an answer", isAnswered);
    const seen = await lab.packets();
    assert.ok(seen.some(({ kind, source }) => kind === "esp" && source === SECOND));
    assert.deepEqual(
      seen.filter(({ kind }) => kind === "clear"),
      [],
    );
  } finally {
    await lab.end();
  }
});
