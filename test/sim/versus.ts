/** One engine, host A, against the scripted peer at the address of B. */
import assert from "node:assert/strict";
import type { ReplyLine } from "../../ike/effect.ts";
import { type Payload, payload } from "../../isakmp/payloads.ts";
import { saName } from "../../kernel/xfrm-args.ts";
import { Peer, type PeerMessage, type Script } from "./peer.ts";
import { policyOf, towards } from "./policies.ts";
import { A, B } from "./setting.ts";
import { story, type World, type WorldOptions } from "./world.ts";

/** The world of a story against a peer. */
export const alone = (text: string = towards(B)): WorldOptions => ({ hosts: [{ name: "A", addresses: [A], policy: policyOf(text) }] });

/** A story in which the peer follows a script. */
export const against = (script: Script, tell: (world: World, peer: Peer) => void, text: string = towards(B)): (() => void) =>
  story(alone(text), (world) => {
    world.run(10);
    tell(world, new Peer(world, B, A, script));
  });

/** The engine begins and the command runs to its end. */
export function initiated(world: World): ReplyLine {
  const a = world.host("A");
  const id = a.initiate();
  world.run(29_999);
  return a.outcome(id);
}

/** The peer begins, and both prove themselves. */
export function proved(world: World, peer: Peer): void {
  peer.start();
  world.run(100);
  assert.ok(peer.established, "Main Mode");
}

/** The engine and the peer hold the same keys for the peer's last child. */
export function assertSameKeys(world: World, peer: Peer): void {
  const child = peer.children.at(-1);
  assert.ok(child?.confirmed || child, "a child");
  const keysOf = (spi: number, destination: string): string => {
    const sa = world.host("A").xfrm.states.get(saName({ protocol: "esp", spi, destination }))?.sa;
    return [sa?.encryption, sa?.integrity].map((part) => part?.key.use((key) => Buffer.from(key).toString("hex"))).join("");
  };
  assert.equal(keysOf(child.spiIn, B), Buffer.from(child.keyIn).toString("hex"), "towards the peer");
  assert.equal(keysOf(child.spiOut, A), Buffer.from(child.keyOut).toString("hex"), "from the peer");
}

/** Names and numbers of SAs in A's kernel. */
export const installed = (world: World): number => world.host("A").xfrm.states.size;

/** An edit of one message that replaces each payload of a kind, or leaves it out. */
export const replacing = (message: PeerMessage, name: Payload["name"], make: (old: Payload) => readonly Payload[]): Script => ({
  edit: { [message]: (payloads: readonly Payload[]) => payloads.flatMap((p) => (p.name === name ? make(p) : [p])) },
});

export const octetsOf = (length: number, octet = 7): Uint8Array => new Uint8Array(length).fill(octet);
export const nonce = (length: number) => payload("nonce", { data: octetsOf(length) });
export const ke = (length: number, octet = 7) => payload("ke", { data: octetsOf(length, octet) });
