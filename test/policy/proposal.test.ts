import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  type ChildSuite,
  ENCRYPTIONS,
  ESP_CIPHERS,
  GROUPS,
  HASHES,
  type IkeSuite,
  INTEGRITIES,
  type ProtocolSuite,
} from "../../ike/crypto/suite.ts";
import {
  formatChildSuite,
  formatIkeSuite,
  parseChildSuite,
  parseIkeSuite,
  parseWeakName,
  weakInChildSuite,
  weakInIkeSuite,
} from "../../policy/proposal.ts";
import { parseDuration, parseVolume } from "../../policy/units.ts";

const ikeSuites: fc.Arbitrary<IkeSuite> = fc
  .tuple(fc.constantFrom(...ENCRYPTIONS), fc.constantFrom(...HASHES), fc.constantFrom(...GROUPS))
  .map(([encryption, hash, group]) => ({ encryption, hash, group }));
const integrities = fc.constantFrom(...INTEGRITIES);
const ah: fc.Arbitrary<ProtocolSuite> = integrities.map((integrity) => ({ protocol: "ah", cipher: null, integrity }));
const esp: fc.Arbitrary<ProtocolSuite> = fc
  .tuple(fc.constantFrom(...ESP_CIPHERS), integrities)
  .map(([cipher, integrity]) => ({ protocol: "esp", cipher, integrity: cipher.icvBits === null ? integrity : null }));
const childSuites: fc.Arbitrary<ChildSuite> = fc.oneof(fc.tuple(ah), fc.tuple(esp), fc.tuple(ah, esp));

test("every Main Mode offer reads back from its text", () => {
  fc.assert(fc.property(ikeSuites, (suite) => assert.deepEqual(parseIkeSuite(formatIkeSuite(suite)), { ok: true, value: suite })));
});

test("every Quick Mode offer reads back from its text", () => {
  fc.assert(fc.property(childSuites, (suite) => assert.deepEqual(parseChildSuite(formatChildSuite(suite)), { ok: true, value: suite })));
});

const IKE_SPELLINGS = [
  ["aes-sha-modp2048", "aes128-sha1-modp2048"],
  ["AES256-SHA2_256-CURVE25519", "aes256-sha256-x25519"],
  ["aes192-sha2_384-ecp384", "aes192-sha384-ecp384"],
  ["3des-sha2_512-modp1536", "3des-sha512-modp1536"],
  [" aes256-sha2-ecp256 ", "aes256-sha256-ecp256"],
] as const;
for (const [text, canonical] of IKE_SPELLINGS) {
  test(`${text} means ${canonical}`, () => {
    const suite = parseIkeSuite(text);
    assert.ok(suite.ok);
    assert.equal(formatIkeSuite(suite.value), canonical);
  });
}

const CHILD_SPELLINGS = [
  ["esp:aes-sha", "esp:aes128-sha1"],
  ["esp:aes128gcm128", "esp:aes128gcm16"],
  ["esp:aesgcm", "esp:aes128gcm16"],
  ["esp:aes256gcm", "esp:aes256gcm16"],
  ["esp:null-sha1", "esp:null-sha1"],
  ["esp:3des-sha1+ah:sha1", "ah:sha1+esp:3des-sha1"],
  ["AH:SHA2_512", "ah:sha512"],
] as const;
for (const [text, canonical] of CHILD_SPELLINGS) {
  test(`${text} means ${canonical}`, () => {
    const suite = parseChildSuite(text);
    assert.ok(suite.ok);
    assert.equal(formatChildSuite(suite.value), canonical);
  });
}

const IKE_REFUSALS = [
  ["", '"" is not cipher-hash-group, such as "aes256-sha256-modp2048"'],
  ["aes128-sha1", '"aes128-sha1" is not cipher-hash-group, such as "aes256-sha256-modp2048"'],
  [
    "aes128-aes256-sha1-modp2048",
    '"aes128-aes256-sha1-modp2048" is not cipher-hash-group, such as "aes256-sha256-modp2048"; write one offer each',
  ],
  ["3des192-sha1-modp2048", '"3des192": 3des has one key length only; write 3des'],
  ["des56-sha1-modp2048", '"des56": des has one key length only; write des'],
  ["aes512-sha1-modp2048", 'unknown cipher "aes512"; known are aes128, aes192, aes256, 3des, des'],
  ["aes128gcm16-sha256-modp2048", '"aes128gcm16" is for esp only, IKEv1 itself has no combined modes; write aes128, aes192 or aes256'],
  ["aes128-sha3-modp2048", 'unknown hash "sha3"; known are md5, sha1, sha256, sha384, sha512'],
  ["aes128-prfsha1-modp2048", '"prfsha1": IKEv1 derives its prf from the hash; leave it out'],
  [
    "aes128-sha1-modp2047",
    'unknown group "modp2047"; known are modp768, modp1024, modp1536, modp2048, modp3072, modp4096, modp6144, modp8192, ecp256, ecp384, ecp521, x25519',
  ],
] as const;
for (const [text, message] of IKE_REFUSALS) {
  test(`a Main Mode offer ${JSON.stringify(text)} is refused with a reason`, () => {
    assert.deepEqual(parseIkeSuite(text), { ok: false, error: message });
  });
}

const CHILD_REFUSALS = [
  ["aes128-sha1", '"aes128-sha1" does not say which protocol; write "esp:aes128-sha1", "ah:sha1" or both joined by "+"'],
  ["esp:aes128", 'esp:aes128 has no integrity algorithm; write "esp:aes128-sha256"'],
  ["esp:null", 'esp:null has no integrity algorithm; write "esp:null-sha256"'],
  ["esp:aes128gcm16-sha1", 'aes128gcm16 authenticates by itself and takes no integrity algorithm; "sha1" is too much'],
  ["esp:aes128gcm8", '"aes128gcm8": only tags of 16 octets are known; write aes128gcm16'],
  ["esp:aes128-sha1-modp1024", 'the group of PFS is a key of its own; write pfs = "modp1024"'],
  ["esp:aes128gcm16-curve25519", 'the group of PFS is a key of its own; write pfs = "x25519"'],
  ["esp:aes128-sha1-noesn", 'esp takes a cipher and an integrity algorithm; "noesn" is too much'],
  ["ah:aes128", 'unknown integrity algorithm "aes128"; known are md5, sha1, sha256, sha384, sha512'],
  ["ah:sha1+ah:sha256", '"ah:sha1+ah:sha256" names ah twice; "+" joins one AH and one ESP, alternatives are separate offers'],
  ["ah:sha1+", '"ah:sha1+" does not say which protocol; write "esp:aes128-sha1", "ah:sha1" or both joined by "+"'],
] as const;
for (const [text, message] of CHILD_REFUSALS) {
  test(`a Quick Mode offer ${JSON.stringify(text)} is refused with a reason`, () => {
    assert.deepEqual(parseChildSuite(text), { ok: false, error: message });
  });
}

test("any text is a suite or a refusal, never an exception", () => {
  const words = fc.array(fc.constantFrom("esp:", "ah:", "+", "-", "aes", "128", "sha1", "md5", "modp768", "gcm", "x"), { maxLength: 8 });
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        words.map((parts) => parts.join("")),
      ),
      (text) => {
        for (const result of [parseIkeSuite(text), parseChildSuite(text)]) assert.ok(result.ok || result.error.length > 0);
      },
    ),
  );
});

test("DES, MD5 and groups 1 and 2 are weak, 3DES, SHA-1 and group 5 are not", () => {
  const weakIke = (text: string) => {
    const suite = parseIkeSuite(text);
    return suite.ok && weakInIkeSuite(suite.value);
  };
  const weakChild = (text: string) => {
    const suite = parseChildSuite(text);
    return suite.ok && weakInChildSuite(suite.value);
  };
  assert.deepEqual(weakIke("des-md5-modp768"), ["des", "md5", "modp768"]);
  assert.deepEqual(weakIke("aes128-sha1-modp1024"), ["modp1024"]);
  assert.deepEqual(weakIke("3des-sha1-modp1536"), []);
  assert.deepEqual(weakChild("ah:md5+esp:des-md5"), ["md5", "des"]);
  assert.deepEqual(weakChild("ah:sha1+esp:3des-sha1"), []);
  assert.deepEqual(parseWeakName("MODP1024"), { ok: true, value: "modp1024" });
  assert.deepEqual(parseWeakName("3des"), {
    ok: false,
    error: '"3des" is not a weak algorithm; those are des, md5, modp768, modp1024, rsa1024, sha1-certificates, v1-ca',
  });
});

test("durations and volumes have units, and limits that the wire can carry", () => {
  const durations = { "30s": 30, "5m": 300, "480m": 28800, "8h": 28800, "4294967295s": 4294967295 };
  for (const [text, seconds] of Object.entries(durations)) assert.deepEqual(parseDuration(text), { ok: true, value: seconds });
  for (const text of ["480", "0s", "1.5h", "-5m", "4294967296s", "1d", "", "5 m"]) assert.equal(parseDuration(text).ok, false, text);
  const volumes = { "100MB": 1e8, "100MiB": 104857600, "2GB": 2e9, "1 kB": 1000, "4294967295kB": 4294967295000, "1KiB": 1024 };
  for (const [text, octets] of Object.entries(volumes)) assert.deepEqual(parseVolume(text), { ok: true, value: octets });
  for (const text of ["100", "0MB", "999", "100mb", "4294967296kB", "1TB", ""]) assert.equal(parseVolume(text).ok, false, text);
});
