import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { WhyDocument } from "../../daemon/policy-commands.ts";
import { readPacket } from "../../policy/decide.ts";
import { explain } from "../../policy/why.ts";
import { policyOf, towards } from "../sim/policies.ts";
import { fakeDaemon, mainmode, scratch } from "./fake-daemon.ts";

const packet = readPacket("192.0.2.1", "192.0.2.2", 6, 0, 80);
if (typeof packet === "string") throw new Error(packet);
const DOCUMENT: WhyDocument = {
  ...explain(policyOf(towards("192.0.2.2")), ["192.0.2.1"], packet),
  installed: [],
  soft: [],
  guards: [],
  refused: null,
  unknown: null,
};

test("why and policy show tell that nobody knows whether the policies stand", async (t) => {
  const unknown = { seconds: 95, reason: "Cannot allocate memory", hint: "try ip" };
  const document = { name: "default", addresses: ["192.0.2.1"], sources: [], policies: [], unknown };
  const { path } = await fakeDaemon(t, [
    { type: "document", document: { ...DOCUMENT, unknown } },
    { type: "end", exit: 0 },
  ]);
  const why = await mainmode(["--control", path, "why", "--src", "192.0.2.1", "--dst", "192.0.2.2"]);
  assert.match(why.stdout, /^ {2}whether the kernel has it is not known, for 1 min 35 s now: Cannot allocate memory; try ip$/m);
  const shown = await fakeDaemon(t, [
    { type: "document", document },
    { type: "end", exit: 0 },
  ]);
  const { stdout } = await mainmode(["--control", shown.path, "policy", "show", "--specific"]);
  assert.match(stdout, /^Which of them stand is not known, for 1 min 35 s now: Cannot allocate memory\ntry ip$/m);
});

test("why asks the daemon about a packet and prints the rule, the kernel policy and the offers", async (t) => {
  const { path, requests } = await fakeDaemon(t, [
    { type: "document", document: DOCUMENT },
    { type: "end", exit: 0 },
  ]);
  const ran = await mainmode(["--control", path, "why", "--src", "192.0.2.1", "--dst", "192.0.2.2", "--dport", "80"]);
  assert.equal(ran.exit, 0, ran.stderr);
  assert.deepEqual(JSON.parse(requests[0] ?? ""), { command: "why", src: "192.0.2.1", dst: "192.0.2.2", sport: 0, dport: 80, protocol: 6 });
  assert.match(ran.stdout, /^192\.0\.2\.1 -> 192\.0\.2\.2:80 tcp \(leaves this host\)$/m);
  assert.match(ran.stdout, /decided by: rule peer, filter "me <-> 192\.0\.2\.2"/);
  assert.match(ran.stdout, /kernel policy: out 192\.0\.2\.1\/32 -> 192\.0\.2\.2\/32, allow, level required/);
  assert.match(ran.stdout, /authentication psk/);
  assert.match(ran.stdout, /installed now: no SA for it/);
});

test("why tells that a peer that does not answer gets clear text for a while", async (t) => {
  const soft = {
    id: 7,
    rule: "peer",
    local: "192.0.2.1",
    remote: "192.0.2.2",
    localPort: null,
    remotePort: null,
    protocol: "any",
    secondsLeft: 90,
  };
  const { path } = await fakeDaemon(t, [
    { type: "document", document: { ...DOCUMENT, soft: [soft] } },
    { type: "end", exit: 0 },
  ]);
  const ran = await mainmode(["--control", path, "why", "--src", "192.0.2.1", "--dst", "192.0.2.2"]);
  assert.match(ran.stdout, /in clear now: 192\.0\.2\.2 does not answer, and the rule falls back \(soft SA 7, .*, asked again in 90 s\)/);
});

test("why tells that a flow is kept from the clear for a while", async (t) => {
  const flow = { id: 8, rule: "peer", local: "192.0.2.1/32", remote: "192.0.2.2/32", localPort: null, remotePort: null, protocol: "any" };
  const { path } = await fakeDaemon(t, [
    { type: "document", document: { ...DOCUMENT, guards: [{ ...flow, secondsLeft: 90, policies: [] }] } },
    { type: "end", exit: 0 },
  ]);
  const ran = await mainmode(["--control", path, "why", "--src", "192.0.2.1", "--dst", "192.0.2.2"]);
  assert.match(
    ran.stdout,
    /kept from the clear now: it was protected, and its last SA has ended \(192\.0\.2\.1\/32 <-> 192\.0\.2\.2\/32, for 90 s more at least\)/,
  );
});

test("why explains a file without any daemon, and --json prints one document", async (t) => {
  const file = join(scratch(t), "m.toml");
  writeFileSync(file, towards("192.0.2.2"), { mode: 0o600 });
  const words = ["why", "-c", file, "--src", "192.0.2.1", "--dst", "192.0.2.9", "--proto", "icmp"];
  const ran = await mainmode([...words, "--json"]);
  assert.equal(ran.exit, 0, ran.stderr);
  const said = JSON.parse(ran.stdout);
  assert.deepEqual([said.verdict, said.rule, said.others[0].because], ["clear", null, "192.0.2.9 is not 192.0.2.2/32"]);
  const coming = await mainmode(["why", "-c", file, "--local", "192.0.2.1", "--src", "192.0.2.2", "--dst", "192.0.2.1"]);
  assert.match(coming.stdout, /comes to this host[\s\S]*accepted only protected/);
});

const TUNNEL = (end: string): string =>
  `[[rule]]\nname = "site"\nfilters = ["10.1.0.0/16 <-> 10.2.0.0/16"]\naction = "require"\nmode = "tunnel"\ntunnel = { ${end}remote = "192.0.2.9" }\nauth = [{ method = "psk", secret = "throwaway" }]\n`;
const WALL = '[[rule]]\nname = "wall"\naction = "block"\nfilters = ["any <-> any"]\n';
const SA = `[[sa]]\nname = "old"\nlocal = "192.0.2.1"\nremote = "192.0.2.9"\nfilters = ["me <-> 192.0.2.9"]\nprotection = "esp:aes128-sha1"\nspi-in = 0x2001\nspi-out = 0x2002\nkey-in = "0x${"11".repeat(36)}"\nkey-out = "0x${"22".repeat(36)}"\n`;

/** Whose addresses are ours by a file, and what a packet from its source does then. */
const OURS: readonly (readonly [
  what: string,
  text: string,
  more: readonly string[],
  addresses: readonly string[],
  way: RegExp,
  because: RegExp,
])[] = [
  [
    "a tunnel's own end",
    TUNNEL('local = "192.0.2.1", ') + WALL,
    [],
    ["192.0.2.1"],
    /passes through this host/,
    /own ends that the file names/,
  ],
  ["a manual SA's own end", SA + WALL, [], ["192.0.2.1"], /passes through this host/, /own ends that the file names/],
  [
    "a tunnel without its own end: nothing",
    TUNNEL("") + WALL,
    [],
    ["10.1.0.5"],
    /leaves this host/,
    /the packet's source, since the file names none/,
  ],
  [
    "[daemon] addresses",
    `[daemon]\naddresses = ["192.0.2.7"]\n${TUNNEL('local = "192.0.2.1", ')}`,
    [],
    ["192.0.2.7"],
    /passes through/,
    /\[daemon\] addresses/,
  ],
  ["--local", TUNNEL('local = "192.0.2.1", '), ["--local", "10.1.0.5"], ["10.1.0.5"], /leaves this host/, /named with --local/],
];
for (const [what, body, more, addresses, way, because] of OURS)
  test(`why of a file tells which addresses it took for this host's, and by what: ${what}`, async (t) => {
    const file = join(scratch(t), "m.toml");
    writeFileSync(file, body, { mode: 0o600 });
    const words = ["why", "-c", file, "--src", "10.1.0.5", "--dst", "10.2.0.5", ...more];
    const ran = await mainmode(words);
    assert.equal(ran.exit, 0, ran.stderr);
    assert.match(ran.stdout, way);
    const [, named, by = ""] = /^ {2}addresses of this host: (.*?) \((.*)\)$/m.exec(ran.stdout) ?? [];
    assert.deepEqual(named?.split(", "), addresses, ran.stdout);
    assert.match(by, because);
    const { own } = JSON.parse((await mainmode([...words, "--json"])).stdout);
    assert.deepEqual(own, { addresses, because: by });
  });

test("a packet that comes out of a tunnel is told from one that this host sends by the ends in the file", async (t) => {
  const file = join(scratch(t), "m.toml");
  writeFileSync(file, TUNNEL('local = "192.0.2.1", ') + WALL, { mode: 0o600 });
  const ran = await mainmode(["why", "-c", file, "--src", "10.2.0.5", "--dst", "10.1.0.5"]);
  assert.match(ran.stdout, /passes through this host\)\n {2}rule site \(require\): accepted only protected/);
});

test("why refuses what is no packet with 2, and a file with errors with 78", async (t) => {
  const file = join(scratch(t), "m.toml");
  writeFileSync(file, "[[rule]]\n", { mode: 0o600 });
  const wrong = await mainmode(["why", "-c", file, "--src", "192.0.2.1", "--dst", "192.0.2.9", "--proto", "icmp", "--dport", "7"]);
  assert.deepEqual([wrong.exit, /icmp has no ports/.test(wrong.stderr)], [2, true]);
  const bad = await mainmode(["why", "-c", file, "--src", "192.0.2.1", "--dst", "192.0.2.9"]);
  assert.equal(bad.exit, 78);
  assert.match(bad.stderr, /m\.toml:1:1: .*name is missing/);
});
