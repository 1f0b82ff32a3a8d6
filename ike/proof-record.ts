/**
 * What a peer proved itself with, as JSON for the journal: which rules' entries took the proof, and what it said. Entries are found again
 * by the rule's name and their place, and have to demand what they demanded then: whoever exchanges a key or a CA and starts the daemon anew means
 * that the old ones are good for nothing any more.
 */

import { signatureMethod } from "../auth/choice.ts";
import type { PeerProof } from "../auth/proof.ts";
import { toHex } from "../isakmp/hex.ts";
import { ruleNamed } from "../policy/select.ts";
import type { AuthEntry, Identity, Policy, PskEntry, Rule, Trust } from "../policy/types.ts";
import type { JournalValue } from "../sa-store/journal-record.ts";
import type { Crypto } from "./crypto/provider.ts";
import { identityOfRecord, identityRecord } from "./identity-record.ts";

/** Two octet strings that no other SA has. */
export type Cookies = readonly [initiator: Uint8Array, responder: Uint8Array];

/** A proof as JSON. `policy` names the entries that share what a certificate was believed for; `cookies`: of its IKE SA. */
export function proofRecord(crypto: Crypto, proof: PeerProof, policy: Policy, cookies: Cookies): JournalValue {
  const base = { method: proof.method, at: placeOf(proof.rule, proof.entry) };
  switch (proof.method) {
    case "psk":
      return { key: keyMark(crypto, proof.entry, cookies), ...base };
    case "kerberos":
      return { ...base, principal: proof.peer.principal, names: proof.peer.addressNames };
    case "x509": {
      const believing = policy.rules.flatMap((rule) =>
        rule.auth.filter((entry) => entry.method === "x509" && proof.trusts.includes(entry.trust)).map((entry) => placeOf(rule, entry)),
      );
      const beliefs = proof.trusts.map((trust) => trustMark(crypto, trust));
      return {
        ...base,
        signed: signatureMethod(proof.entry),
        subject: proof.subject,
        identities: proof.identities.map(identityRecord),
        issuers: proof.issuers.map(identityRecord),
        anchor: proof.anchor,
        trusts: believing,
        beliefs,
      };
    }
  }
}

/** By which a key is known again. Nobody who reads it learns the key but by guessing, and it is another one for each SA. */
const keyMark = (crypto: Crypto, { secret }: PskEntry, cookies: Cookies): string =>
  secret.use((key) => toHex(crypto.hmac("sha256", key, ...cookies)));

/** By which all that decides on a chain is known again. */
function trustMark(crypto: Crypto, trust: Trust): string {
  const known = marks.get(trust);
  if (known !== undefined) return known;
  const { crl, crlFiles, weak } = trust;
  const settings = new TextEncoder().encode(JSON.stringify([crl, crlFiles, weak.shortRsa, weak.sha1, weak.oldRoots]));
  const mark = toHex(crypto.hash("sha256", settings, ...trust.anchors.map((der) => crypto.hash("sha256", der))));
  marks.set(trust, mark);
  return mark;
}

/** A bundle of CAs is not hashed for every record. */
const marks = new WeakMap<Trust, string>();

const placeOf = (rule: Rule, entry: AuthEntry) => ({ rule: rule.name, entry: rule.auth.indexOf(entry) });

/** The proof again, as far as the policy still has its entries as they were; undefined where it has not. */
export function proofOfRecord(crypto: Crypto, record: unknown, policy: Policy, cookies: Cookies): PeerProof | undefined {
  const r = fields(record);
  const found = findEntry(r["at"], policy);
  const believing = list(r["trusts"]).flatMap((place) => findEntry(place, policy)?.entry ?? []);
  return found && proofBy(crypto, r, found, believing, cookies);
}

/** The same by an entry of another rule's: its own may have another name by now. `others`: rules whose entries may believe a certificate as well. */
export function proofWithEntry(
  crypto: Crypto,
  record: unknown,
  found: Place,
  others: readonly Rule[],
  cookies: Cookies,
): PeerProof | undefined {
  const believing = others.flatMap(({ auth }) => auth);
  return proofBy(crypto, fields(record), found, believing, cookies);
}

/** An entry of a rule. */
export interface Place {
  readonly rule: Rule;
  readonly entry: AuthEntry;
}

function proofBy(
  crypto: Crypto,
  r: Fields,
  { rule, entry }: Place,
  believing: readonly AuthEntry[],
  cookies: Cookies,
): PeerProof | undefined {
  if (entry.method !== r["method"]) return undefined;
  if (entry.method === "psk") return r["key"] === keyMark(crypto, entry, cookies) ? { method: "psk", rule, entry } : undefined;
  if (entry.method === "kerberos") {
    const { principal, names } = r;
    if (typeof principal !== "string" || !Array.isArray(names)) return undefined;
    return { method: "kerberos", rule, entry, peer: { principal, addressNames: names.map(String) } };
  }
  // The peer signed by the method of the entry: keys of another kind, asked for since, are no peer's yet.
  if (r["signed"] !== signatureMethod(entry)) return undefined;
  const identities = list(r["identities"]).map(identityOfRecord);
  const issuers = list(r["issuers"]).map(identityOfRecord);
  const beliefs = new Set(list(r["beliefs"]));
  const trusts = believing.flatMap((one) => (one.method === "x509" && beliefs.has(trustMark(crypto, one.trust)) ? [one.trust] : []));
  const known = (identity: Identity | undefined): identity is Identity => identity !== undefined;
  if (!identities.every(known) || !issuers.every(known)) return undefined;
  const [subject, anchor] = [String(r["subject"]), String(r["anchor"] ?? "")];
  return { method: "x509", rule, entry, trusts: [...new Set(trusts)], identities, issuers, subject, anchor };
}

type Fields = Readonly<Record<string, unknown>>;
const fields = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

function findEntry(place: unknown, policy: Policy): Place | undefined {
  const { rule: name, entry: at } = fields(place);
  const rule = typeof name === "string" ? ruleNamed(policy, name) : undefined;
  const entry = typeof at === "number" ? rule?.auth[at] : undefined;
  return rule && entry ? { rule, entry } : undefined;
}
