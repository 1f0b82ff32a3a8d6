/** Which stronger policies are together about all of one, found along one of its sides and by a look at all of them. */
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

const areAbout = (one: Reach, all: readonly Reach[], whole: "local" | "remote"): readonly Reach[] =>
  all.filter(
    (other) =>
      other.wanted.direction === one.wanted.direction &&
      other.wanted.priority < one.wanted.priority &&
      holds(other.protocol, one.protocol) &&
      holds(other.localPort, one.localPort) &&
      holds(other.remotePort, one.remotePort) &&
      other[whole].family === one[whole].family &&
      covers(other[whole], one[whole]),
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
  .tuple(fc.constantFrom("me", "10.9.0.0/30", "10.9.0.0/31", "10.9.0.2-10.9.0.3", "any"), parts, fc.constantFrom("", "", " tcp", ":2 tcp"))
  .map(([local, remote, numbers]) => `${local} <-> ${remote}${numbers}`);
const pieces = policiesOf(
  fc.array(fc.record({ action: fc.constantFrom("permit", "block"), filters: fc.uniqueArray(filter, { minLength: 1, maxLength: 4 }) }), {
    minLength: 2,
    maxLength: 5,
  }),
);

test("stronger policies cover one along one of its sides where all of them together do", () => {
  const covered = { local: 0, remote: 0 };
  fc.assert(
    fc.property(fc.oneof(randomPolicy(6), pieces), (policy) => {
      const all = decisions(policy, ADDRESSES).map(reachOf);
      for (const direction of ["out", "in", "fwd"] as const) {
        const rivals = new Rivals(all, direction);
        for (const one of all.filter(({ wanted }) => wanted.direction === direction)) {
          const found = rivals.covering(one);
          const along = (
            [
              ["local", "remote"],
              ["remote", "local"],
            ] as const
          ).find(([whole, side]) =>
            hold(
              areAbout(one, all, whole).map((other) => other[side]),
              one[side],
            ),
          );
          assert.equal(found !== undefined, along !== undefined);
          if (!found || !along) continue;
          const [whole, side] = along;
          const about = areAbout(one, all, whole);
          assert.ok(found.every((other) => about.includes(other)));
          assert.ok(
            hold(
              found.map((other) => other[side]),
              one[side],
            ),
          );
          covered[side] += Number(found.length > 1);
        }
      }
    }),
    { numRuns: 400 },
  );
  assert.ok(covered.remote > 20 && covered.local > 5, JSON.stringify(covered));
});
