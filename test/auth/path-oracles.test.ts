import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import fc from "fast-check";
import { validatePath } from "../../auth/providers/path.ts";
import { CASES, type Case, certificate, list, terrainOf } from "./path-cases.ts";
import { type CertificateOptions, DAY, EXT, type Issued, issue, issueCrl, NOW, newKey, pem } from "./pki.ts";

const folder = mkdtempSync(join(tmpdir(), "mainmode-path-"));
after(() => rmSync(folder, { recursive: true }));

/** Whether `openssl verify` takes the same path, at the same time and with the same lists. */
function opensslTakes({ leaf: own, others = [], anchors, lists = [], crl = "if-present" }: Case): boolean {
  const file = (label: string, text: string): string => {
    writeFileSync(join(folder, label), text);
    return join(folder, label);
  };
  const argv = [
    "verify",
    "-no-CAfile",
    "-no-CApath",
    "-no-CAstore",
    "-attime",
    `${NOW / 1000}`,
    "-trusted",
    file("ca", anchors.map((one) => one.pem).join("")),
  ];
  if (others.length > 0) argv.push("-untrusted", file("others", others.map((one) => one.pem).join("")));
  if (crl === "require" || lists.length > 0) argv.push(crl === "require" ? "-crl_check_all" : "-crl_check");
  if (lists.length > 0) argv.push("-CRLfile", file("lists", lists.map((der) => pem("X509 CRL", der)).join("")));
  const { status, stdout, stderr, error } = spawnSync("openssl", [...argv, file("leaf", own.pem)], { encoding: "utf8" });
  assert.equal(error, undefined);
  assert.match(`${stdout}${stderr}`, /: OK|verification failed/);
  return status === 0;
}

test("openssl verify judges every path as we do, but where that is said to be otherwise", () => {
  const differing = CASES.flatMap((one) => {
    const takes = opensslTakes(one);
    const ours = one.fault === null;
    const expected = one.openssl === undefined ? ours : one.openssl === "accepts";
    return takes === expected ? [] : [`${one.name}: ours ${ours}, openssl ${takes}`];
  });
  assert.deepEqual(differing, []);
});

/** What can be the matter with one certificate of a generated path. */
const TROUBLES: readonly ((options: CertificateOptions, depth: number) => CertificateOptions)[] = [
  (options) => options,
  (options) => ({ ...options, from: NOW - 9 * DAY, to: NOW - DAY }),
  (options) => ({ ...options, from: NOW + DAY, to: NOW + 9 * DAY }),
  (options) => ({ ...options, extensions: [] }),
  (options) => ({ ...options, extensions: [...(options.extensions ?? []), EXT.unknown(true)] }),
  (options) => ({ ...options, extensions: [...(options.extensions ?? []), EXT.unknown(false)] }),
  (options) => ({ ...options, extensions: [EXT.ca(0), EXT.usage(5, 6)] }),
  (options) => ({ ...options, extensions: [EXT.ca(1), EXT.usage(5, 6)] }),
  (options) => ({ ...options, extensions: [EXT.ca(), EXT.usage(0)] }),
  (options) => ({ ...options, key: otherKey, subject: "CN=somebody else" }),
  (options) => ({ ...options, issuer: { subject: options.issuer?.subject ?? new Uint8Array(), key: otherKey } }),
  (options) => ({ ...options, extensions: [EXT.ca(), EXT.constraints([{ dns: "example.test" }])] }),
  (options) => ({ ...options, extensions: [EXT.ca(), EXT.constraints([], [{ dns: "example.test" }])] }),
  (options) => ({ ...options, extensions: [EXT.ca(), EXT.constraints([{ dn: "CN=level" }])] }),
];
/** Indexes of those that make no sense in the last certificate: a CA's key usage is refused there, whoever signed it. */
const OF_CAS: ReadonlySet<number> = new Set([6, 7, 8, 11, 12, 13]);
const KEYS = (["p256", "p384", "rsa2048", "p256", "p521"] as const).map(newKey);
const otherKey = newKey("p256");

interface Level {
  readonly trouble: number;
  readonly revoked: boolean;
}

/** A path of as many certificates as levels, the root first. */
function generate(levels: readonly Level[], crl: Case["crl"]): Case {
  const issued: Issued[] = [];
  const lists: Uint8Array[] = [];
  for (const [depth, { trouble, revoked }] of levels.entries()) {
    const last = depth === levels.length - 1;
    const above = issued[depth - 1];
    const good: CertificateOptions = {
      subject: `CN=level ${depth}`,
      key: KEYS[depth] as (typeof KEYS)[0],
      serial: 100 + depth,
      ...(above ? { issuer: above } : {}),
      extensions: last ? [EXT.noCa(), EXT.usage(0), EXT.names({ dns: "a.example.test" })] : [EXT.ca(), EXT.usage(5, 6)],
    };
    const one = issue(
      (depth === 0 && trouble > 8) || (last && OF_CAS.has(trouble)) ? good : ((TROUBLES[trouble] ?? TROUBLES[0])?.(good, depth) ?? good),
    );
    issued.push(one);
    if (above) lists.push(issueCrl({ issuer: above, revoked: revoked ? [100 + depth] : [] }));
  }
  const [anchor, ...rest] = issued as [Issued, ...Issued[]];
  const leaf = rest.pop() ?? anchor;
  return { name: "", leaf, others: rest.reverse(), anchors: [anchor], fault: null, ...(crl ? { crl, lists } : {}) };
}

const LEVEL = fc.record({
  trouble: fc.oneof({ weight: 6, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(TROUBLES.length - 1) }),
  revoked: fc.oneof({ weight: 9, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
});

test("over generated paths, openssl verify takes what we take and refuses what we refuse", () => {
  const seen = { taken: 0, refused: 0 };
  fc.assert(
    fc.property(fc.array(LEVEL, { minLength: 2, maxLength: 5 }), fc.boolean(), (levels, lists) => {
      const one = generate(levels, lists ? "require" : undefined);
      const ours = validatePath(certificate(one.leaf.der), terrainOf(one));
      seen[ours.ok ? "taken" : "refused"]++;
      assert.equal(opensslTakes(one), ours.ok, ours.ok ? "we took it" : ours.error.what);
    }),
    { numRuns: 150 },
  );
  assert.ok(seen.taken > 15 && seen.refused > 15, JSON.stringify(seen));
});

/** The part of @peculiar/x509 that is asked. Its own types want a browser's. */
interface Peculiar {
  readonly X509Certificate: new (der: Uint8Array) => PeculiarCertificate;
  readonly X509Crl: new (der: Uint8Array) => PeculiarCrl;
  readonly X509ChainBuilder: new (options: {
    readonly certificates: readonly PeculiarCertificate[];
  }) => {
    build(leaf: PeculiarCertificate): Promise<readonly PeculiarCertificate[]>;
  };
}
interface PeculiarCertificate {
  readonly serialNumber: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly subjectName: { toArrayBuffer(): ArrayBuffer };
  readonly issuerName: { toArrayBuffer(): ArrayBuffer };
  readonly rawData: ArrayBuffer;
  readonly publicKey: { readonly rawData: ArrayBuffer };
  readonly extensions: readonly {
    readonly type: string;
    readonly critical: boolean;
    readonly ca?: boolean;
    readonly pathLength?: number;
    readonly usages?: number | readonly string[];
    readonly names?: { readonly items: readonly { readonly type: string; readonly value: string }[] };
  }[];
}
interface PeculiarCrl {
  findRevoked(certificate: PeculiarCertificate): unknown;
  verify(options: { readonly publicKey: PeculiarCertificate }): Promise<boolean>;
}

async function loadPeculiar(): Promise<Peculiar> {
  const [polyfill, library] = ["reflect-metadata", "@peculiar/x509"];
  await import(polyfill as string);
  return (await import(library as string)) as Peculiar;
}

const distinct = (all: readonly Issued[]): readonly Issued[] => [...new Map(all.map((one) => [one.pem, one])).values()];
const hex = (octets: ArrayBuffer | Uint8Array): string => Buffer.from(octets as Uint8Array).toString("hex");

test("@peculiar/x509 reads every certificate as we do", async () => {
  const { X509Certificate } = await loadPeculiar();
  for (const { der } of distinct(CASES.flatMap(({ leaf, others = [], anchors }) => [leaf, ...others, ...anchors]))) {
    const [ours, theirs] = [certificate(der), new X509Certificate(der)];
    const extension = (type: string) => theirs.extensions.find((one) => one.type === type);
    const [basic, usage, purposes, names] = ["2.5.29.19", "2.5.29.15", "2.5.29.37", "2.5.29.17"].map(extension);
    assert.deepEqual(
      {
        serial: ours.serial.replace(/^00/, ""),
        notBefore: ours.notBefore,
        notAfter: ours.notAfter,
        subject: hex(ours.subject.der),
        issuer: hex(ours.issuer.der),
        key: hex(ours.publicKey),
        basic: ours.extensions.basicConstraints,
        usage: ours.extensions.keyUsage,
        purposes: ours.extensions.extendedKeyUsage,
        dns: ours.extensions.names.dns,
        email: ours.extensions.names.email,
      },
      {
        serial: theirs.serialNumber.replace(/^00/, ""),
        notBefore: theirs.notBefore.getTime(),
        notAfter: theirs.notAfter.getTime(),
        subject: hex(theirs.subjectName.toArrayBuffer()),
        issuer: hex(theirs.issuerName.toArrayBuffer()),
        key: hex(theirs.publicKey.rawData),
        basic: basic && { ca: basic.ca, pathLength: basic.pathLength },
        usage: usage?.usages,
        purposes: purposes && [...(purposes.usages as readonly string[])],
        dns: names?.names?.items.filter(({ type }) => type === "dns").map(({ value }) => value) ?? [],
        email: names?.names?.items.filter(({ type }) => type === "email").map(({ value }) => value) ?? [],
      },
    );
  }
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

test("@peculiar/x509 finds the same certificates on the same lists", async () => {
  const { X509Certificate, X509Crl } = await loadPeculiar();
  for (const { name, leaf, others = [], lists = [] } of CASES) {
    for (const der of lists) {
      const [ours, theirs] = [list(der), new X509Crl(der)];
      for (const one of [leaf, ...others]) {
        const { serial } = certificate(one.der);
        assert.equal(ours.revoked.has(serial), theirs.findRevoked(new X509Certificate(one.der)) !== null, name);
      }
    }
  }
});
