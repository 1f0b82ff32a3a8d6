import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { type ChildSuite, childSuiteName, ESP_CIPHERS, groupNamed, INTEGRITIES, type ProtocolSuite } from "../../ike/crypto/suite.ts";
import {
  type ChildDemand,
  type ChildTerms,
  chooseChild,
  offerChild,
  readChildTransform,
  spiBytes,
  verifyChildAnswer,
} from "../../ike/negotiate-child.ts";
import type { SaBody } from "../../ike/negotiate-ike.ts";
import { type Attribute, basic, variable } from "../../isakmp/attributes.ts";
import type { Proposal } from "../../isakmp/payloads.ts";
import { parseChildSuite } from "../../policy/proposal.ts";

function suite(text: string): ChildSuite {
  const parsed = parseChildSuite(text);
  assert.ok(parsed.ok);
  return parsed.value;
}

const TERMS: ChildTerms = { mode: "transport", udp: null, group: null, lifetimeSeconds: 300, lifetimeKilobytes: 100_000 };
const SPI = { esp: 0x11223344, ah: 0x55667788 };
const spiOf = (protocol: "esp" | "ah"): number => SPI[protocol];
const demand = (suites: readonly string[], more: Partial<ChildDemand> = {}): ChildDemand => ({
  suites: suites.map(suite),
  mode: "transport",
  udp: false,
  group: null,
  ...more,
});
const ESP = offerChild([suite("esp:aes128-sha1")], TERMS, spiOf);
const [esp] = ESP.proposals as [Proposal];
const [espTransform] = esp.transforms;
assert.ok(espTransform);

/** ESP's only transform with other attributes. */
const read = (change: (all: readonly Attribute[]) => readonly Attribute[], proposal: Proposal = esp) =>
  readChildTransform(proposal, { ...espTransform, attributes: change(espTransform.attributes) });
const replace =
  (type: number, ...by: readonly Attribute[]) =>
  (all: readonly Attribute[]) =>
    all.flatMap((a) => (a.type === type ? by : [a]));

const anyPart: fc.Arbitrary<ProtocolSuite> = fc.oneof(
  fc.record({ cipher: fc.constantFrom(...ESP_CIPHERS), integrity: fc.constantFrom(...INTEGRITIES) }).map(({ cipher, integrity }) => ({
    protocol: "esp" as const,
    cipher,
    integrity: cipher.icvBits === null ? integrity : null,
  })),
  fc.constantFrom(...INTEGRITIES).map((integrity) => ({ protocol: "ah" as const, cipher: null, integrity })),
);
const bundle: fc.Arbitrary<ChildSuite> = fc
  .tuple(anyPart, anyPart)
  .map(([a, b]) => (a.protocol === "ah" && b.protocol === "esp" ? [a, b] : [a]));
const terms: fc.Arbitrary<ChildTerms> = fc.record({
  udp: fc.constant(null),
  mode: fc.constantFrom("transport" as const, "tunnel" as const),
  group: fc.constantFrom(null, groupNamed("modp2048"), groupNamed("x25519")),
  lifetimeSeconds: fc.integer({ min: 1, max: 0xffffffff }),
  lifetimeKilobytes: fc.option(fc.integer({ min: 1, max: 0xffffffff })),
});

test("every suite reads back as it was offered, with SPI, mode, group and lifetimes", () => {
  fc.assert(
    fc.property(fc.array(bundle, { minLength: 1, maxLength: 8 }), terms, (suites, t) => {
      const { proposals } = offerChild(suites, t, spiOf);
      const parts = proposals.flatMap((proposal) =>
        proposal.transforms.map((transform) => {
          const offer = readChildTransform(proposal, transform);
          assert.ok(offer.ok);
          assert.equal(offer.value.spi, SPI[offer.value.suite.protocol]);
          assert.equal(offer.value.mode, t.mode);
          assert.equal(offer.value.group?.name, t.group?.name);
          assert.deepEqual(offer.value.life, { seconds: t.lifetimeSeconds, kilobytes: t.lifetimeKilobytes });
          return childSuiteName([offer.value.suite]);
        }),
      );
      assert.deepEqual(
        parts,
        suites.flatMap((s) => s.map((part) => childSuiteName([part]))),
      );
    }),
  );
});

test("alternatives of one protocol share a proposal, bundles share a number (RFC 2407 §4.2)", () => {
  const shape = offerChild(
    ["esp:aes256-sha1", "esp:3des-sha1", "ah:sha1+esp:3des-sha1", "ah:sha1", "ah:sha256", "esp:null-sha1"].map(suite),
    TERMS,
    spiOf,
  );
  assert.deepEqual(
    shape.proposals.map(({ number, protocol, transforms }) => [number, protocol, transforms.map((t) => t.number)]),
    [
      [1, 3, [1, 2]],
      [2, 2, [1]],
      [2, 3, [1]],
      [3, 2, [1, 2]],
      [4, 3, [1]],
    ],
  );
});

/** What makes ESP's transform unusable. */
const UNUSABLE: readonly (readonly [string, ReturnType<typeof read>, RegExp])[] = [
  ["no key length", read(replace(6)), /with no key length is not supported/],
  ["a key length of zero", read(replace(6, basic(6, 0))), /with key length 0/],
  ["the key length twice", read((all) => [...all, basic(6, 128)]), /Key Length stands twice/],
  ["no integrity", read(replace(5)), /ESP without integrity protection is refused/],
  ["an unknown integrity", read(replace(5, basic(5, 99))), /authentication algorithm 99/],
  ["a mode that nobody has defined", read(replace(4, basic(4, 5))), /encapsulation mode .* is not supported here/],
  ["an unknown group", read((all) => [...all, basic(3, 99)]), /group 99 is not supported/],
  ["an unknown attribute", read((all) => [...all, basic(77, 1)]), /attribute 77 is not supported/],
  ["a key length of nine octets", read(replace(6, variable(6, new Uint8Array(9).fill(1)))), /Key Length is no number/],
  ["an SPI of three octets", read((all) => all, { ...esp, spi: Uint8Array.of(1, 2, 3) }), /an SPI of 3 octets/],
  ["no SPI", read((all) => all, { ...esp, spi: new Uint8Array(0) }), /an SPI of 0 octets/],
  ["a reserved SPI", read((all) => all, { ...esp, spi: Uint8Array.of(0, 0, 0, 255) }), /SPI 255 is reserved/],
  ["a protocol that is neither", read((all) => all, { ...esp, protocol: 4 }), /protocol IPCOMP/],
  ["an AH whose transform and algorithm differ", read(replace(5, basic(5, 5)), { ...esp, protocol: 2 }), /not supported|contradict/],
];

for (const [name, outcome, words] of UNUSABLE)
  test(`${name} makes a transform unusable, in words`, () => {
    assert.ok(!outcome.ok);
    assert.match(outcome.error, words);
  });

test("AH's transform and authentication algorithm must name one algorithm (RFC 2407 §4.4.3)", () => {
  const [ah] = offerChild([suite("ah:sha1")], TERMS, spiOf).proposals as [Proposal];
  const [transform] = ah.transforms;
  assert.ok(transform);
  const other = readChildTransform(ah, { ...transform, attributes: replace(5, basic(5, 1))(transform.attributes) });
  assert.ok(!other.ok && /contradict each other/.test(other.error));
  const none = readChildTransform(ah, { ...transform, attributes: replace(5)(transform.attributes) });
  assert.ok(!none.ok);
});

test("a combined mode stands alone", () => {
  const [gcm] = offerChild([suite("esp:aes128gcm16")], TERMS, spiOf).proposals as [Proposal];
  const [transform] = gcm.transforms;
  assert.ok(transform);
  assert.ok(readChildTransform(gcm, transform).ok);
  const both = readChildTransform(gcm, { ...transform, attributes: [...transform.attributes, basic(5, 2)] });
  assert.ok(!both.ok && /combined mode with an authentication algorithm/.test(both.error));
});

const chosenName = (sa: SaBody, d: ChildDemand): string => {
  const chosen = chooseChild(sa, d, spiOf);
  return chosen.ok ? childSuiteName(chosen.value.chosen.suite) : chosen.error.what;
};

test("the responder takes the first alternative of the initiator's that it has, whatever its own order", () => {
  const sa = offerChild(["esp:aes256-sha1", "ah:sha1", "esp:aes128-sha1"].map(suite), TERMS, spiOf);
  assert.equal(chosenName(sa, demand(["esp:aes128-sha1", "ah:sha1"])), "ah:sha1");
});

test("the answer echoes the chosen transforms and brings the responder's own SPIs", () => {
  const sa = offerChild(["esp:aes256-sha1", "ah:sha1+esp:3des-sha1"].map(suite), TERMS, spiOf);
  const chosen = chooseChild(sa, demand(["ah:sha1+esp:3des-sha1"]), (protocol) => (protocol === "ah" ? 0xa0a0 : 0xe0e0));
  assert.ok(chosen.ok);
  assert.deepEqual(
    chosen.value.answer.proposals.map(({ protocol, spi }) => [protocol, [...spi]]),
    [
      [2, [...spiBytes(0xa0a0)]],
      [3, [...spiBytes(0xe0e0)]],
    ],
  );
  assert.deepEqual(
    chosen.value.answer.proposals.flatMap(({ transforms }) => transforms),
    sa.proposals.slice(1).flatMap(({ transforms }) => transforms),
  );
  assert.deepEqual(
    chosen.value.chosen.offers.map(({ spi }) => spi),
    [SPI.ah, SPI.esp],
  );
});

test("half a bundle is no alternative, in either direction", () => {
  const bundled = offerChild([suite("ah:sha1+esp:3des-sha1")], TERMS, spiOf);
  assert.match(chosenName(bundled, demand(["esp:3des-sha1", "ah:sha1"])), /a bundle/);
  assert.match(chosenName(ESP, demand(["ah:sha1+esp:aes128-sha1"])), /a bundle/);
});

/** Offers of one ESP suite against demands: the suite, or the words of the refusal. */
const DEMANDS: readonly (readonly [string, Partial<ChildTerms>, Partial<ChildDemand>, string | RegExp])[] = [
  ["another mode", { mode: "tunnel" }, {}, /tunnel mode offered, transport configured/],
  ["no group where one is wanted", {}, { group: groupNamed("modp2048") }, /PFS group none offered, modp2048 configured/],
  [
    "another group than wanted",
    { group: groupNamed("x25519") },
    { group: groupNamed("modp2048") },
    /PFS group x25519 offered, modp2048 configured/,
  ],
  ["a group that nobody asked for", { group: groupNamed("x25519") }, {}, "esp:aes128-sha1"],
  ["a weak group that nobody asked for", { group: groupNamed("modp1024") }, {}, /PFS group modp1024 is weak/],
  ["the group that is wanted", { group: groupNamed("modp2048") }, { group: groupNamed("modp2048") }, "esp:aes128-sha1"],
];

for (const [name, t, d, expected] of DEMANDS)
  test(`an offer with ${name}: ${expected}`, () => {
    const sa = offerChild([suite("esp:aes128-sha1")], { ...TERMS, ...t }, spiOf);
    const outcome = chosenName(sa, demand(["esp:aes128-sha1"], d));
    if (typeof expected === "string") assert.equal(outcome, expected);
    else assert.match(outcome, expected);
  });

test("a refusal says what was offered, what is wrong with it, and what is configured", () => {
  assert.equal(
    chosenName(ESP, demand(["esp:aes256-sha256", "ah:sha1"], { group: groupNamed("modp2048") })),
    "proposal 1 transform 1 (esp:aes128-sha1): PFS group none offered, modp2048 configured; configured: esp:aes256-sha256, ah:sha1, transport, PFS modp2048",
  );
});

test("of a bundle's lifetimes the shorter counts", () => {
  const [ah, inner] = offerChild([suite("ah:sha1+esp:3des-sha1")], TERMS, spiOf).proposals as [Proposal, Proposal];
  const [transform] = ah.transforms;
  assert.ok(transform);
  const attributes = [basic(1, 1), basic(2, 60), ...transform.attributes.filter(({ type }) => type > 2)];
  const sa: SaBody = { ...ESP, proposals: [{ ...ah, transforms: [{ ...transform, attributes }] }, inner] };
  const chosen = chooseChild(sa, demand(["ah:sha1+esp:3des-sha1"]), spiOf);
  assert.ok(chosen.ok);
  assert.deepEqual(chosen.value.chosen.life, { seconds: 60, kilobytes: 100_000 });
});

/** Answers to an offer of two suites with modp2048. */
const PFS: ChildTerms = { ...TERMS, group: groupNamed("modp2048") };
const OURS = ["esp:aes128-sha1", "ah:sha1+esp:3des-sha1"].map(suite);
const answers: readonly (readonly [string, SaBody, RegExp | null])[] = [
  ["our first suite", offerChild([suite("esp:aes128-sha1")], PFS, spiOf), null],
  ["our bundle", offerChild([suite("ah:sha1+esp:3des-sha1")], PFS, spiOf), null],
  ["other lifetimes", offerChild([suite("esp:aes128-sha1")], { ...PFS, lifetimeSeconds: 1, lifetimeKilobytes: null }, spiOf), null],
  ["half the bundle", offerChild([suite("esp:3des-sha1")], PFS, spiOf), /answered esp:3des-sha1, which we did not offer/],
  ["a suite of its own", offerChild([suite("esp:null-sha1")], PFS, spiOf), /esp:null-sha1, which we did not offer/],
  ["no PFS", offerChild([suite("esp:aes128-sha1")], TERMS, spiOf), /PFS group none, we offered modp2048/],
  ["another group", offerChild([suite("esp:aes128-sha1")], { ...PFS, group: groupNamed("x25519") }, spiOf), /PFS group x25519, we offered/],
  ["the other mode", offerChild([suite("esp:aes128-sha1")], { ...PFS, mode: "tunnel" }, spiOf), /tunnel mode, we offered transport/],
  ["two transforms", offerChild(["esp:aes128-sha1", "esp:aes128-sha1"].map(suite), PFS, spiOf), /exactly one transform for each protocol/],
  ["both alternatives", offerChild(OURS, PFS, spiOf), /which we did not offer/],
  ["nothing", { ...ESP, proposals: [] }, /answered nothing/],
  ["a reserved SPI", { ...ESP, proposals: [{ ...esp, spi: spiBytes(1) }] }, /unusable: SPI 1 is reserved/],
];

for (const [name, answer, words] of answers)
  test(`an answer with ${name} is ${words ? "refused" : "accepted"}`, () => {
    const verified = verifyChildAnswer(OURS, PFS, answer);
    assert.equal(verified.ok, words === null);
    if (!verified.ok) {
      assert.equal(verified.error.kind, "not-offered");
      assert.match(verified.error.what, words as RegExp);
    }
  });

test("what a responder chooses, the initiator accepts, and no suite of another's", () => {
  fc.assert(
    fc.property(fc.uniqueArray(bundle, { minLength: 1, maxLength: 5, selector: childSuiteName }), bundle, terms, (suites, wanted, t) => {
      const chosen = chooseChild(
        offerChild(suites, t, spiOf),
        { suites: [wanted], mode: t.mode, udp: t.udp !== null, group: t.group },
        spiOf,
      );
      assert.equal(
        chosen.ok,
        suites.some((s) => childSuiteName(s) === childSuiteName(wanted)),
      );
      if (chosen.ok) assert.ok(verifyChildAnswer(suites, t, chosen.value.answer).ok);
      assert.equal(verifyChildAnswer(suites, t, offerChild([wanted], t, spiOf)).ok, chosen.ok);
    }),
  );
});
