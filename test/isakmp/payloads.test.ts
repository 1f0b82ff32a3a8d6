import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { type Codec, encodeOne } from "../../isakmp/codec.ts";
import { PAYLOAD } from "../../isakmp/numbers.ts";
import { type Body, decodeBody, LIMITS, PAYLOADS, payload, payloadType } from "../../isakmp/payloads.ts";
import { readWith } from "../../isakmp/reader.ts";
import { BODIES, mutated, NAMES, octets } from "./arbitraries.ts";
import { generic, hex, octets as join, SA_HEAD } from "./build.ts";

for (const name of NAMES) {
  const codec = PAYLOADS[name].body as Codec<unknown>;
  const values = BODIES[name] as fc.Arbitrary<unknown>;
  const decode = (bytes: Uint8Array) => readWith(bytes, (r) => decodeBody(PAYLOADS[name].type, r, 0));

  test(`every ${name} body decodes to what was encoded`, () => {
    fc.assert(
      fc.property(values, (value) => {
        const outcome = decode(encodeOne(codec, value));
        assert.ok(outcome.ok && outcome.value.name === name);
        assert.deepEqual(outcome.value.value, value);
      }),
    );
  });

  test(`any octets are a ${name} body that encodes to as many octets, or malformed`, () => {
    fc.assert(
      fc.property(fc.oneof(octets(), mutated(values.map((value) => encodeOne(codec, value)))), (bytes) => {
        const outcome = decode(bytes);
        if (!outcome.ok) {
          assert.equal(outcome.error.kind, "malformed");
          assert.ok(outcome.error.offset >= 0 && outcome.error.offset <= bytes.length, `offset ${outcome.error.offset}`);
          return;
        }
        assert.deepEqual(outcome.value.raw, bytes);
        // A private number may be another's: what does not fit is kept as octets.
        if (outcome.value.name === "unknown") return assert.ok(PAYLOADS[name].type >= 128);
        const again = decode(encodeOne(codec, outcome.value.value));
        assert.ok(again.ok && again.value.name === name && outcome.value.name === name);
        assert.deepEqual(again.value.value, outcome.value.value);
        assert.equal(again.value.raw.length, bytes.length);
        assert.equal(typeof codec.describe(outcome.value.value), "string");
      }),
    );
  });
}

test("the table has the numbers of the RFCs", () => {
  const types = Object.fromEntries(NAMES.map((name) => [name, PAYLOADS[name].type]));
  assert.deepEqual(types, {
    sa: 1,
    ke: 4,
    id: 5,
    cert: 6,
    certReq: 7,
    hash: 8,
    sig: 9,
    nonce: 10,
    notify: 11,
    delete: 12,
    vid: 13,
    natD: 20,
    natOa: 21,
    gss: 129,
    natDDraft: 130,
    natOaDraft: 131,
    fragment: 132,
  });
});

test("an SA stands on the wire as RFC 2408 §3.4 to §3.6 draw it", () => {
  const transforms = [
    { number: 1, id: 12, attributes: [{ type: 6, format: "basic" as const, value: hex("0080") }] },
    { number: 2, id: 3, attributes: [] },
  ];
  const sa = payload("sa", {
    doi: 1,
    situation: 1,
    proposals: [
      { number: 1, protocol: 3, spi: hex("c5704d9e"), transforms },
      { number: 1, protocol: 2, spi: hex("c6da6209"), transforms: [{ number: 1, id: 3, attributes: [] }] },
    ],
  });
  const esp = join("01 03 04 02 c5704d9e", generic(3, hex("01 0c 0000 80060080")), generic(0, hex("02 03 0000")));
  const ah = join("01 02 04 01 c6da6209", generic(0, hex("01 03 0000")));
  assert.deepEqual(sa.raw, join(SA_HEAD, generic(2, esp), generic(0, ah)));
});

test("a notify and a delete stand on the wire as RFC 2408 §3.14 and §3.15 draw them", () => {
  const notify = payload("notify", { doi: 1, protocol: 3, spi: hex("c5704d9e"), type: 16384, data: hex("0102") });
  assert.deepEqual(notify.raw, hex("00000001 03 04 4000 c5704d9e 0102"));
  const deletion = payload("delete", { doi: 1, protocol: 3, spiSize: 4, spis: [hex("c5704d9e"), hex("c6da6209")] });
  assert.deepEqual(deletion.raw, hex("00000001 03 04 0002 c5704d9e c6da6209"));
});

test("an ID, an original address and a fragment stand on the wire as their sources draw them", () => {
  assert.deepEqual(payload("id", { type: 1, protocol: 17, port: 500, data: hex("0a630001") }).raw, hex("01 11 01f4 0a630001"));
  assert.deepEqual(payload("natOa", { type: 1, address: hex("c0000201") }).raw, hex("01 000000 c0000201"));
  assert.deepEqual(payload("fragment", { id: 1, number: 2, flags: 1, data: hex("aa") }).raw, hex("0001 02 01 aa"));
});

test("an outgoing payload has no place in a message yet", () => {
  const nonce = payload("nonce", { data: hex("00112233") });
  assert.deepEqual([nonce.start, nonce.end, payloadType(nonce)], [-1, -1, PAYLOAD.NONCE]);
});

test("a type without a row survives as octets", () => {
  const outcome = readWith(hex("0102"), (r) => decodeBody(200, r, 7));
  assert.deepEqual(outcome, { ok: true, value: { name: "unknown", type: 200, raw: hex("0102"), start: 7, end: 2 } });
});

test("values beyond the limits are a bug of the caller, not a message nobody can read", () => {
  const transform = { number: 1, id: 1, attributes: [] };
  const proposal = { number: 1, protocol: 1, spi: hex(""), transforms: [transform] };
  const sa = (proposals: Body<"sa">["proposals"]) => () => payload("sa", { doi: 1, situation: 1, proposals });
  assert.throws(sa([]), RangeError);
  assert.throws(sa([{ ...proposal, transforms: [] }]), RangeError);
  assert.throws(sa([{ ...proposal, spi: new Uint8Array(17) }]), RangeError);
  assert.throws(sa([{ ...proposal, transforms: Array(LIMITS.transforms + 1).fill(transform) }]), RangeError);
  assert.throws(sa(Array(LIMITS.proposals + 1).fill(proposal)), RangeError);
  const spis = (spiSize: number, list: readonly Uint8Array[]) => () => payload("delete", { doi: 1, protocol: 3, spiSize, spis: list });
  assert.throws(spis(4, [hex("0011")]), RangeError);
  assert.throws(spis(0, [hex("")]), RangeError);
  assert.throws(spis(4, Array(LIMITS.spis + 1).fill(hex("00112233"))), RangeError);
});
