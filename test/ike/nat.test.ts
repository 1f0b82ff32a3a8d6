/** NAT traversal: hashes, detection, dialects, and what of a Quick Mode's offer passes a NAT. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { opensslCrypto as openssl } from "../../ike/crypto/openssl.ts";
import { HASHES } from "../../ike/crypto/suite.ts";
import type { Path } from "../../ike/input.ts";
import {
  detectNat,
  floated,
  NAT_DIALECTS,
  natDetection,
  natDialectOf,
  natEnds,
  natHash,
  natInUse,
  natVendorIds,
  natWord,
  numbersOf,
} from "../../ike/nat.ts";
import { chooseChild, offerChild, readChildTransform, verifyChildAnswer } from "../../ike/negotiate-child.ts";
import { ENCAPSULATION } from "../../isakmp/numbers.ts";
import type { Payload } from "../../isakmp/payloads.ts";
import { parseChildSuite } from "../../policy/proposal.ts";

const sha1 = HASHES.find(({ name }) => name === "sha1") ?? HASHES[0];
if (!sha1) throw new Error("no hash");
const cookies = { cookieI: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8), cookieR: Uint8Array.of(9, 10, 11, 12, 13, 14, 15, 16) };
const tools = { crypto: openssl, random: (octets: number) => new Uint8Array(octets).fill(0x55) };

const path = (local: string, localPort: number, remote: string, remotePort: number): Path => ({
  local: { address: local, port: localPort },
  remote: { address: remote, port: remotePort },
});

/** What a receiver's row would hold of these payloads. */
const got = (payloads: readonly Payload[]) => ({
  natD: payloads.filter((p) => p.name === "natD"),
  natDDraft: payloads.filter((p) => p.name === "natDDraft"),
});

const ends = (of: Path) => natEnds(openssl, sha1, cookies, of);

const detect = (sent: Path, seen: Path, numbers: "rfc" | "draft" = "rfc", force = false) =>
  detectNat(ends(seen), numbers, got(natDetection(ends(sent), tools.random, numbers, force)));

test("NAT-D is the hash of both cookies, the address and the port (RFC 3947 §3.2)", () => {
  const expected = createHash("sha1").update(Buffer.from("0102030405060708090a0b0c0d0e0f10c000020101f4", "hex")).digest();
  assert.deepEqual(Buffer.from(natHash(openssl, sha1, cookies, { address: "192.0.2.1", port: 500 })), expected);
  const v6 = createHash("sha1").update(Buffer.from("0102030405060708090a0b0c0d0e0f1020010db80000000000000000000000011194", "hex")).digest();
  assert.deepEqual(Buffer.from(natHash(openssl, sha1, cookies, { address: "2001:db8::1", port: 4500 })), v6);
});

test("who stands behind a NAT is found by address and by port, at either end", () => {
  const straight = path("192.0.2.1", 500, "192.0.2.2", 500);
  const there = path("192.0.2.2", 500, "192.0.2.1", 500);
  assert.deepEqual(detect(straight, there), { numbers: "rfc", local: false, remote: false });
  assert.deepEqual(detect(straight, path("192.0.2.2", 500, "198.51.100.1", 500)), { numbers: "rfc", local: false, remote: true });
  assert.deepEqual(detect(straight, path("192.0.2.2", 500, "192.0.2.1", 1025)), { numbers: "rfc", local: false, remote: true });
  assert.deepEqual(detect(straight, path("10.0.0.2", 500, "192.0.2.1", 500), "draft"), { numbers: "draft", local: true, remote: false });
  assert.deepEqual(detect(straight, path("10.0.0.2", 500, "198.51.100.1", 500)), { numbers: "rfc", local: true, remote: true });
  assert.deepEqual(detect(straight, there, "rfc", true), { numbers: "rfc", local: false, remote: true });
});

test("too few hashes, or hashes in the other dialect's payloads, are no detection", () => {
  const seen = path("192.0.2.2", 500, "198.51.100.1", 500);
  const [first, second] = natDetection(ends(path("192.0.2.1", 500, "192.0.2.2", 500)), tools.random, "rfc", false);
  for (const payloads of [[], [first], [second]])
    assert.equal(detectNat(ends(seen), "rfc", got(payloads.filter((p) => p !== undefined))), null);
  const both = [first, second].filter((p) => p !== undefined);
  assert.equal(detectNat(ends(seen), "draft", got(both)), null);
});

test("a host that names all its addresses is found at one of them, and only so many are looked at", () => {
  const seen = path("192.0.2.2", 500, "192.0.2.1", 500);
  const [about, own] = natDetection(ends(path("192.0.2.1", 500, "192.0.2.2", 500)), tools.random, "rfc", false);
  const noise = natDetection(ends(seen), tools.random, "rfc", true).slice(1);
  if (!about || !own) throw new Error("two payloads");
  assert.deepEqual(detectNat(ends(seen), "rfc", got([about, ...noise, own])), {
    numbers: "rfc",
    local: false,
    remote: false,
  });
  const many = Array.from({ length: 40 }, () => noise).flat();
  assert.equal(natWord(detectNat(ends(seen), "rfc", got([about, ...many, own]))), "remote");
});

test("the RFC is preferred to its drafts, and that of Windows to the others", () => {
  fc.assert(
    fc.property(fc.shuffledSubarray([...NAT_DIALECTS], { minLength: 1 }), (dialects) => {
      const vids = natVendorIds(dialects).filter((p) => p.name === "vid");
      assert.equal(
        natDialectOf(vids),
        NAT_DIALECTS.find((name) => dialects.includes(name)),
      );
    }),
  );
  assert.equal(natDialectOf([]), null);
  assert.equal(numbersOf("RFC 3947", { natTraversal: "auto" }), "rfc");
  for (const name of NAT_DIALECTS.slice(1)) assert.equal(numbersOf(name, { natTraversal: "force" }), "draft");
  assert.equal(numbersOf("RFC 3947", { natTraversal: "off" }), null);
});

test("the initiator's move decides, whatever damaged hashes made of it", () => {
  const found = { numbers: "rfc", local: true, remote: false } as const;
  for (const role of ["initiator", "responder"] as const) {
    assert.equal(natInUse(found, "rfc", false, role), null);
    assert.deepEqual(natInUse(found, "rfc", true, role), found);
    assert.equal(natInUse(null, null, true, role), null);
    const nothing = { numbers: "draft", local: false, remote: role === "responder" } as const;
    assert.deepEqual(natInUse(null, "draft", true, role), nothing);
    assert.deepEqual(natInUse({ ...nothing, remote: false }, "draft", true, role), nothing);
  }
});

test("with message 5 both ends move to the port of NAT traversal", () => {
  assert.deepEqual(floated(path("192.0.2.1", 500, "192.0.2.2", 500), 4500), path("192.0.2.1", 4500, "192.0.2.2", 4500));
});

const suiteOf = (text: string) => {
  const parsed = parseChildSuite(text);
  if (!parsed.ok) throw new Error(text);
  return parsed.value;
};
const terms = { group: null, lifetimeSeconds: 300, lifetimeKilobytes: null } as const;
const spiOf = (): number => 0x11223344;

const MODES = [
  ["rfc", "tunnel", ENCAPSULATION["UDP-Encapsulated-Tunnel"]],
  ["rfc", "transport", ENCAPSULATION["UDP-Encapsulated-Transport"]],
  ["draft", "tunnel", ENCAPSULATION["UDP-Encapsulated-Tunnel draft"]],
  ["draft", "transport", ENCAPSULATION["UDP-Encapsulated-Transport draft"]],
] as const;

for (const [udp, mode, number] of MODES)
  test(`${mode} mode in UDP is number ${number} for ${udp}, understood, and taken only where a NAT was found`, () => {
    const suites = [suiteOf("esp:aes128-sha1")];
    const sa = offerChild(suites, { ...terms, mode, udp }, spiOf);
    const [proposal] = sa.proposals;
    const [transform] = proposal?.transforms ?? [];
    if (!proposal || !transform) throw new Error("an offer");
    assert.ok(
      transform.attributes.some(({ type, value }) => type === 4 && Buffer.from(value).readUIntBE(0, value.length) === number),
      JSON.stringify(transform.attributes),
    );
    const offer = readChildTransform(proposal, transform);
    assert.ok(offer.ok && offer.value.mode === mode && offer.value.udp);
    const through = chooseChild(sa, { suites, mode, udp: true, group: null }, spiOf);
    assert.ok(through.ok);
    assert.ok(verifyChildAnswer(suites, { ...terms, mode, udp }, through.value.answer).ok);
    const straight = chooseChild(sa, { suites, mode, udp: false, group: null }, spiOf);
    assert.match(straight.ok ? "" : straight.error.what, /packets in UDP offered, although no NAT was found/);
    const bare = offerChild(suites, { ...terms, mode, udp: null }, spiOf);
    const refused = chooseChild(bare, { suites, mode, udp: true, group: null }, spiOf);
    assert.match(refused.ok ? "" : refused.error.what, /packets not in UDP offered, although a NAT was found/);
    assert.ok(!verifyChildAnswer(suites, { ...terms, mode, udp }, bare).ok);
  });

test("AH is refused once a NAT was found, alone and beside ESP, and the reason is given", () => {
  for (const text of ["ah:sha1", "ah:sha1+esp:aes128-sha1"]) {
    const suites = [suiteOf(text)];
    const sa = offerChild(suites, { ...terms, mode: "transport", udp: "rfc" }, spiOf);
    const chosen = chooseChild(sa, { suites, mode: "transport", udp: true, group: null }, spiOf);
    assert.match(chosen.ok ? "" : chosen.error.what, /AH can't pass the NAT/, text);
  }
});
