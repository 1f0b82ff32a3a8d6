/**
 * The floor of the benchmark against what the core really computes: neither may drift from the other.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { floorPass, quickModeFloor } from "../../bench/floor.ts";
import { type BenchRole, benchPolicy, GROUPS, pairAddresses, sideAddresses } from "../../bench/pairs.ts";
import { systemRandom } from "../../daemon/random.ts";
import { opensslCrypto } from "../../ike/crypto/openssl.ts";
import type { Crypto } from "../../ike/crypto/provider.ts";
import { groupNamed } from "../../ike/crypto/suite.ts";
import { createEngine, type Engine } from "../../ike/engine.ts";
import type { Input } from "../../ike/input.ts";
import { type MemoryXfrm, memoryXfrm } from "../../kernel/memory.ts";

type Counts = Record<string, number>;

/** The same cryptography, counted: calls by name, and octets that go through each kind. */
function counted(counts: Counts): Crypto {
  const add = (name: string, octets: number): void => {
    counts[name] = (counts[name] ?? 0) + 1;
    counts[`${name} octets`] = (counts[`${name} octets`] ?? 0) + octets;
  };
  const sum = (chunks: readonly Uint8Array[]): number => chunks.reduce((octets, chunk) => octets + chunk.length, 0);
  return {
    ...opensslCrypto,
    hash: (name, ...chunks) => {
      add("hash", sum(chunks));
      return opensslCrypto.hash(name, ...chunks);
    },
    hmac: (name, key, ...chunks) => {
      add("hmac", sum(chunks));
      return opensslCrypto.hmac(name, key, ...chunks);
    },
    encrypt: (cipher, key, iv, data) => {
      add("cipher", data.length);
      return opensslCrypto.encrypt(cipher, key, iv, data);
    },
    decrypt: (cipher, key, iv, data) => {
      add("cipher", data.length);
      return opensslCrypto.decrypt(cipher, key, iv, data);
    },
    generateKeyPair: (group, random) => {
      add("key pair", group.publicOctets);
      return opensslCrypto.generateKeyPair(group, random);
    },
    agree: (group, key, peer) => {
      add("agreement", group.secretOctets);
      return opensslCrypto.agree(group, key, peer);
    },
  };
}

interface Host {
  readonly engine: Engine;
  readonly xfrm: MemoryXfrm;
}

/** Two hosts in one process; one negotiation of the group. Returns what each side computed in it, or in a renewal that follows. */
function negotiate(group: (typeof GROUPS)[number], renewal = false): Readonly<Record<BenchRole, Counts>> {
  let now = 1000;
  const counts = { initiator: {} as Counts, responder: {} as Counts };
  const host = (role: BenchRole): Host => ({
    engine: createEngine({ crypto: counted(counts[role]), random: systemRandom, port: 500 }),
    xfrm: memoryXfrm(),
  });
  const [initiator, responder] = [host("initiator"), host("responder")];
  const queue: (readonly [Host, Input])[] = [];
  const drain = (): void => {
    for (let next = queue.shift(); next; next = queue.shift()) {
      const [to, input] = next;
      for (const effect of to.engine.handle(input, now)) {
        if (effect.type === "send") {
          const path = { local: effect.path.remote, remote: effect.path.local };
          queue.push([to === initiator ? responder : initiator, { type: "datagram", path, bytes: effect.bytes }]);
        } else if (effect.type === "kernel")
          queue.push([to, { type: "kernel-done", id: effect.id, outcome: to.xfrm.apply(effect.commands) }]);
      }
    }
  };
  for (const [each, role] of [
    [initiator, "initiator"],
    [responder, "responder"],
  ] as const) {
    queue.push([each, { type: "addresses", addresses: sideAddresses(role) }]);
    queue.push([each, { type: "policy", policy: benchPolicy(role, new Uint8Array(32).fill(7)) }]);
  }
  drain();
  const [source, destination] = pairAddresses(group, 17);
  const verdict = initiator.xfrm.outbound({ source, destination, protocol: 1, sourcePort: 0, destinationPort: 0 });
  assert.equal(verdict.kind, "acquire");
  if (verdict.kind === "acquire") queue.push([initiator, { type: "kernel-event", event: verdict.event }]);
  drain();
  assert.equal(initiator.engine.view(now).childSas.length, 1);
  if (!renewal) return counts;
  for (const each of Object.values(counts)) for (const name of Object.keys(each)) delete each[name];
  const old = [...initiator.xfrm.states.values()].find(({ sa }) => sa.source === source)?.sa;
  assert.ok(old);
  initiator.xfrm.setCounters(old, { octets: 1000, packets: 10 });
  for (const event of initiator.xfrm.expire(old, false)) queue.push([initiator, { type: "kernel-event", event }]);
  drain();
  // The new outbound pair comes once the peer surely has message 3, and with it the delete of the old one.
  for (const limit = now + 10_000; now < limit; now += 100) {
    for (const each of [initiator, responder]) queue.push([each, { type: "tick" }]);
    drain();
  }
  assert.equal(initiator.engine.view(now).childSas.filter(({ rekeys }) => rekeys === 1).length, 1);
  return counts;
}

// The first negotiation of a process also makes our vendor id.
negotiate("x25519");

for (const group of GROUPS) {
  test(`${group}: both sides compute exactly what the floor does, INITIAL-CONTACT's two blocks aside`, () => {
    const sides = negotiate(group);
    for (const counts of Object.values(sides)) {
      assert.deepEqual(calls(counts), { hash: 4, hmac: 13, cipher: 5, "key pair": 2, agreement: 2 });
      assertAtTheFloor(counts, floorPass, group);
    }
  });

  test(`${group}: in a renewal, too, with the delete of what it replaces`, () => {
    for (const counts of Object.values(negotiate(group, true))) {
      assert.deepEqual(calls(counts), { hash: 2, hmac: 8, cipher: 4, "key pair": 1, agreement: 1 });
      assertAtTheFloor(counts, quickModeFloor, group);
    }
  });
}

const calls = (counts: Counts): Counts => Object.fromEntries(Object.entries(counts).filter(([name]) => !name.endsWith("octets")));

/** The same calls, and of each kind about as many octets. */
function assertAtTheFloor(counts: Counts, floorOf: typeof floorPass, group: (typeof GROUPS)[number]): void {
  const floor: Counts = {};
  const pass = floorOf(counted(floor), systemRandom, groupNamed(group));
  for (const name of Object.keys(floor)) delete floor[name];
  pass();
  assert.deepEqual(calls(counts), calls(floor));
  for (const kind of ["hash", "hmac", "cipher"])
    assert.ok(
      Math.abs((counts[`${kind} octets`] ?? 0) - (floor[`${kind} octets`] ?? 0)) <= 100,
      `${kind}: ${counts[`${kind} octets`]} octets, the floor has ${floor[`${kind} octets`]}`,
    );
}
