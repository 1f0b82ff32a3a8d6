import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import fc from "fast-check";
import type { KernelCommand, KernelEvent, KernelPolicy, KernelSa } from "../../ike/kernel-contract.ts";
import { type Iproute2Options, iproute2Kernel } from "../../kernel/iproute2.ts";
import { memoryKernel } from "../../kernel/memory.ts";
import { fakeIp, LATE_ANSWER, MISBEHAVE, WRONG_ANSWER } from "./fake-ip.ts";
import { espSa, keyOf, lineOf, policyOf, selectorOf } from "./fixtures.ts";

/** A kernel interface on a stand-in for `ip`, both gone after the test. */
function setUp(t: TestContext, options: Iproute2Options = {}) {
  const ip = fakeIp();
  const diagnostics: string[] = [];
  const kernel = iproute2Kernel({ ip: ip.path, onDiagnostic: (text) => diagnostics.push(text), ...options });
  t.after(async () => {
    await kernel.close();
    ip.remove();
  });
  return { ip, kernel, diagnostics };
}

const addSa = (spi: number, changes: Partial<KernelSa> = {}): KernelCommand => ({ do: "add-sa", sa: espSa({ spi, ...changes }) });
const removeSa = (spi: number): KernelCommand => ({ do: "remove-sa", sa: espSa({ spi }) });
const readSa = (spi: number): KernelCommand => ({ do: "read-sa", sa: espSa({ spi }) });
const policy = (host: number, changes: Partial<KernelPolicy> = {}) =>
  policyOf({ selector: selectorOf({ destination: `192.0.2.${host}` }), ...changes });
const addPolicy = (host: number, priority = 1000): KernelCommand => ({ do: "add-policy", policy: policy(host, { priority }) });
const done = { ok: true, value: [] } as const;

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

test("commands of all groups are carried out in order by one child, and the answers wait for them", async (t) => {
  const { ip, kernel } = setUp(t);
  const groups = [[addSa(1), addSa(2)], [], [addPolicy(1)], [{ do: "update-policy", policy: policy(1) } as const, removeSa(1)]];
  assert.deepEqual(await Promise.all(groups.map((group) => kernel.run(group))), [done, done, done, done]);
  assert.deepEqual(ip.executed(), groups.flat().map(lineOf));
  assert.equal(ip.starts().length, 1);
});

test("a thousand commands sent at once are all confirmed", async (t) => {
  const { ip, kernel } = setUp(t);
  const groups = Array.from({ length: 250 }, (_, i) => [1, 2, 3, 4].map((n) => addSa(4 * i + n)));
  const results = await Promise.all(groups.map((group) => kernel.run(group)));
  assert.ok(results.every((result) => result.ok));
  assert.deepEqual(ip.executed(), groups.flat().map(lineOf));
});

test("a refusal names its own command, ends its own group, and costs no other group anything", async (t) => {
  const { ip, kernel } = setUp(t);
  const results = await Promise.all([
    kernel.run([addSa(1)]),
    kernel.run([addSa(2), addSa(1), addSa(3)]),
    kernel.run([addSa(4)]),
    kernel.run([addPolicy(1), addPolicy(1)]),
    kernel.run([addSa(5)]),
  ]);
  const refusal = (index: number, command: string) => ({ ok: false, error: { index, reason: "File exists", exists: true, command } });
  const masked = lineOf(addSa(1)).replaceAll(/0x(a5|5a)+/g, "<key>");
  assert.deepEqual(results, [done, refusal(1, masked), done, refusal(1, lineOf(addPolicy(1))), done]);
  assert.deepEqual(ip.executed(), [addSa(1), addSa(2), addSa(4), addPolicy(1), addSa(5)].map(lineOf));
});

test("whatever the groups, the answers are those of the kernel in memory", async (t) => {
  const numbers = fc.integer({ min: 0x1001, max: 0x1003 });
  const command: fc.Arbitrary<KernelCommand> = fc.oneof(
    numbers.map((spi) => addSa(spi)),
    numbers.map(removeSa),
    numbers.map((n) => addPolicy(n & 0xff)),
    numbers.map((n): KernelCommand => ({ do: "update-policy", policy: policy(n & 0xff) })),
    numbers.map((n): KernelCommand => ({ do: "remove-policy", policy: policy(n & 0xff) })),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(fc.array(command, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 6 }), async (groups) => {
      const [{ kernel }, memory] = [setUp(t), memoryKernel()];
      assert.deepEqual(
        await Promise.all(groups.map((group) => kernel.run(group))),
        await Promise.all(groups.map((group) => memory.run(group))),
      );
      memory.clear();
    }),
    { numRuns: 12 },
  );
});

test("removing what is not there counts as done, and the group goes on", async (t) => {
  const { ip, kernel, diagnostics } = setUp(t);
  const group = [removeSa(1), addSa(2), { do: "remove-policy", policy: policy(9) } as const, addSa(3)];
  assert.deepEqual(await kernel.run(group), done);
  assert.deepEqual(ip.executed(), [addSa(2), addSa(3)].map(lineOf));
  assert.deepEqual(diagnostics, []);
});

test("read-sa adds its counters in order, and one of an absent SA is refused", async (t) => {
  const { kernel } = setUp(t);
  const counters = { octets: 84, packets: 1 };
  assert.deepEqual(await kernel.run([addSa(1), readSa(1), addSa(2), readSa(2), addSa(3)]), { ok: true, value: [counters, counters] });
  const absent = await kernel.run([readSa(9)]);
  assert.ok(!absent.ok && absent.error.reason === "No such process" && !absent.error.exists);
});

test("an answer that comes after its confirmation, on the other pipe, is waited for", async (t) => {
  const { kernel } = setUp(t);
  assert.deepEqual(await kernel.run([addSa(LATE_ANSWER), readSa(LATE_ANSWER)]), { ok: true, value: [{ octets: 84, packets: 1 }] });
});

test("a key may be destroyed as soon as run has returned", async (t) => {
  const { ip, kernel } = setUp(t);
  const key = keyOf(16, 0x3c);
  const running = kernel.run([addSa(1, { encryption: { name: "cbc(aes)", key } })]);
  key.destroy();
  assert.deepEqual(await running, done);
  assert.match(ip.executed()[0] ?? "", new RegExp(`enc cbc\\(aes\\) 0x${"3c".repeat(16)}$`));
});

test("a command that can't be written rejects and does not harm later ones", async (t) => {
  const { kernel } = setUp(t);
  await assert.rejects(kernel.run([addSa(1, { source: "192.0.2.1\nxfrm state flush" })]), /can't be a word/);
  assert.deepEqual(await kernel.run([addSa(1)]), done);
});

test("children see no key in their arguments and nothing of the daemon's environment", async (t) => {
  process.env["CREDENTIALS_DIRECTORY"] = "/run/credentials/test";
  t.after(() => delete process.env["CREDENTIALS_DIRECTORY"]);
  const { ip, kernel } = setUp(t);
  kernel.listen(() => {});
  await kernel.run([addSa(1)]);
  await kernel.counters();
  await until(() => ip.starts().length === 4);
  assert.deepEqual(
    ip
      .starts()
      .map(({ args }) => args.join(" "))
      .toSorted(),
    ["-s -force -batch -", "-s xfrm state list nokeys", "xfrm monitor acquire expire", "xfrm monitor policy"],
  );
  for (const { env } of ip.starts()) assert.deepEqual(Object.keys(env).toSorted(), ["LC_ALL", "PATH"]);
});

const misbehaviours: readonly (readonly [string, number, RegExp])[] = [
  ["is killed", MISBEHAVE.die, /^ip was ended by SIGKILL without a word$/],
  ["hangs", MISBEHAVE.hang, /^ip gave no answer for 3000 ms$/],
  ["goes on after a failure", MISBEHAVE.fail, /^ip is out of step: "Command failed -:3"$/],
  ["quits", MISBEHAVE.quit, /^ip ended with status 0 without a word$/],
  ["is not permitted", MISBEHAVE.forbid, /^Operation not permitted \(the capability CAP_NET_ADMIN is missing\)$/],
  ["repeats a key", MISBEHAVE.repeatKey, /^argument "<key>" is wrong: unknown$/],
];
for (const [what, priority, reason] of misbehaviours) {
  test(`when ip ${what}, the command is refused with a reason, and the next groups find a new child`, async (t) => {
    const { kernel } = setUp(t, priority === MISBEHAVE.hang ? { patience: 3000 } : {});
    const [before, odd, after] = await Promise.all([
      kernel.run([addSa(1)]),
      kernel.run([addPolicy(1, priority), addSa(2)]),
      kernel.run([readSa(1), { do: "update-policy", policy: policy(2) }]),
    ]);
    assert.deepEqual([before, after], [done, { ok: true, value: [{ octets: 84, packets: 1 }] }]);
    assert.ok(!odd.ok);
    assert.match(odd.error.reason, reason);
    assert.deepEqual([odd.error.index, odd.error.exists], [0, false]);
  });
}

test("an answer about another SA is refused", async (t) => {
  const { kernel } = setUp(t);
  const result = await kernel.run([addSa(WRONG_ANSWER), readSa(WRONG_ANSWER)]);
  assert.ok(!result.ok && result.error.index === 1);
  assert.equal(result.error.reason, "ip is out of step: it answered about esp 0x00000001 192.0.2.2");
});

test("a warning about a command that succeeded is a diagnostic", async (t) => {
  const { kernel, diagnostics } = setUp(t);
  assert.deepEqual(await kernel.run([addPolicy(1, MISBEHAVE.warn), addPolicy(2)]), done);
  assert.deepEqual(diagnostics, ["ip: Warning: this is only a warning."]);
});

test("a child that dies while idle is a diagnostic, and the next command starts another", async (t) => {
  const { ip, kernel, diagnostics } = setUp(t);
  await kernel.run([addSa(1)]);
  process.kill(ip.starts()[0]?.pid as number, "SIGTERM");
  await until(() => diagnostics.length > 0);
  assert.deepEqual(diagnostics, ["idle ip was ended by SIGTERM; the next command starts another"]);
  assert.deepEqual(await kernel.run([addSa(2)]), done);
  assert.equal(ip.starts().length, 2);
});

test("silence while nothing is asked is no reason to end a child", async (t) => {
  const { ip, kernel, diagnostics } = setUp(t, { patience: 2000 });
  await kernel.run([addSa(1)]);
  await new Promise((resolve) => setTimeout(resolve, 2300));
  assert.deepEqual(await kernel.run([addSa(2)]), done);
  assert.deepEqual([ip.starts().length, diagnostics], [1, []]);
});

test("without the program every waiting command is refused and told what to install", async (t) => {
  const { kernel, diagnostics } = setUp(t, { ip: "/nonexistent/ip" });
  for (const result of await Promise.all([kernel.run([addSa(1)]), kernel.run([addSa(2)])])) {
    assert.ok(!result.ok);
    assert.equal(result.error.reason, 'there is no program "/nonexistent/ip": install iproute2');
  }
  assert.deepEqual(await kernel.counters(), new Map());
  kernel.listen(() => {});
  await assert.rejects(kernel.listPolicies(), /^Error: there is no program "\/nonexistent\/ip": install iproute2$/);
  await until(() => diagnostics.length >= 2);
  assert.match(diagnostics[0] ?? "", /^counters: there is no program/);
  assert.match(diagnostics[1] ?? "", /^kernel events: there is no program .* listening again in 100 ms$/);
});

test("a program that may not be run is named", async (t) => {
  const { kernel } = setUp(t, { ip: "/dev/null" });
  const result = await kernel.run([addSa(1)]);
  assert.ok(!result.ok);
  assert.equal(result.error.reason, '"/dev/null" could not be started: EACCES');
});

test("a group that would overfill the queue is refused at once, and room comes back", async (t) => {
  const { kernel } = setUp(t, { queueLimit: 3 });
  const [first, second, third] = await Promise.all([
    kernel.run([addSa(1), addSa(2)]),
    kernel.run([addSa(3), addSa(4)]),
    kernel.run([addSa(5)]),
  ]);
  assert.deepEqual([first, third], [done, done]);
  assert.ok(!second.ok && second.error.reason === "2 commands wait for the kernel already");
  assert.ok(!(await kernel.run([addSa(1), addSa(8), addSa(9)])).ok);
  assert.deepEqual(await kernel.run([addSa(3), addSa(4), addSa(6)]), done);
});

test("close carries out what waits, refuses what comes later, and ends every child", async (t) => {
  const { ip, kernel, diagnostics } = setUp(t);
  kernel.listen(() => {});
  const waiting = kernel.run([addSa(1), addSa(2)]);
  await until(() => ip.starts().length === 3);
  await kernel.close();
  assert.deepEqual(await waiting, done);
  const late = await kernel.run([addSa(3)]);
  assert.ok(!late.ok && late.error.reason === "the connection to the kernel is closed");
  for (const { pid } of ip.starts()) assert.throws(() => process.kill(pid, 0), { code: "ESRCH" });
  await kernel.close();
  assert.deepEqual(diagnostics, []);
});

const listed = (spi: string, reqid: number, octets: number): string =>
  `src 192.0.2.1 dst 192.0.2.2\n\tproto esp spi ${spi}(1) reqid ${reqid}(0x1) mode transport\n\tlifetime current:\n\t  ${octets}(bytes), 1(packets)\n`;

test("counters are those of our reqids, and callers at one time share one look", async (t) => {
  const { ip, kernel } = setUp(t);
  ip.list(
    listed("0x00001000", 0x6d6d0000, 10) +
      listed("0x00001001", 0x6d6dffff, 11) +
      listed("0x00001002", 0x6d6e0000, 12) +
      listed("0x00001003", 0, 13),
  );
  const [one, two] = await Promise.all([kernel.counters(), kernel.counters()]);
  assert.deepEqual(
    [...one],
    [
      ["esp 0x00001000 192.0.2.2", { octets: 10, packets: 1 }],
      ["esp 0x00001001 192.0.2.2", { octets: 11, packets: 1 }],
    ],
  );
  assert.equal(one, two);
  assert.equal(ip.starts().length, 1);
  ip.list("", 0);
  assert.equal((await kernel.counters()).size, 0);
});

test("a larval state is no SA: a listing tells what traffic asks for by it", async (t) => {
  const { ip, kernel } = setUp(t);
  const larval = listed("0x00000000", 0x6d6d0000, 0).replace(
    "\tlifetime",
    "\tsel src 192.0.2.1/32 dst 192.0.2.2/32 proto icmp type 8 code 0\n\tlifetime",
  );
  ip.list(larval + listed("0x00001000", 0x6d6d0000, 10) + listed("0x00000000", 0x6d6d0000, 0));
  const { sas, asked } = await kernel.list();
  assert.deepEqual(
    sas.map(({ spi }) => spi),
    [0x1000],
  );
  assert.deepEqual(asked, [
    {
      ...{ type: "acquire", protocol: "esp", reqid: 0x6d6d0000, source: "192.0.2.1", destination: "192.0.2.2" },
      ...{ ipProtocol: 1, sourcePort: 0, destinationPort: 0 },
    },
  ]);
});

test("counters that can't be read are none, with a diagnostic", async (t) => {
  const { ip, kernel, diagnostics } = setUp(t);
  ip.list("", 1);
  assert.equal((await kernel.counters()).size, 0);
  assert.deepEqual(diagnostics, ["counters: Dump terminated; ip ended with status 1"]);
});

const expiry = (hard: 0 | 1): string =>
  `Expired src 192.0.2.1 dst 192.0.2.2\n\tproto esp spi 0x00001000 reqid 9 mode transport\n\thard ${hard}\n`;

test("events reach every listener, and a monitor that dies is started again with a diagnostic", async (t) => {
  const { ip, kernel, diagnostics } = setUp(t);
  ip.monitor(0, expiry(0), true);
  ip.monitor(1, expiry(1), false);
  const [one, two]: [KernelEvent[], KernelEvent[]] = [[], []];
  kernel.listen((event) => one.push(event));
  kernel.listen((event) => two.push(event));
  await until(() => one.length === 2);
  assert.deepEqual(
    one.map((event) => event.type === "expire" && event.hard),
    [false, true],
  );
  assert.deepEqual(two, one);
  assert.deepEqual(diagnostics, [
    "kernel events: netlink receive error Connection refused (111)",
    "kernel events: ip ended with status 1; listening again in 100 ms",
  ]);
});

const DELETED = "Deleted src 192.0.2.1/32 dst 192.0.2.2/32 proto tcp dport 80 \n\tdir out priority 1000 ptype main \n";
const ANY_POLICY: KernelEvent = { type: "policy-gone", policy: null };

test("policies that go are told; where their monitor dies, anything may have gone", async (t) => {
  const { ip, kernel, diagnostics } = setUp(t);
  ip.policyMonitor(0, DELETED, true);
  ip.policyMonitor(1, "Flushed policy ptype main \n", false);
  const events: KernelEvent[] = [];
  kernel.listen((event) => events.push(event));
  await until(() => events.length >= 4);
  const [deleted, ...others] = events;
  assert.equal(deleted?.type === "policy-gone" && deleted.policy?.selector.destinationPort, 80);
  assert.deepEqual(others, [ANY_POLICY, ANY_POLICY, ANY_POLICY]);
  assert.equal(diagnostics.length, 2);
});

test("once another monitor of policies listens, anything may have gone before", async (t) => {
  const { ip, kernel } = setUp(t);
  ip.policyMonitor(0, "", true);
  const told: number[] = [];
  kernel.listen(() => told.push(Date.now()));
  await until(() => told.length > 0);
  const begun = () => ip.starts().filter(({ args }) => args.includes("policy") && args.includes("monitor")).length;
  await until(() => begun() === 2);
  const before = told.length;
  await until(() => told.length > before);
  assert.equal(begun(), 2);
});

test("a list of policies that breaks off is none; of one in unknown words only that it is there is told", async (t) => {
  const { ip, kernel, diagnostics } = setUp(t);
  const policy = (index: number, more = "", protocol = "tcp") =>
    `src 192.0.2.1/32 dst 192.0.2.2/32 proto ${protocol} uid 0\n\tdir out action block index ${index} priority 7 ptype main share any flag  (0x00000000)\n${more}`;
  const listed = async () =>
    (await kernel.listPolicies()).map(({ action, priority, ours, saysMore = false }) => [action, priority, ours, saysMore]);
  ip.list(policy(0xd0000001));
  assert.deepEqual(await listed(), [["block", 7, true, false]]);
  ip.list(policy(0xd0000001), 1);
  await assert.rejects(kernel.listPolicies(), /Dump terminated/);
  ip.list(policy(0xd0000001, "\tsomething new\n") + policy(9, "\tsomething new\n") + policy(0xd0000009));
  assert.deepEqual(await listed(), [
    ["block", 7, false, true],
    ["block", 7, false, true],
    ["block", 7, true, false],
  ]);
  ip.list(policy(0xd0000001, "", "frobnicate") + policy(0xd0000009));
  assert.deepEqual(await listed(), [["block", 7, true, false]], "one whose key can't be read takes no other with it");
  await listed();
  assert.equal(diagnostics.filter((text) => /1 of ours have selectors .* taken for missing$/.test(text)).length, 1);
  ip.list(policy(0xd0000001, "", "frobnicate") + policy(9));
  await assert.rejects(kernel.listPolicies(), /^Error: 1 policies of ours have selectors that ip tells in words which are not known here$/);
});

test("a listing that hangs is ended, so that those of a kernel that does not tell are never many", async (t) => {
  const { ip, kernel } = setUp(t, { patience: 1500 });
  ip.list("", "hangs");
  await assert.rejects(kernel.listPolicies(), /^Error: policies: .*ip was ended by SIGKILL/);
  const [{ pid } = assert.fail("no child")] = ip.starts();
  assert.throws(() => process.kill(pid, 0), /ESRCH/);
});
