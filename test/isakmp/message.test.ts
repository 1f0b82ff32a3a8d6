import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import {
  bodyOf,
  chainLength,
  decodeHeader,
  decodePayloads,
  encodeHeader,
  encodeMessage,
  encodePayloads,
  firstType,
  HEADER_SIZE,
  withEncoded,
} from "../../isakmp/message.ts";
import { payload } from "../../isakmp/payloads.ts";
import { anyPayload, headerFields, mutated, octets } from "./arbitraries.ts";
import { datagram, generic, hex, octets as join } from "./build.ts";

const FIELDS = { initiatorCookie: hex("0101010101010101"), responderCookie: hex("0202020202020202"), exchange: 2, flags: 0, messageId: 0 };
const NONCE = payload("nonce", { data: hex("aabb") });
const VID = payload("vid", { data: hex("cc") });

test("a message is a header and a chain of payloads with generic headers", () => {
  assert.deepEqual(encodeMessage(FIELDS, [NONCE, VID]), datagram(10, join(generic(13, hex("aabb")), generic(0, hex("cc")))));
});

test("a message without payloads is a header that announces none", () => {
  assert.deepEqual(encodeMessage(FIELDS, []), datagram(0, hex("")));
});

test("a sealed message's header says what the caller says", () => {
  const header = encodeHeader({ ...FIELDS, flags: 1, messageId: 0xfedcba98, nextPayload: 5, length: 60 });
  assert.deepEqual(header, hex("0101010101010101 0202020202020202 05 10 02 01 fedcba98 0000003c"));
});

test("every header decodes to what was encoded", () => {
  fc.assert(
    fc.property(headerFields, fc.nat(255), octets(), (fields, nextPayload, body) => {
      const length = HEADER_SIZE + body.length;
      const bytes = join(encodeHeader({ ...fields, nextPayload, length }), body);
      assert.deepEqual(decodeHeader(bytes), { ok: true, value: { ...fields, nextPayload, version: 0x10, length } });
    }),
  );
});

test("what follows the message in its datagram is no part of it", () => {
  const bytes = join(encodeMessage(FIELDS, [NONCE]), "deadbeef");
  const header = decodeHeader(bytes);
  assert.ok(header.ok);
  assert.deepEqual(bodyOf(header.value, bytes), generic(0, hex("aabb")));
});

test("every chain decodes to the payloads that made it", () => {
  fc.assert(
    fc.property(headerFields, fc.array(anyPayload, { maxLength: 8 }), (fields, payloads) => {
      const bytes = encodeMessage(fields, payloads);
      const header = decodeHeader(bytes);
      assert.ok(header.ok);
      const decoded = decodePayloads(header.value.nextPayload, bodyOf(header.value, bytes));
      assert.ok(decoded.ok, decoded.ok ? "" : decoded.error.what);
      const bare = (list: typeof payloads) => list.map(({ start: _, end: __, ...rest }) => rest);
      assert.deepEqual(bare([...decoded.value]), bare(payloads));
      assert.deepEqual(encodeMessage(fields, decoded.value), bytes);
    }),
  );
});

test("each payload says where it stood, its generic header included", () => {
  fc.assert(
    fc.property(fc.array(anyPayload, { minLength: 1, maxLength: 5 }), octets({ maxLength: 20 }), (payloads, padding) => {
      const chain = encodePayloads(payloads);
      const decoded = decodePayloads(firstType(payloads), join(chain, padding), { padding: true });
      assert.ok(decoded.ok);
      let at = 0;
      for (const [i, p] of decoded.value.entries()) {
        assert.equal(p.start, at);
        assert.deepEqual(
          chain.subarray(p.start, p.end),
          Uint8Array.of(firstType(decoded.value.slice(i + 1)), ...encodePayloads([p]).slice(1)),
        );
        at = p.end;
      }
      assert.equal(at, chain.length);
    }),
  );
});

test("bodies are views into the datagram, so that what is hashed is what came", () => {
  const bytes = datagram(10, join("0dff0006 aabb", "00ff0005 cc"));
  const decoded = decodePayloads(10, bytes.subarray(28));
  assert.ok(decoded.ok);
  for (const p of decoded.value) assert.equal(p.raw.buffer, bytes.buffer);
  assert.deepEqual(
    decoded.value.map((p) => p.raw),
    [hex("aabb"), hex("cc")],
  );
});

test("padding of any length and content may follow the payloads of a decrypted message, and only there", () => {
  const padded = join(generic(0, hex("aabb")), "00 11 22 33 44 55 66 09");
  assert.equal(decodePayloads(10, padded, { padding: true }).ok, true);
  assert.equal(decodePayloads(10, padded).ok, false);
});

test("offsets in errors count from where the caller says the chain begins", () => {
  const broken = generic(13, hex("aabb"));
  const [plain, based] = [decodePayloads(10, broken), decodePayloads(10, broken, { base: 28 })];
  assert.ok(!plain.ok && !based.ok);
  assert.deepEqual([plain.error.offset, based.error.offset], [6, 34]);
});

test("a payload too long for its length field is a bug of ours", () => {
  assert.throws(() => encodePayloads([payload("vid", { data: new Uint8Array(65532) })]), RangeError);
  assert.equal(encodePayloads([payload("vid", { data: new Uint8Array(65531) })]).length, 65535);
});

const anyMessage = fc
  .tuple(headerFields, fc.array(anyPayload, { maxLength: 5 }))
  .map(([fields, payloads]) => encodeMessage(fields, payloads));

test("any datagram is a message or malformed, and never another exception", () => {
  const seen = { good: 0, bad: 0 };
  fc.assert(
    fc.property(fc.oneof(octets({ maxLength: 120 }), anyMessage, mutated(anyMessage)), fc.boolean(), (bytes, padding) => {
      const header = decodeHeader(bytes);
      const outcome = header.ok ? decodePayloads(header.value.nextPayload, bodyOf(header.value, bytes), { padding, base: 28 }) : header;
      if (outcome.ok) {
        seen.good++;
        for (const p of outcome.value) assert.equal(p.end - p.start, p.raw.length + 4);
        return;
      }
      seen.bad++;
      assert.equal(outcome.error.kind, "malformed");
      assert.ok(outcome.error.offset >= 0 && outcome.error.offset <= bytes.length, `offset ${outcome.error.offset} of ${bytes.length}`);
    }),
    { numRuns: 1000 },
  );
  assert.ok(seen.good > 0 && seen.bad > 0, JSON.stringify(seen));
});

test("payloads that are encoded for a moment are the same octets, whatever stood there before and whoever encodes meanwhile", () => {
  fc.assert(
    fc.property(fc.array(anyPayload, { maxLength: 4 }), fc.array(anyPayload, { maxLength: 4 }), fc.nat(5000), (outer, inner, more) => {
      const size = chainLength(outer) + more;
      withEncoded(outer, size, (octets) => {
        withEncoded(inner, chainLength(inner), (others) => {
          assert.deepEqual(Buffer.from(others), Buffer.from(encodePayloads(inner)));
        });
        assert.deepEqual(Buffer.from(octets), Buffer.from(encodePayloads(outer, size)));
        octets.fill(0xff);
      });
    }),
  );
});
