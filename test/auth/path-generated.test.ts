/**
 * Paths that nobody thought of: two to five certificates, each with any trouble, with lists and without, judged by us and by two oracles. What an
 * oracle decides it has to decide as we do, in both directions: what it takes we take, what it refuses we refuse.
 *
 * | what may be wrong | openssl verify | @peculiar/x509 |
 * | --- | --- | --- |
 * | signature, issuer's name, lifetime | decides | decides |
 * | revoked; list of another signer | decides | decides |
 * | list that is old or missing where one is required | decides | reads it; `findings` concludes |
 * | CA flag, path length, key usage, unknown critical extensions | decides | reads them; `findings` concludes |
 * | extended key usage | no: it has no purpose for IKE | reads it; `findings` concludes |
 * | name constraints | decides | no: to it they are octets |
 * | curve written out | decides | no: its keys come from Node |
 * | lists that count where there are some (`if-present`) | no: it asks for all or none | decides who is revoked |
 *
 * @peculiar/x509 has no validation of paths: it checks one signature, one lifetime and one list at a time, and finds issuers. What it reads besides is
 * a second parser's word, from which the few lines of `findings` conclude, with none of our code.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { validatePath } from "../../auth/providers/path.ts";
import { loadPeculiar, opensslTakes, type Peculiar, type PeculiarCertificate, type PeculiarCrl, sameReading } from "./oracles.ts";
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
  "for programs": (options) => ({ ...options, extensions: [...(options.extensions ?? []), EXT.purposes(CODE_SIGNING)] }),
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
/** What each of the oracles has an opinion of. */
const OPENSSL = ALL.filter((trouble) => trouble !== "for programs");
const PECULIAR = ALL.filter((trouble) => !/curve|permitted|excluded/.test(trouble));
/** A trusted certificate is believed whoever signed it, and has no issuer. */
const NOT_FOR_ROOTS: ReadonlySet<Trouble> = new Set(["another's signature", "a changed signature", "another issuer's name"]);
/** Nor do its purposes count: whoever put it into `ca` has said what it is for. */
const NOT_IN_ROOTS: ReadonlySet<Trouble> = new Set([...NOT_FOR_ROOTS, "for programs"]);
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
    const senseless = (depth === 0 && NOT_IN_ROOTS.has(trouble)) || (last && FOR_CAS.has(trouble));
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

/** Counts what came out, so that a generator of nothing but refusals is noticed; `least` is far below what it gives, since seeds differ. */
function tally(least: number) {
  const seen = { taken: 0, refused: 0 };
  return {
    count: (taken: boolean): void => void seen[taken ? "taken" : "refused"]++,
    enough: (): void => assert.ok(seen.taken >= least && seen.refused >= least, JSON.stringify(seen)),
  };
}

test("openssl verify takes what we take and refuses what we refuse, whatever is wrong with certificates and lists", () => {
  const seen = tally(5);
  fc.assert(
    fc.property(levelsOf(OPENSSL, LISTS), fc.boolean(), (levels, lists) => {
      const one = make(levels, lists ? "require" : undefined);
      const ours = judged(one);
      seen.count(ours.ok);
      assert.equal(opensslTakes(one), ours.ok, ours.ok ? "we took it" : ours.error.what);
    }),
    { numRuns: 110 },
  );
  seen.enough();
});

type Finding = "signature" | "issuer" | "lifetime" | "revoked" | "list" | "no CA" | "path length" | "usage" | "purpose" | "extension";

/** What is to be held against a path by what @peculiar/x509 says of each certificate and list; the root first. */
async function findings({ X509Certificate, X509Crl }: Peculiar, { path, lists = [], crl }: Made): Promise<ReadonlySet<Finding>> {
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
    for (const finding of unfit(one, i < read.length - 1, Math.max(0, read.length - i - 2))) found.add(finding);
    if (i === 0) continue;
    // Its lists of other issuers throw where their keys are longer.
    const own = crls.filter((each) => each.issuer === issuer.subject);
    const trusted: PeculiarCrl[] = [];
    for (const each of own) if (await each.verify({ publicKey })) trusted.push(each);
    if (trusted.some((each) => each.findRevoked(one) !== null)) found.add("revoked");
    if (crl === "require" && !trusted.some(({ nextUpdate }) => nextUpdate !== undefined && nextUpdate.getTime() > NOW)) found.add("list");
  }
  return found;
}

const CODE_SIGNING = "1.3.6.1.5.5.7.3.3";
const [SIGNS, SIGNS_CERTIFICATES] = [0x03, 0x20];
const UNDERSTOOD = ["2.5.29.14", "2.5.29.15", "2.5.29.17", "2.5.29.19", "2.5.29.30", "2.5.29.35", "2.5.29.37"];

/** RFC 5280 §6.1.4 and RFC 4945 §5.1.3 of one certificate, as the library has read it; `below`: CAs between it and the host. */
function unfit({ extensions }: PeculiarCertificate, authority: boolean, below: number): readonly Finding[] {
  const extension = (type: string) => extensions.find((one) => one.type === type);
  const [basic, usage, purposes] = ["2.5.29.19", "2.5.29.15", "2.5.29.37"].map(extension);
  const faults: Readonly<Partial<Record<Finding, boolean>>> = {
    "no CA": authority && basic?.ca !== true,
    "path length": authority && (basic?.pathLength ?? below) < below,
    usage: usage !== undefined && (Number(usage.usages) & (authority ? SIGNS_CERTIFICATES : SIGNS)) === 0,
    purpose: purposes !== undefined && (purposes.usages as readonly string[]).every((id) => id === CODE_SIGNING),
    extension: extensions.some(({ type, critical }) => critical && !UNDERSTOOD.includes(type)),
  };
  return (Object.keys(faults) as Finding[]).filter((finding) => faults[finding]);
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
  // A signature of another kind than the issuer's key is one of the first.
  "certificate-unsuitable": ["signature", "no CA", "path length", "usage", "purpose", "extension"],
  "crl-missing": ["list"],
  "crl-expired": ["list"],
};

test("by what @peculiar/x509 reads, what we take is to be taken and what we refuse is to be refused, for the same reason", async () => {
  const peculiar = await loadPeculiar();
  const seen = tally(1);
  await fc.assert(
    fc.asyncProperty(levelsOf(PECULIAR, LISTS), fc.constantFrom("require", "if-present", undefined), async (levels, crl) => {
      const one = make(levels, crl);
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
    { numRuns: 110 },
  );
  seen.enough();
});

test("of all the rest it reads every certificate as we do, and has nothing against a path that we take", async () => {
  const peculiar = await loadPeculiar();
  const seen = tally(1);
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
