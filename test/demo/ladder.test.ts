import assert from "node:assert/strict";
import { test } from "node:test";
import { drawLadder, fill, type Rung } from "../../demo/ladder.ts";

const RUNGS: readonly Rung[] = [
  { at: 0, from: "left", kind: "ike", label: "Main Mode 1", octets: 124, parts: "SA 56, VID 20+20" },
  { at: 3.94, from: "right", kind: "ike", label: "Main Mode 2", octets: 1240, parts: "" },
  { at: 12_345.6, from: "left", kind: "esp", label: "ESP SPI 0xc5704d9e, packet 1", octets: 120, parts: "" },
  { at: 12_346, from: "right", kind: "esp", label: "ESP SPI 0xc6da6209, packet 1", octets: 120, parts: "" },
];

test("packets are arrows between both hosts, with their contents under them", () => {
  assert.deepEqual(drawLadder(["a 192.0.2.1", "192.0.2.2 b"], RUNGS), [
    "     ms a 192.0.2.1                                                192.0.2.2 b",
    "    0.0 |-- Main Mode 1 --------------------------------------- 124 octets ->|",
    "        |   SA 56, VID 20+20                                                 |",
    "    3.9 |<- Main Mode 2 -------------------------------------- 1240 octets --|",
    "12345.6 |== ESP SPI 0xc5704d9e, packet 1 ====================== 120 octets =>|",
    "12346.0 |<= ESP SPI 0xc6da6209, packet 1 ====================== 120 octets ==|",
  ]);
});

test("contents that are too long for a line go on in the next", () => {
  const parts = Array.from({ length: 12 }, (_, i) => `NAT-D ${i + 20}`).join(", ");
  const lines = drawLadder(["a", "b"], [{ ...(RUNGS[0] as Rung), parts }]);
  assert.deepEqual(lines.slice(2), [
    "        |   NAT-D 20, NAT-D 21, NAT-D 22, NAT-D 23, NAT-D 24, NAT-D 25,      |",
    "        |   NAT-D 26, NAT-D 27, NAT-D 28, NAT-D 29, NAT-D 30, NAT-D 31       |",
  ]);
});

test("every line of a ladder fits into 80 columns", () => {
  for (const line of drawLadder(["a 192.0.2.1", "192.0.2.2 b"], RUNGS)) assert.ok(line.length <= 78, line);
});

test("colours surround lines and change no column", () => {
  const seen: string[] = [];
  const lines = drawLadder(["a", "b"], RUNGS, (kind, text) => {
    seen.push(kind);
    return `<${text}>`;
  });
  assert.deepEqual(seen, ["head", "ike", "parts", "ike", "esp", "esp"]);
  assert.equal(lines[1]?.length, 80);
});

test("words longer than a line stand alone in it", () => {
  assert.deepEqual(fill("ab abcdefgh c d", 4), ["ab", "abcdefgh", "c d"]);
});
