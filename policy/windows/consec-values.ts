/**
 * Values of connection security rules: one reader per kind, for netsh and the cmdlets alike. What is written rightly and can't be carried over
 * is kept as `lost`, and said where the rule is made.
 */
import { canonicalAddress } from "../../isakmp/address.ts";
import { err, ok, type Result } from "../../isakmp/result.ts";
import { type ConsecKind, LISTS, WORDS } from "./consec-grammar.ts";
import { type Offers, parseConsecMain, parseConsecQuick } from "./consec-suites.ts";
import type { MainMethod, QuickMethod } from "./methods.ts";
import { readValue, type WindowsAddress } from "./values.ts";

/** Both ends belong to it. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** A CA of a certificate method, with what else the script demands of certificates. */
export interface ConsecCa {
  readonly name: string;
  readonly mapping: boolean;
  readonly excludeName: boolean;
  /** Demands that we don't have, such as `certeku`. */
  readonly demands: readonly string[];
}

export type ConsecValue =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "boolean"; readonly yes: boolean }
  | { readonly kind: "number"; readonly number: number }
  | { readonly kind: "words"; readonly words: readonly string[] }
  /** Empty with nothing lost: any. */
  | { readonly kind: "sides"; readonly sides: readonly WindowsAddress[]; readonly lost: readonly string[] }
  | { readonly kind: "ports"; readonly ports: readonly PortRange[]; readonly lost: readonly string[] }
  /** null: any. */
  | { readonly kind: "end"; readonly end: string | null }
  | { readonly kind: "cas"; readonly cas: readonly ConsecCa[] }
  | ({ readonly kind: "main" } & Offers<MainMethod>)
  | ({ readonly kind: "quick" } & Offers<QuickMethod>)
  | { readonly kind: "life"; readonly minutes: number | null; readonly sessions: number | null };

type Reader = (text: string) => Result<ConsecValue, string>;
const shown = (text: string): string => JSON.stringify(text.length > 60 ? `${text.slice(0, 57)}...` : text);

/** Reads a value; the error says what is wrong with it, and never shows a key. */
export function readConsecValue(kind: ConsecKind, text: string): Result<ConsecValue, string> {
  const reader = READERS[kind as keyof typeof READERS];
  return reader ? reader(text.trim()) : readWords(kind as keyof typeof WORDS, text);
}

function readWords(kind: keyof typeof WORDS, text: string): Result<ConsecValue, string> {
  const known: readonly string[] = WORDS[kind];
  const parts = LISTS.has(kind) ? splitList(text) : [text.trim()];
  const words = parts.map((part) => part.toLowerCase());
  const wrong = words.find((word) => !known.includes(word));
  if (wrong !== undefined || words.length === 0) return err(`${shown(wrong ?? text)} is not one of ${known.join(", ")}`);
  return ok({ kind: "words", words });
}

const splitList = (text: string): readonly string[] =>
  text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");

const text: Reader = (value) => ok({ kind: "text", text: value });

const READERS = {
  name: (value) => (value === "" ? err("a name is expected") : text(value)),
  text,
  secret: (value) => (value === "" ? err("the key is empty") : text(value)),
  sddl: text,
  number: (value) => (/^\d{1,10}$/.test(value) ? ok({ kind: "number", number: Number(value) }) : err(`${shown(value)} is no number`)),
  boolean: (value) => {
    if (/^(yes|y|true|enable|1)$/i.test(value)) return ok({ kind: "boolean", yes: true });
    if (/^(no|n|false|disable|notconfigured|0)$/i.test(value)) return ok({ kind: "boolean", yes: false });
    return err(`${shown(value)} is neither yes nor no`);
  },
  sides: (value) => readSides(value),
  ports: (value) => readPorts(value),
  protocol: (value) => {
    const known = PROTOCOLS.get(value.toLowerCase());
    if (known !== undefined) return ok({ kind: "number", number: known });
    const [, number] = /^(\d{1,3})(?::|$)/.exec(value) ?? [];
    if (number === undefined || Number(number) > 255 || value.includes(":"))
      return err(`${shown(value)} is no protocol: any, tcp, udp, icmpv4, icmpv6 or a number up to 255; types of ICMP can't be told apart`);
    return ok({ kind: "number", number: Number(number) });
  },
  end: (value) => {
    if (/^any$/i.test(value)) return ok({ kind: "end", end: null });
    const end = canonicalAddress(value);
    return end === undefined ? err(`${shown(value)} is no address; one end of a tunnel is one address`) : ok({ kind: "end", end });
  },
  cas: (value) => readCas(value),
  "main-methods": (value) => {
    const read = parseConsecMain(value);
    return read.ok ? ok({ kind: "main", ...read.value }) : read;
  },
  "quick-methods": (value) => {
    const read = parseConsecQuick(value);
    return read.ok ? ok({ kind: "quick", ...read.value }) : read;
  },
  life: (value) => {
    let [minutes, sessions]: [number | null, number | null] = [null, null];
    for (const part of splitList(value.toLowerCase())) {
      const [, digits, unit] = /^(\d{1,10})(min|sess)$/.exec(part) ?? [];
      if (unit === undefined) return err(`${shown(value)} is no lifetime such as 480min,0sess`);
      if (unit === "min") minutes = Number(digits);
      else sessions = Number(digits);
    }
    return minutes === null && sessions === null ? err("the lifetime is empty") : ok({ kind: "life", minutes, sessions });
  },
} as const satisfies Partial<Record<ConsecKind, Reader>>;

const PROTOCOLS: ReadonlyMap<string, number> = new Map([
  ["any", 0],
  ["tcp", 6],
  ["udp", 17],
  ["icmpv4", 1],
  ["icmpv6", 58],
]);

const SERVERS: ReadonlyMap<string, "dns" | "dhcp" | "wins" | "gateway"> = new Map([
  ["dns", "dns"],
  ["dhcp", "dhcp"],
  ["wins", "wins"],
  ["defaultgateway", "gateway"],
  ["gateway", "gateway"],
]);

/** Words for places that Linux has no name for. */
const PLACES = /^(localsubnet[46]?|internet|intranet|rmtintranet|intranetremoteaccess|ply2renders|playtodevice|captiveportal)$/;

function readSides(value: string): Result<ConsecValue, string> {
  const [sides, lost]: [WindowsAddress[], string[]] = [[], []];
  const parts = splitList(value.toLowerCase());
  if (parts.length === 0) return err("an address is expected");
  if (parts.includes("any") || parts.includes("*")) return ok({ kind: "sides", sides: [], lost: [] });
  for (const part of parts) {
    const server = SERVERS.get(part);
    const read = server || PLACES.test(part) || part === "me" ? undefined : readValue("address", part);
    if (server) sides.push({ kind: "server", server });
    else if (!read) {
      if (part === "me") return err('"me" is a word of netsh ipsec static; write any');
      lost.push(`${part}: name the addresses`);
    } else if (read.ok && read.value.kind === "address") sides.push(read.value.address);
    else return err(`${shown(part)} is no address, subnet, range, any, dns, dhcp or defaultgateway`);
  }
  return ok({ kind: "sides", sides, lost });
}

function readPorts(value: string): Result<ConsecValue, string> {
  const [ports, lost]: [PortRange[], string[]] = [[], []];
  const parts = splitList(value.toLowerCase());
  if (parts.length === 0) return err("a port is expected");
  if (parts.includes("any") || parts.includes("0-65535")) return ok({ kind: "ports", ports: [], lost: [] });
  for (const part of parts) {
    if (/^(rpc|rpc-epmap|rpcepmap|iphttps|iphttpsin|iphttpsout|teredo|mdns|ply2disc)$/.test(part)) {
      lost.push(`${part}: name the ports`);
      continue;
    }
    const [, a, b = a] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part) ?? [];
    const [first, last] = [Number(a), Number(b)];
    if (a === undefined || last > 65_535 || first > last || first === 0)
      return err(`${shown(part)} is no port from 1 to 65535, no range and not any`);
    ports.push({ first, last });
  }
  return ok({ kind: "ports", ports, lost });
}

const CA_WORDS =
  /\b(certmapping|excludecaname|catype|certhash|followrenewal|certeku|certname|certnametype|certcriteriatype):("[^"]*"|[^\s|]*(?:\s*,\s*[^\s|:]+(?=[\s,|]|$))*)/gi;

/** `C=US, CN=Root certmapping:no catype:root | CN=Other`. */
function readCas(value: string): Result<ConsecValue, string> {
  const cas = value.split("|").map((part): ConsecCa => {
    const options = new Map([...part.matchAll(CA_WORDS)].map(([, word = "", set = ""]) => [word.toLowerCase(), set] as const));
    const yes = (word: string): boolean => /^y/i.test(options.get(word) ?? "no");
    const demands = ["certhash", "certeku", "certname"].filter(
      (word) => options.has(word) && !/^selection$/i.test(options.get("certcriteriatype") ?? ""),
    );
    return { name: part.replace(CA_WORDS, "").trim(), mapping: yes("certmapping"), excludeName: yes("excludecaname"), demands };
  });
  return cas.every(({ name }) => name !== "") ? ok({ kind: "cas", cas }) : err("the name of a CA is expected");
}
