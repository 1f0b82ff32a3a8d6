import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { flight, match, OPEN, SEALED } from "../../ike/flight.ts";
import { MAIN_MODE } from "../../ike/main-mode-table.ts";
import { QUICK_MODE } from "../../ike/quick-mode.ts";
import { type Payload, payload } from "../../isakmp/payloads.ts";

const nonce = (n: number) => payload("nonce", { data: Uint8Array.of(n) });
const vid = payload("vid", { data: Uint8Array.of(9) });
const ke = payload("ke", { data: Uint8Array.of(1) });
const unknown: Payload = { name: "unknown", type: 99, raw: new Uint8Array(3), start: -1, end: -1 };
const ROW = flight("initiator", OPEN, { nonce: "one", ke: "maybe", vid: "many" });

test("a row gives its payloads by name, and leaves out what the message has besides", () => {
  const got = match(ROW, [vid, unknown, nonce(1), payload("hash", { data: Uint8Array.of(1) }), vid]);
  assert.ok(got.ok);
  assert.deepEqual(Object.keys(got.value).sort(), ["ke", "nonce", "vid"]);
  assert.deepEqual([...got.value.nonce.value.data], [1]);
  assert.equal(got.value.ke, undefined);
  assert.equal(got.value.vid.length, 2);
});

/** Payloads, and what is wrong with them. */
const FAULTS: readonly (readonly [readonly Payload[], string])[] = [
  [[], "no nonce payload"],
  [[ke, vid], "no nonce payload"],
  [[nonce(1), nonce(1)], "2 nonce payloads where one is allowed"],
  [[nonce(1), ke, ke, ke], "3 ke payloads where one is allowed"],
];

for (const [payloads, what] of FAULTS)
  test(`${payloads.map(({ name }) => name).join(", ") || "an empty message"}: ${what}`, () => {
    assert.deepEqual(match(ROW, payloads), { ok: false, error: { kind: "payloads", what } });
  });

test("of any list of payloads a row takes one nonce and at most one public value, whatever their order", () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom<Payload>(nonce(1), ke, vid, unknown), { maxLength: 6 }), (payloads) => {
      const count = (name: string) => payloads.filter((p) => p.name === name).length;
      assert.equal(match(ROW, payloads).ok, count("nonce") === 1 && count("ke") <= 1);
    }),
  );
});

test("the tables say who sends what, and from which message on it is encrypted (RFC 2409 §5, §5.5)", () => {
  const rows = (table: Readonly<Record<string, { readonly from: string; readonly sealed: boolean; readonly shape: object }>>) =>
    Object.entries(table).map(([name, { from, sealed, shape }]) => [
      name,
      from,
      sealed === SEALED,
      Object.entries(shape)
        .filter(([, arity]) => arity === "one")
        .map(([payloadName]) => payloadName)
        .join(" "),
    ]);
  assert.deepEqual(rows(MAIN_MODE), [
    ["m1", "initiator", false, "sa"],
    ["m2", "responder", false, "sa"],
    ["m3", "initiator", false, "ke nonce"],
    ["m4", "responder", false, "ke nonce"],
    ["m5", "initiator", true, "id hash"],
    ["m6", "responder", true, "id hash"],
  ]);
  assert.deepEqual(rows(QUICK_MODE), [
    ["m1", "initiator", true, "hash sa nonce"],
    ["m2", "responder", true, "hash sa nonce"],
    ["m3", "initiator", true, "hash"],
    ["m4", "responder", true, "hash"],
  ]);
});
