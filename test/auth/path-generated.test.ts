/**
 * Paths that nobody thought of: two to five certificates, each with any trouble, with lists and without, judged by us and by two oracles. What an
 * oracle decides it has to decide as we do, in both directions: what it takes we take, what it refuses we refuse.
 *
 * | what may be wrong | openssl verify | @peculiar/x509 |
 * | --- | --- | --- |
 * | signature, issuer's name, lifetime | decides | decides |
 * | revoked; list of another signer | decides | decides |
 * | list that is old or missing where one is required | decides | no: it knows who is on a list and who signed it |
 * | CA flag, path length, key usage | decides | reads the values, draws no conclusion |
 * | name constraints, unknown critical extensions | decides | no |
 * | lists that count where there are some (`if-present`) | no: it asks for all or none | decides who is revoked |
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { validatePath } from "../../auth/providers/path.ts";
import { loadPeculiar, opensslTakes, type Peculiar, sameReading } from "./oracles.ts";
import { type Case, certificate, terrainOf } from "./path-cases.ts";
import { type CertificateOptions, DAY, EXT, type Issued, issue, issueCrl, NOW, name, newKey } from "./pki.ts";

const KEYS = (["p256", "p384", "rsa2048", "p256", "p521"] as const).map(newKey);
const otherKey = newKey("p256");
const WRITTEN_OUT = newKey("p256 written out");
const TROUBLES = {
  none: (options) => options,
  expired: (options) => ({ ...options, from: NOW - 9 * DAY, to: NOW - DAY }),
  "of the future": (options) => ({ ...options, from: NOW + DAY, to: NOW + 9 * DAY }),
  "another's signature": (options) => ({ ...options, issuer: { subject: issuerOf(options), key: otherKey } }),
  "a changed signature": (options) => {
    const { der } = issue(options);
    return { ...options, signature: signatureIn(der).map((octet, i, all) => (i === all.length - 1 ? octet ^ 1 : octet)) };
  },
  "another issuer's name": (options) => ({ ...options, issuer: { subject: name("CN=nobody"), key: options.issuer?.key ?? otherKey } }),
  "another name and key": (options) => ({ ...options, key: otherKey, subject: `CN=somebody else ${options.serial}` }),
  "a curve written out": (options) => ({ ...options, key: WRITTEN_OUT }),
  "no extensions": (options) => ({ ...options, extensions: [] }),
  "an unknown critical extension": (options) => ({ ...options, extensions: [...(options.extensions ?? []), EXT.unknown(true)] }),
  "an unknown extension": (options) => ({ ...options, extensions: [...(options.extensions ?? []), EXT.unknown(false)] }),
  "path length 0": (options) => ({ ...options, extensions: [EXT.ca(0), EXT.usage(5, 6)] }),
  "path length 1": (options) => ({ ...options, extensions: [EXT.ca(1), EXT.usage(5, 6)] }),
  "no keyCertSign": (options) => ({ ...options, extensions: [EXT.ca(), EXT.usage(0)] }),
  "no CA": (options) => ({ ...options, extensions: [EXT.noCa(), EXT.usage(0)] }),
  "names permitted": (options) => ({ ...options, extensions: [EXT.ca(), EXT.constraints([{ dns: "example.test" }])] }),
  "other names permitted": (options) => ({ ...options, extensions: [EXT.ca(), EXT.constraints([{ dns: "example.org" }])] }),
  "names excluded": (options) => ({ ...options, extensions: [EXT.ca(), EXT.constraints([], [{ dns: "example.test" }])] }),
  "another network permitted": (options) => ({
    ...options,
    extensions: [EXT.ca(), EXT.constraints([{ ip: [198, 51, 100, 0, 255, 255, 255, 0] }])],
  }),
  "subjects permitted": (options) => ({ ...options, extensions: [EXT.ca(), EXT.constraints([{ dn: "CN=level" }])] }),
} as const satisfies Readonly<Record<string, (options: CertificateOptions) => CertificateOptions>>;
type Trouble = keyof typeof TROUBLES;

const ALL = Object.keys(TROUBLES) as Trouble[];
const DECIDED: readonly Trouble[] = ALL.slice(0, ALL.indexOf("a curve written out"));
/** A trusted certificate is believed whoever signed it, and has no issuer. */
const NOT_FOR_ROOTS: ReadonlySet<Trouble> = new Set(["another's signature", "a changed signature", "another issuer's name"]);
/** In a host's certificate these make no sense: a CA's key usage is refused there, whoever signed it. */
const FOR_CAS: ReadonlySet<Trouble> = new Set(ALL.slice(ALL.indexOf("path length 0")));

const LISTS = ["good", "revokes the next", "old", "signed by another", "missing"] as const;
type ListState = (typeof LISTS)[number];

interface Level {
  readonly trouble: Trouble;
  /** Of the list that this level's CA issues. */
  readonly list: ListState;
}

const levelsOf = (troubles: readonly Trouble[], lists: readonly ListState[]) =>
  fc.array(
    fc.record({
      trouble: fc.oneof({ weight: 5, arbitrary: fc.constant("none" as Trouble) }, { weight: 1, arbitrary: fc.constantFrom(...troubles) }),
      list: fc.oneof({ weight: 9, arbitrary: fc.constant("good" as ListState) }, { weight: 1, arbitrary: fc.constantFrom(...lists) }),
    }),
    { minLength: 2, maxLength: 5 },
  );

interface Made extends Case {
  /** The root first. */
  readonly path: readonly Issued[];
}

/** A path of as many certificates as levels. */
function make(levels: readonly Level[], crl: Case["crl"] | undefined): Made {
  const path: Issued[] = [];
  const lists: Uint8Array[] = [];
  for (const [depth, { trouble }] of levels.entries()) {
    const last = depth === levels.length - 1;
    const above = path[depth - 1];
    const good: CertificateOptions = {
      subject: `CN=level ${depth}`,
      key: KEYS[depth] as (typeof KEYS)[0],
      serial: 100 + depth,
      ...(above ? { issuer: above } : {}),
      extensions: last
        ? [EXT.noCa(), EXT.usage(0), EXT.names({ dns: "a.example.test" }, { ip: [192, 0, 2, 9] })]
        : [EXT.ca(), EXT.usage(5, 6)],
    };
    const senseless = (depth === 0 && NOT_FOR_ROOTS.has(trouble)) || (last && FOR_CAS.has(trouble));
    path.push(issue(senseless ? good : TROUBLES[trouble](good)));
    if (above) lists.push(...listOf(above, levels[depth - 1]?.list ?? "good", 100 + depth));
  }
  const [anchor, ...rest] = path as [Issued, ...Issued[]];
  const leaf = rest.pop() ?? anchor;
  return { name: "", path, leaf, others: rest.reverse(), anchors: [anchor], fault: null, ...(crl ? { crl, lists } : {}) };
}

function listOf(issuer: Issued, state: ListState, serial: number): readonly Uint8Array[] {
  switch (state) {
    case "good":
      return [issueCrl({ issuer, revoked: [serial + 50] })];
    case "revokes the next":
      return [issueCrl({ issuer, revoked: [serial, serial + 50] })];
    case "old":
      return [issueCrl({ issuer, thisUpdate: NOW - 9 * DAY, nextUpdate: NOW - DAY })];
    case "signed by another":
      return [issueCrl({ issuer: { subject: issuer.subject, key: otherKey }, revoked: [serial] })];
    case "missing":
      return [];
  }
}

const issuerOf = ({ issuer }: CertificateOptions): Uint8Array => issuer?.subject ?? new Uint8Array();
/** The BIT STRING's contents at the end of a certificate. */
const signatureIn = (der: Uint8Array): Uint8Array => certificate(der).signed.signature;

const judged = (one: Case) => validatePath(certificate(one.leaf.der), terrainOf(one));

/** Counts what came out, so that a generator of nothing but refusals is noticed. */
function tally(least: number) {
  const seen = { taken: 0, refused: 0 };
  return {
    count: (taken: boolean): void => void seen[taken ? "taken" : "refused"]++,
    enough: (): void => assert.ok(seen.taken >= least && seen.refused >= least, JSON.stringify(seen)),
  };
}

test("openssl verify takes what we take and refuses what we refuse, whatever is wrong with certificates and lists", () => {
  const seen = tally(15);
  fc.assert(
    fc.property(levelsOf(ALL, LISTS), fc.boolean(), (levels, lists) => {
      const one = make(levels, lists ? "require" : undefined);
      const ours = judged(one);
      seen.count(ours.ok);
      assert.equal(opensslTakes(one), ours.ok, ours.ok ? "we took it" : ours.error.what);
    }),
    { numRuns: 110 },
  );
  seen.enough();
});

type Finding = "signature" | "issuer" | "lifetime" | "revoked";

/** What @peculiar/x509 has against a path. */
async function findings({ X509Certificate, X509Crl }: Peculiar, { path, lists = [] }: Made): Promise<ReadonlySet<Finding>> {
  const found = new Set<Finding>();
  const read = path.map(({ der }) => new X509Certificate(der));
  const crls = lists.map((der) => new X509Crl(der));
  for (const [i, one] of read.entries()) {
    const issuer = read[Math.max(0, i - 1)] as (typeof read)[0];
    const { publicKey } = issuer;
    if (one.issuer !== issuer.subject) found.add("issuer");
    const signed = await one.verify({ publicKey, signatureOnly: true });
    if (!signed) found.add("signature");
    else if (!(await one.verify({ publicKey, date: new Date(NOW) }))) found.add("lifetime");
    // Its lists of other issuers throw where their keys are longer.
    for (const crl of i > 0 ? crls.filter((each) => each.issuer === issuer.subject) : [])
      if ((await crl.verify({ publicKey })) && crl.findRevoked(one) !== null) found.add("revoked");
  }
  return found;
}

/** Whether its own search leads from the last certificate to the root. */
async function reaches({ X509Certificate, X509ChainBuilder }: Peculiar, { leaf, others = [], anchors }: Made): Promise<boolean> {
  const certificates = [...others, ...anchors].map(({ der }) => new X509Certificate(der));
  const chain = await new X509ChainBuilder({ certificates }).build(new X509Certificate(leaf.der));
  const end = chain[chain.length - 1];
  return anchors.some(({ der }) => end !== undefined && Buffer.compare(Buffer.from(end.rawData), der) === 0);
}

const FINDING_OF: Readonly<Record<string, readonly Finding[]>> = {
  "certificate-untrusted": ["signature", "issuer"],
  "certificate-expired": ["lifetime"],
  "certificate-not-yet-valid": ["lifetime"],
  "certificate-revoked": ["revoked"],
  // A signature of another kind than the issuer's key.
  "certificate-unsuitable": ["signature"],
};

test("of what @peculiar/x509 decides, it takes what we take and refuses what we refuse, for the same reason", async () => {
  const peculiar = await loadPeculiar();
  const seen = tally(6);
  await fc.assert(
    fc.asyncProperty(levelsOf(DECIDED, ["revokes the next", "signed by another", "missing"]), fc.boolean(), async (levels, lists) => {
      const one = make(levels, lists ? "if-present" : undefined);
      const [ours, theirs] = [judged(one), await findings(peculiar, one)];
      seen.count(ours.ok);
      assert.equal(theirs.size === 0, ours.ok, ours.ok ? [...theirs].join() : ours.error.what);
      if (!ours.ok)
        assert.ok(
          FINDING_OF[ours.error.kind]?.some((finding) => theirs.has(finding)),
          `${ours.error.what}: ${[...theirs]}`,
        );
      assert.equal(await reaches(peculiar, one), !theirs.has("signature") && !theirs.has("issuer"));
    }),
    { numRuns: 60 },
  );
  seen.enough();
});

test("of all the rest it reads every certificate as we do, and has nothing against a path that we take", async () => {
  const peculiar = await loadPeculiar();
  const seen = tally(6);
  await fc.assert(
    fc.asyncProperty(levelsOf(ALL, LISTS), fc.constantFrom("require", "if-present", undefined), async (levels, crl) => {
      const one = make(levels, crl);
      for (const { der } of one.path) sameReading(peculiar, der);
      const ours = judged(one);
      seen.count(ours.ok);
      const theirs = await findings(peculiar, one);
      assert.ok(!ours.ok || theirs.size === 0, [...theirs].join());
    }),
    { numRuns: 35 },
  );
  seen.enough();
});
