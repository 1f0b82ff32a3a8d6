/**
 * NAT traversal, RFC 3947 and its drafts 02 and 03: what is announced, how a NAT is found, and what both ends do about it. Pure.
 * Invariant: the hashes of NAT-D come in clear, so a forger can make us encapsulate, or keep us from it; it can never redirect anything.
 */
import { addressOctets } from "../isakmp/address.ts";
import { type Payload, payload } from "../isakmp/payloads.ts";
import { VENDOR_IDS } from "../isakmp/vendor-ids.ts";
import type { Rule } from "../policy/types.ts";
import type { Role } from "../sa-store/ike-sa.ts";
import { sameOctets } from "./crypto/compare.ts";
import type { Crypto, Random } from "./crypto/provider.ts";
import type { HashAlgorithm } from "./crypto/suite.ts";
import type { PayloadOf } from "./flight.ts";
import type { Path } from "./input.ts";

/** What of NAT traversal a peer announced, best first: the RFC, then the draft as Windows names it (a line feed at its end), then the others. */
export const NAT_DIALECTS = ["RFC 3947", "NAT-T 02n", "NAT-T 03", "NAT-T 02"] as const;
export type NatDialect = (typeof NAT_DIALECTS)[number];

/** The numbers of payloads and modes differ between the RFC and the drafts. */
export type NatNumbers = "rfc" | "draft";

/** What Main Mode found out. In Main Mode null where the peer sent no NAT-D; of an established SA null where packets travel bare. */
export interface NatState {
  readonly numbers: NatNumbers;
  /** A NAT stands before us. */
  readonly local: boolean;
  /** A NAT stands before the peer: its address and port may change. */
  readonly remote: boolean;
}

/** The UDP ports of encapsulated packets. */
export interface Encapsulation {
  readonly local: number;
  readonly remote: number;
  /** A NAT stands before us: its mapping has to be kept alive. */
  readonly keep: boolean;
}

/** Seconds between two keepalives of the side behind the NAT (RFC 3948 §4; Windows' interval too). */
export const KEEPALIVE_SECONDS = 20;

const VIDS = Object.fromEntries(NAT_DIALECTS.map((name) => [name, payload("vid", { data: VENDOR_IDS[name].bytes })])) as Readonly<
  Record<NatDialect, Payload>
>;

/** Vendor ids of message 1, or of message 2 where only what the peer announced is answered. */
export const natVendorIds = (dialects: readonly NatDialect[]): readonly Payload[] => dialects.map((name) => VIDS[name]);

/** The best dialect among the vendor ids of a message. */
export const natDialectOf = (vids: readonly PayloadOf<"vid">[]): NatDialect | null =>
  NAT_DIALECTS.find((name) => vids.some(({ value }) => sameOctets(value.data, VENDOR_IDS[name].bytes))) ?? null;

/** What a rule that wants it announces. */
export const announcedDialects = (rules: readonly Pick<Rule, "natTraversal">[]): readonly NatDialect[] =>
  rules.some(({ natTraversal }) => natTraversal !== "off") ? NAT_DIALECTS : [];

/** Whose numbers hold between us and a peer; null: no NAT traversal. */
export const numbersOf = (dialect: NatDialect | null, { natTraversal }: Pick<Rule, "natTraversal">): NatNumbers | null =>
  dialect === null || natTraversal === "off" ? null : dialect === "RFC 3947" ? "rfc" : "draft";

interface Cookies {
  readonly cookieI: Uint8Array;
  readonly cookieR: Uint8Array;
}

type End = Path["local"];

/** HASH(CKY-I | CKY-R | IP | port), RFC 3947 §3.2; hash: the one that Main Mode agreed on. */
export function natHash(crypto: Crypto, hash: HashAlgorithm, { cookieI, cookieR }: Cookies, { address, port }: End): Uint8Array {
  const octets = addressOctets(address);
  if (!octets) throw new Error(`not an address: ${address}`);
  return crypto.hash(hash.name, cookieI, cookieR, octets, Uint8Array.of(port >> 8, port & 255));
}

/** Hashes of both ends as we see them: what we say of them, and what the peer says where nothing stands between us. */
export interface NatEnds {
  readonly own: Uint8Array;
  readonly far: Uint8Array;
}

/** The hashes of a path's ends. */
export const natEnds = (crypto: Crypto, hash: HashAlgorithm, cookies: Cookies, { local, remote }: Path): NatEnds => ({
  own: natHash(crypto, hash, cookies, local),
  far: natHash(crypto, hash, cookies, remote),
});

/** The NAT-D payloads of message 3 or 4: the far end first, then our own. `force`: a hash of nothing for ours, so that the peer sees a NAT. */
export function natDetection(ends: NatEnds, random: Random, numbers: NatNumbers, force: boolean): readonly Payload[] {
  const own = force ? random(ends.own.length) : ends.own;
  return [ends.far, own].map((data) => payload(numbers === "rfc" ? "natD" : "natDDraft", { data }));
}

/** What the peer's NAT-D payloads say (RFC 3947 §3.2): the first is about our end as it sees it, the others about its own. null without them. */
export function detectNat(
  { own, far }: NatEnds,
  numbers: NatNumbers,
  got: { readonly natD: readonly PayloadOf<"natD">[]; readonly natDDraft: readonly PayloadOf<"natDDraft">[] },
): NatState | null {
  const [first, ...others] = (numbers === "rfc" ? got.natD : got.natDDraft).map(({ value }) => value.data);
  if (!first || others.length === 0) return null;
  const local = !sameOctets(own, first);
  // A host with many addresses may name them all; more than a few are noise.
  const remote = !others.slice(0, MOST_OWN).some((data) => sameOctets(far, data));
  return { numbers, local, remote };
}

const MOST_OWN = 16;

/**
 * Whether it is in use, which the initiator decides by moving: NAT-D may be damaged or forged on its way, and then each end has found something
 * else. A responder that found nothing, while the initiator did, takes that one to stand behind a NAT: otherwise what it asks for would not fit, as
 * long as the SA stands. `floated`: message 5 went to the port of NAT traversal.
 */
export function natInUse(found: NatState | null, numbers: NatNumbers | null, floated: boolean, role: Role): NatState | null {
  if (!floated || numbers === null) return null;
  if (found?.local || found?.remote) return found;
  return { numbers, local: false, remote: role === "responder" };
}

/** `none`, `local`, `remote` or `both`: the field of `status`. */
export const natWord = (nat: NatState | null): "none" | "local" | "remote" | "both" =>
  nat?.local ? (nat.remote ? "both" : "local") : nat?.remote ? "remote" : "none";

/** The path with both ends at the port of NAT traversal (RFC 3947 §4). */
export const floated = (path: Path, natPort: number): Path => ({
  local: { ...path.local, port: natPort },
  remote: { ...path.remote, port: natPort },
});

/** Whether both ends are the same, ports included. */
export const samePath = (a: Path, b: Path): boolean => sameEnd(a.local, b.local) && sameEnd(a.remote, b.remote);
const sameEnd = (a: End, b: End): boolean => a.address === b.address && a.port === b.port;
