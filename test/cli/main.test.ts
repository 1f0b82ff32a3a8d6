import assert from "node:assert/strict";
import { chmodSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { UNHEARD } from "../../daemon/control.ts";
import type { Reply } from "../../daemon/control-protocol.ts";
import type { StatusDocument } from "../../sa-store/view.ts";
import { fakeDaemon, mainmode, scratch, WITHOUT_CAPABILITIES } from "./fake-daemon.ts";

const STATUS: StatusDocument = {
  softSas: [],
  guards: [],
  refusedPolicies: [],
  policiesUnknown: null,
  ikeSas: [
    {
      id: 1,
      rule: "hr",
      role: "initiator",
      state: "established",
      local: "192.0.2.1:500",
      remote: "192.0.2.2:500",
      localId: "ip:192.0.2.1",
      remoteId: "fqdn:b.example.test",
      auth: "psk",
      encryption: "aes256",
      hash: "sha256",
      group: "modp2048",
      initiatorCookie: "0011223344556677",
      responderCookie: "8899aabbccddeeff",
      nat: "none",
      lifetimeSeconds: 28_800,
      secondsLeft: 28_790,
      quickModes: 1,
    },
  ],
  childSas: [
    {
      id: 2,
      ike: 1,
      rule: "hr",
      state: "installed",
      mode: "tunnel",
      tunnel: { local: "198.51.100.1", remote: "203.0.113.9" },
      local: "192.0.2.1/32",
      remote: "192.0.2.2/32",
      localPort: null,
      remotePort: 445,
      protocol: "tcp",
      group: null,
      protections: [
        { protocol: "ah", encryption: null, integrity: "sha256", spiIn: "0x0000000a", spiOut: "0x0000000b" },
        { protocol: "esp", encryption: "aes128gcm16", integrity: null, spiIn: "0xc5704d9e", spiOut: "0xc6da6209" },
      ],
      bytesIn: 192,
      bytesOut: 1_500_000,
      lifetimeSeconds: 300,
      secondsLeft: 290,
      lifetimeKilobytes: 100_000,
      rekeys: 0,
      warning: null,
    },
  ],
};

const statusReply: readonly Reply[] = [
  { type: "status", status: STATUS },
  { type: "end", exit: 0 },
];

for (const words of [
  [],
  ["frobnicate"],
  ["status", "phase3"],
  ["status", "--frob"],
  ["initiate"],
  ["initiate", "a", "b"],
  ["initiate", "a", "--wait", "0"],
  ["initiate", "a", "--wait", "soon"],
  ["initiate", "a", "--peer", "not-an-address"],
  ["terminate"],
  ["terminate", "a", "--all"],
  ["terminate", "--ike", "1", "--child", "1"],
  ["terminate", "--ike", "-1"],
  ["daemon"],
  ["daemon", "-c", "x", "--log-format", "xml"],
  ["check"],
  ["decode"],
  ["stats", "frob"],
  // Named in the interface, not built.
  ["monitor", "--interval", "0"],
  ["why", "--src", "192.0.2.1"],
  ["trace", "--peer", "not-an-address"],
  ["trace", "--for", "0"],
  ["last-failure", "not-an-address"],
]) {
  test(`wrong usage ends with 2: mainmode ${words.join(" ")}`, async () => {
    const { exit, stdout, stderr } = await mainmode(words);
    assert.equal(exit, 2);
    assert.equal(stdout, "");
    assert.notEqual(stderr, "");
    assert.doesNotMatch(stderr, /\n {4}at /);
  });
}

test("help and version are on stdout and end with 0", async () => {
  for (const words of [["--help"], ["-h"], ["initiate", "--help"], ["down", "-h"], ["--version"]]) {
    const { exit, stdout, stderr } = await mainmode(words);
    assert.deepEqual([exit, stderr], [0, ""], words.join(" "));
    assert.notEqual(stdout, "");
  }
});

test("help names the commands that are built and no others", async () => {
  const { stdout } = await mainmode(["--help"]);
  const commands = [...stdout.matchAll(/^ {2}([a-z-]+)[| ]/gm)].map(([, name]) => name);
  for (const built of [
    "daemon",
    "check",
    "initiate",
    "terminate",
    "status",
    "shutdown",
    "reload",
    "decode",
    "policy",
    "why",
    "stats",
    "monitor",
    "trace",
    "last-failure",
    "report",
  ])
    assert.ok(commands.includes(built), built);
  for (const missing of ["frob", "help"]) assert.ok(!commands.includes(missing), missing);
});

for (const words of [["status"], ["initiate", "hr"], ["terminate", "--all"], ["shutdown"], ["shutdown", "--keep"], ["reload"]]) {
  test(`without a daemon it ends with 69 and one line: mainmode ${words.join(" ")}`, async (t) => {
    const path = join(scratch(t), "nobody.sock");
    for (const [more, env] of [
      [["--control", path], {}],
      [[], { MAINMODE_CONTROL: path }],
    ] as const) {
      const { exit, stdout, stderr } = await mainmode([...words, ...more], env);
      assert.deepEqual([exit, stdout], [69, ""]);
      assert.match(stderr, /^mainmode: no daemon at .*nobody\.sock: there is no such socket; try: .*\n$/);
    }
  });
}

test("a daemon that was about to end is asked again, since another one may listen there; not for ever", async (t) => {
  const patient = await fakeDaemon(t, (number) => [number === 1 ? UNHEARD : { type: "end", exit: 0, text: "initiated" }]);
  const { exit, stdout } = await mainmode(["terminate", "--all", "--control", patient.path]);
  assert.deepEqual([exit, stdout, patient.requests.length], [0, "initiated\n", 2]);
  const ending = await fakeDaemon(t, [UNHEARD]);
  const refused = await mainmode(["terminate", "--all", "--control", ending.path]);
  assert.deepEqual([refused.exit, ending.requests.length], [69, 3]);
  assert.match(refused.stderr, /about to end/);
});

test("a shutdown is not asked for again: that would start the next daemon in order to stop it", async (t) => {
  const ending = await fakeDaemon(t, [UNHEARD]);
  assert.equal((await mainmode(["shutdown", "--control", ending.path])).exit, 69);
  assert.equal(ending.requests.length, 1);
});

test("a question that was cut off is asked again; what could have been done already is not", async (t) => {
  const status: Reply = { type: "status", status: STATUS };
  const cut = await fakeDaemon(t, (number) => (number === 1 ? "hang up" : [status, { type: "end", exit: 0 }]));
  assert.equal((await mainmode(["status", "--json", "--control", cut.path])).exit, 0);
  assert.equal(cut.requests.length, 2);
  const gone = await fakeDaemon(t, () => "hang up");
  const { exit, stderr } = await mainmode(["terminate", "--all", "--control", gone.path]);
  assert.deepEqual([exit, gone.requests.length], [69, 1]);
  assert.match(stderr, /went away before it answered/);
});

test("a request that nobody has read is made again", async (t) => {
  const path = join(scratch(t), "control.sock");
  let connections = 0;
  const server = createServer({ pauseOnConnect: true }, (socket) => {
    socket.on("error", () => {});
    // Closing with unread octets resets the connection.
    if (++connections === 1) setTimeout(() => socket.destroy(), 300);
    else socket.on("data", () => socket.end(`${JSON.stringify({ type: "end", exit: 0, text: "done" })}\n`)).resume();
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  t.after(() => server.close());
  const { exit, stdout } = await mainmode(["terminate", "--all", "--control", path]);
  assert.deepEqual([exit, stdout, connections], [0, "done\n", 2]);
});

for (const [what, answer, complaint] of [
  ["goes away before it answers", [{ type: "line", text: "working on it" }], /went away before it answered/],
  ["is something else", ["HTTP/1.1 400 Bad Request\r\n"], /no mainmode daemon/],
] as const) {
  test(`a daemon that ${what} counts as not reachable`, async (t) => {
    const { path } = await fakeDaemon(t, answer, true);
    const { exit, stderr } = await mainmode(["initiate", "hr", "--control", path]);
    assert.equal(exit, 69);
    assert.match(stderr, complaint);
  });
}

test("initiate prints steps as they come and what it asked for is what was written", async (t) => {
  const { path, requests } = await fakeDaemon(t, [
    { type: "line", text: "offer sent" },
    { type: "line", text: "peer proved ip:192.0.2.2" },
    { type: "end", exit: 0, text: "rule hr: done" },
  ]);
  const { exit, stdout, stderr } = await mainmode(["up", "hr", "--peer", "2001:DB8::0:2", "--wait", "7", "--control", path]);
  assert.deepEqual([exit, stderr], [0, ""]);
  assert.equal(stdout, "offer sent\npeer proved ip:192.0.2.2\nrule hr: done\n");
  assert.deepEqual(
    requests.map((line) => JSON.parse(line)),
    [{ command: "initiate", rule: "hr", wait: 7, peer: "2001:db8::2" }],
  );
});

test("without --wait initiate waits 30 seconds", async (t) => {
  const { path, requests } = await fakeDaemon(t, [{ type: "end", exit: 0 }]);
  assert.equal((await mainmode(["initiate", "hr", "--control", path])).exit, 0);
  assert.equal(JSON.parse(requests[0] ?? "").wait, 30);
});

for (const exit of [1, 2, 75, 77]) {
  test(`the daemon's exit code ${exit} is the command's, with the reason and hint on one line of stderr`, async (t) => {
    const text = "192.0.2.2 refused:\nNO-PROPOSAL-CHOSEN";
    const { path } = await fakeDaemon(t, [{ type: "end", exit, text, reason: "peer-refused", hint: "look at the peer's log" }]);
    const ran = await mainmode(["initiate", "hr", "--control", path]);
    assert.deepEqual(ran, {
      exit,
      stdout: "",
      stderr: "mainmode: 192.0.2.2 refused: NO-PROPOSAL-CHOSEN (peer-refused); try: look at the peer's log\n",
    });
  });
}

test("a daemon that does not answer in time ends initiate with 75", async (t) => {
  const { path } = await fakeDaemon(t, []);
  const { exit, stderr } = await mainmode(["initiate", "hr", "--wait", "1", "--control", path]);
  assert.equal(exit, 75);
  assert.match(stderr, /rule hr is not up after 1 s/);
});

test("Ctrl-C ends the waiting and says that the negotiation goes on", async (t) => {
  const { path, requests } = await fakeDaemon(t, []);
  const { exit, stderr } = await mainmode(["initiate", "hr", "--control", path], {}, (kill) => {
    const timer = setInterval(() => {
      if (requests.length === 0) return;
      clearInterval(timer);
      kill("SIGINT");
    }, 5);
  });
  assert.equal(exit, 130);
  assert.match(stderr, /goes on in the daemon/);
});

for (const [words, target] of [
  [["terminate", "hr"], { kind: "rule", rule: "hr" }],
  [["down", "--ike", "3"], { kind: "ike", id: 3 }],
  [["terminate", "--child", "0"], { kind: "child", id: 0 }],
  [["terminate", "--all"], { kind: "all" }],
] as const) {
  test(`mainmode ${words.join(" ")} asks for just that`, async (t) => {
    const { path, requests } = await fakeDaemon(t, [{ type: "end", exit: 0, text: "1 SA closed" }]);
    const { exit, stdout } = await mainmode([...words, "--control", path]);
    assert.deepEqual([exit, stdout], [0, "1 SA closed\n"]);
    assert.deepEqual(
      requests.map((line) => JSON.parse(line)),
      [{ command: "terminate", target }],
    );
  });
}

test("shutdown asks for a full stop", async (t) => {
  const { path, requests } = await fakeDaemon(t, [{ type: "end", exit: 0, text: "stopped" }]);
  assert.deepEqual(await mainmode(["shutdown", "--control", path]), { exit: 0, stdout: "stopped\n", stderr: "" });
  assert.deepEqual(
    requests.map((line) => JSON.parse(line)),
    [{ command: "shutdown", keep: false }],
  );
});

test("status --json prints the daemon's document and nothing else", async (t) => {
  const { path } = await fakeDaemon(t, statusReply);
  const whole = await mainmode(["status", "--json", "--control", path]);
  assert.deepEqual([whole.exit, whole.stderr], [0, ""]);
  assert.deepEqual(JSON.parse(whole.stdout), STATUS);
  const ike = await mainmode(["status", "ike", "--json", "--control", path]);
  assert.deepEqual(JSON.parse(ike.stdout), { ikeSas: STATUS.ikeSas });
  const child = await mainmode(["status", "child", "--json", "--control", path]);
  assert.deepEqual(JSON.parse(child.stdout), { childSas: STATUS.childSas });
});

test("status prints both tables in columns, without colours where no terminal is", async (t) => {
  const { path } = await fakeDaemon(t, statusReply);
  const { stdout } = await mainmode(["status", "--control", path]);
  assert.deepEqual(stdout.split("\n"), [
    "IKE SAs: 1",
    "ID  RULE  STATE        ROLE       LOCAL                       REMOTE                             AUTH  SUITE                         LEFT",
    " 1  hr    established  initiator  192.0.2.1:500 ip:192.0.2.1  192.0.2.2:500 fqdn:b.example.test  psk   aes256-sha256-modp2048  7 h 59 min",
    "",
    "Child SAs: 1",
    "ID  IKE  RULE  STATE      MODE                             LOCAL         REMOTE            PROTO  PROTECTION                   SPI IN                 SPI OUT                   IN     OUT        LEFT",
    " 2    1  hr    installed  tunnel 198.51.100.1=203.0.113.9  192.0.2.1/32  192.0.2.2/32:445  tcp    ah:sha256 + esp:aes128gcm16  0x0000000a 0xc5704d9e  0x0000000b 0xc6da6209  192 B  1.5 MB  4 min 50 s",
    "",
  ]);
  const only = await mainmode(["status", "child", "--control", path]);
  assert.match(only.stdout, /^Child SAs: 1\n/);
});

test("empty tables say so", async (t) => {
  const { path } = await fakeDaemon(t, [
    { type: "status", status: { ikeSas: [], childSas: [], softSas: [], guards: [], refusedPolicies: [], policiesUnknown: null } },
    { type: "end", exit: 0 },
  ]);
  assert.equal((await mainmode(["status", "--control", path])).stdout, "IKE SAs: none\n\nChild SAs: none\n");
});

test("status shows what the kernel has refused, and what to try next once", async (t) => {
  const common = { direction: "out", selector: "192.0.2.1/32 -> 192.0.2.2/32", level: null, priority: 14095 } as const;
  const refused = { ...common, rule: "b", action: "block", reason: "File exists", foreign: true, hint: "look at ip xfrm policy" } as const;
  const { path } = await fakeDaemon(t, [
    {
      type: "status",
      status: {
        ikeSas: [],
        childSas: [],
        softSas: [],
        guards: [],
        refusedPolicies: [refused, { ...refused, direction: "in", rule: null }],
        policiesUnknown: null,
      },
    },
    { type: "end", exit: 0 },
  ]);
  const { stdout } = await mainmode(["status", "--control", path]);
  assert.deepEqual(stdout.split("\n").slice(4), [
    "Not in the kernel (refused): 2",
    "RULE  DIR  SELECTOR                      ACTION  THE KERNEL SAYS",
    "b     out  192.0.2.1/32 -> 192.0.2.2/32  block   File exists",
    "-     in   192.0.2.1/32 -> 192.0.2.2/32  block   File exists",
    "look at ip xfrm policy",
    "",
  ]);
});

test("status tells that nobody knows whether the policies stand, for how long, why, and what to try", async (t) => {
  const policiesUnknown = { seconds: 95, reason: "Cannot\u001b[2J allocate memory", hint: "try ip" };
  const status = { ikeSas: [], childSas: [], softSas: [], guards: [], refusedPolicies: [], policiesUnknown };
  const { path } = await fakeDaemon(t, [
    { type: "status", status },
    { type: "end", exit: 0 },
  ]);
  const { stdout } = await mainmode(["status", "--control", path]);
  const line = "Whether the policies stand is not known, for 1 min 35 s now: Cannot [2J allocate memory";
  assert.deepEqual(stdout.split("\n").slice(4), [line, "try ip", ""]);
});

test("what the daemon or a peer says can't move the cursor", async (t) => {
  const { path } = await fakeDaemon(t, [
    { type: "line", text: "\u001b[2Jcleared\u0007" },
    { type: "end", exit: 1, text: "\u009b1mbold" },
  ]);
  const { stdout, stderr } = await mainmode(["initiate", "hr", "--control", path]);
  assert.equal(stdout, " [2Jcleared \n");
  assert.equal(stderr, "mainmode:  1mbold\n");
});

const CONFIGURATION = `
[[rule]]
name = "hr"
filters = ["me <-> 192.0.2.2"]
action = "require"
auth = [{ method = "psk", secret = "hunter2hunter2" }]
`;

test("check accepts a good configuration and names every error of a bad one with its place", async (t) => {
  const folder = scratch(t);
  const [good, bad] = [join(folder, "good.toml"), join(folder, "bad.toml")];
  writeFileSync(good, CONFIGURATION);
  chmodSync(good, 0o600);
  const fine = await mainmode(["check", good]);
  assert.equal(fine.exit, 0, fine.stderr);
  assert.match(fine.stdout, /good\.toml: no errors/);
  writeFileSync(bad, CONFIGURATION.replace("filters", "filter").replace('"require"', '"demand"'));
  chmodSync(bad, 0o600);
  const wrong = await mainmode(["check", bad]);
  assert.deepEqual([wrong.exit, wrong.stdout], [78, ""]);
  const places = wrong.stderr
    .trimEnd()
    .split("\n")
    .map((line) => /bad\.toml:(\d+):\d+: ./.exec(line)?.[1]);
  assert.ok(places.includes("4") && places.includes("5"), wrong.stderr);
  assert.doesNotMatch(wrong.stderr + fine.stdout, /hunter2/);
  assert.equal((await mainmode(["check", join(folder, "missing.toml")])).exit, 78);
});

test("a daemon with a bad configuration ends with 78 and says all of it", async (t) => {
  const bad = join(scratch(t), "bad.toml");
  writeFileSync(bad, CONFIGURATION.replace("filters", "filter").replace('"require"', '"demand"'));
  chmodSync(bad, 0o600);
  const { exit, stdout, stderr } = await mainmode(["daemon", "-c", bad]);
  assert.deepEqual([exit, stdout], [78, ""]);
  assert.ok(stderr.trimEnd().split("\n").length >= 2, stderr);
  assert.doesNotMatch(stderr, /hunter2/);
});

test("a daemon without the rights it needs ends with 77 and names the missing capability", async (t) => {
  const good = join(scratch(t), "good.toml");
  writeFileSync(good, CONFIGURATION);
  chmodSync(good, 0o600);
  const { exit, stdout, stderr } = await mainmode(["daemon", "-c", good], {}, undefined, WITHOUT_CAPABILITIES);
  assert.deepEqual([exit, stdout], [77, ""]);
  assert.match(stderr, /^mainmode: not permitted: CAP_NET_ADMIN .*missing; run it as root or by its systemd unit\n$/);
});
