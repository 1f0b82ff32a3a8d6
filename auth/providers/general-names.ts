/**
 * GeneralNames of RFC 5280 §4.2.1.6 (subjectAltName) and the name constraints of §4.2.1.10 that a CA may put on those below it.
 * Invariant: a kind of name that is not understood is counted, never dropped, so that a constraint on it can refuse.
 */
import { constructed, DER, each, element, only, optional, primitive } from "../../isakmp/der.ts";
import type { Reader } from "../../isakmp/reader.ts";
import { nameParts } from "../../policy/name-match.ts";

/** The names of a certificate by kind. Texts are printable ASCII; `ip` are 4 or 16 octets, `dn` the DER of a Name. */
export interface GeneralNames {
  readonly dns: readonly string[];
  readonly email: readonly string[];
  readonly ip: readonly Uint8Array[];
  readonly dn: readonly Uint8Array[];
  /** Tags of kinds that are not understood. */
  readonly other: readonly number[];
}

export const NO_NAMES: GeneralNames = { dns: [], email: [], ip: [], dn: [], other: [] };

/** What a CA permits and excludes. Subtrees hold address and mask in `ip` (8 or 32 octets). */
export interface NameConstraints {
  readonly permitted: GeneralNames;
  readonly excluded: GeneralNames;
}

/** More names in one certificate are refused: nobody needs them, and each costs a comparison for every constraint. */
const MAX_NAMES = 100;

/** Reads the contents of a GeneralNames. */
export function readGeneralNames(r: Reader, what: string): GeneralNames {
  const names = startNames();
  for (const name of each(r, MAX_NAMES, what)) readName(names, name.tag, name.body, what, [4, 16]);
  return names;
}

/** Reads the contents of a NameConstraints extension. */
export function readNameConstraints(r: Reader): NameConstraints {
  const permitted = readSubtrees(r, constructed(0));
  const excluded = readSubtrees(r, constructed(1));
  r.finish("name constraints");
  return { permitted, excluded };
}

function readSubtrees(r: Reader, tag: number): GeneralNames {
  const trees = optional(r, tag, "name constraints");
  const names = startNames();
  for (const tree of trees ? each(trees.body, MAX_NAMES, "name constraints") : []) {
    if (tree.tag !== DER.sequence) tree.body.fail("name constraints: no subtree");
    const [base, ...bounds] = each(tree.body, 3, "subtree");
    // `minimum` and `maximum` have no use in this profile (§4.2.1.10); a tree with them is one that we don't understand.
    if (!base || bounds.length > 0) names.other.push(-1);
    else readName(names, base.tag, base.body, "subtree", [8, 32]);
  }
  return names;
}

type Growing = { readonly [K in keyof GeneralNames]: GeneralNames[K][number][] };
const startNames = (): Growing => ({ dns: [], email: [], ip: [], dn: [], other: [] });

const [EMAIL, DNS, DIRECTORY, IP] = [primitive(1), primitive(2), constructed(4), primitive(7)];

function readName(names: Growing, tag: number, body: Reader, what: string, addressSizes: readonly number[]): void {
  if (tag === EMAIL || tag === DNS) {
    const octets = body.rest();
    // An embedded zero or control character has made programs see another name than the CA did.
    if (octets.length > 255 || !octets.every((octet) => octet > 0x20 && octet < 0x7f)) body.fail(`${what}: a name that is not printable`);
    (tag === EMAIL ? names.email : names.dns).push(String.fromCharCode(...octets));
  } else if (tag === IP) {
    const octets = body.rest();
    if (!addressSizes.includes(octets.length)) body.fail(`${what}: an address of ${octets.length} octets`);
    names.ip.push(octets);
  } else if (tag === DIRECTORY) {
    const name = element(body, DER.sequence, what);
    body.finish(what);
    names.dn.push(name.der);
  } else {
    body.rest();
    names.other.push(tag);
  }
}

/** The GeneralNames inside an extension's octets. */
export const generalNamesOf = (r: Reader, what: string): GeneralNames => readGeneralNames(only(r, DER.sequence, what), what);

/** Why names of a certificate (its subject is one of them) are not what a CA above it allows, or undefined. */
export function constraintFault(constraints: NameConstraints, names: GeneralNames): string | undefined {
  for (const kind of ["dns", "email", "ip", "dn"] as const) {
    for (const name of names[kind]) {
      const fault = kindFault(constraints, kind, name);
      if (fault !== undefined) return fault;
    }
  }
  const odd = [...constraints.permitted.other, ...constraints.excluded.other];
  // A constraint that we cannot read is only harmless where no such name is there (RFC 5280 §4.2.1.10).
  if (odd.includes(-1) || names.other.some((tag) => odd.includes(tag)))
    return "it has a kind of name under a constraint that is not understood";
  return undefined;
}

function kindFault({ permitted, excluded }: NameConstraints, kind: Kind, name: string | Uint8Array): string | undefined {
  const inside = (tree: string | Uint8Array): boolean => WITHIN[kind](name as never, tree as never);
  // A domain with a dot before it has no meaning of its own (RFC 5280 §4.2.1.10). Some mean the hosts below it only: so little is permitted by it,
  // and the domain itself is excluded by it as well.
  const barred = (tree: string | Uint8Array): boolean => inside(kind === "dns" ? (tree as string).replace(/^\./, "") : tree);
  if (kind === "email" && permitted.email.length + excluded.email.length > 0 && !isMailbox(name as string))
    return `${name} is no mail address, and stands under a name constraint`;
  const shown = kind === "dn" ? "its subject" : kind === "ip" ? `the address ${[...(name as Uint8Array)].join(".")}` : `the name ${name}`;
  if ((excluded[kind] as readonly (string | Uint8Array)[]).some(barred)) return `${shown} is excluded by a name constraint`;
  const allowed = permitted[kind] as readonly (string | Uint8Array)[];
  return allowed.length > 0 && !allowed.some(inside) ? `${shown} is outside the permitted name constraints` : undefined;
}

type Kind = Exclude<keyof GeneralNames, "other">;

/** Something before the last @, and something behind it. Without, a name of a host would pass for a mailbox at it. */
const isMailbox = (name: string): boolean => name.lastIndexOf("@") > 0 && !name.endsWith("@");

/** Whether a name lies within a subtree, RFC 5280 §4.2.1.10. */
const WITHIN = {
  /** `example.test` covers itself and every host below it, `.example.test` those below it; an empty one covers all. */
  dns: (name: string, tree: string): boolean => {
    const [host, base] = [name.toLowerCase(), tree.toLowerCase()];
    return base === "" || host === base || host.endsWith(base.startsWith(".") ? base : `.${base}`);
  },
  /** A mailbox, a host (all its mailboxes), or `.domain` (all hosts in it). Capitals count before the @ (RFC 5280 §7.5). */
  email: (name: string, tree: string): boolean => {
    const [at, baseAt] = [name.lastIndexOf("@"), tree.lastIndexOf("@")];
    const [host, base] = [name.slice(at + 1).toLowerCase(), tree.slice(baseAt + 1).toLowerCase()];
    if (baseAt > 0 && name.slice(0, at) !== tree.slice(0, baseAt)) return false;
    return base.startsWith(".") ? host.endsWith(base) : host === base;
  },
  ip: (name: Uint8Array, tree: Uint8Array): boolean =>
    tree.length === 2 * name.length &&
    name.every((octet, i) => (octet & (tree[name.length + i] ?? 0)) === ((tree[i] ?? 0) & (tree[name.length + i] ?? 0))),
  /** A subtree is a beginning of the name. */
  dn: (name: Uint8Array, tree: Uint8Array): boolean => {
    const [whole, base] = [nameParts(name), nameParts(tree)];
    return whole !== undefined && base !== undefined && base.length <= whole.length && base.every((part, i) => part === whole[i]);
  },
} as const;
