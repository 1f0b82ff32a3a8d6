/** Rows of strangers: nothing is lost or mixed up however they move, and nothing is kept beside them. */
import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { readStranger, type Stranger, strangerKey, writeStranger } from "../../sa-store/stranger.ts";
import { ROW, Strangers } from "../../sa-store/strangers.ts";

const octets = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const end = fc.record({ address: fc.constantFrom("192.0.2.1", "2001:db8::ffff:1", "fe80::1"), port: fc.nat(65_535) });

const anyStranger: fc.Arbitrary<Stranger> = fc.record({
  id: fc.maxSafeNat(),
  path: fc.record({ local: end, remote: end }),
  cookieI: octets(8),
  cookieR: octets(8),
  startedAt: fc.double({ min: 0, max: 1e12, noNaN: true }),
  rule: fc.string({ unit: "grapheme", maxLength: 40 }),
  print: octets(10),
  offer: fc.uint8Array({ maxLength: 2000 }),
  flight: fc.uint8Array({ maxLength: 400 }),
  contact: fc.boolean(),
  told: fc.boolean(),
  fragmented: fc.boolean(),
  trouble: fc.nat(30),
  refused: fc.record({ digest: octets(16), count: fc.nat(4) }),
});

/** The same with all octets as plain arrays. */
const plain = (s: Stranger | undefined): unknown =>
  s &&
  JSON.parse(
    JSON.stringify(s, (_, value) => (value instanceof Uint8Array ? Buffer.from(value).toString("hex") : value)),
    (_, value) => (value?.type === "Buffer" ? Buffer.from(value.data).toString("hex") : value),
  );

test("a stranger that was written is read as it was, whatever stands behind its row", () => {
  fc.assert(
    fc.property(anyStranger, fc.nat(100), (stranger, behind) => {
      const row = writeStranger(stranger);
      assert.deepEqual(plain(readStranger(Buffer.concat([row, Buffer.alloc(behind)]))), plain(stranger));
    }),
  );
});

/** One of a few, so that they meet: with an offer that fits into a row, or a long one. */
const numbered = (number: number, octetsOfOffer: number, startedAt: number): Stranger => ({
  id: number,
  path: { local: { address: "192.0.2.1", port: 500 }, remote: { address: `192.0.2.${number % 7}`, port: 500 } },
  cookieI: Uint8Array.of(0, 0, 0, 0, 0, 0, number >> 8, number & 255),
  cookieR: new Uint8Array(8).fill(number),
  startedAt,
  rule: "peer",
  print: new Uint8Array(10),
  offer: new Uint8Array(octetsOfOffer).fill(number),
  flight: new Uint8Array(100).fill(number),
  contact: false,
  told: false,
  fragmented: false,
  trouble: 0,
  refused: { digest: new Uint8Array(16), count: 0 },
});

type Act = readonly [what: "put" | "remove" | "draw" | "first", number: number, length: number];
const acts: fc.Arbitrary<readonly Act[]> = fc.array(
  fc.tuple(fc.constantFrom("put", "put", "put", "remove", "draw", "first"), fc.nat(400), fc.constantFrom(10, 300, 590, 591, 2000)),
  { maxLength: 1500, size: "max" },
);

test("whatever is put, removed, drawn or too old: those that are left are found as they were put, and who is too old is the first that came", () => {
  fc.assert(
    fc.property(acts, (list) => {
      const table = new Strangers();
      const model = new Map<string, Stranger>();
      let now = 0;
      for (const [what, number, length] of list) {
        const known = [...model.values()].find(({ id }) => id === number);
        const one = known ? { ...known, told: true } : numbered(number, length, ++now);
        const key = strangerKey(one.cookieI, one.path.remote.address);
        if (what === "put") {
          table.put(one);
          model.set(key, one);
        } else if (what === "remove") {
          table.remove(one.cookieI, one.path.remote.address);
          model.delete(key);
        } else if (what === "draw" && model.size > 0) {
          const before = new Set([...table].map(({ id }) => id));
          table.removeAt(number % table.size);
          const left = new Set([...table].map(({ id }) => id));
          assert.equal(left.size, before.size - 1);
          for (const [name, { id }] of model) if (!left.has(id)) model.delete(name);
        } else if (what === "first" && model.size > 0) {
          const oldest = Math.min(...[...model.values()].map(({ startedAt }) => startedAt));
          assert.equal(table.since, oldest);
          table.removeOlder(oldest + 1, 3);
          for (const [name, { startedAt }] of model) if (startedAt === oldest) model.delete(name);
        }
        assert.equal(table.size, model.size);
      }
      for (const one of model.values()) assert.deepEqual(plain(table.find(one.cookieI, one.path.remote.address)), plain(one));
      assert.deepEqual(new Set([...table].map(({ id }) => id)), new Set([...model.values()].map(({ id }) => id)));
    }),
    { numRuns: 60 },
  );
});

test("what was read stays what it was when its row goes to somebody else", () => {
  const table = new Strangers();
  for (let i = 1; i <= 3; i++) table.put(numbered(i, 50, i));
  const read = table.find(numbered(1, 0, 0).cookieI, "192.0.2.1");
  table.removeOlder(2, 1);
  for (let i = 4; i <= 6; i++) table.put(numbered(i, 50, i));
  assert.deepEqual(plain(read), plain(numbered(1, 50, 1)));
});

test("rows take what they need and give it back; long ones are counted with what V8 keeps of each", () => {
  const table = new Strangers();
  for (let i = 0; i < 20_000; i++) table.put(numbered(i, 500, i));
  assert.equal(table.bulky, 0);
  assert.ok(table.octets <= (20_000 + 128) * ROW, `${table.octets}`);
  // Row, key of an IPv6 address, and place in a table of V8's that has just grown.
  assert.ok(ROW + 104 + 56 < 1000);
  while (table.size > 100) table.removeAt(0);
  assert.ok(table.octets <= 3 * 128 * ROW, `${table.octets}`);
  for (let i = 0; i < 10; i++) table.put(numbered(30_000 + i, 1000, i));
  assert.ok(table.bulky >= 10 * 1500, `${table.bulky}`);
  while (table.size > 0) table.removeAt(table.size - 1);
  assert.equal(table.octets, 128 * ROW);
});

test("one who comes and goes costs no new memory", () => {
  const table = new Strangers();
  table.put(numbered(1, 50, 1));
  const taken = table.octets;
  for (let i = 2; i < 5; i++) {
    table.removeAt(0);
    assert.equal(table.octets, taken);
    table.put(numbered(i, 50, i));
  }
});

test("who is too old goes, no more than were asked for at once, and nobody else", () => {
  const table = new Strangers();
  for (let i = 1; i <= 300; i++) table.put(numbered(i, i % 3 === 0 ? 2000 : 50, i));
  table.removeOlder(200, 40);
  assert.equal(table.size, 300 - 80);
  table.removeOlder(200, 1000);
  assert.deepEqual(
    [...table].map(({ id }) => id).sort((a, b) => a - b),
    Array.from({ length: 101 }, (_, i) => 200 + i),
  );
  assert.equal(table.since, 200);
});

test("of two with long offers the one that is much longer makes room", () => {
  const table = new Strangers();
  for (const length of [900, 9000, 950]) table.put(numbered(length, length, length));
  const lengths = (): number[] => [...table].map(({ offer }) => offer.length).sort((a, b) => a - b);
  for (const [draws, left] of [
    [
      [0, 1],
      [900, 950],
    ],
    [[1, 0], [900]],
  ] as const) {
    const drawn = [...draws];
    table.removeBulky(() => drawn.shift() ?? 0);
    assert.deepEqual(lengths(), left);
  }
});
