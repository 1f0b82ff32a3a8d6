import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type ModpName, modpPrime } from "../../../ike/crypto/modp.ts";
import { nobleCrypto } from "../../../ike/crypto/noble.ts";
import { opensslCrypto } from "../../../ike/crypto/openssl.ts";
import { liveSecrets } from "../../../ike/crypto/secret.ts";
import { GROUPS, type Group, type GroupName, groupNamed } from "../../../ike/crypto/suite.ts";
import { vectors } from "../../vectors.ts";
import { agreed, drawing, hex, outcome, reveal, seeded, unhex } from "./fixtures.ts";

/** The constants c of RFC 2409 §6.1 and §6.2 and RFC 3526 §2 to §7. */
const CONSTANTS: Readonly<Record<ModpName, readonly [bits: number, c: bigint]>> = {
  modp768: [768, 149686n],
  modp1024: [1024, 129093n],
  modp1536: [1536, 741804n],
  modp2048: [2048, 124476n],
  modp3072: [3072, 1690314n],
  modp4096: [4096, 240904n],
  modp6144: [6144, 929484n],
  modp8192: [8192, 4743158n],
};

const { modp: LEADING_ZEROS } = vectors<{
  readonly modp: readonly { readonly group: GroupName; readonly shortPublic: string; readonly shortSecretWith4: string }[];
}>("leading-zeros");

const MODP = GROUPS.filter(({ kind }) => kind === "modp");
const primeOf = (group: Group): bigint => toNumber(modpPrime(group.name as ModpName));
const toNumber = (octets: Uint8Array): bigint => BigInt(`0x${hex(octets)}`);
const toOctets = (value: bigint, length: number): Uint8Array => unhex(value.toString(16).padStart(2 * length, "0"));

function power(base: bigint, exponent: bigint, modulus: bigint): bigint {
  let result = 1n;
  for (let square = base % modulus, left = exponent; left > 0n; left >>= 1n, square = (square * square) % modulus) {
    if (left & 1n) result = (result * square) % modulus;
  }
  return result;
}

/** floor(2^bits * pi), by Machin's formula with 64 guard bits. */
function scaledPi(bits: number): bigint {
  const one = 1n << BigInt(bits + 64);
  const arctanOfInverse = (x: bigint) => {
    let sum = 0n;
    for (let term = one / x, n = 1n, sign = 1n; term > 0n; term /= x * x, n += 2n, sign = -sign) sum += (sign * term) / n;
    return sum;
  };
  return (4n * (4n * arctanOfInverse(5n) - arctanOfInverse(239n))) >> 64n;
}

describe("the MODP primes", () => {
  for (const [name, [bits, c]] of Object.entries(CONSTANTS) as [ModpName, readonly [number, bigint]][]) {
    it(`have the published shape: ${name}`, () => {
      const n = BigInt(bits);
      const expected = (1n << n) - (1n << (n - 64n)) - 1n + (1n << 64n) * (scaledPi(bits - 130) + c);
      assert.equal(hex(modpPrime(name)), expected.toString(16));
      assert.equal(modpPrime(name).length, groupNamed(name).publicOctets);
    });
  }

  it("are handed out as copies", () => {
    modpPrime("modp768").fill(0);
    assert.equal(modpPrime("modp768")[0], 0xff);
  });
});

for (const group of MODP) {
  const p = primeOf(group);
  const size = group.publicOctets;

  describe(group.name, () => {
    it("computes 2^x and Y^x as big integers do", () => {
      const random = seeded(group.name);
      const { privateKey, publicValue } = opensslCrypto.generateKeyPair(group, random);
      const x = BigInt(`0x${reveal(privateKey)}`);
      assert.equal(hex(publicValue), hex(toOctets(power(2n, x, p), size)));
      const y = power(2n, toNumber(random(group.exponentOctets)), p);
      assert.equal(outcome(opensslCrypto.agree(group, privateKey, toOctets(y, size))), hex(toOctets(power(y, x, p), size)));
    });

    it("takes private values of the length the group needs, with the highest bit set", () => {
      const { privateKey } = opensslCrypto.generateKeyPair(group, drawing("00".repeat(group.exponentOctets)));
      assert.equal(reveal(privateKey), `80${"00".repeat(group.exponentOctets - 1)}`);
    });

    it("agrees at both ends, also when two negotiations of one group are interleaved", () => {
      const random = seeded(`${group.name} interleaved`);
      const pair = () => opensslCrypto.generateKeyPair(group, random);
      const [a, b, c, d] = [pair(), pair(), pair(), pair()] as const;
      const ab = outcome(opensslCrypto.agree(group, a.privateKey, b.publicValue));
      const cd = outcome(opensslCrypto.agree(group, c.privateKey, d.publicValue));
      assert.equal(outcome(nobleCrypto.agree(group, b.privateKey, a.publicValue)), ab);
      assert.equal(outcome(nobleCrypto.agree(group, d.privateKey, c.publicValue)), cd);
      assert.equal(ab.length, 2 * group.secretOctets);
      assert.notEqual(ab, cd);
    });

    it("pads public values and secrets on the left", () => {
      const found = LEADING_ZEROS.find((row) => row.group === group.name);
      assert.ok(found);
      const { publicValue } = opensslCrypto.generateKeyPair(group, drawing(found.shortPublic));
      assert.equal(hex(publicValue), hex(toOctets(power(2n, BigInt(`0x${found.shortPublic}`), p), size)));
      assert.equal(publicValue[0], 0);
      const shared = agreed(opensslCrypto, group, found.shortSecretWith4, toOctets(4n, size));
      assert.equal(shared, hex(toOctets(power(4n, BigInt(`0x${found.shortSecretWith4}`), p), size)));
      assert.equal(shared.slice(0, 2), "00");
    });

    it("refuses 0, 1, p - 1, p and more, and other lengths, and makes no secret of them", () => {
      const { privateKey } = opensslCrypto.generateKeyPair(group, seeded(group.name));
      const before = liveSecrets();
      const wrong: readonly (readonly [Uint8Array, string])[] = [
        ...[0n, 1n].map((y) => [toOctets(y, size), "refused: is 0 or 1"] as const),
        ...[p - 1n, p, p + 1n, p + 2n].map((y) => [toOctets(y, size), "refused: is p - 1 or more"] as const),
        [new Uint8Array(size).fill(0xff), "refused: is p - 1 or more"],
        ...[0, 1, size - 1, size + 1, 2 * size].map(
          (length) => [new Uint8Array(length).fill(2), `refused: has ${length} octets, the group needs ${size}`] as const,
        ),
      ];
      for (const provider of [opensslCrypto, nobleCrypto]) {
        for (const [peer, reason] of wrong) {
          const result = provider.agree(group, privateKey, peer);
          assert.ok(!result.ok && result.error.kind === "bad-public-value");
          assert.equal(outcome(result), reason);
        }
      }
      assert.equal(liveSecrets(), before);
    });

    it("computes with the greatest value, which is no power of 2, in every version of Node", () => {
      const x = "81".repeat(group.exponentOctets);
      const shared = toOctets(power(p - 2n, BigInt(`0x${x}`), p), size);
      assert.equal(agreed(opensslCrypto, group, x, toOctets(p - 2n, size)), hex(shared));
    });

    it("takes 2, the least value there is", () => {
      const x = "81".repeat(group.exponentOctets);
      const { publicValue } = opensslCrypto.generateKeyPair(group, drawing(x));
      assert.equal(agreed(opensslCrypto, group, x, toOctets(2n, size)), hex(publicValue));
    });
  });
}
