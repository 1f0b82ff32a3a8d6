/**
 * Gateways in a kernel with ESP, and what goes over the wire. One that blocks everything but a tunnel: what a host behind it and the other site send each
 * other passes both ways, protected; the same in clear does not. And one with exemptions, which are about its own packets only.
 */
import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";
import { ask } from "../../cli/client.ts";
import type { Explanation } from "../../policy/why.ts";
import { Lab, type Side } from "./lab.ts";

const GATEWAY = { us: "192.0.2.1", theirs: "192.0.2.2" } as const;
const [BEHIND, FAR] = ["10.1.0.5", "10.2.0.1"] as const;

const tunnel = (lab: Lab, side: Side, filter: string, more: string, exempt = "[]"): string => `[daemon]
control = "${lab.control(side)}"
[policy]
exempt = ${exempt}
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
tunnel = { local = "${GATEWAY[side]}", remote = "${GATEWAY[side === "us" ? "theirs" : "us"]}" }
auth = [{ method = "psk", secret = "a throwaway key for this test" }]
${more}`;

const WALL = '[[rule]]\nname = "wall"\nfilters = ["any <-> any"]\naction = "block"\n';

const inside = (space: string, ...words: readonly string[]): string =>
  execFileSync("ip", ["netns", "exec", space, ...words], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });

/** How many of some pings were answered. */
async function ping(space: string, from: string, to: string, count: number): Promise<number> {
  const argv = ["netns", "exec", space, "ping", "-n", "-q", "-c", `${count}`, "-i", "0.4", "-W", "2", "-I", from, to];
  const { stdout } = await promisify(execFile)("ip", argv).catch((error: { readonly stdout: string }) => error);
  return Number(/(\d+) received/.exec(stdout)?.[1] ?? 0);
}

/** One more host, behind ours. */
function addHost(): void {
  for (const words of [
    "netns add behind",
    "link add lan netns us type veth peer name eth0 netns behind",
    "-n us address add 10.1.0.1/16 dev lan",
    "-n us link set lan up",
    `-n behind address add ${BEHIND}/16 dev eth0`,
    "-n behind link set eth0 up",
    "-n behind route add default via 10.1.0.1",
    `-n us route add 10.2.0.0/16 via ${GATEWAY.theirs}`,
    `-n theirs route add 10.1.0.0/16 via ${GATEWAY.us}`,
  ])
    execFileSync("ip", words.split(" "));
  inside("us", "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=0");
}

test("beside a rule that blocks everything else, a host behind the gateway and the other site reach each other through ESP, and not in clear", async () => {
  const lab = new Lab({ us: [GATEWAY.us], theirs: [GATEWAY.theirs, FAR] });
  try {
    addHost();
    await lab.watch();
    await lab.start("theirs", tunnel(lab, "theirs", "10.2.0.0/16 <-> 10.1.0.0/16", ""));
    await lab.start("us", tunnel(lab, "us", "10.1.0.0/16 <-> 10.2.0.0/16", WALL));
    let answered = 0;
    for (let i = 0; i < 60 && answered === 0; i++) answered = await ping("behind", BEHIND, FAR, 1);
    assert.equal(answered, 1, lab.log("us"));
    assert.deepEqual([await ping("behind", BEHIND, FAR, 3), await ping("theirs", FAR, BEHIND, 3)], [3, 3]);
    const seen = await lab.packets();
    assert.ok(seen.some(({ kind }) => kind === "esp"));
    assert.deepEqual(
      seen.filter(({ kind }) => kind === "clear"),
      [],
    );
    let said: unknown;
    const packet = { src: BEHIND, dst: FAR, protocol: 1, sport: 0, dport: 0 };
    await ask({ path: lab.control("us"), request: { command: "why", ...packet }, onDocument: (document) => (said = document) });
    const { rule, verdict, direction } = said as Explanation;
    assert.deepEqual([rule, verdict, direction], ["sites", "protect", "fwd"]);
    // Who is on the way, and has no keys.
    await lab.kill("theirs");
    for (const what of ["policy", "state"]) inside("theirs", "ip", "xfrm", what, "flush");
    assert.equal(await ping("theirs", FAR, BEHIND, 3), 0);
    assert.match(inside("us", "cat", "/proc/net/xfrm_stat"), /XfrmInTmplMismatch\s+[1-9]/);
  } finally {
    execFileSync("ip", ["netns", "del", "behind"]);
    await lab.end();
  }
});

test("a branch that sends everything through headquarters, and blocks everything else, is reached both ways through ESP, and not in clear", async () => {
  const lab = new Lab({ us: [GATEWAY.us], theirs: [GATEWAY.theirs, FAR] });
  try {
    addHost();
    await lab.watch();
    await lab.start("theirs", tunnel(lab, "theirs", "any <-> 10.1.0.0/16", ""));
    await lab.start("us", tunnel(lab, "us", "10.1.0.0/16 <-> any", WALL));
    let answered = 0;
    for (let i = 0; i < 60 && answered === 0; i++) answered = await ping("behind", BEHIND, FAR, 1);
    assert.equal(answered, 1, lab.log("us"));
    assert.deepEqual([await ping("behind", BEHIND, GATEWAY.theirs, 3), await ping("theirs", FAR, BEHIND, 3)], [3, 3]);
    // The gateway itself has no filter of its own but the block.
    assert.equal(await ping("us", GATEWAY.us, BEHIND, 2), 0);
    const seen = await lab.packets();
    assert.ok(seen.some(({ kind }) => kind === "esp"));
    assert.deepEqual(
      seen.filter(({ kind }) => kind === "clear"),
      [],
    );
    await lab.kill("theirs");
    for (const what of ["policy", "state"]) inside("theirs", "ip", "xfrm", what, "flush");
    assert.equal(await ping("theirs", FAR, BEHIND, 3), 0);
  } finally {
    execFileSync("ip", ["netns", "del", "behind"]);
    await lab.end();
  }
});

test("a permit for both directions lets others ask and be answered past a block of everything, and nothing of the gateway itself", async () => {
  const lab = new Lab({ us: [GATEWAY.us], theirs: [GATEWAY.theirs, FAR] });
  try {
    addHost();
    await lab.watch();
    const permit = '[[rule]]\nname = "pings"\nfilters = ["10.1.0.0/16 <-> any icmp"]\naction = "permit"\n';
    await lab.start("us", `[daemon]\ncontrol = "${lab.control("us")}"\n[policy]\nexempt = []\n${permit}${WALL}`);
    assert.equal(await ping("behind", BEHIND, FAR, 3), 3);
    assert.equal(await ping("theirs", GATEWAY.theirs, BEHIND, 3), 3);
    const ends = (await lab.packets()).map(({ kind, source, destination }) => `${kind} ${source} ${destination}`);
    assert.deepEqual(
      [...new Set(ends)].sort(),
      [`${BEHIND} ${FAR}`, `${FAR} ${BEHIND}`, `${GATEWAY.theirs} ${BEHIND}`, `${BEHIND} ${GATEWAY.theirs}`]
        .map((each) => `clear ${each}`)
        .sort(),
    );
    // Neither from the gateway's outer address to the network, nor to the other side.
    assert.deepEqual([await ping("us", GATEWAY.us, BEHIND, 2), await ping("us", GATEWAY.us, GATEWAY.theirs, 2)], [0, 0]);
    assert.equal((await lab.packets()).length, ends.length);
    assert.match(inside("us", "cat", "/proc/net/xfrm_stat"), /XfrmOutPolBlock\s+[1-9]/);
  } finally {
    execFileSync("ip", ["netns", "del", "behind"]);
    await lab.end();
  }
});

test("what is exempt goes through the tunnel where others send it, and in clear where the gateway itself does", async () => {
  const lab = new Lab({ us: [GATEWAY.us], theirs: [GATEWAY.theirs, FAR] });
  try {
    addHost();
    await lab.watch();
    await lab.start("theirs", tunnel(lab, "theirs", "10.2.0.0/16 <-> 10.1.0.0/16", ""));
    await lab.start("us", tunnel(lab, "us", "10.1.0.0/16 <-> 10.2.0.0/16", "", '["icmp"]'));
    let answered = 0;
    for (let i = 0; i < 60 && answered === 0; i++) answered = await ping("behind", BEHIND, FAR, 1);
    assert.equal(answered, 1, lab.log("us"));
    assert.deepEqual([await ping("behind", BEHIND, FAR, 3), await ping("theirs", FAR, BEHIND, 3)], [3, 3]);
    const seen = await lab.packets();
    assert.ok(seen.some(({ kind }) => kind === "esp"));
    assert.deepEqual(
      seen.filter(({ kind }) => kind === "clear"),
      [],
    );
    // The other site takes it only protected.
    assert.equal(await ping("us", "10.1.0.1", FAR, 2), 0);
    const clear = (await lab.packets()).filter(({ kind }) => kind === "clear");
    assert.deepEqual([...new Set(clear.map(({ source, destination }) => `${source} ${destination}`))], [`10.1.0.1 ${FAR}`]);
    // And the gateway takes it only in clear: Linux refuses what comes out of a tunnel that the policy does not ask for.
    assert.match(inside("us", "cat", "/proc/net/xfrm_stat"), /XfrmInTmplMismatch\s+0/);
    assert.equal(await ping("theirs", FAR, "10.1.0.1", 2), 0);
    assert.match(inside("us", "cat", "/proc/net/xfrm_stat"), /XfrmInTmplMismatch\s+[1-9]/);
  } finally {
    execFileSync("ip", ["netns", "del", "behind"]);
    await lab.end();
  }
});
