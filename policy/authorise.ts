/**
 * Remote identity authorisation: whether a peer that has proved itself may use a rule. Windows calls it by the same name.
 */
import { err, ok, type Result } from "../isakmp/result.ts";
import { fitsIdentity, formatIdentity } from "./identity.ts";
import { fitsPrincipal, isPrincipalPattern, splitPrincipal } from "./principals.ts";
import type { Identity, PeerDemand } from "./types.ts";

/** What a proof has shown of a peer. */
export interface Proved {
  /** The identity of phase 1 and, with a certificate, all that it proves. */
  readonly identities: readonly Identity[];
  /** The Kerberos principal, or null. */
  readonly principal: string | null;
  /** Names of the CAs on the certificate's path; empty for other methods. */
  readonly issuers: readonly Identity[];
}

/** Whether the demand is met; the error says what was proved and what is wanted. Call it after the proof and with nothing unproved. */
export function authorise(demand: PeerDemand, proved: Proved): Result<undefined, string> {
  const { identities, principals, issuers } = demand;
  const shown = [...proved.identities.map(formatIdentity), ...(proved.principal === null ? [] : [`principal:${proved.principal}`])].join(
    ", ",
  );
  if (identities.length + principals.length > 0) {
    const known =
      identities.some((wanted) => proved.identities.some((id) => fitsIdentity(wanted, id))) ||
      principals.some((wanted) => proved.principal !== null && samePrincipal(wanted, proved.principal));
    if (!known) return err(`the peer has proved ${shown || "nothing"}, which is not among the rule's remote-ids`);
  }
  if (issuers.length > 0 && !issuers.some((wanted) => proved.issuers.some((id) => fitsIdentity(wanted, id))))
    return err(
      `the peer's certificate was issued by ${proved.issuers.map(formatIdentity).join(", ") || "nobody (it has shown none)"}, not by ${issuers.map(formatIdentity).join(" or ")}`,
    );
  return ok(undefined);
}

/** A principal without a realm is one of any realm; otherwise octet for octet, as Kerberos compares (RFC 4120 §6), and patterns as `peer-principal` has them. */
function samePrincipal(wanted: string, proved: string): boolean {
  const [want, have] = [splitPrincipal(wanted), splitPrincipal(proved)];
  const sameName = isPrincipalPattern(want.name) ? fitsPrincipal(want.name, have.name) : want.name === have.name;
  return sameName && (want.realm === null || want.realm === have.realm);
}
