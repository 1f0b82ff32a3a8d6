import assert from "node:assert/strict";
import { createCipheriv } from "node:crypto";
import test from "node:test";
import fc from "fast-check";
import { opensslCrypto } from "../../ike/crypto/openssl.ts";
import { Secret } from "../../ike/crypto/secret.ts";
import { ENCRYPTIONS, encryptionNamed } from "../../ike/crypto/suite.ts";
import { type Chain, open, seal } from "../../ike/envelope.ts";
import { decodeHeader, type Header } from "../../isakmp/message.ts";
import { EXCHANGE, FLAG } from "../../isakmp/numbers.ts";
import { type Payload, payload } from "../../isakmp/payloads.ts";
import { hex, PROVIDERS, unhex } from "./crypto/fixtures.ts";
import { MAIN, message, QUICK, SUITE, secretOf } from "./recorded.ts";

const TO = {
  initiatorCookie: new Uint8Array(8).fill(1),
  responderCookie: new Uint8Array(8).fill(2),
  exchange: EXCHANGE["Quick Mode"],
  messageId: 7,
};

function headerOf(bytes: Uint8Array): Header {
  const header = decodeHeader(bytes);
  assert.ok(header.ok);
  return header.value;
}

const chainOf = (name: string, iv: Uint8Array): Chain => {
  const cipher = encryptionNamed(name as "aes128");
  return { cipher, key: new Secret(new Uint8Array(cipher.keyOctets).map((_, i) => i * 7 + 1)), iv };
};
const bodies = (payloads: readonly Payload[]) => payloads.map((p) => [p.name, hex(p.raw)]);

for (const crypto of PROVIDERS)
  test(`a recorded Quick Mode opens message by message along the IV chain (${crypto.name})`, () => {
    const key = secretOf(MAIN.key);
    const names: string[] = [];
    let iv = unhex(QUICK.iv);
    for (const text of QUICK.messages) {
      const bytes = message(text);
      const opened = open(crypto, { cipher: SUITE.encryption, key, iv }, headerOf(bytes), bytes);
      assert.ok(opened.ok);
      names.push(opened.value.payloads.map(({ name }) => name).join(" "));
      assert.equal(hex(opened.value.iv), text.slice(-32));
      iv = opened.value.iv;
    }
    assert.match(names[0] ?? "", /^hash sa nonce/);
    assert.match(names[1] ?? "", /^hash sa nonce/);
    assert.equal(names[2], "hash");
    key.destroy();
  });

test("whatever is sealed is opened again, with every cipher, and both ends go on from the same IV", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...ENCRYPTIONS.map(({ name }) => name)),
      fc.array(fc.uint8Array({ maxLength: 60 }), { minLength: 1, maxLength: 5 }),
      fc.uint8Array({ minLength: 16, maxLength: 16 }),
      (name, contents, random) => {
        const chain = chainOf(name, random.slice(0, encryptionNamed(name).blockOctets));
        const sent = contents.map((data) => payload("nonce", { data }));
        const sealed = seal(opensslCrypto, chain, TO, sent);
        const header = headerOf(sealed.bytes);
        assert.equal(header.length, sealed.bytes.length);
        assert.equal(header.flags, FLAG.ENCRYPTION);
        assert.equal((sealed.bytes.length - 28) % chain.cipher.blockOctets, 0);
        const opened = open(opensslCrypto, chain, header, sealed.bytes);
        assert.ok(opened.ok);
        assert.deepEqual(bodies(opened.value.payloads), bodies(sent));
        assert.deepEqual(hex(opened.value.iv), hex(sealed.iv));
        chain.key.destroy();
      },
    ),
  );
});

test("padding is zeros with their number last, one octet at least (RFC 2409 appendix B)", () => {
  for (let length = 0; length < 20; length++) {
    const chain = chainOf("aes128", new Uint8Array(16).fill(9));
    const sealed = seal(opensslCrypto, chain, TO, [payload("nonce", { data: new Uint8Array(length).fill(0xff) })]);
    const plain = chain.key.use((key) => opensslCrypto.decrypt(chain.cipher, key, chain.iv, sealed.bytes.subarray(28)));
    const padding = plain.subarray(4 + length);
    assert.ok(padding.length >= 1 && padding.length <= 16);
    assert.equal(padding.at(-1), padding.length - 1);
    assert.ok(padding.subarray(0, -1).every((octet) => octet === 0));
    chain.key.destroy();
  }
});

test("padding of any content, and none at all where the payloads fill the last block, is accepted", () => {
  const chain = chainOf("aes128", new Uint8Array(16).fill(3));
  const plain = Uint8Array.from([0, 0, 0, 16, ...new Uint8Array(12).fill(5)]);
  for (const padded of [plain, Uint8Array.from([...plain, ...new Uint8Array(16).fill(0xee)])]) {
    const cipher = chain.key.use((key) => createCipheriv("aes-128-cbc", key, chain.iv)).setAutoPadding(false);
    const body = cipher.update(padded);
    const { bytes } = seal(opensslCrypto, chain, TO, [payload("nonce", { data: new Uint8Array(0) })]);
    const forged = Uint8Array.from([...bytes.subarray(0, 28), ...body]);
    new DataView(forged.buffer).setUint32(24, forged.length);
    const opened = open(opensslCrypto, chain, headerOf(forged), forged);
    assert.ok(opened.ok);
    assert.deepEqual(bodies(opened.value.payloads), [["nonce", "05".repeat(12)]]);
  }
  chain.key.destroy();
});

test("nothing, half blocks and the work of another key are errors and never exceptions", () => {
  const chain = chainOf("aes128", new Uint8Array(16));
  const { bytes } = seal(opensslCrypto, chain, TO, [payload("hash", { data: new Uint8Array(32) })]);
  for (const length of [28, 29, 43, 45]) {
    const cut = Uint8Array.from(bytes.subarray(0, length));
    new DataView(cut.buffer).setUint32(24, length);
    const opened = open(opensslCrypto, chain, headerOf(cut), cut);
    assert.ok(!opened.ok && opened.error.kind === "undecryptable");
    assert.match(opened.error.what, /no multiple of the cipher's block of 16/);
  }
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (key) => {
      const other: Chain = { ...chain, key: new Secret(Uint8Array.from(key)) };
      const opened = open(opensslCrypto, other, headerOf(bytes), bytes);
      other.key.destroy();
      if (!opened.ok) assert.equal(opened.error.kind, "undecryptable");
    }),
  );
  chain.key.destroy();
});
