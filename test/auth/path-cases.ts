/**
 * Paths good and bad, one fault each, for the rules of RFC 5280 §6 as `path.ts` has them; two test files and two oracles read the table.
 */
import { readCertificate } from "../../auth/providers/certificate.ts";
import { readCrl } from "../../auth/providers/crl.ts";
import type { PathFault, Terrain } from "../../auth/providers/path.ts";
import {
  type CertificateOptions,
  DAY,
  EXT,
  type GeneralName,
  hierarchy,
  type Issued,
  int,
  issue,
  issueCrl,
  NOW,
  newKey,
  seq,
  tlv,
} from "./pki.ts";

/** A certificate that can be read. */
export const certificate = (der: Uint8Array) => {
  const read = readCertificate(der);
  if (!read.ok) throw new Error(read.error);
  return read.value;
};
/** A list that can be read. */
export const list = (der: Uint8Array) => {
  const read = readCrl(der);
  if (!read.ok) throw new Error(read.error);
  return read.value;
};

export interface Case {
  readonly name: string;
  readonly leaf: Issued;
  readonly others?: readonly Issued[];
  readonly anchors: readonly Issued[];
  readonly lists?: readonly Uint8Array[];
  readonly crl?: Terrain["crl"];
  readonly weak?: Partial<Terrain["weak"]>;
  /** What is wrong, and a part of how it is said; null: nothing. */
  readonly fault: readonly [PathFault["kind"], RegExp] | null;
  /** Where OpenSSL's verify judges otherwise, and why that is so. */
  readonly openssl?: "accepts" | "refuses";
}

const { root, middle, leaf } = hierarchy();
const key = newKey("p256");
const host = "C=DE, O=Test only, CN=host";
const rsa = newKey("rsa2048");

/** A certificate of a host like `leaf`, otherwise as given. */
const from = (issuer: Issued, options: Partial<CertificateOptions> = {}): Issued =>
  issue({ subject: host, key, issuer, extensions: [EXT.noCa(), EXT.usage(0)], ...options });
/** A CA below `issuer`, otherwise as given. */
const below = (issuer: Issued, options: Partial<CertificateOptions> = {}): Issued =>
  issue({ subject: "C=DE, O=Test only, CN=Below", key: newKey("p256"), issuer, extensions: [EXT.ca(), EXT.usage(5, 6)], ...options });

const expired = { from: NOW - 20 * DAY, to: NOW - DAY };
const future = { from: NOW + DAY, to: NOW + 20 * DAY };
const rsaRoot = issue({ subject: "C=DE, O=Test only, CN=RSA root", key: rsa, extensions: [EXT.ca(), EXT.usage(5, 6)] });
const shortRoot = issue({ subject: "C=DE, O=Test only, CN=Short root", key: newKey("rsa1024"), extensions: [EXT.ca(), EXT.usage(5, 6)] });
const stranger = issue({ subject: "C=DE, O=Test only, CN=Stranger", key: newKey("p256"), extensions: [EXT.ca(), EXT.usage(5, 6)] });
const impostor = issue({ subject: root.subject, key: newKey("p256"), extensions: [EXT.ca(), EXT.usage(5, 6)] });
const alone = issue({ subject: "CN=alone", key, extensions: [EXT.noCa(), EXT.usage(0)] });
const oldRoot = issue({ subject: "CN=old root", key: newKey("p256"), version: 1 });
const oldBelow = issue({ subject: "CN=old and no root", key: newKey("p256"), issuer: root, version: 1 });
const bare = issue({ subject: "CN=bare", key: newKey("p256"), extensions: [EXT.keyId("0e")] });
const narrow = below(root, { subject: "CN=Narrow", extensions: [EXT.ca(0), EXT.usage(5, 6)] });
const tooLow = below(narrow, { subject: "CN=Too low" });
const withNames = (issuer: Issued, ...names: readonly GeneralName[]): Issued =>
  from(issuer, { extensions: [EXT.noCa(), EXT.usage(0), EXT.names(...names)] });
const constrained = below(root, {
  subject: "CN=Constrained",
  extensions: [
    EXT.ca(),
    EXT.usage(5, 6),
    EXT.constraints(
      [{ dns: "example.test" }, { ip: [192, 0, 2, 0, 255, 255, 255, 0] }, { email: ".example.test" }],
      [{ dns: "bad.example.test" }],
    ),
  ],
});
const inGermany = below(root, {
  subject: "C=DE, O=Test only, CN=German CA",
  extensions: [EXT.ca(), EXT.usage(5, 6), EXT.constraints([{ dn: "C=DE, O=Test only" }])],
});
const noUris = below(root, { subject: "CN=No URIs", extensions: [EXT.ca(), EXT.usage(5, 6), EXT.constraints([{ uri: "example.test" }])] });
const [SERVER, CODE, IPSEC] = ["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.3", "1.3.6.1.5.5.7.3.17"];
const named = issue({ subject: root.subject, key: newKey("p256"), extensions: [EXT.ca(), EXT.usage(5, 6), EXT.keyId("0a")] });
const rolled = issue({
  subject: root.subject,
  key: newKey("p256"),
  issuer: named,
  extensions: [EXT.ca(), EXT.usage(5, 6), EXT.keyId("0b"), EXT.authorityKeyId("0a")],
});

const coder = below(root, { subject: "CN=For programs", extensions: [EXT.ca(), EXT.purposes(CODE)] });
const oldRolled = issue({ subject: named.subject, key: newKey("p256"), issuer: named, version: 1 });
const outside = issue({
  subject: "CN=Outside its own constraint",
  key: newKey("p256"),
  extensions: [EXT.ca(), EXT.keyId("0c"), EXT.constraints([{ dn: "C=DE" }])],
});
const outsideRolled = issue({
  subject: outside.subject,
  key: newKey("p256"),
  issuer: outside,
  extensions: [EXT.ca(), EXT.keyId("0d"), EXT.authorityKeyId("0c")],
});

const ownCurve = below(root, { subject: "CN=Own curve", key: newKey("p256 written out") });
const constrainedTo = (permitted: readonly GeneralName[], excluded: readonly GeneralName[] = []): Issued =>
  below(root, { subject: "CN=Dots and cases", extensions: [EXT.ca(), EXT.usage(5, 6), EXT.constraints(permitted, excluded)] });
const [dotted, notDotted] = [constrainedTo([{ dns: ".example.test" }]), constrainedTo([], [{ dns: ".example.test" }])];
const [bob, noBob, noHost] = [
  constrainedTo([{ email: "Bob@example.test" }]),
  constrainedTo([], [{ email: "Bob@example.test" }]),
  constrainedTo([], [{ email: "@example.test" }]),
];
const mailHost = constrainedTo([{ email: "example.test" }]);

const delta = (critical: boolean) => ({ id: "2.5.29.27", critical, value: int(1) });
/** An issuing distribution point that says one thing: 1 users only, 2 CAs only, 3 some reasons, 4 indirect, 5 attribute certificates. */
const part = (flag: 1 | 2 | 3 | 4 | 5, critical: boolean) => ({
  id: "2.5.29.28",
  critical,
  value: seq(tlv(0x80 + flag, flag === 3 ? [1, 2] : [0xff])),
});
const PARTS = [
  ["a delta list", delta, /delta/],
  ["a list of users only", (critical: boolean) => part(1, critical), /part of the certificates/],
  ["a list of CAs only", (critical: boolean) => part(2, critical), /part of the certificates/],
  ["a list of some reasons", (critical: boolean) => part(3, critical), /part of the certificates/],
  ["an indirect list", (critical: boolean) => part(4, critical), /several issuers/],
  ["a list of attribute certificates", (critical: boolean) => part(5, critical), /attribute certificates/],
] as const;
const REVOKING: ReadonlySet<string> = new Set(PARTS.slice(0, 4).map(([name]) => name));

/** Lists that are not about all of their issuer's certificates, whatever they say of themselves: nobody is good by them, some are revoked. */
const partialLists = PARTS.flatMap(([name, extension, words]) =>
  [true, false].flatMap((critical): readonly Case[] => [
    {
      name: `${name} where a complete one is required${critical ? "" : ", which does not say that it is critical"}`,
      leaf: from(root),
      anchors: [root],
      crl: "require",
      lists: [issueCrl({ issuer: root, extensions: [extension(critical)] })],
      fault: ["crl-missing", words],
      ...(name === "a delta list" ? { openssl: "accepts" } : {}),
    },
    {
      name: `a certificate on ${name}${critical ? "" : ", which does not say that it is critical"}`,
      leaf: from(root, { serial: 91 }),
      anchors: [root],
      lists: [issueCrl({ issuer: root, revoked: [91], extensions: [extension(critical)] })],
      ...(REVOKING.has(name) ? { fault: ["certificate-revoked", /CN=host is revoked/] } : { fault: null, openssl: "refuses" }),
    },
  ]),
);

const [HERE, THERE] = ["http://crl.example.test/1.crl", "http://crl.example.test/2.crl"];
/** It names the point itself: OpenSSL asks for a list of the root, too. */
const pointRoot = issue({ subject: "CN=Pointing", key: newKey("p256"), extensions: [EXT.ca(), EXT.usage(5, 6), EXT.points(HERE)] });
const pointing = (uri: string, reasons = false, serial = 95): Issued =>
  from(pointRoot, { serial, extensions: [EXT.noCa(), EXT.usage(0), EXT.points(uri, reasons)] });
const ofPoint = (extension: ReturnType<typeof EXT.point>, revoked: readonly number[] = []): Pick<Case, "crl" | "lists" | "anchors"> => ({
  anchors: [pointRoot],
  crl: "require",
  lists: [issueCrl({ issuer: pointRoot, revoked, extensions: [extension] })],
});
/** Lists with a distribution point, as public CAs have them. */
const pointLists: readonly Case[] = [
  { name: "the list of the point that the certificate names", leaf: pointing(HERE), ...ofPoint(EXT.point(HERE)), fault: null },
  { name: "the same, not critical", leaf: pointing(HERE), ...ofPoint(EXT.point(HERE, false)), fault: null },
  {
    name: "the list of another point",
    leaf: pointing(HERE),
    ...ofPoint(EXT.point(THERE)),
    fault: ["crl-missing", /name its distribution point, and this one does not/],
  },
  {
    name: "the list of a point for a certificate without one",
    leaf: from(pointRoot),
    ...ofPoint(EXT.point(HERE)),
    fault: ["crl-missing", /does not/],
  },
  {
    name: "the list of a point that is the certificate's for some reasons only",
    leaf: pointing(HERE, true),
    ...ofPoint(EXT.point(HERE)),
    fault: ["crl-missing", /does not/],
  },
  {
    name: "the list of the certificate's point that is about CAs only",
    leaf: pointing(HERE),
    ...ofPoint(EXT.point(HERE, true, tlv(0x82, [0xff]))),
    fault: ["crl-missing", /part of the certificates/],
  },
  {
    name: "a certificate on the list of its point",
    leaf: pointing(HERE, false, 96),
    ...ofPoint(EXT.point(HERE), [96]),
    fault: ["certificate-revoked", /CN=host is revoked/],
  },
  {
    name: "a certificate on the list of another point",
    leaf: pointing(HERE, false, 97),
    ...ofPoint(EXT.point(THERE), [97]),
    fault: ["certificate-revoked", /CN=host is revoked/],
  },
];

const ladder: Issued[] = [];
for (let i = 0; i < 7; i++) ladder.push(below(ladder.at(-1) ?? root, { subject: `CN=Step ${i}` }));

export const CASES: readonly Case[] = [
  { name: "six CAs between", leaf: from(ladder[5] as Issued), others: ladder.slice(0, 6), anchors: [root], fault: null },
  {
    name: "seven CAs between",
    leaf: from(ladder[6] as Issued),
    others: ladder,
    anchors: [root],
    fault: ["certificate-untrusted", /no CA of the rule is within 8 certificates of .*CN=host/],
    openssl: "accepts",
  },
  ...partialLists,
  ...pointLists,
  {
    name: "a certificate that a delta list takes off the complete one",
    leaf: from(root, { serial: 92 }),
    anchors: [root],
    lists: [
      issueCrl({
        issuer: root,
        revoked: [92],
        extensions: [delta(true)],
        entryExtensions: [{ id: "2.5.29.21", critical: false, value: tlv(0x0a, [8]) }],
      }),
    ],
    fault: null,
  },
  {
    name: "a certificate on a list whose entries name their issuers without saying that this is critical",
    leaf: from(root, { serial: 93 }),
    anchors: [root],
    crl: "require",
    lists: [
      issueCrl({
        issuer: root,
        revoked: [94],
        entryExtensions: [{ id: "2.5.29.29", critical: false, value: seq(tlv(0xa4, root.subject)) }],
      }),
    ],
    fault: ["crl-missing", /several issuers/],
    openssl: "accepts",
  },
  {
    name: "a key whose curve is written out instead of named",
    leaf: from(root, { key: newKey("p256 written out") }),
    anchors: [root],
    fault: ["certificate-unsuitable", /curve is written out/],
  },
  {
    name: "a CA whose curve is written out instead of named",
    leaf: from(ownCurve),
    others: [ownCurve],
    anchors: [root],
    fault: ["certificate-unsuitable", /Own curve: its key's curve is written out/],
  },
  {
    name: "the domain itself where those below it are permitted",
    leaf: withNames(dotted, { dns: "example.test" }),
    others: [dotted],
    anchors: [root],
    fault: ["certificate-unsuitable", /example.test is outside/],
  },
  {
    name: "a host below a domain that is permitted with a dot",
    leaf: withNames(dotted, { dns: "A.Example.test" }),
    others: [dotted],
    anchors: [root],
    fault: null,
  },
  {
    name: "the domain itself where those below it are excluded",
    leaf: withNames(notDotted, { dns: "example.test" }),
    others: [notDotted],
    anchors: [root],
    fault: ["certificate-unsuitable", /excluded/],
    openssl: "accepts",
  },
  {
    name: "a permitted mailbox with other capitals",
    leaf: withNames(bob, { email: "bob@example.test" }),
    others: [bob],
    anchors: [root],
    fault: ["certificate-unsuitable", /outside/],
  },
  {
    name: "a permitted mailbox with other capitals in its host",
    leaf: withNames(bob, { email: "Bob@EXAMPLE.test" }),
    others: [bob],
    anchors: [root],
    fault: null,
  },
  {
    name: "an excluded mailbox",
    leaf: withNames(noBob, { email: "Bob@Example.test" }),
    others: [noBob],
    anchors: [root],
    fault: ["certificate-unsuitable", /excluded/],
  },
  {
    name: "a mailbox of a host that is excluded with an @",
    leaf: withNames(noHost, { email: "bob@Example.test" }),
    others: [noHost],
    anchors: [root],
    fault: ["certificate-unsuitable", /excluded/],
  },
  {
    name: "a mail address without @ that is called like a permitted host",
    leaf: withNames(mailHost, { email: "example.test" }),
    others: [mailHost],
    anchors: [root],
    fault: ["certificate-unsuitable", /example.test is no mail address/],
  },
  {
    name: "a mail address without @ where some are excluded",
    leaf: withNames(noBob, { email: "bob" }),
    others: [noBob],
    anchors: [root],
    fault: ["certificate-unsuitable", /bob is no mail address/],
  },
  {
    name: "a mailbox in the subject outside the constraints beside a permitted one in the alternative names",
    leaf: from(mailHost, {
      subject: "CN=x, E=me@example.org",
      extensions: [EXT.noCa(), EXT.usage(0), EXT.names({ email: "me@example.test" })],
    }),
    others: [mailHost],
    anchors: [root],
    fault: ["certificate-unsuitable", /me@example.org is outside/],
  },
  {
    name: "an intermediate for signing programs",
    leaf: from(coder),
    others: [coder],
    anchors: [root],
    fault: ["certificate-unsuitable", /For programs: .*extended key usages/],
    openssl: "accepts",
  },
  {
    name: "an intermediate older than extensions",
    leaf: from(oldRolled, { extensions: [EXT.noCa(), EXT.authorityKeyId("0b")] }),
    others: [oldRolled],
    anchors: [named],
    weak: { oldRoots: true },
    fault: ["certificate-unsuitable", /no CA/],
  },
  {
    name: "a CA of another key identifier",
    leaf: from(named, { extensions: [EXT.noCa(), EXT.authorityKeyId("0b")] }),
    anchors: [named],
    fault: ["certificate-untrusted", /neither among/],
  },
  {
    name: "a CA that renewed its key and lies outside of its own constraint",
    leaf: from(outsideRolled, { extensions: [EXT.noCa(), EXT.authorityKeyId("0d")] }),
    others: [outsideRolled],
    anchors: [outside],
    fault: null,
  },

  { name: "an intermediate that was sent", leaf, others: [middle], anchors: [root], fault: null },
  { name: "an intermediate that is trusted itself", leaf, anchors: [middle], fault: null, openssl: "refuses" },
  { name: "no intermediate", leaf, anchors: [root], fault: ["certificate-untrusted", /issued by .*CN=Middle, which is neither/] },
  {
    name: "a stranger's CA",
    leaf: from(stranger),
    others: [stranger],
    anchors: [root],
    fault: ["certificate-untrusted", /Stranger is signed by itself/],
  },
  {
    name: "a CA with the right name and another key",
    leaf: from(impostor),
    others: [impostor],
    anchors: [root],
    fault: ["certificate-untrusted", /signature is wrong/],
  },
  { name: "several CAs of one name", leaf: from(impostor), anchors: [root, impostor], fault: null, openssl: "refuses" },
  {
    name: "a CA that renewed its key",
    leaf: from(rolled, { extensions: [EXT.noCa(), EXT.authorityKeyId("0b")] }),
    others: [rolled],
    anchors: [named],
    fault: null,
  },

  { name: "a certificate that is trusted itself", leaf: alone, anchors: [alone], fault: null },
  {
    name: "a certificate that signed itself",
    leaf: alone,
    anchors: [root],
    fault: ["certificate-untrusted", /signed by itself and not among/],
  },
  {
    name: "a host that signed a certificate",
    leaf: from(leaf),
    others: [leaf, middle],
    anchors: [root],
    fault: ["certificate-unsuitable", /CN=host: it is no CA/],
  },
  {
    name: "a CA without the extension",
    leaf: from(below(root, { extensions: [] })),
    others: [below(root, { extensions: [] })],
    anchors: [root],
    fault: ["certificate-unsuitable", /no CA/],
  },
  {
    name: "a root older than extensions, said to be one",
    leaf: from(oldRoot),
    anchors: [oldRoot],
    weak: { oldRoots: true },
    fault: null,
  },
  {
    name: "a certificate of version 1 that is trusted itself and signed another",
    leaf: from(oldRoot),
    anchors: [oldRoot],
    fault: ["certificate-unsuitable", /old root: it is no CA's certificate/],
    openssl: "accepts",
  },
  { name: "a certificate of version 1 that is trusted itself", leaf: oldRoot, anchors: [oldRoot], fault: null },
  {
    name: "a certificate of version 1 that a CA issued, trusted itself, and signed another, though roots of version 1 may",
    leaf: from(oldBelow),
    anchors: [oldBelow],
    weak: { oldRoots: true },
    fault: ["certificate-unsuitable", /old and no root: it is no CA's certificate/],
    openssl: "refuses",
  },
  {
    name: "a certificate that signed itself, is trusted itself and signed another",
    leaf: from(alone, { subject: "CN=somebody else" }),
    anchors: [alone],
    weak: { oldRoots: true },
    fault: ["certificate-unsuitable", /alone: it is no CA's certificate/],
  },
  {
    name: "a certificate without extensions that signed itself, is trusted itself and signed another",
    leaf: from(bare),
    anchors: [bare],
    weak: { oldRoots: true },
    fault: ["certificate-unsuitable", /bare: it is no CA's certificate/],
  },
  {
    name: "a path that is too long",
    leaf: from(tooLow),
    others: [tooLow, narrow],
    anchors: [root],
    fault: ["certificate-unsuitable", /allows 0 CAs below it, there are 1/],
  },
  { name: "an expired certificate", leaf: from(root, expired), anchors: [root], fault: ["certificate-expired", /expired 2026-11-20/] },
  {
    name: "a certificate of the future",
    leaf: from(root, future),
    anchors: [root],
    fault: ["certificate-not-yet-valid", /not valid before 2026-11-22/],
  },
  {
    name: "a signature changed",
    leaf: from(root, { signature: leaf.der.slice(-70) }),
    anchors: [root],
    fault: ["certificate-untrusted", /signature is wrong/],
  },
  { name: "RSA signed over SHA-512", leaf: from(rsaRoot, { hash: "sha512" }), anchors: [rsaRoot], fault: null },
  {
    name: "a signature over SHA-1",
    leaf: from(rsaRoot, { hash: "sha1" }),
    anchors: [rsaRoot],
    fault: ["certificate-unsuitable", /SHA-1/],
    openssl: "accepts",
  },
  { name: "a signature over SHA-1, allowed", leaf: from(rsaRoot, { hash: "sha1" }), anchors: [rsaRoot], weak: { sha1: true }, fault: null },
  {
    name: "a signature over MD5",
    leaf: from(rsaRoot, { hash: "md5" }),
    anchors: [rsaRoot],
    weak: { sha1: true },
    fault: ["certificate-unsuitable", /MD5/],
    openssl: "accepts",
  },
  {
    name: "a short key of the CA",
    leaf: from(shortRoot),
    anchors: [shortRoot],
    fault: ["certificate-unsuitable", /1024 bits/],
    openssl: "accepts",
  },
  { name: "a short key of the CA, allowed", leaf: from(shortRoot), anchors: [shortRoot], weak: { shortRsa: true }, fault: null },
  {
    name: "a curve that nobody agreed on",
    leaf: from(root, { key: newKey("secp256k1") }),
    anchors: [root],
    fault: ["certificate-unsuitable", /curve secp256k1/],
    openssl: "accepts",
  },
  {
    name: "a key that may not sign",
    leaf: from(root, { extensions: [EXT.noCa(), EXT.usage(4)] }),
    anchors: [root],
    fault: ["certificate-unsuitable", /may not sign/],
    openssl: "accepts",
  },
  {
    name: "a CA whose key may not sign certificates",
    leaf: from(below(root, { extensions: [EXT.ca(), EXT.usage(0)], key })),
    others: [below(root, { extensions: [EXT.ca(), EXT.usage(0)], key })],
    anchors: [root],
    fault: ["certificate-unsuitable", /may not sign certificates/],
  },
  { name: "purposes of a web server", leaf: from(root, { extensions: [EXT.noCa(), EXT.purposes(SERVER)] }), anchors: [root], fault: null },
  { name: "the purpose of IPsec", leaf: from(root, { extensions: [EXT.noCa(), EXT.purposes(CODE, IPSEC)] }), anchors: [root], fault: null },
  {
    name: "the purpose of signing programs",
    leaf: from(root, { extensions: [EXT.noCa(), EXT.purposes(CODE)] }),
    anchors: [root],
    fault: ["certificate-unsuitable", /extended key usages/],
    openssl: "accepts",
  },
  {
    name: "an unknown critical extension",
    leaf: from(root, { extensions: [EXT.unknown(true)] }),
    anchors: [root],
    fault: ["certificate-unsuitable", /critical extension/],
  },
  {
    name: "an unknown extension that is not critical",
    leaf: from(root, { extensions: [EXT.unknown(false)] }),
    anchors: [root],
    fault: null,
  },
  {
    name: "an unknown critical extension of the CA",
    leaf: from(below(root, { key, extensions: [EXT.ca(), EXT.unknown(true)] })),
    others: [below(root, { key, extensions: [EXT.ca(), EXT.unknown(true)] })],
    anchors: [root],
    fault: ["certificate-unsuitable", /critical extension/],
  },
  {
    name: "names within the constraints",
    leaf: withNames(constrained, { dns: "a.example.test" }, { ip: [192, 0, 2, 9] }, { email: "me@mail.example.test" }),
    others: [constrained],
    anchors: [root],
    fault: null,
  },
  {
    name: "a host outside the constraints",
    leaf: withNames(constrained, { dns: "example.org" }),
    others: [constrained],
    anchors: [root],
    fault: ["certificate-unsuitable", /example.org is outside/],
  },
  {
    name: "a host that ends like a permitted one",
    leaf: withNames(constrained, { dns: "badexample.test" }),
    others: [constrained],
    anchors: [root],
    fault: ["certificate-unsuitable", /outside/],
  },
  {
    name: "a host that is excluded",
    leaf: withNames(constrained, { dns: "x.BAD.example.test" }),
    others: [constrained],
    anchors: [root],
    fault: ["certificate-unsuitable", /excluded/],
  },
  {
    name: "an address outside the constraints",
    leaf: withNames(constrained, { ip: [192, 0, 3, 9] }),
    others: [constrained],
    anchors: [root],
    fault: ["certificate-unsuitable", /192.0.3.9 is outside/],
  },
  {
    name: "a mailbox outside the constraints",
    leaf: withNames(constrained, { email: "me@example.org" }),
    others: [constrained],
    anchors: [root],
    fault: ["certificate-unsuitable", /outside/],
  },
  {
    name: "a mailbox in the subject outside the constraints",
    leaf: from(constrained, { subject: "CN=x, E=me@example.org" }),
    others: [constrained],
    anchors: [root],
    fault: ["certificate-unsuitable", /outside/],
  },
  { name: "a subject within its subtree", leaf: from(inGermany), others: [inGermany], anchors: [root], fault: null },
  {
    name: "a subject outside its subtree",
    leaf: from(inGermany, { subject: "C=FR, O=Test only, CN=host" }),
    others: [inGermany],
    anchors: [root],
    fault: ["certificate-unsuitable", /subject is outside/],
  },
  {
    name: "a constrained kind of name that is not understood",
    leaf: withNames(noUris, { uri: "http://example.org/" }),
    others: [noUris],
    anchors: [root],
    fault: ["certificate-unsuitable", /not understood/],
  },
  {
    name: "no such name where a kind is constrained",
    leaf: withNames(noUris, { dns: "example.org" }),
    others: [noUris],
    anchors: [root],
    fault: null,
  },

  {
    name: "a current list",
    leaf,
    others: [middle],
    anchors: [root],
    crl: "require",
    lists: [issueCrl({ issuer: middle }), issueCrl({ issuer: root })],
    fault: null,
  },
  {
    name: "no list where one is required",
    leaf: from(root),
    anchors: [root],
    crl: "require",
    fault: ["crl-missing", /no revocation list of .*CN=Root/],
  },
  {
    name: "no list of the intermediate's CA",
    leaf,
    others: [middle],
    anchors: [root],
    crl: "require",
    lists: [issueCrl({ issuer: middle })],
    fault: ["crl-missing", /CN=Root/],
  },
  {
    name: "a revoked certificate",
    leaf: from(root, { serial: 77 }),
    anchors: [root],
    lists: [issueCrl({ issuer: root, revoked: [5, 77, 300] })],
    fault: ["certificate-revoked", /CN=host is revoked by .*CN=Root/],
  },
  {
    name: "a revoked intermediate",
    leaf: from(below(root, { serial: 78, key })),
    others: [below(root, { serial: 78, key })],
    anchors: [root],
    lists: [issueCrl({ issuer: root, revoked: [78] })],
    fault: ["certificate-revoked", /Below is revoked/],
  },
  {
    name: "a certificate revoked on the fifth list of its issuer",
    leaf: from(root, { serial: 77 }),
    anchors: [root],
    crl: "require",
    lists: [
      ...[9, 8, 7, 6].map((days) => issueCrl({ issuer: root, thisUpdate: NOW - days * DAY })),
      issueCrl({ issuer: root, revoked: [77], thisUpdate: NOW - DAY / 2 }),
    ],
    fault: ["certificate-revoked", /CN=host is revoked by .*CN=Root/],
  },
  {
    name: "another certificate revoked",
    leaf: from(root, { serial: 77 }),
    anchors: [root],
    crl: "require",
    lists: [issueCrl({ issuer: root, revoked: [78] })],
    fault: null,
  },
  {
    name: "an old list where one is required",
    leaf: from(root),
    anchors: [root],
    crl: "require",
    lists: [issueCrl({ issuer: root, nextUpdate: NOW - 1000 })],
    fault: ["crl-expired", /ended 2026-11-21/],
  },
  {
    name: "an old list where none is required",
    leaf: from(root),
    anchors: [root],
    lists: [issueCrl({ issuer: root, nextUpdate: NOW - 1000 })],
    fault: null,
    openssl: "refuses",
  },
  {
    name: "a certificate revoked on an old list",
    leaf: from(root, { serial: 79 }),
    anchors: [root],
    lists: [issueCrl({ issuer: root, revoked: [79], nextUpdate: NOW - 1000 })],
    fault: ["certificate-revoked", /revoked/],
  },
  {
    name: "a list of the future",
    leaf: from(root),
    anchors: [root],
    crl: "require",
    lists: [issueCrl({ issuer: root, thisUpdate: NOW + DAY, nextUpdate: NOW + 2 * DAY })],
    fault: ["crl-missing", /future/],
  },
  {
    name: "a list without an end",
    leaf: from(root),
    anchors: [root],
    crl: "require",
    lists: [issueCrl({ issuer: root, nextUpdate: null })],
    fault: ["crl-missing", /until when it holds/],
    openssl: "accepts",
  },
  {
    name: "a list that somebody else signed",
    leaf: from(root, { serial: 80 }),
    anchors: [root],
    crl: "require",
    lists: [issueCrl({ issuer: { subject: root.subject, key: stranger.key }, revoked: [80] })],
    fault: ["crl-missing", /signature is wrong/],
  },
  {
    name: "a list whose issuer may not sign lists",
    leaf: from(below(root, { key, extensions: [EXT.ca(), EXT.usage(5)] })),
    others: [below(root, { key, extensions: [EXT.ca(), EXT.usage(5)] })],
    anchors: [root],
    crl: "require",
    lists: [issueCrl({ issuer: root }), issueCrl({ issuer: { subject: below(root).subject, key } })],
    fault: ["crl-missing", /may not sign lists/],
  },
];

/** The surroundings that a case describes. */
export const terrainOf = ({ others = [], anchors, lists = [], crl = "if-present", weak = {} }: Case): Terrain => ({
  anchors: anchors.map(({ der }) => certificate(der)),
  others: others.map(({ der }) => certificate(der)),
  lists: lists.map(list),
  crl,
  weak: { shortRsa: false, sha1: false, oldRoots: false, ...weak },
  milliseconds: NOW,
});
