/** What we announce, and what we read out of a peer's announcements. */
import assert from "node:assert/strict";
import test from "node:test";
import { opensslCrypto } from "../../ike/crypto/openssl.ts";
import { addTraits, ownVendorIds, traitsOf, windowsText } from "../../ike/vendor.ts";
import { payload } from "../../isakmp/payloads.ts";
import { describeVendor, knownVendor, VENDOR_IDS, type VendorName } from "../../isakmp/vendor-ids.ts";
import { RELEASES } from "../sim/windows-releases.ts";

const vid = (name: VendorName, ...tail: readonly number[]) =>
  payload("vid", { data: Uint8Array.from([...VENDOR_IDS[name].bytes, ...tail]) });
const vidsOf = (name: string) =>
  (RELEASES.find((release) => release.name === name)?.vids ?? []).flatMap((p) => (p.name === "vid" ? [p] : []));

test("whatever is offered, nothing of ours invites AuthIP or claims to be Windows", () => {
  for (const gss of [true, false])
    for (const fragments of [true, false])
      for (const contact of [true, false]) {
        const names = ownVendorIds(opensslCrypto, { gss, fragments, contact }).map((p) =>
          p.name === "vid" ? knownVendor(p.value.data) : "?",
        );
        for (const name of ["MamieExists", "Key Mods", "AuthIP DH", "MS NT5", "CGA", "NLBS"] as const) assert.ok(!names.includes(name));
        assert.deepEqual(
          ["GSSAPI", "FRAGMENTATION", "Initial Contact"].map((name) => names.includes(name as VendorName)),
          [gss, fragments, contact],
        );
      }
});

test("fragmentation is announced with the capability of Main Mode, which strongSwan and racoon look for", () => {
  const ours = ownVendorIds(opensslCrypto, { gss: false, fragments: true, contact: false }).at(-1);
  assert.ok(ours?.name === "vid");
  assert.equal(describeVendor(ours.value.data), "FRAGMENTATION, Main Mode");
});

test("a peer takes fragments if it says so without capabilities, as Windows does, or with that of Main Mode", () => {
  assert.equal(traitsOf([vid("FRAGMENTATION")]).fragments, true);
  assert.equal(traitsOf([vid("FRAGMENTATION", 0x80, 0, 0, 0)]).fragments, true);
  assert.equal(traitsOf([vid("FRAGMENTATION", 0xc0, 0, 0, 0)]).fragments, true);
  assert.equal(traitsOf([vid("FRAGMENTATION", 0x40, 0, 0, 0)]).fragments, false);
  assert.equal(traitsOf([vid("RFC 3947")]).fragments, false);
});

test("releases of Windows are told apart, and AuthIP is seen", () => {
  assert.equal(windowsText(traitsOf(vidsOf("Windows XP"))), "Windows XP");
  assert.equal(windowsText(traitsOf(vidsOf("Windows 7"))), "Windows 7, which offers AuthIP too");
  assert.equal(windowsText(traitsOf([vid("MS NT5", 0, 0, 0, 77)])), "Windows");
  assert.equal(windowsText(traitsOf([vid("MS NT5")])), "Windows");
  assert.equal(windowsText(traitsOf([vid("DPD")])), null);
});

test("what one message announced and another did not is still announced", () => {
  const both = addTraits(traitsOf([vid("FRAGMENTATION"), vid("NLBS")]), [vid("MS NT5", 0, 0, 0, 4)]);
  assert.deepEqual([both.fragments, both.cluster, both.windows, both.release, both.authip], [true, true, true, 4, false]);
});
