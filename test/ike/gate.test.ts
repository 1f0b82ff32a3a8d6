/** Budgets of strangers, and the second look at their first messages: constant memory, and whoever insists gets through. */
import assert from "node:assert/strict";
import test from "node:test";
import { BUDGETS, Gate, LOAD } from "../../ike/gate.ts";
import { seededRandom } from "../sim/crypto.ts";

const cookie = (number: number): Uint8Array => {
  const out = new Uint8Array(8);
  new DataView(out.buffer).setUint32(0, number);
  return out;
};
const gate = (): Gate => new Gate(seededRandom(1));

test("Diffie-Hellman has a budget for each address and one for its network", () => {
  const one = gate();
  const [burst, perSecond] = BUDGETS.exponent.address;
  const taken = (address: string, tries: number, now: number): number =>
    Array.from({ length: tries }, () => one.exponent(address, now)).filter(Boolean).length;
  assert.equal(taken("192.0.2.1", 300, 0), burst);
  assert.equal(taken("192.0.2.1", 300, 1000), perSecond);
  assert.equal(taken("192.0.2.1", 300, 3_600_000), burst);
  const [ofNetwork] = BUDGETS.exponent.network;
  for (const network of ["198.51.100.", "2001:db8:1:2::"]) {
    const other = gate();
    const sum = Array.from({ length: 250 }, (_, i) => `${network}${i}`).flatMap((address) =>
      Array.from({ length: 20 }, () => other.exponent(address, 0)).filter(Boolean),
    ).length;
    assert.equal(sum, ofNetwork, network);
  }
});

test("a network of IPv6 is the first 64 bits however an address is written", () => {
  const [burst] = BUDGETS.exponent.network;
  const one = gate();
  for (let i = 0; i < burst; i++) assert.ok(one.exponent(`2001:db8::1:0:${(i % 200).toString(16)}:1`, 0));
  assert.equal(one.exponent("2001:db8::ffff:1:2:3", 0), false);
  assert.equal(one.exponent("2001:db8:0:1::1", 0), true);
  assert.equal(one.exponent("::1", 0), true);
});

test("under load every first message is put off once, and nearly every one of a flood stays outside", () => {
  const one = gate();
  let early = 0;
  for (let i = 0; i < 250_000; i++)
    if (one.first(`${1 + (i % 200)}.${(i >> 8) & 255}.${i & 255}.${(i * 7) & 255}`, cookie(i), LOAD, i / 10) !== "again") early++;
  assert.ok(early < 2500, `${early} of 250000 passed for repeated`);
  assert.equal(one.first("192.0.2.9", cookie(1), LOAD, 25_000), "again");
  assert.equal(one.first("192.0.2.9", cookie(1), LOAD, 29_000), "welcome");
  // From another address, or with another cookie, it is another message.
  assert.equal(one.first("192.0.2.10", cookie(1), LOAD, 29_000), "again");
  assert.equal(one.first("192.0.2.9", cookie(2), LOAD, 29_000), "again");
});

test("a message that comes again after the longest pause of a peer, 42 s with strongSwan, is known whenever a generation ends", () => {
  for (let begun = 0; begun < 60_000; begun += 7_000) {
    const one = gate();
    assert.equal(one.first("192.0.2.8", cookie(1), LOAD, 0), "again");
    assert.equal(one.first("192.0.2.9", cookie(1), LOAD, begun), "again");
    assert.equal(one.first("192.0.2.9", cookie(1), LOAD, begun + 42_000), "welcome");
  }
});

test("a message that is repeated within half a minute is remembered; one of two minutes ago is not", () => {
  const one = gate();
  assert.equal(one.first("192.0.2.9", cookie(1), LOAD, 0), "again");
  assert.equal(one.first("192.0.2.8", cookie(1), LOAD, 31_000), "again");
  assert.equal(one.first("192.0.2.9", cookie(1), LOAD, 32_000), "welcome");
  assert.equal(one.first("192.0.2.8", cookie(2), LOAD, 500_000), "again");
  assert.equal(one.first("192.0.2.9", cookie(1), LOAD, 500_000), "again");
});

test("an address whose budget others use up is heard when it repeats itself", () => {
  const one = gate();
  const [burst] = BUDGETS.fresh.address;
  for (let i = 0; i < burst; i++) assert.equal(one.first("192.0.2.9", cookie(i), 0, 0), "welcome");
  // One in a hundred thousand looks familiar.
  const early = Array.from({ length: 10_000 }, (_, i) => one.first("192.0.2.9", cookie(1000 + i), 0, 0)).filter((a) => a === "welcome");
  assert.ok(early.length <= 3, `${early.length}`);
  assert.equal(one.first("192.0.2.9", cookie(999), 0, 0), "again");
  assert.equal(one.first("192.0.2.9", cookie(999), 0, 4000), "welcome");
});

test("who repeats ever new messages of one address reaches a limit, too", () => {
  const one = gate();
  let welcome = 0;
  for (let i = 0; i < 1000; i++)
    for (let times = 0; times < 2; times++) if (one.first("192.0.2.9", cookie(i), LOAD, 0) === "welcome") welcome++;
  assert.equal(welcome, BUDGETS.repeated.address[0]);
});

test("nobody can know beforehand whose budget an address shares: two daemons sort the same addresses differently", () => {
  const [burst] = BUDGETS.exponent.address;
  /** Those that find nothing left once one address has used up its own. */
  const sharing = (one: Gate, addresses: readonly string[]): readonly string[] => {
    for (let i = 0; i < burst; i++) assert.ok(one.exponent("192.0.2.9", 0));
    return addresses.filter((address) => !one.exponent(address, 0));
  };
  const shared = sharing(
    gate(),
    Array.from({ length: 20_000 }, (_, i) => `2001:db8:${(i >> 8).toString(16)}:${(i & 255).toString(16)}::1`),
  );
  assert.ok(shared.length > 0, "in one of so many buckets some meet");
  assert.deepEqual(sharing(new Gate(seededRandom(2)), shared), []);
});
