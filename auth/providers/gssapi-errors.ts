/**
 * Why a GSS call failed, in terms of the contract with the core: a reason for each cause that somebody can mend, with names and the library's
 * own words. The same status means different faults in different calls: an undecryptable answer of the KDC is our keytab's fault, an undecryptable
 * token the peer's or the keytab's. Pure.
 */
import type { AuthFailure, AuthReason } from "../method.ts";
import type { GssStatus } from "./gssapi-library.ts";

/** What was being done, for whom. `answer`: reading the peer's token as initiator; `principal`, `target`: reading a name. */
export interface Doing {
  readonly call: "usable" | "initiate" | "accept" | "answer" | "wrap" | "unwrap" | "principal" | "target";
  readonly principal: string;
  readonly keytab: string | null;
  readonly target: string | null;
}

/** The failure that a status stands for. */
export function failureOf(status: GssStatus, doing: Doing): AuthFailure {
  const row = ROWS.find((each) => each.calls.includes(doing.call) && each.matches(status)) ?? OTHER[doing.call];
  const words = status.text === "" ? `${status.call} failed with ${status.major}, ${status.minor}` : status.text;
  return { reason: row.reason, what: `${row.what(doing)} (${words})`, hint: row.hint?.(doing) ?? null, whose: row.whose };
}

interface Row {
  readonly reason: AuthReason;
  readonly whose: "me" | "peer";
  readonly what: (doing: Doing) => string;
  /** Where the reason's own does not do. */
  readonly hint?: (doing: Doing) => string;
}
interface MatchedRow extends Row {
  readonly calls: readonly Doing["call"][];
  readonly matches: (status: GssStatus) => boolean;
}

/** Numbers of RFC 4120 §7.5.9 and of MIT's krb5.h, counted from the base of its error table. */
const ERROR_TABLE = -1765328384;
const minor =
  (...numbers: readonly number[]) =>
  (status: GssStatus): boolean =>
    numbers.includes((status.minor | 0) - ERROR_TABLE);
/** Routine errors of RFC 2744 §3.9.1, and what stands below them. */
const routine =
  (...numbers: readonly number[]) =>
  ({ major }: GssStatus): boolean =>
    numbers.includes((major >>> 16) & 0xff);
const either =
  (...tests: readonly ((status: GssStatus) => boolean)[]) =>
  (status: GssStatus): boolean =>
    tests.some((each) => each(status));

const NO_CREDENTIALS = 7;
const LAST_ERRNO = 134;
const SUPPLEMENTARY = ({ major }: GssStatus): boolean => (major & 0x1e) !== 0;

const KDC: readonly Doing["call"][] = ["usable", "initiate"];
const TOKENS: readonly Doing["call"][] = ["accept", "answer"];
const keytab = ({ keytab: file }: Doing): string => (file === null ? "the default keytab" : `the keytab ${file}`);

/** In the order in which they are asked; the first that fits counts. */
const ROWS: readonly MatchedRow[] = [
  {
    calls: [...KDC, "accept", "principal", "target"],
    matches: minor(135, 136, 137),
    reason: "provider-failed",
    whose: "me",
    what: () => "krb5.conf can't be read",
    hint: () => "mend /etc/krb5.conf, or what KRB5_CONFIG names: `klist` stumbles over it, too",
  },
  {
    calls: TOKENS,
    matches: minor(37, 33, 148),
    reason: "kerberos-clock-skew",
    whose: "peer",
    what: () => "the clocks of the peer and of this host differ too much for Kerberos",
  },
  {
    calls: KDC,
    matches: minor(37, 33, 148),
    reason: "kerberos-clock-skew",
    whose: "me",
    what: ({ principal }) => `the clocks of the KDC and of this host differ too much for a ticket of ${principal}`,
  },
  {
    calls: [...KDC, "accept", "principal"],
    matches: either(routine(2, 3), minor(134)),
    reason: "kerberos-unknown-principal",
    whose: "me",
    what: ({ principal, target }) =>
      `${[principal, ...(target === null ? [] : [target])].map((name) => JSON.stringify(name)).join(" or ")} is no principal`,
  },
  {
    calls: KDC,
    matches: minor(6, 68),
    reason: "kerberos-unknown-principal",
    whose: "me",
    what: ({ principal }) => `the KDC does not know our principal ${principal}`,
  },
  {
    calls: KDC,
    matches: minor(1, 18, 21, 23),
    reason: "kerberos-unknown-principal",
    whose: "me",
    what: ({ principal }) => `the KDC does not let our principal ${principal} in`,
    hint: ({ principal }) =>
      `look at the account of ${principal} in the KDC: it, or its password, has expired or is locked; a host's account needs a password that never expires`,
  },
  {
    calls: ["initiate"],
    matches: minor(7),
    reason: "kerberos-unknown-principal",
    whose: "peer",
    what: ({ target }) => `the KDC does not know the peer's principal ${target}`,
  },
  {
    calls: ["initiate"],
    matches: minor(2, 9, 12, 19, 22, 27),
    reason: "kerberos-unknown-principal",
    whose: "peer",
    what: ({ target }) => `the KDC gives nobody a ticket to the peer's principal ${target}`,
    hint: ({ target }) =>
      `look at the account of ${target} in the KDC: it has expired or is locked, or is a user's without a service's name (Active Directory: setspn -S host/NAME ACCOUNT)`,
  },
  {
    calls: [...KDC, "principal"],
    matches: minor(154, 217, 224),
    reason: "kerberos-kdc-unreachable",
    whose: "me",
    what: ({ principal }) => `nothing says where a KDC for ${principal} is`,
    hint: () => "name the realm and its KDC in krb5.conf, or let DNS be asked (dns_lookup_kdc)",
  },
  {
    calls: KDC,
    matches: minor(156, 220, 29),
    reason: "kerberos-kdc-unreachable",
    whose: "me",
    what: ({ principal, target }) => `no KDC answered when ${principal} asked for a ticket${target === null ? "" : ` to ${target}`}`,
  },
  {
    calls: KDC,
    matches: minor(24, 31),
    reason: "kerberos-wrong-key",
    whose: "me",
    what: (doing) => `the key of ${doing.principal} in ${keytab(doing)} is not the one that the KDC has`,
  },
  {
    calls: KDC,
    matches: minor(14, 150, 188, 236, 237),
    reason: "kerberos-wrong-key",
    whose: "me",
    what: ({ principal, target }) => `no kind of encryption is common to the KDC and ${principal}${target === null ? "" : ` or ${target}`}`,
    hint: () => "let the accounts have AES keys (Active Directory: a box of the account), and write the keytab anew with them",
  },
  {
    calls: [...KDC, "accept"],
    // A token of another mechanism is refused with the same status, as if it were the credential's fault.
    matches: either(
      (status) => status.call !== "gss_accept_sec_context" && routine(NO_CREDENTIALS)(status),
      minor(181, 184, 195, 141, 194),
    ),
    reason: "kerberos-no-credentials",
    whose: "me",
    what: (doing) => `there is no key of ${doing.principal} in ${keytab(doing)}`,
  },
  { calls: ["accept"], matches: minor(34, 163), reason: "kerberos-replay", whose: "peer", what: () => "the peer's token was used before" },
  {
    calls: ["accept"],
    matches: minor(35, 44, 45, 144, 181, 230),
    reason: "kerberos-wrong-key",
    whose: "me",
    what: (doing) => `the peer's ticket can't be opened with a key of ${doing.principal} in ${keytab(doing)}`,
  },
  {
    calls: ["accept"],
    // The library keeps the tokens that it has seen in a file; what that file's calls say comes through as it is.
    matches: (status) =>
      status.call === "gss_accept_sec_context" &&
      ((status.minor > 0 && status.minor < LAST_ERRNO) || minor(164, 167, 169, 170, 171, 172)(status)),
    reason: "provider-failed",
    whose: "me",
    what: () => "the file that remembers the tokens of peers can't be written",
    hint: () => "KRB5RCACHEDIR in the daemon's environment must name a folder that it may write, if /var/tmp is none",
  },
  {
    calls: ["accept"],
    matches: minor(31, 41),
    reason: "kerberos-token-invalid",
    whose: "peer",
    what: ({ principal }) => `the peer's token for ${principal} can't be decrypted`,
    hint: (doing) =>
      `it was changed on its way, or the key of ${doing.principal} in ${keytab(doing)} is not the KDC's: if this happens with every peer, write the keytab anew`,
  },
  {
    calls: ["unwrap"],
    matches: SUPPLEMENTARY,
    reason: "kerberos-replay",
    whose: "peer",
    what: () => "the peer's wrapped hash came twice or out of order",
  },
];

/** Whatever else a call says. */
const OTHER: Readonly<Record<Doing["call"], Row>> = {
  usable: { reason: "kerberos-no-credentials", whose: "me", what: ({ principal }) => `there is no ticket to be had for ${principal}` },
  initiate: {
    reason: "kerberos-no-credentials",
    whose: "me",
    what: ({ principal, target }) => `there is no ticket to be had for ${principal} to ${target}`,
  },
  accept: { reason: "kerberos-token-invalid", whose: "peer", what: () => "the peer's Kerberos token is refused" },
  answer: {
    reason: "kerberos-token-invalid",
    whose: "peer",
    what: ({ target }) => `the answer of ${target} to our Kerberos token is refused`,
  },
  wrap: { reason: "provider-failed", whose: "me", what: () => "our hash can't be wrapped" },
  unwrap: { reason: "kerberos-token-invalid", whose: "peer", what: () => "the peer's wrapped hash can't be opened with the session's key" },
  principal: { reason: "provider-failed", whose: "me", what: ({ principal }) => `the name ${principal} can't be read` },
  target: {
    reason: "kerberos-unknown-principal",
    whose: "peer",
    what: ({ target }) => `the peer calls itself ${JSON.stringify(target)}, which is no principal`,
  },
};
