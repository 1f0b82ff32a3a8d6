/** What meets a pair of prefixes is found without a look at each, and it is what a look at each finds. */
import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { covers, formatAddress, intersection, parseRange } from "../../isakmp/address.ts";
import { decisions } from "../../policy/compile.ts";
import { greatestBehind, greatestMeeting, type Sides, type Weighed, type WeighedPolicy } from "../../policy/meeting-pairs.ts";
import { isRangeOfMany, LINK_LOCAL } from "../../policy/selector.ts";
import { type Reach, reachOf, type Service, wallsOf } from "../../policy/walls.ts";
import { ADDRESSES, randomPolicy } from "./random-policies.ts";

const prefixMeets = (a: string, aLength: number, b: string, bLength: number): boolean => {
  const [one, other] = [parseRange(`${a}/${aLength}`), parseRange(`${b}/${bLength}`)];
  return one !== undefined && other !== undefined && intersection(one, other) !== undefined;
};
const meet = (a: Sides, b: Sides): boolean =>
  prefixMeets(a.source, a.sourceLength, b.source, b.sourceLength) &&
  prefixMeets(a.destination, a.destinationLength, b.destination, b.destinationLength);

/** The same with a look at each pair. */
const plainly = (items: readonly Weighed[], asked: readonly Sides[]): readonly number[] =>
  asked.map((one) => Math.max(...items.filter(({ sides }) => meet(sides, one)).map(({ worth }) => worth)));

/** Few addresses and lengths of all kinds, so that prefixes meet often; half of them in the upper bits, half in the lower ones. */
const prefix = (family: 4 | 6): fc.Arbitrary<readonly [string, number]> =>
  fc.tuple(fc.integer({ min: 0, max: 7 }), fc.boolean(), fc.integer({ min: 0, max: 4 })).map(([bits, upper, cut]) => {
    const width = family === 4 ? 32 : 128;
    const length = cut === 4 ? 0 : (upper ? 3 : width) - cut;
    const value = (upper ? BigInt(bits) << BigInt(width - 3) : BigInt(bits)) & ~((1n << BigInt(width - length)) - 1n);
    return [formatAddress(family, value), length];
  });
const sides = fc
  .constantFrom<4 | 6>(4, 6)
  .chain((family) => fc.tuple(prefix(family), prefix(family)))
  .map(([[source, sourceLength], [destination, destinationLength]]): Sides => ({ source, sourceLength, destination, destinationLength }));

test("of any pairs of prefixes the greatest worth among those that meet one is found", () => {
  const weighed = fc.record({ sides, worth: fc.integer({ min: 0, max: 9 }) });
  let met = 0;
  fc.assert(
    fc.property(fc.array(weighed, { maxLength: 12 }), fc.array(sides, { maxLength: 12 }), (items, asked) => {
      const found = greatestMeeting(items, asked);
      met += found.filter(Number.isFinite).length;
      assert.deepEqual(found, plainly(items, asked));
    }),
    { numRuns: 1000 },
  );
  assert.ok(met > 1000);
});

test("the same among those that are weaker than a priority", () => {
  const priority = fc.integer({ min: 0, max: 9 });
  const policy = fc.record({ sides, worth: fc.integer({ min: -9, max: 9 }), priority });
  let [met, left] = [0, 0];
  fc.assert(
    fc.property(fc.array(policy, { maxLength: 24 }), fc.array(fc.record({ sides, priority }), { maxLength: 12 }), (items, asked) => {
      const weaker = (than: number): readonly WeighedPolicy[] => items.filter((item) => item.priority > than);
      const found = greatestBehind(items, asked);
      met += found.filter(Number.isFinite).length;
      left += found.filter((worth, i) => worth !== plainly(items, [(asked[i] as (typeof asked)[number]).sides])[0]).length;
      assert.deepEqual(
        found,
        asked.map((one) => plainly(weaker(one.priority), [one.sides])[0]),
      );
    }),
    { numRuns: 1000 },
  );
  assert.ok(met > 1000 && left > 1000, `${met} ${left}`);
});

/** Walls with a look at each pair of policies. */
function plainWalls(reach: readonly Reach[], service: Service): readonly Reach[] {
  const about = reach.filter(
    ({ wanted: { direction, origin }, ...one }) =>
      direction !== "fwd" &&
      !(origin.kind === "exemption" && origin.what === "this-host") &&
      !isRangeOfMany(one.remote) &&
      [0, service.protocol].includes(one.protocol) &&
      [0, service.localPort].includes(one.localPort) &&
      [0, service.remotePort].includes(one.remotePort),
  );
  const isOpen = ({ wanted: { action, protection, origin } }: Reach): boolean =>
    action === "allow" && (protection?.level !== "required" || (origin.kind === "rule" && origin.rule.clear.fallback !== null));
  const walls = about.filter((one) => !isOpen(one));
  const place = ({ wanted: { origin, direction } }: Reach): string =>
    origin.kind === "rule" ? `${direction} ${origin.rule.name} ${origin.filter.text}` : "";
  const holed = walls.filter((wall) =>
    about.some(
      (other) =>
        isOpen(other) &&
        (!covers(LINK_LOCAL, other.local) || intersection(LINK_LOCAL, other.remote)) &&
        other.wanted.direction === wall.wanted.direction &&
        other.wanted.priority < wall.wanted.priority &&
        meet(other.wanted.selector, wall.wanted.selector),
    ),
  );
  const places = new Set(holed.map(place));
  return walls.filter((wall) => !places.has(place(wall)));
}

test("the walls of any policy are those that a look at each pair of its kernel policies finds", () => {
  let [standing, holed] = [0, 0];
  fc.assert(
    fc.property(randomPolicy(6), fc.constantFrom(0, 1, 2), fc.constantFrom(0, 1, 2), (policy, localPort, remotePort) => {
      const reach = decisions(policy, ADDRESSES).map(reachOf);
      const service = { protocol: 6, localPort, remotePort };
      const { whole: found } = wallsOf(reach, [service], true, () => true);
      if (found.length > 0) standing++;
      if (found.length < reach.filter(({ wanted }) => wanted.action === "block").length) holed++;
      assert.deepEqual(found, plainWalls(reach, service));
    }),
    { numRuns: 500 },
  );
  assert.ok(standing > 20 && holed > 20);
});
