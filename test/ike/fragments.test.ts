/** IKE fragmentation: cutting and joining, and what hostile pieces cost. */
import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { BOUNDS, cut, type Origin, Reassembly, type Taken } from "../../ike/fragments.ts";
import { bodyOf, decodeHeader, decodePayloads, encodeMessage, type Header } from "../../isakmp/message.ts";
import { type Body, payload } from "../../isakmp/payloads.ts";

type Piece = Body<"fragment">;

const message = (octets: number, fill = 7): Uint8Array => {
  const data = Uint8Array.from({ length: octets }, (_, i) => (i * fill) & 0xff);
  const fields = {
    initiatorCookie: new Uint8Array(8).fill(1),
    responderCookie: new Uint8Array(8).fill(2),
    exchange: 2,
    flags: 1,
    messageId: 0,
  };
  return encodeMessage(fields, [payload("vid", { data })]);
};
const headerOf = (bytes: Uint8Array): Header => {
  const header = decodeHeader(bytes);
  assert.ok(header.ok);
  return header.value;
};
const pieceOf = (bytes: Uint8Array): Piece => {
  const payloads = decodePayloads(headerOf(bytes).nextPayload, bodyOf(headerOf(bytes), bytes));
  assert.ok(payloads.ok);
  const [only] = payloads.value;
  assert.ok(only?.name === "fragment" && payloads.value.length === 1);
  return only.value;
};
const piecesOf = (bytes: Uint8Array, family: 4 | 6 = 4): readonly Piece[] => (cut(bytes, headerOf(bytes), family) ?? []).map(pieceOf);
const piece = (number: number, octets = 10, more: Partial<Piece> = {}): Piece => ({
  id: 1,
  number,
  flags: 0,
  data: new Uint8Array(octets).fill(number),
  ...more,
});
const from = (peer: string, name = "1 2 0", proved = false): Origin => ({ peer, message: `${peer} ${name}`, proved });
const A = from("192.0.2.1");
const whys = (outcomes: readonly Taken[]): readonly string[] => outcomes.map((one) => (one.kind === "refused" ? one.why : one.kind));

test("every message comes back whole, whatever the order of its pieces and however often they come", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 9000 }),
      fc.constantFrom(4 as const, 6 as const),
      fc.infiniteStream(fc.nat()),
      (octets, family, dice) => {
        const bytes = message(octets);
        const pieces = [...piecesOf(bytes, family)];
        const order = [...pieces, ...pieces].sort(() => (dice.next().value % 3) - 1);
        const table = new Reassembly();
        const wholes = order.map((one) => table.take(A, one, 0)).filter((one) => one.kind === "whole");
        assert.ok(wholes.length >= 1);
        for (const one of wholes) assert.deepEqual(one.bytes, bytes);
      },
    ),
    { seed: 1, numRuns: 200 },
  );
});

test("pieces fit the smallest path of their family, have the header of the whole in clear, and one id for one message", () => {
  const bytes = message(3000);
  for (const [family, most] of [
    [4, 548],
    [6, 1232],
  ] as const) {
    const datagrams = cut(bytes, headerOf(bytes), family) ?? [];
    assert.ok(datagrams.length > 1);
    for (const datagram of datagrams) {
      assert.ok(datagram.length + 4 <= most);
      const { initiatorCookie, responderCookie, exchange, messageId, flags } = headerOf(datagram);
      assert.deepEqual([initiatorCookie[0], responderCookie[0], exchange, messageId, flags], [1, 2, 2, 0, 0]);
    }
    const pieces = datagrams.map(pieceOf);
    assert.deepEqual(
      pieces.map(({ number }) => number),
      pieces.map((_, i) => i + 1),
    );
    assert.deepEqual(
      pieces.map(({ flags }) => flags),
      pieces.map((_, i) => (i + 1 === pieces.length ? 1 : 0)),
    );
    assert.deepEqual(new Set(pieces.map(({ id }) => id)).size, 1);
  }
  const ids = new Set(Array.from({ length: 50 }, (_, i) => piecesOf(message(1000, i + 1))[0]?.id));
  assert.ok(ids.size > 45 && !ids.has(0));
});

test("a message that would need too many pieces is not cut", () => {
  assert.equal(cut(message(65_000), headerOf(message(65_000)), 6)?.length, 55);
  const long = message(65_000 + 460);
  assert.equal(cut(long, headerOf(long), 4)?.length, 129 > BOUNDS.pieces ? undefined : 129);
});

test("numbers out of range, empty pieces, two last ones and pieces behind the last are refused or begin anew", () => {
  const table = new Reassembly();
  assert.deepEqual(whys([piece(0), piece(1, 0), piece(129), piece(255)].map((one) => table.take(A, one, 0))), [
    "empty or without a number",
    "empty or without a number",
    "number too high",
    "number too high",
  ]);
  assert.equal(table.size, 0);
  const last = (number: number) => piece(number, 10, { flags: 1 });
  // Behind the last: what was there is dropped, and this one is the first of its set.
  assert.deepEqual(whys([last(2), piece(3)].map((one) => table.take(A, one, 0))), ["kept", "kept"]);
  assert.equal(table.octets, 10);
  table.clear();
  assert.deepEqual(whys([last(2), last(3)].map((one) => table.take(A, one, 0))), ["kept", "kept"]);
  assert.equal(table.octets, 10);
  table.clear();
  // A last one before a higher one that is there.
  assert.deepEqual(whys([piece(5), last(3), piece(1), piece(2)].map((one) => table.take(A, one, 0))), ["kept", "kept", "kept", "whole"]);
});

test("pieces that contradict each other don't mix: the later message wins, and the repetition of the honest one gets through", () => {
  const table = new Reassembly();
  const honest = piecesOf(message(1200));
  const [first, second, third] = honest;
  assert.ok(first && second && third && honest.length === 3);
  const forged = { ...second, data: second.data.map((octet) => octet ^ 1) };
  assert.deepEqual(whys([first, forged, second].map((one) => table.take(A, one, 0))), ["kept", "kept", "kept"]);
  const again = honest.map((one) => table.take(A, one, 0));
  assert.deepEqual(whys(again), ["kept", "repeat", "whole"]);
  assert.deepEqual(again[2]?.kind === "whole" && again[2].bytes, message(1200));
});

test("one id in two exchanges, and two peers with one id, are kept apart", () => {
  const table = new Reassembly();
  const bytes = message(1200);
  const pieces = piecesOf(bytes);
  for (const one of pieces.slice(1)) for (const origin of [A, from("192.0.2.1", "1 32 9"), from("192.0.2.9")]) table.take(origin, one, 0);
  assert.equal(table.size, 3);
  for (const origin of [A, from("192.0.2.1", "1 32 9"), from("192.0.2.9")]) {
    const whole = table.take(origin, pieces[0] as Piece, 0);
    assert.deepEqual(whole.kind === "whole" && whole.bytes, bytes);
  }
  assert.deepEqual([table.size, table.octets], [0, 0]);
});

test("a series that never ends stops at the length of a message, and leaves nothing", () => {
  const table = new Reassembly();
  const outcomes = Array.from({ length: 128 }, (_, i) => table.take(A, piece(i + 1, 1400), 0));
  assert.ok(whys(outcomes).includes("too long"));
  assert.ok(table.octets <= BOUNDS.message);
  for (let id = 0; id < 5000; id++) table.take(A, piece(1 + (id % 100), 1400, { id }), id);
  assert.ok(table.size <= BOUNDS.peerSets && table.octets <= BOUNDS.peerOctets);
});

test("many peers fill a bounded table; who has proved himself is the last to make room for strangers", () => {
  const table = new Reassembly();
  const friend = from("192.0.2.200", "7 32 5", true);
  const [first, second, third] = piecesOf(message(1200)) as readonly [Piece, Piece, Piece];
  table.take(friend, first, 0);
  for (let i = 0; i < 6000; i++) {
    table.take(from(`2001:db8::${i.toString(16)}`), piece(1, 1400, { id: i }), 1);
    table.take(from(`2001:db8::${i.toString(16)}`), piece(2, 60_000, { id: i }), 1);
    assert.ok(table.size <= BOUNDS.sets && table.octets <= BOUNDS.octets);
  }
  assert.deepEqual(whys([second, third].map((one) => table.take(friend, one, 2))), ["kept", "whole"]);
});

test("strangers make no room for each other's sake among those who have proved themselves, who do so among themselves", () => {
  const table = new Reassembly();
  const fill = (count: number, proved: boolean) =>
    Array.from({ length: count }, (_, i) => table.take(from(`2001:db8:${proved ? 1 : 2}::${i.toString(16)}`, "1", proved), piece(1), 0));
  fill(BOUNDS.sets, true);
  assert.deepEqual(new Set(whys(fill(3, false))), new Set(["too many at once"]));
  assert.deepEqual(new Set(whys(fill(BOUNDS.sets + 3, true).slice(-3))), new Set(["kept"]));
  assert.equal(table.size, BOUNDS.sets);
});

test("what does not become whole is given up after 70 s, and counted from its first piece", () => {
  const table = new Reassembly();
  const [first, second, third] = piecesOf(message(1200)) as readonly [Piece, Piece, Piece];
  table.take(A, first, 1000);
  assert.equal(table.due, 71_000);
  table.take(A, second, 60_000);
  assert.equal(table.due, 71_000);
  assert.deepEqual(whys([table.take(A, third, 71_000)]), ["kept"]);
  assert.equal(table.size, 1);
  table.expire(200_000);
  assert.deepEqual([table.size, table.octets, table.due], [0, 0, undefined]);
});
