import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { ENCRYPTIONS, GROUPS, HASHES, type IkeSuite, ikeSuiteName } from "../../ike/crypto/suite.ts";
import { chooseIke, ikeOfferName, offerIke, readIkeTransform, type SaBody, verifyIkeAnswer } from "../../ike/negotiate-ike.ts";
import { type Attribute, basic, numberAttribute, variable } from "../../isakmp/attributes.ts";
import { AUTH_METHOD } from "../../isakmp/numbers.ts";
import type { Transform } from "../../isakmp/payloads.ts";
import { parseIkeSuite } from "../../policy/proposal.ts";

const PSK = AUTH_METHOD["Pre-shared key"];

function suite(text: string): IkeSuite {
  const parsed = parseIkeSuite(text);
  assert.ok(parsed.ok);
  return parsed.value;
}

const KEY = { number: PSK, attributes: [] };
const OURS = ["aes256-sha256-modp2048", "aes128-sha1-x25519", "3des-sha1-modp1536"].map(suite);
const offered = offerIke(OURS, [KEY], 28_800);
const [proposal] = offered.proposals;
assert.ok(proposal);

/** An SA with these transforms, all in one proposal. */
const withTransforms = (transforms: readonly Transform[]): SaBody => ({ ...offered, proposals: [{ ...proposal, transforms }] });
const transformAt = (i: number): Transform => proposal.transforms[i] as Transform;
const changed = (i: number, change: (attributes: readonly Attribute[]) => readonly Attribute[]): SaBody => {
  const transform = transformAt(i);
  return withTransforms([{ ...transform, attributes: change(transform.attributes) }]);
};
const replace =
  (type: number, ...by: readonly Attribute[]) =>
  (all: readonly Attribute[]) =>
    all.flatMap((a) => (a.type === type ? by : [a]));

const anySuite: fc.Arbitrary<IkeSuite> = fc.record({
  encryption: fc.constantFrom(...ENCRYPTIONS),
  hash: fc.constantFrom(...HASHES),
  group: fc.constantFrom(...GROUPS),
});

test("every suite reads back as it was offered, with its lifetime, in order of preference", () => {
  fc.assert(
    fc.property(fc.array(anySuite, { minLength: 1, maxLength: 10 }), fc.integer({ min: 1, max: 0xffffffff }), (suites, lifetime) => {
      const [only, ...more] = offerIke(suites, [KEY], lifetime).proposals;
      assert.ok(only && more.length === 0);
      assert.deepEqual(
        only.transforms.map(({ number }) => number),
        suites.map((_, i) => i + 1),
      );
      const read = only.transforms.map(readIkeTransform);
      assert.deepEqual(
        read.map((offer) => offer.ok && [ikeSuiteName(offer.value.suite), offer.value.method, offer.value.lifetimeSeconds]),
        suites.map((s) => [ikeSuiteName(s), PSK, lifetime]),
      );
    }),
  );
});

test("several methods give every suite once for each, the first method first", () => {
  const transforms = offerIke(OURS, [KEY, { number: 3, attributes: [] }], 60).proposals[0]?.transforms ?? [];
  const names = transforms.map(readIkeTransform).map((offer) => (offer.ok ? offer.value.method : 0));
  assert.deepEqual(names, [PSK, PSK, PSK, 3, 3, 3]);
});

/** What makes a transform unusable: a change of the first one, and the words for it. */
const UNUSABLE: readonly (readonly [string, (all: readonly Attribute[]) => readonly Attribute[], RegExp])[] = [
  ["an AES without key length", replace(14), /with no key length is not supported/],
  ["a key length of zero", replace(14, basic(14, 0)), /with key length 0 is not supported/],
  ["an odd key length", replace(14, basic(14, 129)), /with key length 129/],
  ["a key length that stands twice", (all) => [...all, basic(14, 256)], /Key Length stands twice/],
  ["a key length of nine octets", replace(14, variable(14, new Uint8Array(9).fill(1))), /Key Length is no number/],
  ["an unknown cipher", replace(1, basic(1, 99)), /encryption 99 with key length 256/],
  ["no cipher", replace(1), /encryption 0/],
  ["an unknown hash", replace(2, basic(2, 99)), /hash 99 is not supported/],
  ["no hash", replace(2), /hash 0 is not supported/],
  ["an unknown group", replace(4, basic(4, 99)), /group 99 is not supported/],
  ["no group", replace(4), /group 0 is not supported/],
  ["no method", replace(3), /no authentication method/],
  ["a prime of its own", (all) => [...all, variable(6, new Uint8Array(128).fill(255))], /attribute Group Prime.* is not supported/],
  ["an attribute nobody knows", (all) => [...all, basic(500, 1)], /attribute 500 is not supported/],
];

for (const [name, change, words] of UNUSABLE)
  test(`${name} makes a transform unusable, in words`, () => {
    const transform = transformAt(0);
    const read = readIkeTransform({ ...transform, attributes: change(transform.attributes) });
    assert.ok(!read.ok);
    assert.match(read.error, words);
    const chosen = chooseIke(changed(0, change), () => undefined);
    assert.ok(!chosen.ok && chosen.error.kind === "no-proposal");
    assert.match(chosen.error.what, words);
  });

test("attributes of private use, another order and the long encoding change nothing", () => {
  const transform = transformAt(0);
  const attributes = [...transform.attributes.filter(({ type }) => type !== 11 && type !== 12)]
    .reverse()
    .map((a) => variable(a.type, Uint8Array.of(0, 0, ...a.value)));
  const read = readIkeTransform({ ...transform, attributes: [basic(16_384, 7), ...attributes] });
  assert.ok(read.ok);
  assert.equal(ikeSuiteName(read.value.suite), "aes256-sha256-modp2048");
  assert.equal(read.value.lifetimeSeconds, null);
});

test("a transform that is not KEY_IKE, and a key length for 3DES, are refused", () => {
  assert.equal(readIkeTransform({ ...transformAt(0), id: 2 }).ok, false);
  assert.equal(readIkeTransform({ ...transformAt(2), attributes: [...transformAt(2).attributes, basic(14, 192)] }).ok, false);
});

test("the responder takes the initiator's first acceptable transform and echoes it byte for byte", () => {
  const chosen = chooseIke(offered, ({ suite: s }) => (s.group.name === "modp2048" ? "not today" : undefined));
  assert.ok(chosen.ok);
  assert.equal(ikeSuiteName(chosen.value.offer.suite), "aes128-sha1-x25519");
  assert.deepEqual(chosen.value.answer, withTransforms([transformAt(1)]));
  assert.equal(chosen.value.answer.proposals[0]?.transforms[0], transformAt(1));
});

test("a refusal names each alternative with its fault", () => {
  const chosen = chooseIke(offered, () => "not configured");
  assert.ok(!chosen.ok);
  assert.equal(
    chosen.error.what,
    "aes256-sha256-modp2048 (Pre-shared key): not configured; aes128-sha1-x25519 (Pre-shared key): not configured; 3des-sha1-modp1536 (Pre-shared key): not configured",
  );
});

test("a refusal of hundreds of alternatives stays readable", () => {
  const chosen = chooseIke(withTransforms(Array.from({ length: 255 }, () => transformAt(0))), () => "no");
  assert.ok(!chosen.ok && chosen.error.what.length < 1000);
});

test("proposals for other protocols, other DOIs and other situations are refused in words", () => {
  const esp = chooseIke({ ...offered, proposals: [{ ...proposal, protocol: 3 }] }, () => undefined);
  assert.ok(!esp.ok && /proposal 1: protocol ESP is not ISAKMP/.test(esp.error.what));
  for (const sa of [
    { ...offered, doi: 0 },
    { ...offered, situation: 3 },
  ]) {
    const chosen = chooseIke(sa, () => undefined);
    assert.ok(!chosen.ok && /only the IPsec DOI with SIT_IDENTITY_ONLY/.test(chosen.error.what));
  }
});

test("an answer is accepted for each of our offers, whatever its number and lifetime", () => {
  for (const [i, s] of OURS.entries()) {
    const answer = changed(i, (all) => [...all.filter(({ type }) => type !== 11 && type !== 12), basic(11, 1), numberAttribute(12, 77)]);
    const verified = verifyIkeAnswer(offered, answer);
    assert.ok(verified.ok);
    assert.equal(ikeSuiteName(verified.value.suite), ikeSuiteName(s));
    assert.equal(verified.value.lifetimeSeconds, 77);
  }
});

/** Answers that are none of our offers. */
const NOT_OURS: readonly (readonly [string, SaBody, RegExp])[] = [
  ["the cipher of one offer with the hash of another", changed(0, replace(2, basic(2, 2))), /aes256-sha1-modp2048.*did not offer/],
  ["another method", changed(0, replace(3, basic(3, 3))), /did not offer/],
  ["a shorter key", changed(0, replace(14, basic(14, 128))), /aes128-sha256-modp2048.*did not offer/],
  ["two transforms", withTransforms([transformAt(0), transformAt(1)]), /exactly one proposal with one transform/],
  ["two proposals", { ...offered, proposals: [proposal, proposal] }, /exactly one proposal/],
  ["another protocol", { ...offered, proposals: [{ ...proposal, protocol: 3, transforms: [transformAt(0)] }] }, /is for ESP, not ISAKMP/],
  ["something unreadable", changed(0, replace(14)), /unusable: .*no key length/],
];

for (const [name, answer, words] of NOT_OURS)
  test(`an answer with ${name} is refused`, () => {
    const verified = verifyIkeAnswer(offered, answer);
    assert.ok(!verified.ok && verified.error.kind === "not-offered");
    assert.match(verified.error.what, words);
  });

test("what a responder chooses, the initiator accepts, and no suite of another's", () => {
  fc.assert(
    fc.property(fc.uniqueArray(anySuite, { minLength: 1, maxLength: 6, selector: ikeSuiteName }), anySuite, (suites, wanted) => {
      const offer = offerIke(suites, [KEY], 600);
      const chosen = chooseIke(offer, ({ suite: s }) => (ikeSuiteName(s) === ikeSuiteName(wanted) ? undefined : "no"));
      assert.equal(
        chosen.ok,
        suites.some((s) => ikeSuiteName(s) === ikeSuiteName(wanted)),
      );
      if (chosen.ok) {
        const verified = verifyIkeAnswer(offer, chosen.value.answer);
        assert.ok(verified.ok);
        assert.equal(ikeOfferName(verified.value), `${ikeSuiteName(wanted)} (Pre-shared key)`);
      }
      assert.equal(verifyIkeAnswer(offer, offerIke([wanted], [KEY], 600)).ok, chosen.ok);
    }),
  );
});
