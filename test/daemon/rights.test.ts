import assert from "node:assert/strict";
import { test } from "node:test";
import { Bypass, bypassCommands } from "../../daemon/bypass.ts";
import { missingCapabilities } from "../../daemon/capabilities.ts";
import type { KernelCommand } from "../../ike/kernel-contract.ts";
import { err } from "../../isakmp/result.ts";
import { memoryKernel } from "../../kernel/memory.ts";
import { policyName } from "../../kernel/xfrm-args.ts";
import { fakeKernel } from "./fakes.ts";

const status = (capabilities: bigint): string =>
  `Name:\tnode\nCapInh:\t0000000000000000\nCapEff:\t${capabilities.toString(16).padStart(16, "0")}\nCapBnd:\t0\n`;
const [BIND, ADMIN] = [1n << 10n, 1n << 12n];
const need = { kernel: true, ports: [500, 4500] };

test("missing capabilities are named, granted ones are not", () => {
  assert.deepEqual(missingCapabilities(need, status(0n), "1024\n"), ["CAP_NET_ADMIN", "CAP_NET_BIND_SERVICE"]);
  assert.deepEqual(missingCapabilities(need, status(BIND), "1024\n"), ["CAP_NET_ADMIN"]);
  assert.deepEqual(missingCapabilities(need, status(ADMIN), "1024\n"), ["CAP_NET_BIND_SERVICE"]);
  assert.deepEqual(missingCapabilities(need, status(ADMIN | BIND), "1024\n"), []);
});

test("ports that anybody may bind need no capability", () => {
  assert.deepEqual(missingCapabilities(need, status(ADMIN), "500\n"), []);
  assert.deepEqual(missingCapabilities({ kernel: true, ports: [0, 10_500] }, status(ADMIN), "1024\n"), []);
  assert.deepEqual(missingCapabilities({ kernel: false, ports: [500] }, status(0n), ""), ["CAP_NET_BIND_SERVICE"]);
});

test("a system that does not tell is left to say no itself", () => {
  assert.deepEqual(missingCapabilities(need, "", ""), []);
});

test("the kernel accepts the bypass of IKE's ports, and it is taken out again", async () => {
  const lines: string[] = [];
  const kernel = memoryKernel({ log: (line) => lines.push(line.replace(/ index \d+/, "")) });
  const bypass = new Bypass(kernel);
  assert.equal(await bypass.install([500, 4500]), undefined);
  assert.deepEqual(lines.slice(0, 4), [
    "xfrm policy add src 0.0.0.0/0 dst 0.0.0.0/0 proto 17 sport 500 dir out priority 1",
    "xfrm policy add src 0.0.0.0/0 dst 0.0.0.0/0 proto 17 dport 500 dir in priority 1",
    "xfrm policy add src ::/0 dst ::/0 proto 17 sport 500 dir out priority 1",
    "xfrm policy add src ::/0 dst ::/0 proto 17 dport 500 dir in priority 1",
  ]);
  assert.equal(kernel.policies.size, 8);
  await bypass.remove();
  assert.equal(kernel.policies.size, 0);
});

/** A kernel that holds these before we start; `isOurs`: the number of each is one that only we ask for. */
function holding(commands: readonly KernelCommand[], isOurs: boolean) {
  const kernel = memoryKernel();
  kernel.apply(commands);
  const names = new Set(kernel.policies.keys());
  const listPolicies = async () =>
    Array.from(kernel.policies.values(), (policy) => ({ ...policy, ours: isOurs || !names.has(policyName(policy)) }));
  return { ...kernel, policies: kernel.policies, listPolicies };
}

test("a bypass of an administrator's own that a start finds is left where it is by the stop", async () => {
  const his = bypassCommands([500]).slice(0, 2);
  for (const kernel of [holding(his, false), { ...holding(his, true), listPolicies: () => Promise.reject(new Error("no")) }]) {
    const bypass = new Bypass(kernel);
    assert.equal(await bypass.install([500, 4500]), undefined);
    assert.equal(kernel.policies.size, 8);
    await bypass.remove();
    assert.deepEqual(
      [...kernel.policies.keys()],
      his.flatMap((command) => ("policy" in command ? [policyName(command.policy)] : [])),
    );
  }
});

test("a bypass that a crash of ours left goes with the next stop, unless somebody changed it", async () => {
  const left = bypassCommands([500, 4500]);
  const kernel = holding(left, true);
  const bypass = new Bypass(kernel);
  assert.equal(await bypass.install([500, 4500]), undefined);
  await bypass.remove();
  assert.equal(kernel.policies.size, 0);
  const changed = holding(
    left.map((command) => (command.do === "add-policy" ? { ...command, policy: { ...command.policy, priority: 7 } } : command)),
    true,
  );
  const next = new Bypass(changed);
  assert.equal(await next.install([500, 4500]), undefined);
  await next.remove();
  assert.equal(changed.policies.size, 8);
});

test("a bypass that somebody took away, with his own in its place, is his from then on", async () => {
  const kernel = memoryKernel();
  const listPolicies = async () => Array.from(kernel.policies.values(), (policy) => ({ ...policy, ours: policy.priority !== 7 }));
  const bypass = new Bypass({ ...kernel, listPolicies });
  bypass.keep();
  await bypass.install([500]);
  const [first] = kernel.policies.values();
  assert.ok(first);
  kernel.apply([{ do: "update-policy", policy: { ...first, priority: 7 } }]);
  kernel.inject({ type: "policy-gone", policy: null });
  for (let i = 0; i < 20; i++) await new Promise(setImmediate);
  await bypass.remove();
  assert.deepEqual(
    [...kernel.policies.values()].map(({ priority }) => priority),
    [7],
  );
});

test("a bypass that somebody takes from the kernel is asked for again, and nothing is where there is none", async () => {
  const kernel = memoryKernel();
  const bypass = new Bypass(kernel);
  bypass.keep();
  kernel.inject({ type: "policy-gone", policy: null });
  assert.equal(kernel.policies.size, 0);
  await bypass.install([500, 4500]);
  const whole = new Set(kernel.policies.keys());
  for (const [name, { direction, selector }] of [...kernel.policies]) {
    kernel.apply([{ do: "remove-policy", policy: { direction, selector } }]);
    kernel.inject({ type: "policy-gone", policy: { direction, selector } });
    for (let i = 0; i < 20; i++) await new Promise(setImmediate);
    assert.deepEqual(new Set(kernel.policies.keys()), whole, name);
  }
  await bypass.remove();
  kernel.inject({ type: "policy-gone", policy: null });
  for (let i = 0; i < 20; i++) await new Promise(setImmediate);
  assert.equal(kernel.policies.size, 0, "nor after its end");
});

test("policies of others may go by the hundred, and the bypass is asked for when it may have gone itself, once and once more", async () => {
  const kernel = fakeKernel();
  let runs = 0;
  const run = (commands: Parameters<typeof kernel.run>[0]) => {
    runs++;
    return kernel.run(commands);
  };
  const events: Parameters<Parameters<typeof kernel.listen>[0]>[0][] = [];
  const listeners: Parameters<typeof kernel.listen>[0][] = [];
  const bypass = new Bypass({ ...kernel, run, listen: (onEvent) => void listeners.push(onEvent) });
  bypass.keep();
  await bypass.install([500, 4500]);
  runs = 0;
  for (let port = 1000; port < 1500; port++)
    events.push({
      type: "policy-gone",
      policy: {
        direction: "out",
        selector: {
          source: "0.0.0.0",
          sourceLength: 0,
          destination: "0.0.0.0",
          destinationLength: 0,
          protocol: 17,
          sourcePort: port,
          destinationPort: 0,
        },
      },
    });
  for (const event of events) for (const listener of listeners) listener(event);
  await new Promise(setImmediate);
  assert.equal(runs, 0);
  for (let i = 0; i < 100; i++) for (const listener of listeners) listener({ type: "policy-gone", policy: null });
  await new Promise(setImmediate);
  assert.equal(runs, 2 * 8);
});

test("a kernel that refuses the bypass is quoted", async () => {
  const refusal = { index: 0, reason: "Operation not permitted", exists: false, command: "xfrm policy add" };
  const kernel = { ...fakeKernel(), run: async () => err(refusal) };
  assert.equal(await new Bypass(kernel).install([500]), "xfrm policy add: Operation not permitted");
});
