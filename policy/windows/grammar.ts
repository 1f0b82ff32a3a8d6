/**
 * `netsh ipsec static` as a table: which command takes which tags, in the order in which values without a tag fill them.
 * Tags and words may be shortened as far as they stay unambiguous.
 */

/** What a tag's value is; `parse-values.ts` reads each. */
export type Kind =
  | "name"
  | "text"
  | "boolean"
  | "number"
  | "address"
  | "mask"
  | "port"
  | "protocol"
  | "action"
  | "connection"
  | "main-methods"
  | "quick-methods"
  | "secret"
  | "ca"
  | "guid"
  | "location";

export interface Tag {
  readonly name: string;
  readonly kind: Kind;
  readonly required: boolean;
}

export interface CommandRow {
  readonly verb: string;
  readonly object: string;
  readonly tags: readonly Tag[];
}

const tag = (name: string, kind: Kind): Tag => ({ name, kind, required: false });
const must = (name: string, kind: Kind): Tag => ({ name, kind, required: true });

const description = tag("description", "text");
const AUTH = [tag("kerberos", "boolean"), tag("psk", "secret"), tag("rootca", "ca")];
const POLICY = [
  description,
  tag("mmpfs", "boolean"),
  tag("qmpermm", "number"),
  tag("mmlifetime", "number"),
  tag("activatedefaultrule", "boolean"),
  tag("pollinginterval", "number"),
  tag("assign", "boolean"),
];
const ACTION = [
  description,
  tag("qmpfs", "boolean"),
  tag("inpass", "boolean"),
  tag("soft", "boolean"),
  tag("action", "action"),
  tag("qmsecmethods", "quick-methods"),
];
const FILTER = [
  must("filterlist", "name"),
  must("srcaddr", "address"),
  must("dstaddr", "address"),
  description,
  tag("protocol", "protocol"),
  tag("mirrored", "boolean"),
  tag("srcmask", "mask"),
  tag("dstmask", "mask"),
  tag("srcport", "port"),
  tag("dstport", "port"),
];
const RULE = [tag("tunnel", "address"), tag("conntype", "connection"), tag("activate", "boolean"), description, ...AUTH];
const named = [tag("name", "name"), tag("guid", "guid")];

/** Every command that changes a policy. */
export const COMMANDS: readonly CommandRow[] = [
  { verb: "add", object: "policy", tags: [must("name", "name"), ...POLICY, tag("mmsecmethods", "main-methods")] },
  {
    verb: "set",
    object: "policy",
    tags: [...named, tag("newname", "name"), ...POLICY, tag("gponame", "text"), tag("mmsecmethods", "main-methods")],
  },
  { verb: "delete", object: "policy", tags: [must("name", "name")] },
  { verb: "add", object: "filterlist", tags: [must("name", "name"), description] },
  { verb: "set", object: "filterlist", tags: [...named, tag("newname", "name"), description] },
  { verb: "delete", object: "filterlist", tags: [must("name", "name")] },
  { verb: "add", object: "filter", tags: FILTER },
  { verb: "delete", object: "filter", tags: FILTER.filter(({ name }) => name !== "description") },
  { verb: "add", object: "filteraction", tags: [must("name", "name"), ...ACTION] },
  { verb: "set", object: "filteraction", tags: [...named, tag("newname", "name"), ...ACTION] },
  { verb: "delete", object: "filteraction", tags: [must("name", "name")] },
  {
    verb: "add",
    object: "rule",
    tags: [must("name", "name"), must("policy", "name"), must("filterlist", "name"), must("filteraction", "name"), ...RULE],
  },
  {
    verb: "set",
    object: "rule",
    tags: [
      tag("name", "name"),
      must("policy", "name"),
      tag("newname", "name"),
      tag("filterlist", "name"),
      tag("filteraction", "name"),
      ...RULE,
      tag("id", "number"),
    ],
  },
  { verb: "delete", object: "rule", tags: [tag("name", "name"), must("policy", "name"), tag("id", "number")] },
  {
    verb: "set",
    object: "defaultrule",
    tags: [must("policy", "name"), tag("qmpfs", "boolean"), tag("activate", "boolean"), tag("qmsecmethods", "quick-methods"), ...AUTH],
  },
  { verb: "set", object: "store", tags: [must("location", "location"), tag("domain", "text")] },
  { verb: "set", object: "batch", tags: [must("mode", "text")] },
  { verb: "delete", object: "all", tags: [] },
  { verb: "exportpolicy", object: "", tags: [must("file", "text")] },
  { verb: "importpolicy", object: "", tags: [must("file", "text")] },
  { verb: "restorepolicyexamples", object: "", tags: [tag("release", "text")] },
];

/** Verbs that only show something. */
export const SHOWING = ["show", "dump", "help", "?"] as const;

/** Tags of other versions and of the dynamic context that mean the same. */
export const ALIASES: ReadonlyMap<string, string> = new Map([
  ["tunneldst", "tunnel"],
  ["tunneldstaddress", "tunnel"],
  ["tunneldstaddr", "tunnel"],
  ["srcaddress", "srcaddr"],
  ["dstaddress", "dstaddr"],
]);

/** The entries that a shortened word can mean: an exact one alone, else all that begin with it. */
export function matching<T>(entries: readonly T[], nameOf: (entry: T) => string, word: string): readonly T[] {
  const lower = word.toLowerCase();
  const exact = entries.filter((entry) => nameOf(entry) === lower);
  return exact.length > 0 ? exact : entries.filter((entry) => lower !== "" && nameOf(entry).startsWith(lower));
}
