/**
 * Certificate revocation lists (RFC 5280 §5): read, and asked whether a certificate is on one.
 * A list counts only where the certificate's own issuer signed it and nothing critical in it is unknown. One with a distribution point is for the
 * certificates that name the same point. Delta lists and lists of another part of the certificates, critical or not, revoke those that are on them and
 * show nobody else to be good; lists of several issuers and of attribute certificates, whose numbers are others', do neither.
 */
import type { KeyObject } from "node:crypto";
import { anyElement, constructed, DER, each, element, only, optional, primitive, smallInteger, time } from "../../isakmp/der.ts";
import { toHex } from "../../isakmp/hex.ts";
import { type Reader, readWith } from "../../isakmp/reader.ts";
import { err, type Result } from "../../isakmp/result.ts";
import { type Certificate, certificateTitle, type Extension, KEY_USAGE, listExtensions, type Name, readName } from "./certificate.ts";
import { pointNames } from "./distribution-points.ts";
import { readSigned, type Signed, signatureFault, type Weakness } from "./signed.ts";

export interface RevocationList {
  readonly signed: Signed;
  readonly issuer: Name;
  /** Milliseconds since 1970; undefined: it does not say. */
  readonly thisUpdate: number;
  readonly nextUpdate: number | undefined;
  /** Serial numbers in hex, as they stand in the DER. */
  readonly revoked: ReadonlySet<string>;
  readonly scope: Scope;
}

/** What a list is about: all certificates of its issuer, those that name one of these points, some of them, or none that we know how to tell. */
export type Scope =
  | { readonly kind: "whole" }
  | { readonly kind: "points"; readonly names: ReadonlySet<string> }
  | { readonly kind: "part" | "unusable"; readonly why: string };

/** Octets of a list from a file; one from a peer is bounded by the datagram. */
export const MAX_CRL = 16 << 20;
const MAX_REVOKED = 500_000;

/** Reads a list in DER. */
export function readCrl(der: Uint8Array): Result<RevocationList, string> {
  if (der.length > MAX_CRL) return err(`it has ${der.length} octets; ${MAX_CRL} are read`);
  const read = readWith(der, (r) => {
    const signed = readSigned(r, "revocation list");
    return readTbs(signed, signed.contents.fork());
  });
  return read.ok ? read : err(`at octet ${read.error.offset}: ${read.error.what}`);
}

/** What the lists at hand say about a certificate. `expired`: there is a good list, and its time is over. */
export type Status =
  | { readonly kind: "good" }
  | { readonly kind: "revoked"; readonly why: string }
  | { readonly kind: "unknown"; readonly expired: boolean; readonly why: string };

/** Who signs what, and when it is asked. `milliseconds` is the time of day since 1970. */
export interface StatusQuestion {
  readonly certificate: Certificate;
  readonly issuer: Certificate;
  readonly issuerKey: KeyObject;
  readonly milliseconds: number;
  readonly weak: Weakness;
}

/** Whether any usable list has the certificate, and whether one that is not past its time has it not. */
export function revocationStatus(lists: readonly RevocationList[], question: StatusQuestion): Status {
  const { certificate, milliseconds } = question;
  const own = lists.filter(({ issuer }) => issuer.key === certificate.issuer.key);
  const title = certificateTitle(certificate);
  if (own.length === 0) return { kind: "unknown", expired: false, why: `there is no revocation list of ${certificate.issuer.text}` };
  let [why, good, expired] = ["", false, false];
  // All of them: a list that is passed over may be the one that revokes. What a peer may send of them is bounded where it is read, and those
  // of files are checked once.
  for (const list of own) {
    const partial = partOf(list.scope, certificate);
    const fault = list.scope.kind === "unusable" ? list.scope.why : listFault(list, question);
    if (fault !== undefined) why = `the revocation list of ${list.issuer.text} is of no use: ${fault}`;
    // Even an old list holds: who was revoked stays so.
    else if (list.revoked.has(certificate.serial))
      return { kind: "revoked", why: `${title} is revoked by ${list.issuer.text} (serial number ${certificate.serial})` };
    else if (partial !== undefined) why = `the revocation list of ${list.issuer.text} shows nobody to be good: ${partial}`;
    else if (list.thisUpdate > milliseconds)
      why = `the revocation list of ${list.issuer.text} is of the future, ${dateText(list.thisUpdate)}`;
    else if (list.nextUpdate === undefined) why = `the revocation list of ${list.issuer.text} does not say until when it holds`;
    else if (list.nextUpdate <= milliseconds)
      [why, expired] = [`the revocation list of ${list.issuer.text} ended ${dateText(list.nextUpdate)}`, true];
    else good = true;
  }
  return good ? { kind: "good" } : { kind: "unknown", expired, why };
}

/** Why a list does not show that this certificate is good, though it is not on it. */
function partOf(scope: Scope, { extensions: { listPoints } }: Certificate): string | undefined {
  if (scope.kind === "part") return scope.why;
  return scope.kind === "points" && !listPoints.some((name) => scope.names.has(name)) ? OTHER_POINT : undefined;
}

const OTHER_POINT = "it is about the certificates that name its distribution point, and this one does not";

/** A day and time for messages. */
export const dateText = (milliseconds: number): string => new Date(milliseconds).toISOString().replace(/\.\d+Z$/, "Z");

/** Checked once for each list and key: a big list is not hashed for every negotiation. */
const checked = new WeakMap<RevocationList, Map<string, string | undefined>>();

function listFault(list: RevocationList, { issuer, issuerKey, weak }: StatusQuestion): string | undefined {
  const { keyUsage } = issuer.extensions;
  if (keyUsage !== undefined && (keyUsage & KEY_USAGE.cRLSign) === 0) return "its issuer's certificate may not sign lists";
  const before = checked.get(list) ?? new Map<string, string | undefined>();
  checked.set(list, before);
  const name = `${toHex(issuer.publicKey)} ${weak.sha1}`;
  if (!before.has(name)) before.set(name, signatureFault(list.signed, issuerKey, weak));
  return before.get(name);
}

function readTbs(signed: Signed, r: Reader): RevocationList {
  const version = optional(r, DER.integer, "version");
  if (version && smallInteger(version.body, "version") !== 1) r.fail("a version that is not 2");
  const algorithm = element(r, DER.sequence, "signature algorithm");
  if (Buffer.compare(algorithm.der, signed.algorithm.der) !== 0) r.fail("two different signature algorithms");
  const issuer = readName(r, "issuer");
  const thisUpdate = time(r, "this update");
  const next = r.peek()[0];
  const nextUpdate = next === DER.utcTime || next === DER.generalizedTime ? time(r, "next update") : undefined;
  const entries = optional(r, DER.sequence, "revoked certificates");
  const { revoked, lifted, odd } = entries ? readEntries(entries.body) : NO_ENTRIES;
  const listed = optional(r, constructed(0), "extensions");
  r.finish("the list's contents");
  const extensions = listed ? listExtensions(only(listed.body, DER.sequence, "extensions")) : [];
  // Only a delta list takes certificates off another (RFC 5280 §5.3.1).
  if (extensions.some(({ id }) => id === DELTA)) for (const serial of lifted) revoked.delete(serial);
  return { signed, issuer, thisUpdate, nextUpdate, revoked, scope: scopeOf(extensions, odd) };
}

const [DELTA, DISTRIBUTION_POINT] = ["2.5.29.27", "2.5.29.28"];

/** What narrows a list does so whether or not its writer calls it critical, as RFC 5280 §5.2.4 and §5.2.5 want it. */
function scopeOf(extensions: readonly Extension[], odd: string | undefined): Scope {
  const unknown = extensions.find(({ id, critical }) => critical && id !== DELTA && id !== DISTRIBUTION_POINT);
  if (unknown) return { kind: "unusable", why: `it has a critical extension that is not known (${unknown.id})` };
  if (odd !== undefined) return { kind: "unusable", why: odd };
  const point = extensions.find(({ id }) => id === DISTRIBUTION_POINT);
  const fields = point ? each(only(point.value.body, DER.sequence, POINT), MOST_FIELDS, POINT) : [];
  const says = (number: number): boolean => fields.some(({ tag, body }) => tag === primitive(number) && body.peek()[0] !== 0);
  if (says(4)) return { kind: "unusable", why: "it is a list of several issuers (indirect)" };
  if (says(5)) return { kind: "unusable", why: "it is about attribute certificates" };
  if (extensions.some(({ id }) => id === DELTA)) return { kind: "part", why: "it is a delta list, which needs its base" };
  if (!point) return { kind: "whole" };
  const [name, ...narrowing] = fields;
  const names = name && narrowing.length === 0 ? pointNames(name) : [];
  if (names.length > 0) return { kind: "points", names: new Set(names) };
  return { kind: "part", why: "it is about a part of the certificates only (issuing distribution point)" };
}

const POINT = "issuing distribution point";
const MOST_FIELDS = 6;

interface Entries {
  readonly revoked: Set<string>;
  /** Those of them that a delta list takes off its base. */
  readonly lifted: ReadonlySet<string>;
  /** Why nobody can say whose the serial numbers are. */
  readonly odd: string | undefined;
}

const NO_ENTRIES: Entries = { revoked: new Set(), lifted: new Set(), odd: undefined };
const [REASON, CERTIFICATE_ISSUER] = ["2.5.29.21", "2.5.29.29"];
/** DER of the reason `removeFromCRL`. */
const LIFTED = Buffer.of(DER.enumerated, 1, 8);

function readEntries(r: Reader): Entries {
  const [revoked, lifted] = [new Set<string>(), new Set<string>()];
  let odd: string | undefined;
  while (r.left > 0) {
    if (revoked.size === MAX_REVOKED) r.fail(`more than ${MAX_REVOKED} entries`);
    const entry = element(r, DER.sequence, "entry").body;
    const serial = toHex(element(entry, DER.integer, "serial number").body.rest());
    revoked.add(serial);
    anyElement(entry, "revocation date");
    const extensions = entry.left > 0 ? listExtensions(only(entry, DER.sequence, "entry's extensions")) : [];
    // An entry may name another issuer than the entries before it, which changes whose serial numbers follow.
    if (extensions.some(({ id, critical }) => critical || id === CERTIFICATE_ISSUER)) odd = ODD;
    if (extensions.some(({ id, value }) => id === REASON && LIFTED.equals(value.body.peek()))) lifted.add(serial);
  }
  return { revoked, lifted, odd };
}

const ODD = "it has entries with critical extensions, as lists of several issuers do";
