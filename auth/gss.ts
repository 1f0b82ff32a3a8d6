/**
 * Kerberos in Main Mode as octets and names (draft-ietf-ipsec-isakmp-gss-auth-07, and what Windows and racoon do): tokens in payload 129, names
 * in attribute 16384, and what of both the hashes cover. Pure; the calls themselves are jobs.
 */
import { type Attribute, variable } from "../isakmp/attributes.ts";
import { IKE_ATTRIBUTE } from "../isakmp/numbers.ts";
import { err, ok, type Result } from "../isakmp/result.ts";
import { fitsPrincipal, isPrincipalPattern, type Principal, splitPrincipal } from "../policy/principals.ts";
import type { KerberosEntry } from "../policy/types.ts";
import type { GssPeer } from "./method.ts";

/** Tokens that one side may send; Kerberos needs one, the draft allows any number. */
export const MOST_TOKENS = 3;

/** What the hash of one side covers beside the usual (draft §3.1): its name and all its tokens, in order. */
export interface GssSide {
  /** null: no name was exchanged, so none is hashed. */
  readonly name: GssName | null;
  /** As hashed. */
  readonly tokens: readonly Uint8Array[];
  /** Body of its ID payload, once sent: it is sent once. */
  readonly idBody: Uint8Array | null;
  /** Its HASH was sent, and where it is the peer's, was right. */
  readonly proved: boolean;
}

/** A context and what both sides said in it so far. */
export interface GssRecord {
  readonly context: string;
  readonly own: GssSide;
  readonly peer: GssSide;
  readonly complete: boolean;
  /** Whom the ticket proves, once complete. */
  readonly principal: GssPeer | null;
}

/** A name as it stood in the attribute, and as text: null where it is no principal, which the draft leaves open (§3). */
export interface GssName {
  readonly wire: Uint8Array;
  readonly text: string | null;
}

const freshSide = (name: GssName | null): GssSide => ({ name, tokens: [], idBody: null, proved: false });

/** A context that has not begun. The names are those of the two attributes. */
export const freshRecord = (context: string, own: GssName | null, peer: GssName | null): GssRecord => ({
  context,
  own: freshSide(own),
  peer: freshSide(peer),
  complete: false,
  principal: null,
});

/** Our own name for attribute 16384: UTF-16LE without an end, or single octets. */
export function ownName(entry: KerberosEntry): GssName & { readonly text: string } {
  const text = entry.principal;
  return { text, wire: entry.quirks.nameEncoding === "utf-16le" ? Buffer.from(text, "utf16le") : Buffer.from(text, "latin1") };
}

/** The identity attribute; the name never fits two octets, so it is of variable length. */
export const nameAttribute = (name: GssName): Attribute => variable(IKE_ATTRIBUTE["GSS Identity Name"], name.wire);

/** Whether an attribute names a GSS identity: 16384, or 32001 as Windows 2000 sends beside it. */
export const isNameAttribute = ({ type }: Attribute): boolean =>
  type === IKE_ATTRIBUTE["GSS Identity Name"] || type === IKE_ATTRIBUTE["GSS Identity Name (Windows 2000)"];

/** Octets of a name that we read. */
const LONGEST_NAME = 1024;

const nameIn = (attributes: readonly Attribute[]): Attribute | undefined =>
  attributes.find(({ type }) => type === IKE_ATTRIBUTE["GSS Identity Name"]) ?? attributes.find(isNameAttribute);

/** A peer's name, in either encoding; undefined where there is none. What can't be read is still a name: it is answered, and hashed as it came. */
export function readName(attributes: readonly Attribute[]): GssName | undefined {
  const found = nameIn(attributes);
  if (!found) return undefined;
  const wire = Uint8Array.from(found.value);
  const text = wire.length > LONGEST_NAME ? "" : decodeText(wire);
  return { wire, text: PLAIN.test(text) && !UNSEEN.test(text) ? text : null };
}

const PLAIN = /^[\x21-\x7e\u00a1-\uffff]+$/;
/** Whoever answers may say any name: none of them turns a line of text round, or hides a part of it. */
const UNSEEN = /[\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u;

/** Why an offer with this name is not taken, or undefined: whoever sends kilobytes of it is no host. */
export function nameFault(attributes: readonly Attribute[]): string | undefined {
  const octets = nameIn(attributes)?.value.length ?? 0;
  return octets > LONGEST_NAME ? `a Kerberos name of ${octets} octets; ${LONGEST_NAME} are read` : undefined;
}

/** UTF-16LE where every second octet of a name in ASCII is zero; single octets otherwise. A final NUL is no part of a name. */
function decodeText(wire: Uint8Array): string {
  const high = wire.filter((_, i) => i % 2 === 1);
  // A single NUL at the end of single octets is no evidence; names are mostly ASCII.
  const wide = wire.length % 2 === 0 && high.filter((octet) => octet === 0).length * 2 > high.length;
  return Buffer.from(wire)
    .toString(wide ? "utf16le" : "latin1")
    .replace(/\0+$/, "");
}

/** How a name may be hashed. */
export type NameForm = "wire" | "single-octet";

/** How we hash names in our own proof (reference §5): "auto" as on the wire to Windows, in single octets to others. */
export const ownNameForm = ({ quirks }: KerberosEntry, windows: boolean): NameForm =>
  quirks.hashedName === "auto" ? (windows ? "wire" : "single-octet") : quirks.hashedName;

/** The peer's proof is tried in both forms, the likelier one first. */
export const peerNameForms = (entry: KerberosEntry, windows: boolean): readonly NameForm[] =>
  ownNameForm(entry, windows) === "wire" ? ["wire", "single-octet"] : ["single-octet", "wire"];

/** What the hash of a side covers behind its ID body: GIx, if names were exchanged, and GSSx in order. */
export const hashedParts = ({ name, tokens }: GssSide, form: NameForm): readonly Uint8Array[] => [
  ...(name ? [form === "wire" || name.text === null ? name.wire : Uint8Array.from(Buffer.from(name.text, "latin1"))] : []),
  ...tokens,
];

/** The body of payload 129, and what of it is hashed. Windows wants an octet before the token (draft §3.3.3). */
export function tokenPayload(
  entry: KerberosEntry,
  windows: boolean,
  token: Uint8Array,
): { readonly body: Uint8Array; readonly hashed: Uint8Array } {
  const { tokenOctet, hashTokenOctet } = entry.quirks;
  if (tokenOctet === "never" || (tokenOctet === "auto" && !windows)) return { body: token, hashed: token };
  const body = Buffer.concat([Uint8Array.of(0), token]);
  return { body, hashed: hashTokenOctet ? body : token };
}

/** The token in a received payload 129, with or without an octet before it; undefined for what is no GSS token at all. */
export function readToken(entry: KerberosEntry, body: Uint8Array): { readonly token: Uint8Array; readonly hashed: Uint8Array } | undefined {
  // Payload bodies are views into a datagram that is not ours to keep.
  if (isToken(body)) {
    const token = Uint8Array.from(body);
    return { token, hashed: token };
  }
  if (!isToken(body.subarray(1))) return undefined;
  const token = Uint8Array.from(body.subarray(1));
  return { token, hashed: entry.quirks.hashTokenOctet ? Uint8Array.from(body) : token };
}

/** RFC 2743 §3.1: [APPLICATION 0], with a DER length that fits what follows exactly. Cheap, and done before anything that is not. */
function isToken(octets: Uint8Array): boolean {
  if (octets[0] !== 0x60 || octets.length < 4) return false;
  const first = octets[1] ?? 0;
  if (first < 0x80) return octets.length === 2 + first;
  const count = first & 0x7f;
  if (count < 1 || count > 3 || octets.length < 2 + count) return false;
  let length = 0;
  for (let i = 0; i < count; i++) length = length * 256 + (octets[2 + i] ?? 0);
  return octets.length === 2 + count + length;
}

/** Whether an entry wants this authenticated principal: `peer-principal` (its realm may be missing, it may be a pattern), or `host/` of a name of the address. */
export function acceptsPrincipal(entry: KerberosEntry, peer: GssPeer): boolean {
  const { name, realm } = splitPrincipal(peer.principal);
  if (entry.peerPrincipal === null) {
    // Another realm vouches for its own hosts only: nobody said that it may for this address.
    const ours = splitPrincipal(entry.principal).realm;
    const names = peer.addressNames.map((host) => `host/${host}`.toLowerCase());
    return names.includes(name.toLowerCase()) && (ours === null || realm === ours);
  }
  const wanted = splitPrincipal(entry.peerPrincipal);
  // A realm that nobody named is our own: any other that is trusted has a `host/` of that name, too.
  return fitsPrincipal(wanted.name, name) && realm === (wanted.realm ?? splitPrincipal(entry.principal).realm ?? realm);
}

/**
 * The principal that we ask the KDC for, given what a peer calls itself in message 2; an error says why there is none. Nobody has proved
 * anything by then: whoever answers must not choose which service gets a ticket of ours, or learn that one exists. So only names that
 * `acceptsPrincipal` could take are asked for, and a name that is read generously changes nothing about whom the ticket has to prove.
 */
export function ticketTarget(entry: KerberosEntry, claimed: GssName | null): Result<string, string> {
  const { peerPrincipal } = entry;
  const named = peerPrincipal !== null && !isPrincipalPattern(splitPrincipal(peerPrincipal).name);
  if (!claimed || claimed.text === null) {
    if (named) return ok(peerPrincipal);
    const whose = peerPrincipal === null ? "set peer-principal" : `peer-principal is ${peerPrincipal}; set it to the peer's own name`;
    return err(
      claimed
        ? `the peer's Kerberos name can't be read; ${whose}`
        : `the peer did not tell its Kerberos name; ${whose}, or let it send attribute 16384`,
    );
  }
  const said = splitPrincipal(claimed.text);
  const ours = splitPrincipal(entry.principal).realm;
  return peerPrincipal === null ? hostTarget(claimed.text, said, ours) : wantedTarget(peerPrincipal, claimed.text, said, ours);
}

/** `peer-principal` is set: the name has to be that one, or another one of the same computer, and then the ticket is for the one that is set. */
function wantedTarget(peerPrincipal: string, text: string, said: Principal, ours: string | null): Result<string, string> {
  const wanted = splitPrincipal(peerPrincipal);
  const realm = wanted.realm ?? ours ?? said.realm;
  const name = fitsPrincipal(wanted.name, said.name) ? said.name : otherName(wanted.name, said.name);
  if (name === null || (said.realm !== null && said.realm !== realm))
    return err(`the peer calls itself ${text}, and peer-principal is ${peerPrincipal}`);
  return ok(realm === null ? name : `${name}@${realm}`);
}

/** The name that is wanted of a computer that calls itself by another one; null where that is another computer. */
function otherName(wanted: string, said: string): string | null {
  if (!isPrincipalPattern(wanted)) return sameComputer(wanted, said) ? wanted : null;
  const by = computerOf(said);
  if (wanted !== ANY_ACCOUNT || by === null) return null;
  return `${by.form === "bare" ? said : by.label.toUpperCase()}$`;
}

const ANY_ACCOUNT = "*$";

/** It is not: the ticket will have to be for `host/` of a name of the peer's address, in our own realm. */
function hostTarget(text: string, said: Principal, ours: string | null): Result<string, string> {
  if (!/^host\/[^/]+$/i.test(said.name)) {
    const computer = /^[^/]+\$$/.test(said.name) ? `peer-principal = ${JSON.stringify(text)}` : "peer-principal";
    return err(
      `the peer calls itself ${text}, and without peer-principal only host/ of its address's name is taken; set ${computer} if that is right`,
    );
  }
  if (said.realm === null || ours === null || said.realm === ours)
    return ok(said.realm === null && ours !== null ? `${text}@${ours}` : text);
  return err(`the peer calls itself ${text}, of another realm than ours (${ours}); set peer-principal if that is right`);
}

/** What `acceptsPrincipal` would have taken, in words. */
export function expectedPrincipal(entry: KerberosEntry, peer: GssPeer): string {
  if (entry.peerPrincipal !== null) return entry.peerPrincipal;
  if (peer.addressNames.length === 0) return "host/ of its address's name, and the address has no name here; set peer-principal";
  return peer.addressNames
    .slice(0, 4)
    .map((host) => `host/${host}`)
    .join(" or ");
}

/**
 * Whether a name could be of the computer that is wanted: its account `B$`, which the draft's own example writes as `B`, and `host/b.example.test` are one in
 * a Windows domain, where an account has the host's first label, cut to 15 characters. Two hosts' names are not alike by a label.
 */
function sameComputer(wanted: string, said: string): boolean {
  const [of, by] = [computerOf(wanted), computerOf(said)];
  return of !== null && by !== null && of.form !== "bare" && !(of.form === "host" && by.form === "host") && of.label === by.label;
}

function computerOf(name: string): { readonly form: "host" | "account" | "bare"; readonly label: string } | null {
  const [, host, account, mark] = /^(?:host\/([^/.]+)[^/]*|([^/$]+)(\$?))$/i.exec(name) ?? [];
  if (host !== undefined) return { form: "host", label: host.slice(0, 15).toLowerCase() };
  return account === undefined ? null : { form: mark === "" ? "bare" : "account", label: account.toLowerCase() };
}
