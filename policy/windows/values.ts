/**
 * Values of tags: one reader per kind. Addresses stay text here; `filters.ts` makes filters of them.
 */
import { canonicalAddress } from "../../isakmp/address.ts";
import { err, ok, type Result } from "../../isakmp/result.ts";
import type { Kind } from "./grammar.ts";
import { type MainMethod, parseMainMethods, parseQuickMethods, type QuickMethod } from "./methods.ts";

export type Value =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "boolean"; readonly yes: boolean }
  | { readonly kind: "number"; readonly number: number }
  | { readonly kind: "address"; readonly address: WindowsAddress }
  /** Prefix length. */
  | { readonly kind: "mask"; readonly length: number }
  | { readonly kind: "main-methods"; readonly methods: readonly MainMethod[] }
  | { readonly kind: "quick-methods"; readonly methods: readonly QuickMethod[] };

/** One side of a filter as the script says it. */
export type WindowsAddress =
  | { readonly kind: "me" | "any" }
  | { readonly kind: "server"; readonly server: "wins" | "dns" | "dhcp" | "gateway" }
  | { readonly kind: "address"; readonly address: string; readonly length: number | null }
  | { readonly kind: "range"; readonly first: string; readonly last: string }
  | { readonly kind: "name"; readonly name: string };

export interface BadValue {
  readonly code: "E_BAD_VALUE" | "E_BAD_MASK" | "E_ESP_NONE_NONE" | "E_NO_INTEGRITY";
  readonly what: string;
}

const bad = (what: string) => err<BadValue>({ code: "E_BAD_VALUE", what });
const quote = (text: string): string => JSON.stringify(text.length > 60 ? `${text.slice(0, 57)}...` : text);

/** Reads a tag's value. */
export function readValue(kind: Kind, text: string): Result<Value, BadValue> {
  return READERS[kind](text);
}

type Reader = (text: string) => Result<Value, BadValue>;

const text: Reader = (value) => ok({ kind: "text", text: value });
const name: Reader = (value) => (value.trim() === "" ? bad("a name is expected") : ok({ kind: "text", text: value.trim() }));

/** One of a few words, shortened as far as it stays unambiguous. */
const oneOf =
  (words: readonly string[]): Reader =>
  (value) => {
    const lower = value.toLowerCase();
    const found = words.includes(lower) ? [lower] : words.filter((word) => lower !== "" && word.startsWith(lower));
    return found.length === 1 ? ok({ kind: "text", text: found[0] as string }) : bad(`${quote(value)} is not one of ${words.join(", ")}`);
  };

const number =
  (most: number, what: string): Reader =>
  (value) =>
    /^\d{1,10}$/.test(value) && Number(value) <= most
      ? ok({ kind: "number", number: Number(value) })
      : bad(`${quote(value)} is no ${what}`);

const READERS: Readonly<Record<Kind, Reader>> = {
  name,
  text,
  secret: (value) => (value === "" ? bad("the key is empty") : text(value)),
  guid: name,
  boolean: (value) => {
    const lower = value.toLowerCase();
    if (["yes", "y", "ye", "true"].includes(lower)) return ok({ kind: "boolean", yes: true });
    if (["no", "n", "false"].includes(lower)) return ok({ kind: "boolean", yes: false });
    return bad(`${quote(value)} is neither yes nor no`);
  },
  number: number(0xffff_ffff, "number"),
  port: number(65_535, "port from 0 to 65535"),
  address: (value) => readAddress(value),
  mask: (value) => readMask(value),
  protocol: (value) => {
    const known = PROTOCOLS.get(value.toLowerCase());
    if (known !== undefined) return ok({ kind: "number", number: known });
    return number(255, "protocol: ANY, ICMP, TCP, UDP, RAW or a number up to 255")(value);
  },
  action: oneOf(["permit", "block", "negotiate"]),
  connection: oneOf(["all", "lan", "dialup"]),
  location: oneOf(["local", "domain", "persistent"]),
  ca: (value) => (value.trim() === "" ? bad("the name of a CA is expected") : text(value)),
  "main-methods": (value) => {
    const methods = parseMainMethods(value);
    return methods.ok ? ok({ kind: "main-methods", methods: methods.value }) : bad(methods.error.what);
  },
  "quick-methods": (value) => {
    const methods = parseQuickMethods(value);
    return methods.ok ? ok({ kind: "quick-methods", methods: methods.value }) : methods;
  },
};

const PROTOCOLS: ReadonlyMap<string, number> = new Map([
  ["any", 0],
  ["icmp", 1],
  ["tcp", 6],
  ["udp", 17],
  ["raw", 255],
]);

const SERVERS = ["wins", "dns", "dhcp", "gateway"] as const;

function readAddress(value: string): Result<Value, BadValue> {
  const lower = value.trim().toLowerCase();
  const address = (found: WindowsAddress): Result<Value, BadValue> => ok({ kind: "address", address: found });
  if (lower === "me" || lower === "any") return address({ kind: lower });
  const server = SERVERS.find((word) => word === lower);
  if (server) return address({ kind: "server", server });
  const [whole, lengthText, ...more] = lower.split("/");
  if (more.length > 0) return bad(`${quote(value)} has two masks`);
  const single = canonicalAddress(whole ?? "");
  if (single !== undefined) {
    if (lengthText === undefined) return address({ kind: "address", address: single, length: null });
    const mask = readMask(lengthText);
    return mask.ok && mask.value.kind === "mask" ? address({ kind: "address", address: single, length: mask.value.length }) : mask;
  }
  const [first, last, ...others] = lower.split("-").map((part) => canonicalAddress(part.trim()));
  if (others.length === 0 && first !== undefined && last !== undefined) return address({ kind: "range", first, last });
  if (
    /^[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?$/i.test(lower) &&
    lower.length <= 255 &&
    !/^[\d.-]+$/.test(lower)
  )
    return address({ kind: "name", name: lower });
  return bad(`${quote(value)} is no address, range, name, me, any, or kind of server (WINS, DNS, DHCP, GATEWAY)`);
}

/** A prefix length or a dotted mask. */
function readMask(value: string): Result<Value, BadValue> {
  if (/^\d{1,3}$/.test(value) && Number(value) <= 128) return ok({ kind: "mask", length: Number(value) });
  const octets = value.split(".").map((part) => (/^\d{1,3}$/.test(part) && Number(part) <= 255 ? Number(part) : Number.NaN));
  const bits = octets.map((octet) => octet.toString(2).padStart(8, "0")).join("");
  if (octets.length !== 4 || octets.some(Number.isNaN)) return err({ code: "E_BAD_MASK", what: `${quote(value)} is no mask` });
  if (!/^1*0*$/.test(bits)) return err({ code: "E_BAD_MASK", what: `${quote(value)} has holes` });
  return ok({ kind: "mask", length: bits.indexOf("0") < 0 ? 32 : bits.indexOf("0") });
}
