import assert from "node:assert/strict";
import { createHash, createHmac } from "node:crypto";
import { describe, it } from "node:test";
import fc from "fast-check";
import { Secret } from "../../ike/crypto/secret.ts";
import {
  ENCRYPTIONS,
  type EncryptionName,
  encryptionNamed,
  groupNamed,
  HASHES,
  type HashName,
  hashNamed,
  type IkeSuite,
} from "../../ike/crypto/suite.ts";
import { cipherKey, deriveSkeyids, keymat, phase1Iv, phase2Iv, skeyidPsk, skeyidSignature, splitKeymat } from "../../ike/keys.ts";
import { PROTOCOL } from "../../isakmp/numbers.ts";
import { vectors } from "../vectors.ts";
import { hex, PROVIDERS, reveal, secret, unhex } from "./crypto/fixtures.ts";

interface Direction {
  readonly spi: string;
  readonly cipherKey: string;
  readonly integrityKey: string;
}
const { mainMode: MAIN, quickMode: QUICK } = vectors<{
  readonly mainMode: Readonly<
    Record<
      | "cookieI"
      | "cookieR"
      | "saI"
      | "nonceI"
      | "nonceR"
      | "publicI"
      | "publicR"
      | "shared"
      | "tokenI"
      | "tokenR"
      | "skeyid"
      | "skeyidD"
      | "skeyidA"
      | "skeyidE"
      | "key"
      | "iv"
      | "idI"
      | "idR"
      | "gssNameI"
      | "gssNameR"
      | "hashI"
      | "hashR"
      | "wrappedHashI"
      | "wrappedHashR",
      string
    > & { messages: readonly string[] }
  >;
  readonly quickMode: Readonly<
    Record<"messageId" | "iv" | "hash1" | "hash2" | "hash3" | "nonceI" | "nonceR", string> & {
      messages: readonly string[];
      toResponder: Direction;
      toInitiator: Direction;
    }
  >;
}>("kerberos");

const { derivations: NIST, appendixB: EXPANSIONS } = vectors<{
  readonly derivations: readonly {
    readonly hash: HashName;
    readonly signature: Readonly<Record<"gxy" | "ni" | "nr" | "skeyid", string>>;
    readonly psk: Readonly<Record<"key" | "ni" | "nr" | "skeyid", string>>;
    readonly cookieI: string;
    readonly cookieR: string;
    readonly d: string;
    readonly a: string;
    readonly e: string;
  }[];
  readonly appendixB: readonly {
    readonly hash: HashName;
    readonly cipher: EncryptionName;
    readonly skeyidE: string;
    readonly key: string;
  }[];
}>("skeyid");

const SUITE: IkeSuite = { encryption: encryptionNamed("aes256"), hash: hashNamed("sha1"), group: groupNamed("modp1024") };
const HEADER = 28;
const HASH_PAYLOAD = 4 + 20;

const octets = (maxLength: number) => fc.uint8Array({ maxLength });
const concat = (...parts: readonly string[]) => unhex(parts.join(""));

/** What RFC 2409 says, written down as plainly as can be, for the functions under test to be held against. */
const prf = (hash: HashName, key: Uint8Array, ...parts: readonly Uint8Array[]): Buffer =>
  createHmac(hash, key).update(Buffer.concat(parts)).digest();
const byte = (value: number): Uint8Array => Uint8Array.of(value);

for (const crypto of PROVIDERS) {
  describe(`with ${crypto.name}, a captured negotiation with Kerberos`, () => {
    const { hash } = SUITE;
    const skeyids = () => deriveSkeyids(crypto, hash, secret(MAIN.skeyid), secret(MAIN.shared), unhex(MAIN.cookieI), unhex(MAIN.cookieR));

    it("has the SKEYID of signatures", () => {
      assert.equal(reveal(skeyidSignature(crypto, hash, unhex(MAIN.nonceI), unhex(MAIN.nonceR), secret(MAIN.shared))), MAIN.skeyid);
    });

    it("has these SKEYID_d, SKEYID_a and SKEYID_e", () => {
      const { d, a, e } = skeyids();
      assert.deepEqual([reveal(d), reveal(a), reveal(e)], [MAIN.skeyidD, MAIN.skeyidA, MAIN.skeyidE]);
    });

    it("has this AES key, longer than SKEYID_e, and this first IV", () => {
      assert.equal(reveal(cipherKey(crypto, SUITE, secret(MAIN.skeyidE))), MAIN.key);
      assert.equal(hex(phase1Iv(crypto, SUITE, unhex(MAIN.publicI), unhex(MAIN.publicR))), MAIN.iv);
    });

    it("opens messages 5 and 6, which carry the identities and the wrapped hashes", () => {
      const [fifth = "", sixth = ""] = MAIN.messages.slice(4);
      const open = (message: string, iv: string) =>
        hex(crypto.decrypt(SUITE.encryption, unhex(MAIN.key), unhex(iv), unhex(message).subarray(HEADER)));
      const first = open(fifth, MAIN.iv);
      assert.ok(first.includes(MAIN.idI) && first.includes(MAIN.wrappedHashI));
      const second = open(sixth, fifth.slice(-32));
      assert.ok(second.includes(MAIN.idR) && second.includes(MAIN.wrappedHashR));
    });

    it("has this HASH_I and HASH_R under SKEYID", () => {
      const { publicI, publicR, cookieI, cookieR, saI } = MAIN;
      const hashI = concat(publicI, publicR, cookieI, cookieR, saI, MAIN.idI, MAIN.gssNameI, MAIN.tokenI);
      const hashR = concat(publicR, publicI, cookieR, cookieI, saI, MAIN.idR, MAIN.gssNameR, MAIN.tokenR);
      assert.equal(hex(crypto.hmac("sha1", unhex(MAIN.skeyid), hashI)), MAIN.hashI);
      assert.equal(hex(crypto.hmac("sha1", unhex(MAIN.skeyid), hashR)), MAIN.hashR);
    });

    it("has this first IV of Quick Mode, from the last block of Main Mode", () => {
      const lastBlock = unhex((MAIN.messages.at(-1) ?? "").slice(-32));
      assert.equal(hex(phase2Iv(crypto, SUITE, lastBlock, Number.parseInt(QUICK.messageId, 16))), QUICK.iv);
    });

    it("proves its Quick Mode messages with SKEYID_a", () => {
      let iv = unhex(QUICK.iv);
      const opened = QUICK.messages.map((message) => {
        const sealed = unhex(message).subarray(HEADER);
        const plain = crypto.decrypt(SUITE.encryption, unhex(MAIN.key), iv, sealed);
        iv = sealed.slice(-16);
        return plain;
      });
      const mac = (...parts: readonly Uint8Array[]) => hex(crypto.hmac("sha1", unhex(MAIN.skeyidA), ...parts));
      const messageId = unhex(QUICK.messageId);
      const [ni, nr] = [unhex(QUICK.nonceI), unhex(QUICK.nonceR)];
      const [first, second, third] = opened as [Uint8Array, Uint8Array, Uint8Array];
      assert.deepEqual(
        [first, second, third].map((plain) => hex(plain.subarray(4, HASH_PAYLOAD))),
        [QUICK.hash1, QUICK.hash2, QUICK.hash3],
      );
      // 156 octets of message, 28 of header, and SA, nonce and two IDs end where the padding begins.
      const payloads = (plain: Uint8Array) => plain.subarray(HASH_PAYLOAD, HASH_PAYLOAD + 52 + 20 + 12 + 12);
      assert.equal(mac(messageId, payloads(first)), QUICK.hash1);
      assert.equal(mac(messageId, ni, payloads(second)), QUICK.hash2);
      assert.equal(mac(byte(0), messageId, ni, nr), QUICK.hash3);
    });

    for (const name of ["toResponder", "toInitiator"] as const) {
      it(`has these ESP keys ${name === "toResponder" ? "to the responder" : "to the initiator"}`, () => {
        const { spi, cipherKey: cipher, integrityKey } = QUICK[name];
        const [ni, nr] = [unhex(QUICK.nonceI), unhex(QUICK.nonceR)];
        const material = keymat(crypto, hash, secret(MAIN.skeyidD), null, PROTOCOL.ESP, unhex(spi), ni, nr, 36);
        assert.deepEqual(splitKeymat(material, [16, 20]).map(reveal), [cipher, integrityKey]);
      });
    }
  });

  describe(`with ${crypto.name}, the published derivations`, () => {
    for (const { hash: name, signature, psk, cookieI, cookieR, ...expected } of NIST) {
      const hash = hashNamed(name);

      it(`give SKEYID of signatures and of pre-shared keys: ${name}`, () => {
        const { gxy, ni, nr, skeyid } = signature;
        assert.equal(reveal(skeyidSignature(crypto, hash, unhex(ni), unhex(nr), secret(gxy))), skeyid);
        assert.equal(reveal(skeyidPsk(crypto, hash, secret(psk.key), unhex(psk.ni), unhex(psk.nr))), psk.skeyid);
      });

      it(`give SKEYID_d, SKEYID_a and SKEYID_e: ${name}`, () => {
        const { skeyid, gxy } = signature;
        const { d, a, e } = deriveSkeyids(crypto, hash, secret(skeyid), secret(gxy), unhex(cookieI), unhex(cookieR));
        assert.deepEqual({ d: reveal(d), a: reveal(a), e: reveal(e) }, expected);
      });
    }

    for (const { hash, cipher, skeyidE, key } of EXPANSIONS) {
      it(`give a key longer than SKEYID_e: ${cipher} with ${hash}`, () => {
        const suite = { ...SUITE, encryption: encryptionNamed(cipher), hash: hashNamed(hash) };
        assert.equal(reveal(cipherKey(crypto, suite, secret(skeyidE))), key);
      });
    }
  });

  describe(`with ${crypto.name}`, () => {
    for (const hash of HASHES) {
      it(`SKEYID and what follows from it are what RFC 2409 §5 says: ${hash.name}`, () => {
        fc.assert(
          fc.property(octets(100), octets(256), octets(256), octets(260), octets(8), octets(8), (psk, ni, nr, gxy, i, r) => {
            assert.equal(reveal(skeyidPsk(crypto, hash, new Secret(psk.slice()), ni, nr)), prf(hash.name, psk, ni, nr).toString("hex"));
            const skeyid = prf(hash.name, Buffer.concat([ni, nr]), gxy);
            assert.equal(reveal(skeyidSignature(crypto, hash, ni, nr, new Secret(gxy.slice()))), skeyid.toString("hex"));

            const expectedD = prf(hash.name, skeyid, gxy, i, r, byte(0));
            const expectedA = prf(hash.name, skeyid, expectedD, gxy, i, r, byte(1));
            const expectedE = prf(hash.name, skeyid, expectedA, gxy, i, r, byte(2));
            const { d, a, e } = deriveSkeyids(crypto, hash, secret(skeyid.toString("hex")), new Secret(gxy.slice()), i, r);
            assert.deepEqual([d, a, e].map(reveal), [expectedD, expectedA, expectedE].map(hex));
          }),
          { numRuns: 30 },
        );
      });

      for (const encryption of ENCRYPTIONS) {
        const suite: IkeSuite = { encryption, hash, group: groupNamed("modp2048") };

        it(`the key of ${encryption.name} comes from SKEYID_e of ${hash.name} as appendix B says`, () => {
          const e = createHash(hash.name).update(encryption.name).digest();
          const blocks = [prf(hash.name, e, byte(0))];
          while (Buffer.concat(blocks).length < 64) blocks.push(prf(hash.name, e, blocks.at(-1) ?? e));
          const expected = (e.length >= encryption.keyOctets ? e : Buffer.concat(blocks)).subarray(0, encryption.keyOctets);
          const key = cipherKey(crypto, suite, secret(e.toString("hex")));
          assert.equal(reveal(key), expected.toString("hex"));
          assert.equal(key.length, encryption.keyOctets);
        });

        it(`IVs of ${encryption.name} are cut from hashes by ${hash.name}`, () => {
          const digest = (...parts: readonly Uint8Array[]) =>
            createHash(hash.name)
              .update(Buffer.concat(parts))
              .digest("hex")
              .slice(0, 2 * encryption.blockOctets);
          const [gxi, gxr] = [unhex("0011".repeat(128)), unhex("2233".repeat(128))];
          assert.equal(hex(phase1Iv(crypto, suite, gxi, gxr)), digest(gxi, gxr));
          const block = unhex("7f".repeat(encryption.blockOctets));
          for (const [id, text] of [
            [1, "00000001"],
            [0x12345678, "12345678"],
            [0x80000000, "80000000"],
            [0xffffffff, "ffffffff"],
          ] as const) {
            assert.equal(hex(phase2Iv(crypto, suite, block, id)), digest(block, unhex(text)));
          }
        });
      }

      it(`KEYMAT is as long as asked for, with and without PFS, as RFC 2409 §5.5 says: ${hash.name}`, () => {
        const cases = fc.tuple(octets(64), fc.option(octets(256)), fc.constantFrom(2, 3), octets(256), octets(256), fc.nat(300));
        fc.assert(
          fc.property(cases, ([skeyidD, gxy, protocol, ni, nr, length]) => {
            const spi = unhex("c0ffee01");
            const tail = [gxy ?? new Uint8Array(0), byte(protocol), spi, ni, nr];
            const blocks: Buffer[] = [];
            while (blocks.length * hash.octets < length) blocks.push(prf(hash.name, skeyidD, ...blocks.slice(-1), ...tail));
            const expected = Buffer.concat(blocks).subarray(0, length);
            const shared = gxy && new Secret(gxy.slice());
            const material = keymat(crypto, hash, new Secret(skeyidD.slice()), shared, protocol, spi, ni, nr, length);
            assert.equal(reveal(material), expected.toString("hex"));
            assert.equal(material.length, length);
          }),
          { numRuns: 40 },
        );
      });
    }

    it("leaves the secrets it was given alive and unchanged", () => {
      const [psk, gxy, skeyid] = [secret("aa".repeat(9)), secret("bb".repeat(128)), secret("cc".repeat(20))];
      const cookie = unhex("0102030405060708");
      skeyidPsk(crypto, SUITE.hash, psk, cookie, cookie);
      skeyidSignature(crypto, SUITE.hash, cookie, cookie, gxy);
      deriveSkeyids(crypto, SUITE.hash, skeyid, gxy, cookie, cookie);
      cipherKey(crypto, SUITE, skeyid);
      keymat(crypto, SUITE.hash, skeyid, gxy, PROTOCOL.AH, unhex("00001000"), cookie, cookie, 50);
      assert.deepEqual([psk, gxy, skeyid].map(reveal), ["aa".repeat(9), "bb".repeat(128), "cc".repeat(20)]);
    });

    it("gives keys that outlive SKEYID_e, even where that is a Buffer", () => {
      const e = new Secret(Buffer.from("ab".repeat(20), "hex"));
      const key = cipherKey(crypto, { ...SUITE, encryption: encryptionNamed("aes128") }, e);
      e.destroy();
      assert.equal(reveal(key), "ab".repeat(16));
    });
  });
}

describe("splitKeymat", () => {
  it("cuts in the order given, with empty keys and salts where lengths say so", () => {
    const material = secret("00112233445566778899");
    assert.deepEqual(splitKeymat(material, [3, 0, 5, 2]).map(reveal), ["001122", "", "3344556677", "8899"]);
    assert.deepEqual(splitKeymat(secret(""), []).length, 0);
  });

  it("gives copies, so that what was cut can be destroyed", () => {
    const material = new Secret(Buffer.from("00112233", "hex"));
    const [first] = splitKeymat(material, [2, 2]);
    material.destroy();
    assert.equal(first && reveal(first), "0011");
  });

  it("throws when octets would be missing or left over", () => {
    assert.throws(() => splitKeymat(secret("0011"), [3]), RangeError);
    assert.throws(() => splitKeymat(secret("0011"), [1]), RangeError);
  });
});
