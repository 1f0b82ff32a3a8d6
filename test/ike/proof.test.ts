import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import test from "node:test";
import fc from "fast-check";
import { opensslCrypto } from "../../ike/crypto/openssl.ts";
import { Secret } from "../../ike/crypto/secret.ts";
import { HASHES } from "../../ike/crypto/suite.ts";
import { open } from "../../ike/envelope.ts";
import { afterHash, hash1, hash2, hash3, phase1Hash } from "../../ike/proof.ts";
import { decodeHeader, decodePayloads, encodePayloads } from "../../isakmp/message.ts";
import { PAYLOAD } from "../../isakmp/numbers.ts";
import { uint32Octets } from "../../isakmp/octets.ts";
import { payload } from "../../isakmp/payloads.ts";
import { hex, PROVIDERS, unhex } from "./crypto/fixtures.ts";
import { MAIN, message, QUICK, SUITE, secretOf } from "./recorded.ts";

/** The plaintext and payloads of the recorded Quick Mode. */
function openedQuickMode() {
  const key = secretOf(MAIN.key);
  let iv = unhex(QUICK.iv);
  const opened = QUICK.messages.map((text) => {
    const bytes = message(text);
    const header = decodeHeader(bytes);
    assert.ok(header.ok);
    const result = open(opensslCrypto, { cipher: SUITE.encryption, key, iv }, header.value, bytes);
    assert.ok(result.ok);
    iv = result.value.iv;
    return result.value;
  });
  key.destroy();
  return opened;
}

for (const crypto of PROVIDERS)
  test(`HASH(1) to HASH(3) of a recorded Quick Mode (${crypto.name})`, () => {
    const [m1, m2, m3] = openedQuickMode();
    assert.ok(m1 && m2 && m3);
    const skeyidA = secretOf(MAIN.skeyidA);
    const messageId = Number.parseInt(QUICK.messageId, 16);
    const [ni, nr] = [unhex(QUICK.nonceI), unhex(QUICK.nonceR)];
    const [rest1, rest2] = [afterHash(m1.payloads, m1.plain), afterHash(m2.payloads, m2.plain)];
    assert.ok(rest1 && rest2);
    const hashes = [
      hash1(crypto, SUITE.hash, skeyidA, messageId, rest1),
      hash2(crypto, SUITE.hash, skeyidA, messageId, ni, rest2),
      hash3(crypto, SUITE.hash, skeyidA, messageId, ni, nr),
    ];
    assert.deepEqual(hashes.map(hex), [QUICK.hash1, QUICK.hash2, QUICK.hash3]);
    assert.deepEqual(
      [m1, m2, m3].map(({ payloads }) => hex(payloads[0]?.raw ?? new Uint8Array(0))),
      [QUICK.hash1, QUICK.hash2, QUICK.hash3],
    );
    skeyidA.destroy();
  });

test("HASH_I and HASH_R are taken over public values, cookies, SA and identity in the order of RFC 2409 §5", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...HASHES),
      fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 }), { minLength: 7, maxLength: 7 }),
      (hash, parts) => {
        const [key, ...t] = parts as [Uint8Array, Uint8Array, Uint8Array, Uint8Array, Uint8Array, Uint8Array, Uint8Array];
        const secret = new Secret(Uint8Array.from(key));
        const [ownPublic, peerPublic, ownCookie, peerCookie, saBody, ownIdBody] = t;
        const digest = phase1Hash(opensslCrypto, hash, secret, { ownPublic, peerPublic, ownCookie, peerCookie, saBody, ownIdBody });
        assert.equal(hex(digest), createHmac(hash.name, key).update(Buffer.concat(t)).digest("hex"));
        secret.destroy();
      },
    ),
  );
});

test("afterHash leaves out HASH and the padding, and keeps everything between, generic headers included", () => {
  const rest = [payload("nonce", { data: Uint8Array.of(1, 2, 3) }), payload("vid", { data: Uint8Array.of(4) })];
  const plain = Uint8Array.from([...encodePayloads([payload("hash", { data: new Uint8Array(20) }), ...rest]), 0, 0, 0, 3]);
  const payloads = decodePayloads(PAYLOAD.HASH, plain, { padding: true });
  assert.ok(payloads.ok);
  assert.equal(hex(afterHash(payloads.value, plain) ?? new Uint8Array(0)), hex(encodePayloads(rest)));
});

test("afterHash wants HASH first, and takes nothing after it for nothing", () => {
  const alone = encodePayloads([payload("hash", { data: new Uint8Array(20) })]);
  const late = encodePayloads([payload("nonce", { data: new Uint8Array(8) }), payload("hash", { data: new Uint8Array(20) })]);
  const [one, two] = [decodePayloads(PAYLOAD.HASH, alone), decodePayloads(PAYLOAD.NONCE, late)];
  assert.ok(one.ok && two.ok);
  assert.equal(afterHash(one.value, alone)?.length, 0);
  assert.equal(afterHash(two.value, late), undefined);
  assert.equal(afterHash([], new Uint8Array(0)), undefined);
});

test("uint32 is big-endian over the whole range", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 0xffffffff }), (n) => {
      assert.equal(hex(uint32Octets(n)), n.toString(16).padStart(8, "0"));
    }),
  );
});
