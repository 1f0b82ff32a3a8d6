/** What a daemon that was killed has left in the kernel, without a journal: all of it is ours, and nothing else is. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Core } from "../../ike/core.ts";
import type { Effect } from "../../ike/effect.ts";
import { BYPASS_PRIORITY, type KernelCommand, type KernelListing, type KernelPolicy } from "../../ike/kernel-contract.ts";
import { settleHeld } from "../../ike/lost-policies.ts";
import { restorePolicies } from "../../ike/restore.ts";
import { PolicyTable } from "../../ike/standing.ts";
import { policyIndex, policyName } from "../../kernel/xfrm-args.ts";
import { parsePolicies } from "../../kernel/xfrm-policy.ts";
import { inFrontOf, priorityOf } from "../../policy/packet-selector.ts";
import { NO_POLICY } from "../../policy/traffic-keys.ts";
import type { Policy } from "../../policy/types.ts";
import { Changes } from "../../sa-store/changes.ts";
import { lineOf } from "../kernel/fixtures.ts";
import { GATEWAY, randomGateway } from "../policy/random-gateways.ts";
import { ADDRESSES, policyFrom, randomPolicy } from "../policy/random-policies.ts";

/** A kernel that prints what it holds as `ip -s xfrm policy list` does. It has room for two of one number. */
class Printing {
  readonly #policies = new Map<string, { readonly policy: KernelPolicy; readonly index: number }>();
  /** Somebody else's: no command of ours may be about them. */
  readonly others = new Set<string>();

  plant(policy: KernelPolicy, index: number): void {
    if (this.#policies.has(policyName(policy))) return;
    this.others.add(policyName(policy));
    this.#policies.set(policyName(policy), { policy, index });
  }

  /** How many of the commands were carried out; an `add-policy` for a slot that is taken is refused. */
  take(command: KernelCommand): boolean {
    if (!("policy" in command)) return true;
    const name = policyName(command.policy);
    if (command.do === "add-policy" && this.#policies.has(name)) return false;
    assert.ok(!this.others.has(name), `${command.do} ${name}`);
    if (command.do === "remove-policy") this.#policies.delete(name);
    else {
      const [, index] = / index (\d+) /.exec(lineOf(command)) ?? [];
      this.#policies.set(name, { policy: command.policy, index: Number(index) });
    }
    return true;
  }

  ours(): readonly KernelPolicy[] {
    return [...this.#policies].flatMap(([name, { policy }]) => (this.others.has(name) ? [] : [policy]));
  }

  list(): KernelListing {
    return { sas: [], policies: parsePolicies([...this.#policies.values()].flatMap(({ policy, index }) => printed(policy, index))) };
  }
}

function printed({ direction, selector: s, action, priority, templates }: KernelPolicy, index: number): readonly string[] {
  const ports = [58, 1].includes(s.protocol) ? ["type", "code"] : ["sport", "dport"];
  const own = [s.sourcePort, s.destinationPort].map((port, i) => (port === 0 ? "" : ` ${ports[i]} ${port}`)).join("");
  return [
    `src ${s.source}/${s.sourceLength} dst ${s.destination}/${s.destinationLength}${s.protocol === 0 ? "" : ` proto ${s.protocol}`}${own} uid 0`,
    `\tdir ${direction} action ${action} index ${index} priority ${priority} ptype main share any flag  (0x00000000)`,
    "\tlifetime config:",
    ...templates.flatMap((t) => [
      `\ttmpl src ${t.source ?? "0.0.0.0"} dst ${t.destination ?? "0.0.0.0"}`,
      `\t\tproto ${t.protocol} spi 0x00000000(0) reqid ${t.reqid}(0x0) mode ${t.mode}`,
      `\t\tlevel ${t.level} share any `,
    ]),
  ];
}

/** A daemon that starts, finds what is there, without a journal, and follows a policy. */
function start(kernel: Printing, policy: Policy, addresses: readonly string[]): void {
  const policies = new PolicyTable();
  const world = {
    store: { children: new Map(), changes: new Changes() },
    policies,
    addresses,
    effects: [] as Effect[],
    pending: new Map(),
    nextOp: 0,
  };
  const core = { ...world, policy: { ...NO_POLICY, ...policy }, counters: new Map() } as unknown as Core & { effects: Effect[] };
  restorePolicies(core, { image: new Map(), kernel: kernel.list() });
  policies.sync(core);
  policies.dropUnwanted(core);
  while (core.effects.length > 0) {
    const effects = core.effects;
    core.effects = [];
    for (const effect of effects) {
      if (effect.type !== "kernel") continue;
      for (const command of effect.commands) {
        const refusal = { index: 0, reason: "File exists", exists: true, command: "" };
        policies.onAnswer(core, [command], kernel.take(command) ? null : refusal);
        settleHeld(core);
      }
    }
  }
}

const sorted = (policies: readonly KernelPolicy[]): readonly unknown[] =>
  policies
    .map(({ direction, selector, action, priority, templates }) => ({ direction, selector, action, priority, templates: templates.length }))
    .sort((a, b) => (policyName(a) < policyName(b) ? -1 : 1));

/** With what others have put there beside a policy: its own numbers, and those in front of it and behind it. */
function plantNear(kernel: Printing, policy: KernelPolicy, i: number): void {
  const { selector } = policy;
  for (const [k, priority] of [priorityOf(selector), inFrontOf(priorityOf(selector)), policy.priority, policy.priority - 2, 1000].entries())
    kernel.plant(
      { ...policy, selector: { ...selector, protocol: 100 + k }, priority: Math.max(1, priority), templates: [] },
      8 * (i + k + 1),
    );
}

function assertAllOurs(addresses: readonly string[], first: Policy, second: Policy): void {
  // Such a tunnel has the end that the policy before it had.
  fc.pre(second.rules.every(({ tunnel }) => tunnel?.local !== null));
  const [kernel, fresh] = [new Printing(), new Printing()];
  start(kernel, first, addresses);
  for (const [i, policy] of kernel.ours().entries()) plantNear(kernel, policy, 8 * i);
  start(kernel, second, addresses);
  start(fresh, second, addresses);
  assert.deepEqual(sorted(kernel.ours()), sorted(fresh.ours()));
}

test("of a host: whatever a daemon without a journal left is gone or wanted after the next start, and others' policies stand", () => {
  fc.assert(
    fc.property(randomPolicy(4), randomPolicy(4), (first, second) => assertAllOurs(ADDRESSES, first, second)),
    { numRuns: 100 },
  );
});

test("of a gateway, with ways past blocks, what guards them, and exemptions by addresses: the same", () => {
  fc.assert(
    fc.property(randomGateway(4), randomGateway(4), (first, second) => assertAllOurs(GATEWAY.own, first, second)),
    { numRuns: 100 },
  );
});

test("what lets IKE itself by is left alone, although we laid it", () => {
  const kernel = new Printing();
  const selector = {
    ...{ source: "0.0.0.0", sourceLength: 0, destination: "0.0.0.0", destinationLength: 0 },
    protocol: 17,
    sourcePort: 500,
  };
  const bypass: KernelPolicy = {
    ...{ direction: "out", selector: { ...selector, destinationPort: 0 }, action: "allow", priority: BYPASS_PRIORITY, templates: [] },
  };
  kernel.plant(bypass, policyIndex(bypass));
  start(kernel, policyFrom([{ action: "require", filters: ["me <-> any"] }]), ADDRESSES);
  assert.ok(kernel.list().policies.some(({ priority }) => priority === BYPASS_PRIORITY));
});
