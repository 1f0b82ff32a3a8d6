/**
 * Two hosts, A and B, as most stories want them, and short ways to look at them.
 */
import assert from "node:assert/strict";
import type { Packet } from "../../kernel/memory-traffic.ts";
import type { ChildSaView, IkeSaView } from "../../sa-store/view.ts";
import type { Host } from "./host.ts";
import { DROP, type Fate } from "./network.ts";
import { policyOf, towards } from "./policies.ts";
import type { Sent, World, WorldOptions } from "./world.ts";

export const A = "192.0.2.1";
export const B = "192.0.2.2";

/** A world of A and B, each with the text of its configuration. */
export const pair = (a: string = towards(B), b: string = towards(A), more: Partial<WorldOptions> = {}): WorldOptions => ({
  hosts: [
    { name: "A", addresses: [A], policy: policyOf(a) },
    { name: "B", addresses: [B], policy: policyOf(b) },
  ],
  ...more,
});

/** A packet of TCP to port 80. */
export const packet = (source: string, destination: string): Packet => ({
  source,
  destination,
  protocol: 6,
  sourcePort: 40000,
  destinationPort: 80,
});

/** Negotiates, and expects success within a second. */
export function bringUp(world: World, host: Host = world.host("A"), rule = "peer", ms = 1000): void {
  const id = host.initiate(rule);
  world.run(ms);
  assert.equal(host.outcome(id).exit, 0);
}

/** Both directions are protected, and nothing is lost. */
export function assertTraffic(world: World, a: Host = world.host("A"), b: Host = world.host("B")): void {
  const [from, to] = [a.addresses[0] ?? "", b.addresses[0] ?? ""];
  assert.equal(world.ping(a, packet(from, to)), "protected", `from ${a.name} to ${b.name}`);
  assert.equal(world.ping(b, packet(to, from)), "protected", `from ${b.name} to ${a.name}`);
}

export const ikesOf = (world: World, name: string): readonly IkeSaView[] => world.host(name).engine.view(world.now).ikeSas;
export const childrenOf = (world: World, name: string): readonly ChildSaView[] => world.host(name).engine.view(world.now).childSas;
export const labels = (world: World): readonly string[] => world.sent.map((sent) => sent.label);

/** An interception: the first `times` datagrams with this label are lost. */
export const losing =
  (label: string, times = Number.POSITIVE_INFINITY) =>
  (sent: Sent): Fate | undefined =>
    sent.label === label && sent.nth <= times ? DROP : undefined;

/** The texts of events at a level, or of all. */
export const said = (host: Host, ...levels: readonly string[]): readonly string[] =>
  host.events.filter(({ level }) => levels.length === 0 || levels.includes(level)).map(({ text }) => text);
