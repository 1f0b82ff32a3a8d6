/**
 * A change of policy, command by command: at every moment the kernel decides about a packet as it did before or as it will. Link-local policies are what
 * makes that hard, since the kernel has them only where they say something else than the rest (policy/needed.ts).
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Core } from "../../ike/core.ts";
import type { Effect } from "../../ike/effect.ts";
import type { KernelCommand, KernelPolicy } from "../../ike/kernel-contract.ts";
import { PolicyTable } from "../../ike/standing.ts";
import { directionOf, type Packet } from "../../policy/decide.ts";
import { coversPackets, selectorKey } from "../../policy/packet-selector.ts";
import { NO_POLICY } from "../../policy/traffic-keys.ts";
import type { Policy } from "../../policy/types.ts";
import { ADDRESSES, policyFrom, randomPacket, randomPolicy } from "../policy/random-policies.ts";

/** A table, and what a kernel that carries everything out has been told, in order. `left`: what a run before left there. */
function follower(left: readonly KernelPolicy[] = []) {
  const table = new PolicyTable();
  const world = { store: { children: new Map() }, addresses: ADDRESSES, effects: [] as Effect[], pending: new Map(), nextOp: 0 };
  const core = { ...world, policy: NO_POLICY } as unknown as Core & { policy: Policy; effects: Effect[] };
  const used = left.flatMap(({ templates }) => templates.map(({ reqid }) => reqid));
  table.restore([], { present: left, perhaps: [] }, used);
  return (policy: Policy): readonly KernelCommand[] => {
    core.policy = policy;
    table.sync(core);
    table.dropUnwanted(core);
    const told: KernelCommand[] = [];
    while (core.effects.length > 0) {
      const commands = core.effects.flatMap((effect) => (effect.type === "kernel" ? effect.commands : []));
      core.effects = [];
      table.onAnswer(core, commands, null);
      told.push(...commands);
    }
    return told;
  };
}

const covers = (
  { selector }: Pick<KernelPolicy, "selector">,
  { source, destination, protocol, sourcePort, destinationPort }: Packet,
): boolean => {
  const bits = source.includes(":") ? 128 : 32;
  if (selector.source.includes(":") !== source.includes(":")) return false;
  return coversPackets(selector, {
    source,
    sourceLength: bits,
    destination,
    destinationLength: bits,
    protocol,
    sourcePort,
    destinationPort,
  });
};

const judged = (policies: readonly KernelPolicy[]): string => {
  const [best] = [...policies].sort((a, b) => a.priority - b.priority);
  return best ? `${best.action} ${best.templates[0]?.level ?? "clear"}` : "allow clear";
};

/** What becomes of a packet before the first command and after each. */
function verdicts(packet: Packet, standing: readonly KernelPolicy[], commands: readonly KernelCommand[]): readonly string[] {
  const direction = directionOf(packet, ADDRESSES);
  const key = (policy: Pick<KernelPolicy, "selector">): string => selectorKey(policy.selector);
  const meets = (policy: Pick<KernelPolicy, "direction" | "selector">): boolean => policy.direction === direction && covers(policy, packet);
  const present = new Map(standing.filter(meets).map((policy) => [key(policy), policy]));
  const seen = [judged([...present.values()])];
  for (const command of commands) {
    if (!("policy" in command) || !meets(command.policy)) continue;
    if (command.do === "remove-policy") present.delete(key(command.policy));
    else if (command.do === "add-policy" || command.do === "update-policy") present.set(key(command.policy), command.policy);
    seen.push(judged([...present.values()]));
  }
  return seen;
}

const added = (commands: readonly KernelCommand[]): readonly KernelPolicy[] =>
  commands.flatMap((command) => (command.do === "add-policy" ? [command.policy] : []));

/** The second policy in place of the first: by a reload, and by a start of a daemon that finds what another has left. */
function assertSudden(first: Policy, second: Policy, packets: readonly Packet[]): void {
  const follow = follower();
  const standing = added(follow(first));
  for (const commands of [follow(second), follower(standing)(second)])
    for (const packet of packets) {
      // What passes through may meet two of one priority, and the older one counts.
      if (directionOf(packet, ADDRESSES) === "fwd") continue;
      const seen = verdicts(packet, standing, commands);
      for (const one of seen) assert.ok(one === seen[0] || one === seen.at(-1), `${JSON.stringify(packet)}: ${seen.join(", ")}`);
    }
}

test("while any policy replaces any other, by a reload or a restart, no packet meets what neither of them says", () => {
  fc.assert(fc.property(randomPolicy(5), randomPolicy(5), fc.array(randomPacket, { minLength: 10, maxLength: 20 }), assertSudden), {
    numRuns: 300,
  });
});

test("a permit in a wide rule that protects goes in behind the narrower rule that protects, and comes out before it", () => {
  const all = { action: "require", filters: ["me <-> any"] };
  const permit = { action: "permit", filters: ["me <-> fd00::/16", "me <-> 10.0.0.0/8"] };
  const narrow = { action: "require", filters: ["me <-> fd00::1", "me <-> 10.0.0.1"] };
  const packets = ["fd09::1 fd00::1", "fe80::a fd00::1", "10.9.0.1 10.0.0.1"].map((text): Packet => {
    const [source = "", destination = ""] = text.split(" ");
    return { source, destination, protocol: 6, sourcePort: 1, destinationPort: 2 };
  });
  const [before, with2, open] = [policyFrom([all]), policyFrom([all, permit, narrow]), policyFrom([permit, narrow])];
  for (const [first, second] of [
    [before, with2],
    [with2, before],
    [before, open],
    [open, before],
  ] as const)
    assertSudden(first, second, packets);
});

test("a way past a block moves to another block with what keeps this host's own packets from it in front all the time", () => {
  const others = { action: "permit", filters: ["10.0.0.0/30 <-> any"] };
  const site = {
    action: "require",
    filters: ["10.0.0.0/31 <-> any"],
    more: 'mode = "tunnel"\ntunnel = { local = "10.9.0.1", remote = "10.9.9.9" }',
  };
  const wall = { action: "block", filters: ["any <-> any"] };
  const part = { action: "block", filters: ["any <-> any udp"] };
  const packets = ["10.9.0.1", "240.9.0.1"].flatMap((source) =>
    [6, 17].map((protocol): Packet => ({ source, destination: "10.0.0.1", protocol, sourcePort: 1, destinationPort: 2 })),
  );
  const policies = [[], [wall], [others], [wall, others], [part, wall, others], [wall, site], [part, wall, site]].map((rules) =>
    rules.length === 0 ? NO_POLICY : policyFrom(rules),
  );
  for (const first of policies) for (const second of policies) assertSudden(first, second, packets);
});
