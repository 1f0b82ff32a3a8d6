/** Which stronger policies are together about all of one, found along its remote side and by a look at all of them. */
import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { type AddressRange, covers } from "../../isakmp/address.ts";
import { decisions } from "../../policy/compile.ts";
import { Rivals } from "../../policy/rivals.ts";
import { type Reach, reachOf } from "../../policy/walls.ts";
import { ADDRESSES, policiesOf, randomPolicy } from "./random-policies.ts";

const holds = (wide: number, narrow: number): boolean => wide === 0 || wide === narrow;

/** Whether some ranges hold all of one. */
function hold(ranges: readonly AddressRange[], { first, last }: AddressRange): boolean {
  const sorted = [...ranges].sort((a, b) => (a.first < b.first ? -1 : 1));
  let next = first;
  for (const range of sorted) if (range.first <= next && range.last >= next) next = range.last + 1n;
  return next > last;
}

const areAbout = (one: Reach, all: readonly Reach[]): readonly Reach[] =>
  all.filter(
    (other) =>
      other.wanted.direction === one.wanted.direction &&
      other.wanted.priority < one.wanted.priority &&
      other.remote.family === one.remote.family &&
      holds(other.protocol, one.protocol) &&
      holds(other.localPort, one.localPort) &&
      holds(other.remotePort, one.remotePort) &&
      covers(other.local, one.local),
  );

const parts = fc.constantFrom(
  "10.0.0.0/29",
  "10.0.0.0/30",
  "10.0.0.4/30",
  "10.0.0.0/31",
  "10.0.0.2/31",
  "10.0.0.0-10.0.0.6",
  "10.0.0.7",
  "10.0.0.3",
);
const filter = fc
  .tuple(fc.constantFrom("me", "10.9.0.0/30", "any"), parts, fc.constantFrom("", "", " tcp", ":2 tcp"))
  .map(([local, remote, numbers]) => `${local} <-> ${remote}${numbers}`);
const pieces = policiesOf(
  fc.array(fc.record({ action: fc.constantFrom("permit", "block"), filters: fc.uniqueArray(filter, { minLength: 1, maxLength: 4 }) }), {
    minLength: 2,
    maxLength: 5,
  }),
);

test("stronger policies cover one along its remote side where all of them together do", () => {
  let covered = 0;
  fc.assert(
    fc.property(fc.oneof(randomPolicy(6), pieces), (policy) => {
      const all = decisions(policy, ADDRESSES).map(reachOf);
      for (const direction of ["out", "in", "fwd"] as const) {
        const rivals = new Rivals(all, direction);
        for (const one of all.filter(({ wanted }) => wanted.direction === direction)) {
          const about = areAbout(one, all);
          const found = rivals.covering(one);
          const ranges = about.map(({ remote }) => remote);
          assert.equal(found !== undefined, hold(ranges, one.remote));
          if (!found) continue;
          assert.ok(found.every((other) => about.includes(other)));
          assert.ok(
            hold(
              found.map(({ remote }) => remote),
              one.remote,
            ),
          );
          covered += Number(found.length > 1);
        }
      }
    }),
    { numRuns: 400 },
  );
  assert.ok(covered > 20, String(covered));
});
