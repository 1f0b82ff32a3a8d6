import assert from "node:assert/strict";
import { test } from "node:test";
import { Commands } from "../../daemon/commands.ts";
import { UNHEARD } from "../../daemon/control.ts";
import type { Reply } from "../../daemon/control-protocol.ts";
import { createFeed } from "../../daemon/feed.ts";
import type { LogRecord } from "../../daemon/log.ts";
import type { Input } from "../../ike/input.ts";
import type { Kernel } from "../../kernel/port.ts";
import type { StatusDocument } from "../../sa-store/view.ts";
import { policyOf, towards } from "../sim/policies.ts";
import { NO_STATS, NOTHING_LIVE, until } from "./fakes.ts";

const REQUIRE = policyOf(towards("192.0.2.2"));

const EMPTY: StatusDocument = { ikeSas: [], childSas: [], softSas: [], guards: [], refusedPolicies: [], policiesUnknown: null };

function setUp(counters: Kernel["counters"] = async () => new Map(), cannotKeep?: string, status = EMPTY) {
  const inputs: Input[] = [];
  const records: LogRecord[] = [];
  const replies: Reply[] = [];
  const commands = new Commands({
    push: (input) => inputs.push(input),
    view: () => status,
    situation: () => ({
      policy: REQUIRE,
      inForce: REQUIRE,
      addresses: ["192.0.2.1"],
      onLink: [],
      broadcasts: [],
      ports: [500, 4500],
      sources: [],
      metBy: () => undefined,
    }),
    counters,
    reload: async () => ({ exit: 0, lines: [], text: "reloaded" }),
    rules: {
      addRules: async (text) => {
        assert.notEqual(text, "what trips");
        return { exit: 0, lines: [], text: `added ${text}` };
      },
      deleteRule: async (name) => ({ exit: 1, lines: [], text: `no ${name}` }),
    },
    cannotKeep: () => cannotKeep,
    onStop: () => "remove",
    handingOver: () => {},
    feed: createFeed(),
    live: () => NOTHING_LIVE,
    tracing: { answer: () => {}, failures: () => [], finish: () => {} },
    about: () => {
      throw new Error("nobody asks");
    },
    stats: () => NO_STATS,
    log: (record) => records.push(record),
    patienceMs: 10,
  });
  const answer = {
    client: { pid: 12, uid: 34, gid: 56, groups: [] },
    send: (reply: Reply) => void replies.push(reply),
    backlog: () => 0,
    onGone: () => {},
  };
  return { commands, inputs, records, replies, answer };
}

test("a request becomes a command with an id of its own, and replies find their way by it", () => {
  const { commands, inputs, replies, answer } = setUp();
  commands.take({ command: "initiate", rule: "hr", peer: "192.0.2.2", wait: 7 }, answer);
  commands.take({ command: "terminate", target: { kind: "ike", id: 3 } }, answer);
  assert.deepEqual(inputs, [
    { type: "command", id: 1, command: { name: "initiate", rule: "hr", peer: "192.0.2.2", waitSeconds: 7 } },
    { type: "command", id: 2, command: { name: "terminate", target: { kind: "ike", id: 3 } } },
  ]);
  commands.reply(2, { text: "closed" }, true);
  commands.reply(1, { text: "offer sent" }, false);
  commands.reply(1, { text: "no", exit: 1, reason: "no-route", hint: "add a route" }, true);
  commands.reply(1, { text: "after the end" }, true);
  commands.reply(99, { text: "to nobody" }, true);
  assert.deepEqual(replies, [
    { type: "end", exit: 0, text: "closed" },
    { type: "line", text: "offer sent" },
    { type: "end", exit: 1, text: "no", reason: "no-route", hint: "add a route" },
  ]);
});

test("who asked for what is in the log", () => {
  const { commands, records, answer } = setUp();
  commands.take({ command: "initiate", rule: "hr", wait: 30 }, answer);
  commands.take({ command: "shutdown", keep: false }, { ...answer, client: undefined });
  assert.deepEqual(
    records.map(({ text, rule }) => [text, rule]),
    [
      ['initiate {"rule":"hr","wait":30} asked for by uid 34, process 12', "hr"],
      ['shutdown {"keep":false} asked for by the control socket', undefined],
    ],
  );
});

test("the log names the rules that somebody adds or deletes, and nothing else of them", () => {
  const { commands, records, answer } = setUp();
  const rule = (name: string): string => `[[rule]]\nname = "${name}"\nauth = [{ method = "psk", secret = "TOPSECRET" }]\n`;
  const many = Array.from({ length: 30 }, (_, i) => rule(`n${i}`)).join("");
  for (const add of [rule("stop"), rule("a") + rule("b"), many, "secret = "]) commands.take({ command: "rule", add }, answer);
  commands.take({ command: "rule", delete: "stop" }, answer);
  assert.deepEqual(
    records.map(({ text, rule }) => [text.replace(/ asked for by .*/, "").slice(0, 60), rule]),
    [
      ['rule {"add":["stop"]}', "stop"],
      ['rule {"add":["a","b"]}', undefined],
      ['rule {"add":["n0","n1","n2","n3","n4","n5","n6","n7","n8","n', undefined],
      ['rule {"add":[]}', undefined],
      ['rule {"delete":"stop"}', "stop"],
    ],
  );
  assert.match(records[2]?.text ?? "", /"n19"],"more":10\}/);
  assert.doesNotMatch(JSON.stringify(records), /TOPSECRET/);
});

test("status goes past the core's queue and ends with 0", async () => {
  const { commands, inputs, replies, answer, records } = setUp();
  commands.take({ command: "status" }, answer);
  await until(() => replies.length === 2, "the answer");
  assert.deepEqual(replies, [
    { type: "status", status: { ikeSas: [], childSas: [], softSas: [], guards: [], refusedPolicies: [], policiesUnknown: null } },
    { type: "end", exit: 0 },
  ]);
  assert.deepEqual([inputs, records], [[], []]);
});

test("a kernel that does not tell its counters, or not in time, leaves the tables worth showing", async () => {
  for (const counters of [() => Promise.reject(new Error("no ip")), () => new Promise<never>(() => {})]) {
    const { commands, replies, records, answer } = setUp(counters);
    commands.take({ command: "status" }, answer);
    await until(() => replies.length === 2, "the answer");
    assert.equal(replies[0]?.type, "status");
    assert.match(records[0]?.text ?? "", /does not tell its SA counters/);
  }
});

test("handing over is refused where there is no journal, without touching the core", () => {
  const { commands, inputs, replies, answer } = setUp(undefined, "no journal is kept");
  commands.take({ command: "shutdown", keep: true }, answer);
  assert.deepEqual(inputs, []);
  const [end] = replies;
  assert.ok(end?.type === "end" && end.exit === 1);
  assert.match(end.text ?? "", /no journal is kept/);
});

test("handing over with a journal goes to the core", () => {
  const { commands, inputs, answer } = setUp();
  commands.take({ command: "shutdown", keep: true }, answer);
  assert.deepEqual(inputs, [{ type: "command", id: 1, command: { name: "shutdown", keep: true, policies: "remove" } }]);
});

test("a reload is answered with what the file says and what changed", async () => {
  const { commands, replies, answer } = setUp();
  commands.take({ command: "reload" }, answer);
  await until(() => replies.length === 1, "the answer");
  assert.deepEqual(replies, [{ type: "end", exit: 0, text: "reloaded" }]);
});

test("a bug while rules are read is answered, and the daemon goes on", async () => {
  const { commands, replies, records, answer } = setUp();
  commands.take({ command: "rule", add: "what trips" }, answer);
  await until(() => replies.length === 1, "the answer");
  assert.deepEqual(
    replies.map((reply) => reply.type === "end" && [reply.exit, reply.reason]),
    [[1, "bug"]],
  );
  assert.ok(records.some(({ event }) => event === "bug"));
});

test("reload and rule add warn of each policy that the kernel has refused, and of many in few lines", async () => {
  const common = {
    direction: "out",
    action: "block",
    level: null,
    priority: 1,
    reason: "File exists",
    foreign: true,
    hint: "remove it",
  } as const;
  const refusedPolicies = Array.from({ length: 20 }, (_, i) => ({ ...common, rule: "b", selector: `${i}` }));
  for (const request of [{ command: "reload" }, { command: "rule", add: "x" }] as const) {
    const { commands, replies, answer } = setUp(undefined, undefined, { ...EMPTY, refusedPolicies });
    commands.take(request, answer);
    await until(() => replies.at(-1)?.type === "end", "the answer");
    assert.equal(replies.length, 10);
    const text = "warning: rule b: the kernel has refused the policy out 0: File exists; remove it";
    assert.deepEqual(replies[0], { type: "line", text });
    assert.deepEqual(replies[8], { type: "line", text: "warning: and 12 more policies; `mainmode status` lists them" });
    const end = replies[9];
    assert.equal(end?.type === "end" && end.exit, 0);
  }
});

test("while the daemon takes over what the last run left, requests wait; then they are taken in their order", async () => {
  const { commands, inputs, replies, answer } = setUp();
  commands.hold();
  commands.take({ command: "status" }, answer);
  commands.take({ command: "initiate", rule: "hr", wait: 30 }, answer);
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual([inputs, replies], [[], []]);
  commands.open();
  await until(() => replies.length === 2, "the answer");
  assert.deepEqual([inputs.length, replies[0]?.type], [1, "status"]);
});

test("of what waits for a start that fails nothing was done, and who went away meanwhile is forgotten", () => {
  const { commands, inputs, replies, answer } = setUp();
  commands.hold();
  commands.take({ command: "terminate", target: { kind: "all" } }, answer);
  commands.take({ command: "reload" }, { ...answer, send: () => assert.fail("to nobody"), onGone: (act) => act() });
  commands.finish();
  commands.open();
  assert.deepEqual([inputs, replies], [[], [UNHEARD]]);
});

test("a daemon that stops begins nothing new, says so at its end, and still answers questions and stops", async () => {
  const { commands, inputs, replies, answer } = setUp();
  commands.take({ command: "shutdown", keep: false }, answer);
  for (const request of [
    { command: "initiate", rule: "hr", wait: 30 },
    { command: "terminate", target: { kind: "all" } },
    { command: "reload" },
    { command: "rule", delete: "hr" },
  ] as const)
    commands.take(request, answer);
  assert.deepEqual([inputs.length, replies], [1, []]);
  commands.take({ command: "status" }, answer);
  commands.take({ command: "shutdown", keep: false }, answer);
  await until(() => replies.length === 2, "the status");
  assert.equal(inputs.length, 2);
  commands.finish();
  const ends = replies.slice(2).map((reply) => (reply === UNHEARD ? "unheard" : reply.type === "end" && reply.text));
  assert.deepEqual(ends, ["unheard", "unheard", "unheard", "unheard", "stopped", "stopped"]);
});

test("when the daemon ends, who asked for that is done and all others are told", () => {
  const { commands, replies, answer } = setUp();
  commands.take({ command: "initiate", rule: "hr", wait: 30 }, answer);
  commands.take({ command: "shutdown", keep: false }, answer);
  commands.finish();
  commands.finish();
  assert.deepEqual(
    replies.map((reply) => reply.type === "end" && [reply.exit, reply.text]),
    [
      [1, "the daemon was stopped"],
      [0, "stopped"],
    ],
  );
});

test("why tells of what goes in clear for a while, but not of what is about other packets", () => {
  const of80 = { local: "192.0.2.1", localPort: null, remotePort: 80, protocol: "tcp", secondsLeft: 200, rule: "peer" };
  const softSas = [
    { ...of80, id: 1, remote: "192.0.2.2" },
    { ...of80, id: 2, remote: "192.0.2.2", remotePort: 443 },
    { ...of80, id: 3, remote: "192.0.2.2", rule: "another" },
    { ...of80, id: 4, remote: "192.0.2.3" },
    { ...of80, id: 5, remote: "192.0.2.2", protocol: "udp" },
  ];
  const { commands, replies, answer } = setUp(undefined, undefined, { ...EMPTY, softSas });
  const askedOf = (src: string, dst: string, sport: number, dport: number): readonly number[] => {
    commands.take({ command: "why", src, dst, protocol: 6, sport, dport }, answer);
    const document = replies.findLast((reply) => reply.type === "document")?.document;
    assert.ok(document && "soft" in document);
    return document.soft.map(({ id }) => id);
  };
  assert.deepEqual(askedOf("192.0.2.1", "192.0.2.2", 5000, 80), [1]);
  assert.deepEqual(askedOf("192.0.2.2", "192.0.2.1", 443, 5000), [2]);
  assert.deepEqual(askedOf("192.0.2.1", "192.0.2.2", 0, 0), [1, 2]);
});

test("why and policy are answered from the policy that is followed now, without troubling the core", () => {
  const { commands, inputs, replies, answer } = setUp();
  commands.take({ command: "why", src: "192.0.2.1", dst: "192.0.2.2", protocol: 6, sport: 0, dport: 80 }, answer);
  const [why, end] = replies;
  assert.ok(why?.type === "document" && "verdict" in why.document);
  assert.deepEqual([why.document.verdict, why.document.rule, why.document.installed], ["protect", "peer", []]);
  assert.deepEqual(end, { type: "end", exit: 0 });
  commands.take({ command: "policy" }, answer);
  const document = replies[2];
  assert.ok(document?.type === "document" && "policies" in document.document);
  assert.deepEqual(
    document.document.policies.map(({ direction, rule, level }) => [direction, rule, level]),
    [
      ["out", "peer", "required"],
      ["in", "peer", "required"],
    ],
  );
  commands.take({ command: "why", src: "192.0.2.1", dst: "2001:db8::1", protocol: 6, sport: 0, dport: 80 }, answer);
  assert.deepEqual(replies[4], { type: "end", exit: 2, text: "source and destination are of different address families" });
  assert.deepEqual(inputs, []);
});
