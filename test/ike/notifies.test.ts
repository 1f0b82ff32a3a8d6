import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { ERROR_POLICY, explain, type IkeError } from "../../ike/errors.ts";
import {
  childResponderLifetime,
  deadPeerAnswer,
  deleteChild,
  deleteIke,
  errorNotify,
  hasNotify,
  initialContact,
  readResponderLifetime,
  responderLifetime,
} from "../../ike/notifies.ts";
import { decodePayloads, encodePayloads } from "../../isakmp/message.ts";
import { NOTIFY, PAYLOAD, PROTOCOL } from "../../isakmp/numbers.ts";
import { type Payload, payload } from "../../isakmp/payloads.ts";
import { hex } from "./crypto/fixtures.ts";

const [I, R] = [new Uint8Array(8).fill(1), new Uint8Array(8).fill(2)];
const COOKIES = `${"01".repeat(8)}${"02".repeat(8)}`;

/** As the peer reads it. */
function received<P extends Payload>(p: P): P {
  const payloads = decodePayloads(p.name === "delete" ? PAYLOAD.D : PAYLOAD.N, encodePayloads([p]));
  assert.ok(payloads.ok);
  return payloads.value[0] as P;
}

test("phase 1 notifies name the SA by its cookie pair (RFC 2408 §3.14)", () => {
  for (const [notify, type] of [
    [initialContact(I, R), NOTIFY["INITIAL-CONTACT"]],
    [deadPeerAnswer(I, R, Uint8Array.of(0, 0, 0, 9)), NOTIFY["R-U-THERE-ACK"]],
    [responderLifetime(I, R, 600), NOTIFY["RESPONDER-LIFETIME"]],
  ] as const) {
    const { value } = received(notify);
    assert.deepEqual([value.type, value.protocol, hex(value.spi)], [type, PROTOCOL.ISAKMP, COOKIES]);
  }
  assert.equal(hex(received(deadPeerAnswer(I, R, Uint8Array.of(0, 0, 0, 9))).value.data), "00000009");
});

test("a lifetime of either phase reads back, in seconds and kilobytes", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 0xffffffff }), fc.option(fc.integer({ min: 1, max: 0xffffffff })), (seconds, kilobytes) => {
      assert.deepEqual(readResponderLifetime([received(responderLifetime(I, R, seconds))]), { seconds, kilobytes: null });
      const child = received(childResponderLifetime(PROTOCOL.ESP, 0x1000, seconds, kilobytes));
      assert.deepEqual(readResponderLifetime([child], 2), { seconds, kilobytes });
      assert.equal(hex(child.value.spi), "00001000");
    }),
  );
});

test("a lifetime that is not there, or cannot be read, is none", () => {
  assert.equal(readResponderLifetime([]), undefined);
  assert.equal(readResponderLifetime([initialContact(I, R)]), undefined);
  const broken = payload("notify", { ...responderLifetime(I, R, 5).value, data: Uint8Array.of(0x80, 0x0b, 0) });
  assert.equal(readResponderLifetime([broken]), undefined);
  const empty = payload("notify", { ...responderLifetime(I, R, 5).value, data: new Uint8Array(0) });
  assert.deepEqual(readResponderLifetime([empty]), { seconds: null, kilobytes: null });
});

test("error notifies name the offer's SPI, or no one", () => {
  const about = received(errorNotify(NOTIFY["NO-PROPOSAL-CHOSEN"], { protocol: PROTOCOL.AH, spi: Uint8Array.of(1, 2, 3, 4) })).value;
  assert.deepEqual([about.type, about.protocol, hex(about.spi)], [14, PROTOCOL.AH, "01020304"]);
  const general = received(errorNotify(NOTIFY["AUTHENTICATION-FAILED"], null)).value;
  assert.deepEqual([general.type, general.protocol, hex(general.spi)], [24, PROTOCOL.ISAKMP, ""]);
});

test("deletes name an SPI of four octets, or the cookie pair", () => {
  const child = received(deleteChild(PROTOCOL.ESP, 0xdeadbeef)).value;
  assert.deepEqual([child.protocol, child.spiSize, child.spis.map(hex)], [PROTOCOL.ESP, 4, ["deadbeef"]]);
  const ike = received(deleteIke(I, R)).value;
  assert.deepEqual([ike.protocol, ike.spiSize, ike.spis.map(hex)], [PROTOCOL.ISAKMP, 16, [COOKIES]]);
});

test("hasNotify looks at types alone", () => {
  assert.equal(hasNotify([initialContact(I, R)], NOTIFY["INITIAL-CONTACT"]), true);
  assert.equal(hasNotify([initialContact(I, R)], NOTIFY.CONNECTED), false);
  assert.equal(hasNotify([], NOTIFY.CONNECTED), false);
});

test("every error has a stable reason of its own, a hint, and an exit code of the interface", () => {
  const rows = Object.entries(ERROR_POLICY);
  assert.equal(new Set(rows.map(([, { reason }]) => reason)).size, rows.length);
  for (const [kind, row] of rows) {
    assert.match(row.reason, /^[a-z]+(-[a-z]+)*$/, kind);
    assert.ok(row.hint.length > 10, kind);
    assert.equal(row.exit, kind === "peer-silent" ? 75 : 1, kind);
    // Notifies below 16384 are errors (RFC 2408 §3.14.1).
    assert.ok(row.notify === null || row.notify < 16_384, kind);
  }
});

test("explain keeps the sentence and adds what the row says", () => {
  const error: IkeError = { kind: "peer-silent", what: "nobody answered" };
  const { text, reason, exit, hint, failurePoint } = explain(error);
  assert.deepEqual(
    { text, reason, exit, failurePoint },
    { text: "nobody answered", reason: "peer-silent", exit: 75, failurePoint: "peer" },
  );
  assert.equal(hint, ERROR_POLICY["peer-silent"].hint);
});
