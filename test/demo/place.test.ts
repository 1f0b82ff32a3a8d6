import assert from "node:assert/strict";
import { test } from "node:test";
import { choosePlace, type Facts } from "../../demo/place.ts";

const ALL: Facts = { root: true, ip: true, ping: true, native: true, esp: true, uml: true };

/** What is missing, the place that is chosen, and what is said of the places before it. */
const TABLE: readonly (readonly [Partial<Facts>, string, readonly RegExp[]])[] = [
  [{}, "namespaces", []],
  [{ uml: false }, "namespaces", []],
  [{ root: false, esp: false }, "uml", [/only root/]],
  [{ esp: false }, "uml", [/no ESP/]],
  [{ esp: false, uml: false }, "memory", [/no ESP/, /no User-Mode Linux/]],
  [{ root: false, esp: false, uml: false }, "memory", [/only root/, /no User-Mode Linux/]],
  [{ ping: false }, "memory", [/iputils-ping/, /iputils-ping/]],
  [{ ip: false, esp: false }, "memory", [/no ESP/, /iproute2/]],
  [{ native: false }, "memory", [/koffi/, /koffi/]],
];

for (const [missing, place, because] of TABLE) {
  const without = Object.keys(missing).join(", ") || "nothing";
  test(`a machine that lacks ${without} shows the demo in ${place}, and says why`, () => {
    const choice = choosePlace({ ...ALL, ...missing });
    assert.ok(choice.ok);
    assert.equal(choice.value.place, place);
    assert.equal(choice.value.because.length, because.length);
    because.forEach((pattern, i) => {
      assert.match(choice.value.because[i] ?? "", pattern);
    });
  });
}

test("a place that is asked for is taken where it lacks nothing, better ones or not", () => {
  for (const place of ["namespaces", "uml", "memory"] as const)
    assert.deepEqual(choosePlace(ALL, place), { ok: true, value: { place, because: [] } });
});

test("a place that is asked for is never exchanged for another", () => {
  const refused = choosePlace({ ...ALL, uml: false }, "uml");
  assert.ok(!refused.ok);
  assert.match(refused.error, /user-mode-linux/);
  assert.ok(!choosePlace({ ...ALL, root: false }, "namespaces").ok);
});
