/**
 * What `New-NetIPsec…Proposal` and `…Set` make. Methods that only AuthIP has and offers that nobody can make are told at once, and left out of the
 * sets that name them.
 */

import type { ConsecAuth, ConsecSet, SetContent } from "./consec-store.ts";
import { groupOf, mainMethod, quickMethod } from "./consec-suites.ts";
import type { Code } from "./diagnostics.ts";
import type { MainMethod, QuickMethod } from "./methods.ts";
import type { PsValue, TakenMap } from "./netipsec.ts";

export type Proposal =
  | { readonly type: "auth"; readonly auth: ConsecAuth }
  | { readonly type: "main"; readonly method: MainMethod }
  | { readonly type: "quick"; readonly method: QuickMethod }
  /** Understood, and nothing that we could offer. */
  | { readonly type: "lost"; readonly of: "main" | "quick" };

type Say = (code: Code, text: string) => void;

/** A proposal of one of the three kinds; undefined after saying what is wrong. */
export function makeProposal(subject: "auth" | "main-proposal" | "quick-proposal", taken: TakenMap, say: Say): Proposal | undefined {
  if (subject === "auth") return makeAuth(taken, say);
  const words = (name: string, otherwise: string): string => (text(taken, name) ?? otherwise).toLowerCase();
  const made =
    subject === "main-proposal"
      ? mainMethod(words("Encryption", "aes256"), words("Hash", "sha384"), words("KeyExchange", "none"))
      : makeQuick(taken, words);
  const shown = [...taken]
    .map(([name, { value }]) => `-${name} ${value?.kind === "text" ? value.text : value?.kind === "list" ? "…" : ""}`)
    .join(" ");
  if (!made) {
    say("E_BAD_VALUE", `${shown || "an empty proposal"} is no offer`);
    return undefined;
  }
  const kind = subject === "main-proposal" ? "main" : "quick";
  if (made.ok)
    return kind === "main" ? { type: "main", method: made.value as MainMethod } : { type: "quick", method: made.value as QuickMethod };
  say("W_UNKNOWN_ALGORITHM", `the offer ${shown} was left out: ${made.error}`);
  return { type: "lost", of: kind };
}

/** The text of a parameter; lists with commas. */
function text(taken: TakenMap, name: string): string | undefined {
  const flat = (value: PsValue): string | undefined =>
    value.kind === "text" ? value.text : value.kind === "list" ? value.items.map(flat).join(",") : undefined;
  const value = taken.get(name)?.value;
  return value ? flat(value) : undefined;
}

function makeQuick(taken: TakenMap, words: (name: string, otherwise: string) => string): ReturnType<typeof quickMethod> {
  const protocols = words("Encapsulation", "none")
    .split(",")
    .map((word) => word.trim());
  if (protocols.some((word) => word !== "ah" && word !== "esp")) return undefined;
  const number = (name: string): number | null | undefined => {
    const digits = text(taken, name);
    if (digits === undefined) return null;
    return /^\d{1,10}$/.test(digits) ? Number(digits) : undefined;
  };
  const [minutes, kilobytes] = [number("MaxMinutes"), number("MaxKiloBytes")];
  if (minutes === undefined || kilobytes === undefined) return undefined;
  return quickMethod({
    ah: protocols.includes("ah") ? words("AHHash", "none") : undefined,
    integrity: protocols.includes("esp") ? words("ESPHash", "none") : undefined,
    cipher: words("Encryption", "none"),
    minutes,
    kilobytes,
  });
}

const AUTH_KINDS = ["Anonymous", "Ntlm", "Health", "Kerberos", "PreSharedKey", "Cert"] as const;

function makeAuth(taken: TakenMap, say: Say): Proposal | undefined {
  const kind = AUTH_KINDS.find((name) => taken.has(name));
  const foreign = (what: string): Proposal => ({ type: "auth", auth: { kind: "foreign", what } });
  const demands = ["ExtendedKeyUsage", "SubjectName", "Thumbprint"].filter((name) => taken.has(name));
  if (kind === "Anonymous") return foreign("anonymous");
  if (taken.has("User")) return foreign(`${kind ?? "a proof"} of a user`);
  if (kind === "Ntlm") return foreign("NTLM");
  if (kind === "Health") return foreign("a health certificate");
  if (taken.has("Proxy")) say("W_SETTING", "-Proxy: a proxy to the KDC is set in krb5.conf");
  if (kind === "Kerberos") return { type: "auth", auth: { kind: "kerberos" } };
  if (kind === "PreSharedKey") return { type: "auth", auth: { kind: "psk", key: text(taken, "PreSharedKey") ?? "" } };
  const name = text(taken, "Authority");
  const signature = (text(taken, "Signing") ?? "rsa").toLowerCase();
  if (kind === undefined || name === undefined || (signature !== "rsa" && signature !== "ecdsa256" && signature !== "ecdsa384")) {
    say("E_BAD_VALUE", "a proposal is one of -Kerberos, -PreSharedKey, -Cert with -Authority, -Ntlm and -Anonymous");
    return undefined;
  }
  const selects = taken.has("SelectionCriteria") && !taken.has("ValidationCriteria");
  return {
    type: "auth",
    auth: {
      kind: "ca",
      name,
      signature,
      mapping: taken.has("AccountMapping"),
      excludeName: taken.has("ExcludeCAName"),
      demands: selects ? [] : demands,
    },
  };
}

/** What a set holds; `old` keeps what is not said. undefined after saying what is wrong. */
export function makeSet(subject: ConsecSet["type"], taken: TakenMap, old: ConsecSet | null, say: Say): SetContent | undefined {
  const given = taken.get("Proposal")?.value;
  const items = given ? (given.kind === "list" ? given.items : [given]) : null;
  const wanted = subject === "phase1" || subject === "phase2" ? "auth" : subject;
  const proposals: Proposal[] = [];
  for (const item of items ?? []) {
    const fits = item.kind === "proposal" && (item.proposal.type === "lost" ? item.proposal.of === wanted : item.proposal.type === wanted);
    if (!fits) {
      say(
        item.kind === "unknown" ? "E_DYNAMIC_SCRIPT" : "E_BAD_VALUE",
        item.kind === "unknown"
          ? `-Proposal: ${item.what} is known only when the script runs`
          : "-Proposal takes proposals of the set's own kind",
      );
      return undefined;
    }
    proposals.push(item.proposal);
  }
  if (subject === "phase1" || subject === "phase2") {
    const auth = proposals.flatMap((proposal) => (proposal.type === "auth" ? [proposal.auth] : []));
    return { type: subject, auth: items || !old || !("auth" in old) ? auth : old.auth };
  }
  if (subject === "main") return mainSet(taken, proposals, items !== null, old, say);
  return quickSet(taken, proposals, items !== null, old, say);
}

function mainSet(taken: TakenMap, proposals: readonly Proposal[], given: boolean, old: ConsecSet | null, say: Say): SetContent | undefined {
  const before = old?.type === "main" ? old : { methods: [], minutes: null, sessions: null };
  const number = (name: string, otherwise: number | null): number | null | undefined => {
    const digits = text(taken, name);
    if (digits === undefined) return otherwise;
    if (/^\d{1,10}$/.test(digits)) return Number(digits);
    say("E_BAD_VALUE", `-${name} is no number`);
    return undefined;
  };
  const [minutes, sessions] = [number("MaxMinutes", before.minutes), number("MaxSessions", before.sessions)];
  if (minutes === undefined || sessions === undefined) return undefined;
  const methods = given ? proposals.flatMap((proposal) => (proposal.type === "main" ? [proposal.method] : [])) : before.methods;
  return { type: "main", methods, minutes, sessions };
}

function quickSet(
  taken: TakenMap,
  proposals: readonly Proposal[],
  given: boolean,
  old: ConsecSet | null,
  say: Say,
): SetContent | undefined {
  const before = old?.type === "quick" ? old : { methods: [], pfs: "none" };
  const word = text(taken, "PerfectForwardSecrecyGroup")?.toLowerCase() ?? before.pfs;
  const known = word === "none" || word === "sameasmainmode" || word === "mainmode" || groupOf(word) !== undefined;
  if (!known) {
    say("E_BAD_VALUE", `-PerfectForwardSecrecyGroup ${JSON.stringify(word.slice(0, 20))} is no group`);
    return undefined;
  }
  const methods = given ? proposals.flatMap((proposal) => (proposal.type === "quick" ? [proposal.method] : [])) : before.methods;
  return { type: "quick", methods, pfs: word === "sameasmainmode" ? "mainmode" : word };
}
