import assert from "node:assert/strict";
import { test } from "node:test";
import { hex, loadPeculiar, opensslTakes, sameReading } from "./oracles.ts";
import { CASES, certificate, list } from "./path-cases.ts";
import type { Issued } from "./pki.ts";

test("openssl verify judges every path as we do, but where that is said to be otherwise", () => {
  const differing = CASES.flatMap((one) => {
    const takes = opensslTakes(one);
    const ours = one.fault === null;
    const expected = one.openssl === undefined ? ours : one.openssl === "accepts";
    return takes === expected ? [] : [`${one.name}: ours ${ours}, openssl ${takes}`];
  });
  assert.deepEqual(differing, []);
});

const distinct = (all: readonly Issued[]): readonly Issued[] => [...new Map(all.map((one) => [one.pem, one])).values()];

test("@peculiar/x509 reads every certificate as we do", async () => {
  const peculiar = await loadPeculiar();
  for (const { der } of distinct(CASES.flatMap(({ leaf, others = [], anchors }) => [leaf, ...others, ...anchors])))
    sameReading(peculiar, der);
});

test("where @peculiar/x509 finds no chain of signatures to a CA, we find no path", async () => {
  const { X509Certificate, X509ChainBuilder } = await loadPeculiar();
  let reached = 0;
  for (const { name, leaf, others = [], anchors, fault } of CASES) {
    const certificates = [...anchors, ...others].map(({ der }) => new X509Certificate(der));
    const chain = await new X509ChainBuilder({ certificates }).build(new X509Certificate(leaf.der));
    const end = hex(chain[chain.length - 1]?.rawData ?? new Uint8Array());
    const reaches = anchors.some(({ der }) => hex(der) === end);
    if (reaches) reached++;
    else assert.ok(fault, `${name}: we took a path that is none`);
  }
  assert.ok(reached > 40 && reached < CASES.length, `${reached}`);
});

/** Of entries that take a certificate off another list. */
const REMOVED = 8;

test("@peculiar/x509 finds the same certificates on the same lists", async () => {
  const { X509Certificate, X509Crl } = await loadPeculiar();
  for (const { name, leaf, others = [], lists = [] } of CASES) {
    for (const der of lists) {
      const [ours, theirs] = [list(der), new X509Crl(der)];
      for (const one of [leaf, ...others]) {
        const { serial } = certificate(one.der);
        const found = theirs.findRevoked(new X509Certificate(one.der));
        assert.equal(ours.revoked.has(serial), found !== null && found.reason !== REMOVED, name);
      }
    }
  }
});
