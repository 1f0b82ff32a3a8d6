import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { RETRANSMIT_WAITS } from "../../ike/retransmit.ts";
import { type Timed, type TimerName, Timers } from "../../ike/timers.ts";

const NAMES: readonly TimerName[] = ["retransmit", "giveUp", "linger", "expire"];

test("timers come due in the order of their times, and equal ones in the order in which they were set", () => {
  const timers = new Timers();
  timers.set("b", "expire", 20);
  timers.set("a", "expire", 10);
  timers.set("c", "giveUp", 10);
  assert.equal(timers.next(), 10);
  assert.equal(timers.take(9), undefined);
  assert.deepEqual(
    [timers.take(30), timers.take(30), timers.take(30), timers.take(30)],
    [{ owner: "a", name: "expire" }, { owner: "c", name: "giveUp" }, { owner: "b", name: "expire" }, undefined],
  );
  assert.equal(timers.size, 0);
  assert.equal(timers.next(), undefined);
});

test("setting a timer again moves it, in both directions", () => {
  const timers = new Timers();
  timers.set("a", "expire", 10);
  timers.set("a", "expire", 20);
  assert.equal(timers.next(), 20);
  timers.set("a", "expire", 5);
  assert.equal(timers.next(), 5);
  assert.equal(timers.size, 1);
});

test("a cleared timer never comes, and clearing one leaves the owner's others", () => {
  const timers = new Timers();
  timers.set("a", "expire", 10);
  timers.set("a", "linger", 20);
  timers.clear("a", "expire");
  timers.clear("a", "expire");
  timers.clear("nobody", "expire");
  assert.equal(timers.has("a", "expire"), false);
  assert.equal(timers.has("a", "linger"), true);
  assert.deepEqual(timers.take(99), { owner: "a", name: "linger" });
  timers.clearAll("a");
  assert.equal(timers.size, 0);
});

type Owner = Timed | string;
type Deed =
  | { readonly do: "set" | "clear"; readonly who: number; readonly name: TimerName; readonly at: number }
  | { readonly do: "clearAll"; readonly who: number; readonly at: number }
  | { readonly do: "take"; readonly at: number };

/** Every other owner is an object that keeps its timers itself. */
const owners = (): readonly Owner[] => Array.from({ length: 31 }, (_, n) => (n % 2 === 0 ? `owner ${n}` : { timers: undefined }));
const who = fc.integer({ min: 0, max: 30 });
const at = fc.integer({ min: 0, max: 1000 });
const deed: fc.Arbitrary<Deed> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant("set" as const), who, name: fc.constantFrom(...NAMES), at }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("clear" as const), who, name: fc.constantFrom(...NAMES), at }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("clearAll" as const), who, at }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("take" as const), at }) },
);

test("whatever is set, moved, cleared and taken, the heap agrees with a plain list", () => {
  fc.assert(
    fc.property(fc.array(deed, { maxLength: 400, size: "max" }), (deeds) => {
      const timers = new Timers<Timed>();
      const all = owners();
      let list: { owner: Owner; name: TimerName; at: number; serial: number }[] = [];
      for (const [serial, d] of deeds.entries()) {
        const owner = d.do === "take" ? "" : (all[d.who] as Owner);
        if (d.do === "set") {
          timers.set(owner, d.name, d.at);
          list = [...list.filter((t) => t.owner !== owner || t.name !== d.name), { owner, name: d.name, at: d.at, serial }];
        } else if (d.do === "clear") {
          timers.clear(owner, d.name);
          list = list.filter((t) => t.owner !== owner || t.name !== d.name);
        } else if (d.do === "clearAll") {
          timers.clearAll(owner);
          list = list.filter((t) => t.owner !== owner);
        } else {
          const [first] = [...list].sort((a, b) => a.at - b.at || a.serial - b.serial);
          const due = first && first.at <= d.at ? first : undefined;
          const taken = timers.take(d.at);
          assert.equal(taken?.owner, due?.owner);
          assert.equal(taken?.name, due?.name);
          list = list.filter((t) => t !== due);
        }
        assert.equal(timers.size, list.length);
        assert.equal(timers.next(), list.length === 0 ? undefined : Math.min(...list.map((t) => t.at)));
      }
    }),
  );
});

test("a command that waits 30 seconds hears the end of every schedule of repetitions", () => {
  const total = RETRANSMIT_WAITS.reduce((sum, wait) => sum + wait, 0);
  assert.ok(total < 30_000 && total > 20_000);
  assert.deepEqual(
    RETRANSMIT_WAITS,
    [...RETRANSMIT_WAITS].sort((a, b) => a - b),
  );
});
