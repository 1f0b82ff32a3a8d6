/**
 * What a peer proved itself with, as JSON for the journal: which rules' entries took the proof, and what it said. Entries are found again
 * by the rule's name and their place, so that a rule which changed its method meanwhile gets no SA that another method made.
 */
import type { PeerProof } from "../auth/proof.ts";
import type { AuthEntry, Identity, Policy, Rule, X509Entry } from "../policy/types.ts";
import type { JournalValue } from "../sa-store/journal-record.ts";
import { identityOfRecord, identityRecord } from "./identity-record.ts";

/** A proof as JSON. `policy` names the entries that share what a certificate was believed for. */
export function proofRecord(proof: PeerProof, policy: Policy): JournalValue {
  const base = { method: proof.method, at: placeOf(proof.rule, proof.entry) };
  switch (proof.method) {
    case "psk":
      return base;
    case "kerberos":
      return { ...base, principal: proof.peer.principal, names: proof.peer.addressNames };
    case "x509": {
      const believing = policy.rules.flatMap((rule) =>
        rule.auth.filter((entry) => entry.method === "x509" && proof.trusts.includes(entry.trust)).map((entry) => placeOf(rule, entry)),
      );
      return {
        ...base,
        subject: proof.subject,
        identities: proof.identities.map(identityRecord),
        issuers: proof.issuers.map(identityRecord),
        anchor: proof.anchor,
        trusts: believing,
      };
    }
  }
}

const placeOf = (rule: Rule, entry: AuthEntry) => ({ rule: rule.name, entry: rule.auth.indexOf(entry) });

/** The proof again, as far as the policy still has its entries; undefined where it has not. */
export function proofOfRecord(record: unknown, policy: Policy): PeerProof | undefined {
  const r = fields(record);
  const found = findEntry(r["at"], policy);
  if (!found || found.entry.method !== r["method"]) return undefined;
  const { rule, entry } = found;
  if (entry.method === "psk") return { method: "psk", rule, entry };
  if (entry.method === "kerberos") {
    const { principal, names } = r;
    if (typeof principal !== "string" || !Array.isArray(names)) return undefined;
    return { method: "kerberos", rule, entry, peer: { principal, addressNames: names.map(String) } };
  }
  const identities = list(r["identities"]).map(identityOfRecord);
  const issuers = list(r["issuers"]).map(identityOfRecord);
  const trusts = list(r["trusts"]).flatMap((place) => {
    const other = findEntry(place, policy)?.entry;
    return other?.method === "x509" ? [(other as X509Entry).trust] : [];
  });
  const known = (identity: Identity | undefined): identity is Identity => identity !== undefined;
  if (!identities.every(known) || !issuers.every(known)) return undefined;
  const [subject, anchor] = [String(r["subject"]), String(r["anchor"] ?? "")];
  return { method: "x509", rule, entry, trusts: [...new Set(trusts)], identities, issuers, subject, anchor };
}

const fields = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

function findEntry(place: unknown, policy: Policy): { readonly rule: Rule; readonly entry: AuthEntry } | undefined {
  const { rule: name, entry: at } = fields(place);
  const rule = policy.rules.find((candidate) => candidate.name === name);
  const entry = typeof at === "number" ? rule?.auth[at] : undefined;
  return rule && entry ? { rule, entry } : undefined;
}
