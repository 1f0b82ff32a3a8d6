import assert from "node:assert/strict";
import { test } from "node:test";
import { parseFilter } from "../../policy/filter.ts";
import { SideIndex, sideKey } from "../../policy/side-index.ts";
import type { Side } from "../../policy/types.ts";

function sideOf(text: string): Side {
  const filter = parseFilter(`me <-> ${text}`);
  assert.ok(filter.ok);
  return filter.value.remote;
}

const FILED = ["any", "10.0.0.0/8", "10.1.0.0-10.2.0.9", "10.1.2.3", "fd00::/8", "host.example.test"];

const ROWS: readonly (readonly [side: string, holders: readonly string[]])[] = [
  ["any", ["any"]],
  ["10.1.2.3", ["any", "10.0.0.0/8", "10.1.0.0-10.2.0.9", "10.1.2.3"]],
  ["10.2.0.0/24", ["any", "10.0.0.0/8"]],
  ["10.0.0.0-10.2.0.9", ["any", "10.0.0.0/8"]],
  ["0.0.0.0/0", ["any"]],
  ["fd00::1", ["any", "fd00::/8"]],
  ["host.example.test", ["any", "host.example.test"]],
  ["other.example.test", ["any"]],
];

for (const [side, holders] of ROWS)
  test(`of sides, those that hold all of ${side} are found`, () => {
    const index = new SideIndex<string>();
    for (const text of FILED)
      assert.equal(
        index.of(sideOf(text), () => text),
        text,
      );
    assert.deepEqual([...index.holding(sideOf(side))].sort(), [...holders].sort());
  });

test("one side has one thing, whoever asks", () => {
  const index = new SideIndex<object>();
  assert.equal(
    index.of(sideOf("10.0.0.0/8"), () => ({})),
    index.of(sideOf("10.0.0.0-10.255.255.255"), () => ({})),
  );
});

test("keys differ where sides do", () => {
  const sides: readonly Side[] = [{ kind: "me" }, { kind: "name", name: "any" }, ...FILED.map(sideOf)];
  assert.equal(new Set(sides.map(sideKey)).size, sides.length);
});
