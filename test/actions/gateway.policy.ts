/**
 * What a gateway's routes come to, in a kernel with ESP: a tunnel that leaves its own end to them, and packets from outside with addresses of the inside,
 * which only a check of the way back stops (docs/site-to-site.md).
 */
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

/** `rp_filter` of all interfaces together and of the outer one: whether a packet from outside that says to come from inside goes into the tunnel. */
const CHECKS: readonly (readonly [all: number, outer: number, sent: boolean])[] = [
  [0, 0, true],
  [1, 2, true],
  [1, 0, false],
  [1, 1, false],
];

test("a packet from outside with an address of the inside goes into the tunnel, unless rp_filter is strict; with that the tunnel works all the same", async () => {
  const [inside, stranger] = ["10.1.0.9", "192.0.2.9"];
  const lab = new Lab({ us: [FIRST], theirs: [PEER, FAR], mute: [stranger] });
  const ip = (words: string): string => execFileSync("ip", words.split(" "), { encoding: "utf8" });
  try {
    for (const words of [
      "-n us link add lan type veth peer name inside",
      "-n us address add 10.1.0.1/16 dev lan",
      "-n us link set lan up",
      "-n us link set inside up",
      `-n us route add 10.2.0.0/16 via ${PEER}`,
      `-n theirs route add 10.1.0.0/16 via ${FIRST}`,
      `-n mute address add ${inside}/32 dev lo`,
      `-n mute route add 10.2.0.0/16 via ${FIRST}`,
    ])
      ip(words);
    await lab.watch();
    const wide = ["10.1.0.0/16", "10.2.0.0/16"] as const;
    await lab.start("theirs", configuration(lab.control("theirs"), `${wide[1]} <-> ${wide[0]}`, `local = "${PEER}", remote = "${FIRST}"`));
    await lab.start("us", configuration(lab.control("us"), `${wide[0]} <-> ${wide[1]}`, `local = "${FIRST}", remote = "${PEER}"`));
    ip("netns exec us sysctl -qw net.ipv4.ip_forward=1");
    await until("an answer", isAnswered);
    const sent = async (): Promise<number> => (await lab.packets()).filter(({ kind, source }) => kind === "esp" && source === FIRST).length;
    for (const [all, outer, passes] of CHECKS) {
      ip(`netns exec us sysctl -qw net.ipv4.conf.all.rp_filter=${all} net.ipv4.conf.eth0.rp_filter=${outer}`);
      const before = await sent();
      const argv = ["netns", "exec", "mute", "ping", "-n", "-q", "-c", "3", "-i", "0.3", "-W", "1", "-I", inside, FAR];
      await promisify(execFile)("ip", argv).catch(() => {});
      assert.equal((await sent()) - before, passes ? 3 : 0, `all ${all}, outer interface ${outer}`);
      await until(`an answer with ${all} and ${outer}`, isAnswered);
    }
  } finally {
    await lab.end();
  }
});
