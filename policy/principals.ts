/**
 * Kerberos principals as text (RFC 1964 §2.1.1), and which of them a configured one means. Two patterns stand for what Windows calls a domain's
 * computers: `*$` for every computer's account, `host/*` for every host's service. Nothing else with a star means anything.
 */

/** A name, and its realm; null where none was said. */
export interface Principal {
  readonly name: string;
  readonly realm: string | null;
}

/** Both parts of a principal: the realm is what follows the last `@`. */
export function splitPrincipal(principal: string): Principal {
  const at = principal.lastIndexOf("@");
  return at < 0 ? { name: principal, realm: null } : { name: principal.slice(0, at), realm: principal.slice(at + 1) };
}

/** By the name of the pattern, which is without a realm. */
const PATTERNS: ReadonlyMap<string, RegExp> = new Map([
  ["*$", /^[^/$]+\$$/],
  ["host/*", /^host\/[^/]+$/i],
]);

/** Whether a name stands for more than one principal. */
export const isPrincipalPattern = (name: string): boolean => PATTERNS.has(name);

/** Why a configured name is neither a principal nor a pattern, or undefined. */
export function patternFault(principal: string): string | undefined {
  const { name } = splitPrincipal(principal);
  return name.includes("*") && !isPrincipalPattern(name)
    ? `a * stands for a whole name only: "*$@REALM" is every computer's account of a realm, "host/*@REALM" every host's service`
    : undefined;
}

/** Whether a proved name is the one that is wanted, realms aside. Names of hosts know no case; everything else does. */
export const fitsPrincipal = (wanted: string, name: string): boolean =>
  PATTERNS.get(wanted)?.test(name) ??
  (wanted === name || (HOST.test(wanted) && HOST.test(name) && wanted.toLowerCase() === name.toLowerCase()));

const HOST = /^host\//i;
