/** The memory of peers that speak IKE is bounded, and forgets the oldest first. */
import assert from "node:assert/strict";
import test from "node:test";
import { SPOKE, Spoke } from "../../ike/spoke.ts";

const MOST = 20_000;

test("a peer is remembered for its time, and no longer", () => {
  const spoke = new Spoke();
  spoke.note("a b", SPOKE, 0);
  assert.equal(spoke.has("a b", SPOKE - 1), true);
  assert.equal(spoke.has("a b", SPOKE), false);
  assert.equal(spoke.has("b a", 0), false);
});

test("of more peers than there is room for the oldest are forgotten; who spoke again is not old", () => {
  const spoke = new Spoke();
  for (let i = 0; i < MOST; i++) assert.deepEqual(spoke.note(`peer ${i}`, SPOKE + i, i), []);
  assert.deepEqual(spoke.note("peer 0", SPOKE + MOST, MOST), []);
  assert.deepEqual(spoke.note("one more", SPOKE + MOST, MOST), ["peer 1"]);
  assert.equal(spoke.size, MOST);
  assert.deepEqual(
    ["peer 0", "peer 1", "one more"].map((peer) => spoke.has(peer, MOST)),
    [true, false, true],
  );
});

test("those whose time is over go a few at a time, as others come", () => {
  const spoke = new Spoke();
  for (let i = 0; i < 20; i++) spoke.note(`peer ${i}`, SPOKE, 0);
  const gone = [1, 2, 3, 4].map((at) => spoke.note(`later ${at}`, 2 * SPOKE + at, SPOKE + at));
  assert.deepEqual(
    gone.map(({ length }) => length),
    [8, 8, 4, 0],
  );
  assert.equal(spoke.size, 4);
});
