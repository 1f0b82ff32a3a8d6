import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { nobleCrypto } from "../../../ike/crypto/noble.ts";
import { opensslCrypto } from "../../../ike/crypto/openssl.ts";
import { ENCRYPTIONS, type EncryptionName, encryptionNamed, HASHES, type HashName } from "../../../ike/crypto/suite.ts";
import { vectors } from "../../vectors.ts";
import { hex, PROVIDERS, unhex } from "./fixtures.ts";

interface HashVector {
  readonly source: string;
  readonly hash: HashName;
  readonly message: string;
  readonly digest: string;
}
interface HmacVector {
  readonly source: string;
  readonly hash: HashName;
  readonly key: string;
  readonly message: string;
  readonly mac: string;
}
interface CbcVector {
  readonly source: string;
  readonly cipher: EncryptionName;
  readonly key: string;
  readonly iv: string;
  readonly plaintext: string;
  readonly ciphertext: string;
}

const HASH_VECTORS = vectors<readonly HashVector[]>("hash");
const HMAC_VECTORS = vectors<readonly HmacVector[]>("hmac");
const CBC_VECTORS = vectors<readonly CbcVector[]>("cbc");

const octets = (maxLength: number) => fc.uint8Array({ maxLength });
const exactly = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });

/** Cuts in three, at places that depend on the length alone. */
const thirds = (whole: Uint8Array): Uint8Array[] => {
  const cut = Math.ceil(whole.length / 3);
  return [whole.subarray(0, cut), whole.subarray(cut, 2 * cut), whole.subarray(2 * cut)];
};

describe("the published vectors cover", () => {
  it("every hash, as such and as HMAC, and every cipher", () => {
    const hashes = HASHES.map(({ name }) => name).sort();
    assert.deepEqual([...new Set(HASH_VECTORS.map(({ hash }) => hash))].sort(), hashes);
    assert.deepEqual([...new Set(HMAC_VECTORS.map(({ hash }) => hash))].sort(), hashes);
    assert.deepEqual([...new Set(CBC_VECTORS.map(({ cipher }) => cipher))].sort(), ENCRYPTIONS.map(({ name }) => name).sort());
  });
});

for (const crypto of PROVIDERS) {
  describe(`${crypto.name} computes the published`, () => {
    for (const [n, { source, hash, message, digest }] of HASH_VECTORS.entries()) {
      it(`${hash} of ${source}, ${message.length / 2} octets (${n})`, () => {
        assert.equal(hex(crypto.hash(hash, unhex(message))), digest);
        assert.equal(hex(crypto.hash(hash, ...thirds(unhex(message)))), digest);
      });
    }

    for (const { source, hash, key, message, mac } of HMAC_VECTORS) {
      it(`HMAC-${hash} of ${source}`, () => {
        assert.equal(hex(crypto.hmac(hash, unhex(key), unhex(message))), mac);
        assert.equal(hex(crypto.hmac(hash, unhex(key), ...thirds(unhex(message)))), mac);
      });
    }

    for (const { source, cipher, key, iv, plaintext, ciphertext } of CBC_VECTORS) {
      it(`${cipher} of ${source}, both ways`, () => {
        const algorithm = encryptionNamed(cipher);
        assert.equal(hex(crypto.encrypt(algorithm, unhex(key), unhex(iv), unhex(plaintext))), ciphertext);
        assert.equal(hex(crypto.decrypt(algorithm, unhex(key), unhex(iv), unhex(ciphertext))), plaintext);
      });
    }
  });

  describe(crypto.name, () => {
    it("hashes nothing at all", () => {
      assert.equal(hex(crypto.hash("md5")), "d41d8cd98f00b204e9800998ecf8427e");
      assert.equal(hex(crypto.hmac("md5", new Uint8Array(0))), "74e6f7298a9c2d168935f58c001bad88");
    });

    it("throws for keys, IVs and data of a wrong size, which are bugs of ours", () => {
      for (const cipher of ENCRYPTIONS) {
        const key = new Uint8Array(cipher.keyOctets);
        const iv = new Uint8Array(cipher.blockOctets);
        const block = new Uint8Array(cipher.blockOctets);
        for (const run of [crypto.encrypt, crypto.decrypt]) {
          for (const size of [0, cipher.keyOctets - 8, cipher.keyOctets + 8, 16, 24, 32].filter((n) => n !== cipher.keyOctets)) {
            assert.throws(() => run(cipher, new Uint8Array(size), iv, block), `${cipher.name}, key of ${size}`);
          }
          assert.throws(() => run(cipher, key, iv.subarray(1), block), `${cipher.name}, short IV`);
          assert.throws(() => run(cipher, key, iv, block.subarray(1)), `${cipher.name}, ragged data`);
          assert.throws(() => run(cipher, key, iv, new Uint8Array(2 * cipher.blockOctets + 1)), `${cipher.name}, ragged data`);
        }
      }
    });

    it("gives plain arrays in memory of their own, which a Secret can own and wipe", () => {
      const aes = encryptionNamed("aes128");
      const des = encryptionNamed("des");
      const results = [
        crypto.hash("sha1", unhex("00")),
        crypto.hash("sha256", unhex("00"), unhex("01")),
        crypto.hmac("sha1", unhex("00"), unhex("01")),
        crypto.encrypt(aes, new Uint8Array(16), new Uint8Array(16), new Uint8Array(32)),
        crypto.decrypt(aes, new Uint8Array(16), new Uint8Array(16), new Uint8Array(32)),
        crypto.encrypt(des, new Uint8Array(8), new Uint8Array(8), new Uint8Array(16)),
      ];
      for (const result of results) {
        assert.equal(Object.getPrototypeOf(result), Uint8Array.prototype);
        assert.equal(result.buffer.byteLength, result.length);
      }
    });

    it("leaves keys, IVs and data as they were", () => {
      for (const cipher of ENCRYPTIONS) {
        const inputs = [cipher.keyOctets, cipher.blockOctets, 2 * cipher.blockOctets].map((n) => new Uint8Array(n).fill(7)) as [
          Uint8Array,
          Uint8Array,
          Uint8Array,
        ];
        crypto.encrypt(cipher, ...inputs);
        crypto.decrypt(cipher, ...inputs);
        for (const input of inputs) assert.ok(input.every((octet) => octet === 7));
      }
    });
  });
}

describe("both providers give the same", () => {
  for (const { name } of HASHES) {
    it(`${name} and HMAC-${name}, however the input is cut`, () => {
      fc.assert(
        fc.property(octets(300), fc.array(octets(200), { maxLength: 5 }), (key, chunks) => {
          const whole = Uint8Array.from(Buffer.concat(chunks));
          const digest = hex(opensslCrypto.hash(name, ...chunks));
          assert.equal(hex(nobleCrypto.hash(name, ...chunks)), digest);
          assert.equal(hex(opensslCrypto.hash(name, whole)), digest);
          const mac = hex(opensslCrypto.hmac(name, key, ...chunks));
          assert.equal(hex(nobleCrypto.hmac(name, key, ...chunks)), mac);
          assert.equal(hex(opensslCrypto.hmac(name, key, whole)), mac);
        }),
      );
    });
  }

  for (const cipher of ENCRYPTIONS) {
    it(`${cipher.name}, and each undoes the other`, () => {
      const blocks = fc.nat(20).chain((n) => exactly(n * cipher.blockOctets));
      fc.assert(
        fc.property(exactly(cipher.keyOctets), exactly(cipher.blockOctets), blocks, (key, iv, data) => {
          const sealed = opensslCrypto.encrypt(cipher, key, iv, data);
          assert.deepEqual(nobleCrypto.encrypt(cipher, key, iv, data), sealed);
          assert.deepEqual(nobleCrypto.decrypt(cipher, key, iv, sealed), data);
          assert.deepEqual(opensslCrypto.decrypt(cipher, key, iv, sealed), data);
        }),
      );
    });
  }

  it("for octets at odd places of a larger buffer, as datagrams have them", () => {
    const buffer = Buffer.from("00112233445566778899aabbccddeeff".repeat(4), "hex");
    const cut = (at: number, length: number) => buffer.subarray(at, at + length);
    const cipher = encryptionNamed("aes256");
    const args = [cut(1, 32), cut(3, 16), cut(5, 48)] as const;
    assert.deepEqual(nobleCrypto.encrypt(cipher, ...args), opensslCrypto.encrypt(cipher, ...args));
    assert.deepEqual(nobleCrypto.decrypt(cipher, ...args), opensslCrypto.decrypt(cipher, ...args));
    assert.deepEqual(nobleCrypto.hmac("sha1", cut(7, 20), cut(9, 33)), opensslCrypto.hmac("sha1", cut(7, 20), cut(9, 33)));
  });
});
