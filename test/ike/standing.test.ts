import assert from "node:assert/strict";
import test from "node:test";
import type { Core } from "../../ike/core.ts";
import type { Effect } from "../../ike/effect.ts";
import { type KernelCommand, REQID_BASE } from "../../ike/kernel-contract.ts";
import { settleHeld } from "../../ike/lost-policies.ts";
import { NONE } from "../../ike/rekey.ts";
import { PolicyTable } from "../../ike/standing.ts";
import { Timers } from "../../ike/timers.ts";
import { hostRange, parseAddress } from "../../isakmp/address.ts";
import { exemptionsOf, NO_POLICY } from "../../policy/traffic-keys.ts";
import type { KerberosEntry, Policy, Rule, TrafficSelector } from "../../policy/types.ts";
import type { ChildSa } from "../../sa-store/child-sa.ts";
import { configuration, policyOf, towards } from "../sim/policies.ts";

const [ME, PEER] = ["192.0.2.1", "192.0.2.2"];

/** As much of the core as the table uses. */
function coreOf(policy: Policy, addresses: readonly string[] = [ME]) {
  const memory = { store: { children: new Map() }, pending: new Map(), timers: new Timers(), refusedPause: 0, now: 0, nextOp: 0 };
  const core = { ...memory, look: { id: null, notBefore: 0 }, policy, addresses, effects: [] as Effect[] };
  return core as unknown as Core & { effects: Effect[] };
}

/** The commands asked for since the last look. */
function asked(core: { effects: Effect[] }): readonly KernelCommand[] {
  const commands = core.effects.flatMap((effect) => (effect.type === "kernel" ? effect.commands : []));
  core.effects = [];
  return commands;
}

/** As `asked`; the kernel carries everything out, and what follows from that. */
function carriedOut(core: Core & { effects: Effect[] }, table: PolicyTable): readonly KernelCommand[] {
  const commands = asked(core);
  if (commands.length === 0) return [];
  table.onAnswer(core, commands, null);
  return [...commands, ...carriedOut(core, table)];
}
const verbs = (commands: readonly KernelCommand[]): readonly string[] =>
  commands.map((command) => ("policy" in command ? `${command.do} ${command.policy.direction}` : command.do));

const host = (address: string) => {
  const parsed = parseAddress(address);
  assert.ok(parsed);
  return hostRange(parsed.family, parsed.value);
};
const SELECTOR: TrafficSelector = { local: host(ME), remote: host(PEER), protocol: 0, localPort: 0, remotePort: 0 };
const suiteOf = (rule: Rule) => rule.quickMode.proposals[0]?.[0] as NonNullable<NonNullable<Rule["quickMode"]["proposals"][0]>[0]>;

const childOf = (id: number, rule: Rule, reqid: number): ChildSa => ({
  id,
  spec: { rule, selector: SELECTOR, local: ME, remote: PEER, reqid },
  key: "",
  timers: undefined,
  role: "initiator",
  turn: "initiator",
  protections: [{ suite: suiteOf(rule), spiIn: 1, spiOut: 2 }],
  group: null,
  lifetimeSeconds: 1,
  lifetimeKilobytes: null,
  installedAt: 0,
  peerId: { type: "ip", address: "192.0.2.2" },
  who: "psk ip:192.0.2.2",
  encap: null,
  kin: true,
  cluster: false,
  wanted: false,
  use: {
    askedAt: 0,
    in: NONE,
    out: NONE,
    rate: 0,
    quickMode: 1000,
    tooFast: false,
    warned: false,
    oneWay: false,
    sending: false,
    confirmedAt: 0,
    movedAt: 0,
    relievedAt: 0,
    heardAt: 0,
  },
  rekeys: 0,
  ike: null,
  state: "installed",
  outbound: "installed",
});
const REQUIRE = policyOf(towards(PEER));
const RESPOND = policyOf(towards(PEER, { action: '"respond"' }));
const ruleOf = (policy: Policy): Rule => policy.rules[0] as Rule;

test("a rule that requires protection stands: added once, removed with the rule", () => {
  const table = new PolicyTable();
  const core = coreOf(REQUIRE);
  table.sync(core);
  assert.deepEqual(verbs(carriedOut(core, table)), ["add-policy out", "add-policy in"]);
  table.sync(core);
  assert.deepEqual(asked(core), []);
  assert.equal(table.size, 2);
  core.policy = { ...NO_POLICY, name: "none" };
  table.sync(core);
  assert.deepEqual(verbs(asked(core)), ["remove-policy out", "remove-policy in"]);
  assert.equal(table.size, 0);
});

test("an acquire's reqid leads to the rule and the selector that stands there", () => {
  const table = new PolicyTable();
  const core = coreOf(REQUIRE);
  table.sync(core);
  const [command] = asked(core);
  assert.ok(command?.do === "add-policy");
  const reqid = command.policy.templates[0]?.reqid ?? 0;
  assert.ok(reqid > REQID_BASE);
  assert.equal(table.byReqid(reqid)?.rule, ruleOf(REQUIRE));
  assert.equal(table.byReqid(reqid + 1), undefined);
  assert.equal(table.reqidFor(ruleOf(REQUIRE), SELECTOR, SELECTOR, PEER), reqid);
});

test("an address that comes or goes takes its policies with it, and leaves the others", () => {
  const table = new PolicyTable();
  const core = coreOf(REQUIRE);
  table.sync(core);
  carriedOut(core, table);
  core.addresses = [ME, "192.0.2.9"];
  table.sync(core);
  assert.deepEqual(verbs(carriedOut(core, table)), ["add-policy out", "add-policy in"]);
  core.addresses = ["192.0.2.9"];
  table.sync(core);
  const gone = asked(core);
  assert.deepEqual(verbs(gone), ["remove-policy out", "remove-policy in"]);
  assert.ok(gone[0]?.do === "remove-policy" && gone[0].policy.selector.source === ME);
});

test("a child under a standing policy needs nothing of its own", () => {
  const table = new PolicyTable();
  const core = coreOf(REQUIRE);
  table.sync(core);
  carriedOut(core, table);
  const child = childOf(1, ruleOf(REQUIRE), table.reqidFor(ruleOf(REQUIRE), SELECTOR, SELECTOR, PEER));
  assert.deepEqual(table.take(child), []);
  assert.deepEqual(table.release(child, true), []);
  assert.equal(table.size, 2);
});

test("a respond rule's policies come with the first child and go with the last, in whatever order children end", () => {
  for (const first of [0, 1]) {
    const table = new PolicyTable();
    const rule = ruleOf(RESPOND);
    const reqid = table.reqidFor(rule, SELECTOR, SELECTOR, PEER);
    const children = [childOf(1, rule, reqid), childOf(2, rule, reqid)];
    const [one, two] = children as [ChildSa, ChildSa];
    const commands = table.take(one);
    assert.deepEqual(verbs(commands), ["add-policy out", "add-policy in"]);
    table.onAnswer(coreOf(RESPOND), commands, null);
    assert.deepEqual(table.take(two), [], "the same policies serve both");
    const [early, late] = first === 0 ? [one, two] : [two, one];
    assert.deepEqual(table.release(early, false), []);
    assert.deepEqual(verbs(table.release(late, true)), ["remove-policy out", "remove-policy in"]);
    assert.deepEqual(table.release(late, true), []);
    assert.equal(table.size, 0);
  }
});

test("a rule that begins to require while a child stands waits below the child's policy, and comes up with its end", () => {
  const table = new PolicyTable();
  const rule = ruleOf(RESPOND);
  const child = childOf(1, rule, table.reqidFor(rule, SELECTOR, SELECTOR, PEER));
  const core = coreOf(REQUIRE);
  table.onAnswer(core, table.take(child), null);
  table.sync(core);
  assert.deepEqual(asked(core), []);
  const [out] = table.release(child, true);
  assert.ok(out?.do === "update-policy");
  assert.notEqual(out.policy.templates[0]?.reqid, child.spec.reqid);
  assert.equal(table.size, 2);
});

test("what the kernel refused is not ours, and is never removed", () => {
  const refusal = (index: number) => ({ index, reason: "File exists", exists: true, command: "xfrm policy add" });
  const table = new PolicyTable();
  const core = coreOf(RESPOND);
  const rule = ruleOf(RESPOND);
  const child = childOf(1, rule, table.reqidFor(rule, SELECTOR, SELECTOR, PEER));
  const commands = table.take(child);
  assert.deepEqual(table.onAnswer(core, commands, refusal(1)), [1], "the child can't have it");
  assert.deepEqual(verbs(table.release(child, true)), ["remove-policy out"]);
  const { slots } = table;
  slots.beginLook();
  assert.deepEqual(slots.settle(slots.compare([]).judged), [], "a look has shown that it is not ours");
  assert.equal(table.size, 0);
  const standing = new PolicyTable();
  const second = coreOf(REQUIRE);
  standing.sync(second);
  assert.deepEqual(standing.onAnswer(second, asked(second), refusal(0)), []);
  assert.ok(second.effects.some((effect) => effect.type === "event" && /rule peer: .*somebody else/.test(effect.event.text)));
  assert.deepEqual(verbs(carriedOut(second, standing)), ["add-policy in"], "the other one is ours all the same");
  assert.deepEqual(verbs(standing.removeAll()), ["remove-policy in"]);
  standing.slots.leaveUnsure();
  assert.equal(standing.size, 0);
});

test("while the kernel has not answered, nothing more is asked about a selector, and what was to happen follows the answer", () => {
  const table = new PolicyTable();
  const core = coreOf(RESPOND);
  const rule = ruleOf(RESPOND);
  const reqid = table.reqidFor(rule, SELECTOR, SELECTOR, PEER);
  const [one, two] = [childOf(1, rule, reqid), childOf(2, rule, reqid)];
  const commands = table.take(one);
  assert.deepEqual(verbs(commands), ["add-policy out", "add-policy in"]);
  assert.deepEqual(table.take(two), []);
  assert.deepEqual(table.release(one, false), []);
  table.onAnswer(core, commands, null);
  assert.deepEqual(asked(core), [], "the second child wants the same");
  const [early] = [table.release(two, true)];
  assert.deepEqual(verbs(early), ["remove-policy out", "remove-policy in"]);
  assert.deepEqual(verbs(table.take(one)), ["add-policy out", "add-policy in"]);
  assert.deepEqual(table.removeAll(), []);
  table.onAnswer(core, commands, null);
  assert.deepEqual(verbs(asked(core)), ["remove-policy out", "remove-policy in"]);
  assert.equal(table.size, 0);
});

test("removeAll takes down what stands and what children added, each once", () => {
  const table = new PolicyTable();
  const both = policyOf(
    configuration([{ filters: `["me <-> ${PEER}"]` }, { name: '"other"', filters: '["me <-> 192.0.2.3"]', action: '"respond"' }]),
  );
  const core = coreOf(both);
  table.sync(core);
  carriedOut(core, table);
  const rule = both.rules[1] as Rule;
  const child = { ...childOf(1, rule, table.reqidFor(rule, SELECTOR, SELECTOR, "192.0.2.3")) };
  const selector = { ...SELECTOR, remote: host("192.0.2.3") };
  table.onAnswer(core, table.take({ ...child, spec: { ...child.spec, selector } }), null);
  assert.equal(table.size, 4);
  const commands = table.removeAll();
  assert.equal(commands.length, 4);
  assert.ok(commands.every((command) => command.do === "remove-policy"));
  assert.equal(table.size, 0);
});

test("reqids are in our range, differ for what differs, and come round again only after all others", () => {
  const table = new PolicyTable();
  const rule = ruleOf(RESPOND);
  const seen = new Set<number>();
  for (let i = 0; i < 1000; i++) {
    const selector = { ...SELECTOR, remotePort: i };
    const reqid = table.reqidFor(rule, selector, selector, PEER);
    assert.equal(table.reqidFor(rule, selector, selector, PEER), reqid);
    assert.ok(reqid > REQID_BASE && reqid < REQID_BASE + 0xffff);
    assert.ok(!seen.has(reqid));
    seen.add(reqid);
    const child = childOf(i, rule, reqid);
    if (i % 2 === 0) table.release({ ...child, spec: { ...child.spec, selector } }, true);
  }
});

test("neighbour discovery stays in clear as long as an IPv6 rule stands", () => {
  const table = new PolicyTable();
  const six = policyOf(towards("2001:db8::2"));
  const core = coreOf(six, ["2001:db8::1"]);
  table.sync(core);
  const added = carriedOut(core, table);
  const plain = added.filter((command) => command.do === "add-policy" && command.policy.templates.length === 0);
  const exempt = plain.filter((command) => command.do === "add-policy" && command.policy.action === "allow");
  // What our link-local addresses may not send there, nor hear from there.
  assert.equal(plain.length - exempt.length, 2);
  // In and out for each type (discovery of neighbours, and of listeners to multicast), and three for what this host sends to itself.
  assert.equal(exempt.length, 10 + 8 + 3);
  assert.equal(exempt.filter((command) => command.do === "add-policy" && command.policy.selector.protocol === 58).length, 10 + 8);
  core.policy = REQUIRE;
  core.addresses = [ME];
  table.sync(core);
  const removals = (commands: readonly KernelCommand[]) => commands.filter(({ do: verb }) => verb === "remove-policy").length;
  assert.equal(removals(carriedOut(core, table)), 21);
  settleHeld(Object.assign(core, { policies: table }));
  assert.equal(removals(asked(core)), 4, "what keeps from the clear goes when what comes instead stands");
});

test("the way to Kerberos servers and to the name service stays in clear as long as a rule has Kerberos, in the families of the rules", () => {
  const table = new PolicyTable();
  const core = coreOf(withKerberos(REQUIRE));
  table.sync(core);
  const clear = carriedOut(core, table).flatMap((command) =>
    command.do === "add-policy" && command.policy.templates.length === 0 ? [command.policy] : [],
  );
  const told = clear.map(({ direction, selector: s }) => `${direction} ${s.source} ${s.protocol} ${s.sourcePort} ${s.destinationPort}`);
  const asking = (protocol: number) => (port: number) => [`in 0.0.0.0 ${protocol} ${port} 0`, `out 0.0.0.0 ${protocol} 0 ${port}`];
  const answering = (protocol: number) => (port: number) => [`in 0.0.0.0 ${protocol} 0 ${port}`, `out 0.0.0.0 ${protocol} ${port} 0`];
  const expected = [6, 17].flatMap((protocol) => [
    ...[53, 88, 464].flatMap(asking(protocol)),
    // This host may be the KDC of its peers.
    ...[88, 464].flatMap(answering(protocol)),
  ]);
  assert.deepEqual([...told].sort(), [...expected].sort());
  const strongest = Math.max(...clear.map(({ priority }) => priority));
  const [rule] = kernelPoliciesOf(REQUIRE);
  assert.ok(rule && strongest < rule.priority);
  table.sync(core);
  assert.deepEqual(asked(core), []);
  core.policy = REQUIRE;
  table.sync(core);
  assert.equal(asked(core).filter(({ do: verb }) => verb === "remove-policy").length, expected.length);
});

test("without a rule that requires protection nothing needs to be let through", () => {
  const table = new PolicyTable();
  const core = coreOf(withKerberos(RESPOND));
  table.sync(core);
  assert.deepEqual(asked(core), []);
});

const KERBEROS: KerberosEntry = {
  method: "kerberos",
  principal: "host/a.example.test@EXAMPLE.TEST",
  keytab: null,
  peerPrincipal: null,
  quirks: { tokenOctet: "auto", hashTokenOctet: false, hashedName: "auto", nameEncoding: "utf-16le" },
  localId: null,
  remoteId: null,
};
const withKerberos = (policy: Policy): Policy => {
  const rules = policy.rules.map((rule) => ({ ...rule, auth: [KERBEROS, ...rule.auth] }));
  return { ...policy, rules, exempt: exemptionsOf(undefined, rules) };
};

/** The policies that a rule has in the kernel. */
function kernelPoliciesOf(policy: Policy) {
  const table = new PolicyTable();
  const core = coreOf(policy);
  table.sync(core);
  return carriedOut(core, table).flatMap((command) => (command.do === "add-policy" ? [command.policy] : []));
}
