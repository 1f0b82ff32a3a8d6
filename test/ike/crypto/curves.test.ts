import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { nobleCrypto } from "../../../ike/crypto/noble.ts";
import { opensslCrypto } from "../../../ike/crypto/openssl.ts";
import type { Random } from "../../../ike/crypto/provider.ts";
import { liveSecrets } from "../../../ike/crypto/secret.ts";
import { GROUPS, type Group, type GroupName, groupNamed } from "../../../ike/crypto/suite.ts";
import { vectors } from "../../vectors.ts";
import { agreed, drawing, hex, outcome, PROVIDERS, reveal, secret, seeded, unhex } from "./fixtures.ts";

const { pairs: PAIRS, x25519: X25519 } = vectors<{
  readonly pairs: readonly Readonly<Record<"source" | "i" | "publicI" | "r" | "publicR" | "secret", string> & { group: GroupName }>[];
  readonly x25519: readonly Readonly<Record<"source" | "scalar" | "u" | "result", string>>[];
}>("exchange");

const { ecp: LEADING_ZEROS } = vectors<{
  readonly ecp: readonly Readonly<Record<"shortX" | "shortY" | "shortSecretWithShortX", string> & { group: GroupName }>[];
}>("leading-zeros");

const CURVES = GROUPS.filter(({ kind }) => kind !== "modp");
const ECP = GROUPS.filter(({ kind }) => kind === "ecp");

/** Orders (FIPS 186-5) and field primes (RFC 5903 §3), written as the formulas of their definition. */
const NIST: Readonly<Record<string, { readonly n: bigint; readonly p: bigint }>> = {
  ecp256: {
    p: 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n,
    n: 2n ** 256n - 2n ** 224n + 2n ** 192n - 0x4319055258e8617b0c46353d039cdaafn,
  },
  ecp384: {
    p: 2n ** 384n - 2n ** 128n - 2n ** 96n + 2n ** 32n - 1n,
    n: 2n ** 384n - 0x389cb27e0bc8d220a7e5f24db74f58851313e695333ad68dn,
  },
  ecp521: {
    p: 2n ** 521n - 1n,
    n: 2n ** 521n - 0x5ae79787c40d069948033feb708f65a2fc44a36477663b851449048e16ec79bf7n,
  },
};
const nistOf = (group: Group) => NIST[group.name] ?? assert.fail(group.name);
const octetsOf = (value: bigint, length: number): string => value.toString(16).padStart(2 * length, "0");

for (const crypto of PROVIDERS) {
  describe(`${crypto.name} computes the published`, () => {
    for (const { source, group: name, i, publicI, r, publicR, secret: shared } of PAIRS) {
      it(`${name} exchange of ${source}`, () => {
        const group = groupNamed(name);
        const initiator = crypto.generateKeyPair(group, drawing(i));
        const responder = crypto.generateKeyPair(group, drawing(r));
        assert.equal(hex(initiator.publicValue), publicI);
        assert.equal(hex(responder.publicValue), publicR);
        assert.equal(outcome(crypto.agree(group, initiator.privateKey, unhex(publicR))), shared);
        assert.equal(outcome(crypto.agree(group, responder.privateKey, unhex(publicI))), shared);
      });
    }

    for (const { source, scalar, u, result } of X25519) {
      it(`x25519 of ${source}, u ${u.slice(0, 8)}`, () => {
        assert.equal(agreed(crypto, groupNamed("x25519"), scalar, unhex(u)), result);
      });
    }
  });

  for (const group of CURVES) {
    it(`${crypto.name} refuses values of other lengths for ${group.name}`, () => {
      const { privateKey, publicValue } = crypto.generateKeyPair(group, seeded(group.name));
      for (const length of [0, 1, group.publicOctets / 2, group.publicOctets - 1, group.publicOctets + 1, 2 * group.publicOctets]) {
        const peer = new Uint8Array(length);
        peer.set(publicValue.subarray(0, length));
        const expected = `refused: has ${length} octets, the group needs ${group.publicOctets}`;
        assert.equal(outcome(crypto.agree(group, privateKey, peer)), expected);
      }
    });
  }

  for (const group of ECP) {
    it(`${crypto.name} refuses points off the curve of ${group.name}, and makes no secret of them`, () => {
      const { privateKey, publicValue } = crypto.generateKeyPair(group, seeded(group.name));
      const size = group.secretOctets;
      const { p } = nistOf(group);
      const x = BigInt(`0x${hex(publicValue.subarray(0, size))}`);
      const y = hex(publicValue.subarray(size));
      const flipped = publicValue.slice();
      flipped[2 * size - 1] = (flipped[2 * size - 1] ?? 0) ^ 1;
      const before = liveSecrets();
      const wrong = [
        flipped,
        unhex(y + octetsOf(x, size)),
        new Uint8Array(2 * size),
        new Uint8Array(2 * size).fill(0xff),
        unhex(octetsOf(p, size) + octetsOf(0n, size)),
        unhex(octetsOf(1n, 2 * size)),
        // The same point with x + p, which must not pass for x; only ecp521 has room for it in its octets.
        ...(group.name === "ecp521" ? [unhex(octetsOf(x + p, size) + y)] : []),
      ];
      for (const point of wrong) {
        assert.equal(outcome(crypto.agree(group, privateKey, point)), "refused: is not a point on the curve");
      }
      assert.equal(liveSecrets(), before);
    });

    it(`${crypto.name} draws again when a private value is no number from 1 to n - 1: ${group.name}`, () => {
      const { n } = nistOf(group);
      const size = group.secretOctets;
      const good = octetsOf(n - 1n, size);
      const random = drawing("ff".repeat(size), "00".repeat(size), octetsOf(n, size), octetsOf(n + 1n, size), good);
      assert.equal(reveal(crypto.generateKeyPair(group, random).privateKey), good);
    });

    it(`${crypto.name} gives up when the random source is broken: ${group.name}`, () => {
      const broken: Random = (length) => new Uint8Array(length);
      assert.throws(() => crypto.generateKeyPair(group, broken), /random source/);
    });
  }

  it(`${crypto.name} refuses the points of small order of x25519`, () => {
    const { privateKey } = crypto.generateKeyPair(groupNamed("x25519"), seeded("small order"));
    const p = 2n ** 255n - 19n;
    const order8 = [
      325606250916557431795983626356110631294008115727848805560023387167927233504n,
      39382357235489614581723060781553021112529911719440698176882885853963445705823n,
    ];
    const before = liveSecrets();
    for (const u of [0n, 1n, ...order8, p - 1n, p, p + 1n, 2n ** 255n]) {
      const peer = unhex(octetsOf(u, 32)).reverse();
      const result = crypto.agree(groupNamed("x25519"), privateKey, peer);
      assert.equal(outcome(result), "refused: gives a secret of zeros only", String(u));
    }
    assert.equal(liveSecrets(), before);
  });
}

describe("both providers", () => {
  for (const group of CURVES) {
    it(`make the same pairs of the same random octets, and the same secrets: ${group.name}`, () => {
      for (let round = 0; round < 4; round++) {
        const pairs = PROVIDERS.map((crypto) => crypto.generateKeyPair(group, seeded(`${group.name} ${round}`)));
        const [a, b] = pairs;
        assert.ok(a && b);
        assert.equal(hex(a.publicValue), hex(b.publicValue));
        assert.equal(reveal(a.privateKey), reveal(b.privateKey));
        assert.equal(a.publicValue.length, group.publicOctets);

        const peer = opensslCrypto.generateKeyPair(group, seeded(`${group.name} peer ${round}`));
        const shared = outcome(opensslCrypto.agree(group, a.privateKey, peer.publicValue));
        assert.equal(outcome(nobleCrypto.agree(group, a.privateKey, peer.publicValue)), shared);
        assert.equal(outcome(nobleCrypto.agree(group, peer.privateKey, a.publicValue)), shared);
        assert.equal(shared.length, 2 * group.secretOctets);
      }
    });
  }

  for (const { group: name, shortX, shortY, shortSecretWithShortX } of LEADING_ZEROS) {
    it(`keep the leading zeros of coordinates and secrets: ${name}`, () => {
      const group = groupNamed(name);
      const size = group.secretOctets;
      const zeros = name === "ecp521" ? "0000" : "00";
      for (const crypto of PROVIDERS) {
        const peer = crypto.generateKeyPair(group, drawing(shortX)).publicValue;
        assert.ok(hex(peer).startsWith(zeros));
        const other = crypto.generateKeyPair(group, drawing(shortY)).publicValue;
        assert.ok(hex(other.subarray(size)).startsWith(zeros));
        assert.deepEqual([peer.length, other.length], [group.publicOctets, group.publicOctets]);

        const shared = agreed(crypto, group, shortSecretWithShortX, peer);
        assert.ok(shared.startsWith(zeros));
        assert.equal(shared.length, 2 * size);
        const mine = crypto.generateKeyPair(group, drawing(shortSecretWithShortX)).publicValue;
        assert.equal(agreed(crypto, group, shortX, mine), shared);
      }
    });
  }

  it("throw when a destroyed private value is used, which is a bug of ours and no fault of the peer", () => {
    for (const group of GROUPS) {
      for (const crypto of PROVIDERS) {
        const { publicValue } = crypto.generateKeyPair(group, seeded("destroyed"));
        const gone = secret("01".repeat(group.exponentOctets));
        gone.destroy();
        assert.throws(() => crypto.agree(group, gone, publicValue), /after destroy/, `${crypto.name} ${group.name}`);
      }
    }
  });
});
