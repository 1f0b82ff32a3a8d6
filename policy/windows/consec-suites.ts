/**
 * Offers as `netsh advfirewall` and the NetIPsec cmdlets write them: `dhgroup14:aes256-sha256`, `esp:sha1-aes128+60min+100000kb`, and the
 * words of `-Encryption`, `-Hash` and `-KeyExchange`. What IKEv1 or we don't have is told apart from what is written wrong.
 */
import { err, ok, type Result } from "../../isakmp/result.ts";
import type { MainMethod, QuickMethod } from "./methods.ts";

/** Offers in our names, and those that can't be offered, each with the reason. `methods` null: Windows' own list. */
export interface Offers<T> {
  readonly methods: readonly T[] | null;
  readonly lost: readonly string[];
}

const CIPHERS: ReadonlyMap<string, string> = new Map([
  ["des", "des"],
  ["3des", "3des"],
  ["des3", "3des"],
  ["aes128", "aes128"],
  ["aes192", "aes192"],
  ["aes256", "aes256"],
]);
const COMBINED: ReadonlyMap<string, string> = new Map([
  ["aesgcm128", "aes128gcm16"],
  ["aesgcm192", "aes192gcm16"],
  ["aesgcm256", "aes256gcm16"],
]);
const HASHES: ReadonlyMap<string, string> = new Map(["md5", "sha1", "sha256", "sha384"].map((name) => [name, name] as const));
const GROUPS: ReadonlyMap<string, string> = new Map([
  ...["dhgroup1", "dh1"].map((name) => [name, "modp768"] as const),
  ...["dhgroup2", "dh2"].map((name) => [name, "modp1024"] as const),
  ...["dhgroup14", "dh14"].map((name) => [name, "modp2048"] as const),
  ...["ecdhp256", "dh19"].map((name) => [name, "ecp256"] as const),
  ...["ecdhp384", "dh20"].map((name) => [name, "ecp384"] as const),
]);
/** Known to Windows and not to us: groups with short prime-order subgroups (RFC 5114), and AES-GMAC (RFC 4543). */
const FOREIGN: ReadonlyMap<string, string> = new Map([
  ...["dhgroup24", "dh24"].map((name) => [name, "group 24 of RFC 5114 is not offered"] as const),
  ...["aesgmac128", "aesgmac192", "aesgmac256"].map((name) => [name, "AES-GMAC is not available"] as const),
]);

/** What these tools offer where a policy names nothing (the product notes of MS-FASP). */
export const CONSEC_MAIN: readonly MainMethod[] = ["aes128", "3des"].map((cipher) => ({ cipher, hash: "sha1", group: "modp1024" }));
const plain = { kilobytes: 100_000, seconds: 3600, pfs: false } as const;
/** The same of Quick Mode: integrity alone comes first. */
export const CONSEC_QUICK: readonly QuickMethod[] = [
  ...["null", "aes128", "3des"].map((cipher) => ({ ah: null, esp: { cipher, integrity: "sha1" }, ...plain })),
  { ah: "sha1", esp: null, ...plain },
];

/** Our name of a group, `undefined` for a word that is none; an error says why it can't be offered. */
export function groupOf(word: string): Result<string, string> | undefined {
  const foreign = FOREIGN.get(word);
  if (foreign !== undefined) return err(foreign);
  const name = GROUPS.get(word);
  return name === undefined ? undefined : ok(name);
}

/** `dhgroup2:aes128-sha1,ecdhp384:aes256-sha384`, or `default`. A later offer without its group has that of the one before it. */
export function parseConsecMain(text: string): Result<Offers<MainMethod>, string> {
  const words = text.toLowerCase().replace(/\s+/g, "").split(",");
  if (words.length === 1 && words[0] === "default") return ok({ methods: null, lost: [] });
  const [methods, lost]: [MainMethod[], string[]] = [[], []];
  let last: string | undefined;
  for (const word of words) {
    const [, group = last, cipher = "", hash = ""] = /^(?:(dhgroup\d+|ecdhp\d+)[:-])?([a-z0-9]+)-([a-z0-9]+)$/.exec(word) ?? [];
    last = group;
    const method = group === undefined ? undefined : mainMethod(cipher, hash, group);
    if (!method) return err(`${JSON.stringify(word)} is no Main Mode offer such as dhgroup14:aes256-sha256`);
    if (method.ok) methods.push(method.value);
    else lost.push(`${word}: ${method.error}`);
  }
  return ok({ methods, lost });
}

/** One offer of Main Mode by the words of netsh or of the cmdlets; undefined: a word is unknown. */
export function mainMethod(cipherWord: string, hashWord: string, groupWord: string): Result<MainMethod, string> | undefined {
  if (COMBINED.has(cipherWord)) return err("Main Mode has no combined ciphers");
  const foreign = FOREIGN.get(hashWord) ?? FOREIGN.get(groupWord);
  const [cipher, hash, group] = [CIPHERS.get(cipherWord), HASHES.get(hashWord), GROUPS.get(groupWord)];
  if (foreign !== undefined && cipher !== undefined) return err(foreign);
  if (cipher === undefined || hash === undefined || group === undefined) return undefined;
  return ok({ cipher, hash, group });
}

/** `esp:sha1-aes128+60min+100000kb,ah:sha1+esp:sha1-none`, or `default`. */
export function parseConsecQuick(text: string): Result<Offers<QuickMethod>, string> {
  const words = text.toLowerCase().replace(/\s+/g, "").split(",");
  if (words.length === 1 && words[0] === "default") return ok({ methods: null, lost: [] });
  const [methods, lost]: [QuickMethod[], string[]] = [[], []];
  for (const word of words) {
    const method = parseQuick(word);
    if (!method)
      return err(`${JSON.stringify(word)} is no Quick Mode offer such as esp:sha1-aes128+60min+100000kb or ah:sha1+esp:sha1-none`);
    if (method.ok) methods.push(method.value);
    else lost.push(`${word}: ${method.error}`);
  }
  return ok({ methods, lost });
}

function parseQuick(word: string): Result<QuickMethod, string> | undefined {
  const parts = word.split("+");
  const limits = { min: null as number | null, kb: null as number | null };
  while (parts.length > 1) {
    const [, digits, unit] = /^(\d{1,10})(min|kb)$/.exec(parts.at(-1) as string) ?? [];
    if (unit === undefined || limits[unit as "min" | "kb"] !== null) break;
    limits[unit as "min" | "kb"] = Number(digits);
    parts.pop();
  }
  const given = new Map<string, string>();
  for (const part of parts) {
    const [, protocol, rest] = /^(ah|esp|authnoencap):([a-z0-9-]+)$/.exec(part) ?? [];
    if (protocol === undefined || rest === undefined || given.has(protocol)) return undefined;
    given.set(protocol, rest);
  }
  if (given.has("authnoencap")) return given.size === 1 ? err("packets without encapsulation are AuthIP's") : undefined;
  const [integrity, cipher = "none", ...more] = given.get("esp")?.split("-") ?? [undefined];
  if (more.length > 0) return undefined;
  return quickMethod({ ah: given.get("ah"), integrity, cipher, minutes: limits.min, kilobytes: limits.kb });
}

/** The words of an offer of Quick Mode; `ah` and `integrity` undefined: without that protocol. */
export interface QuickWords {
  readonly ah: string | undefined;
  readonly integrity: string | undefined;
  readonly cipher: string;
  readonly minutes: number | null;
  readonly kilobytes: number | null;
}

/** One offer of Quick Mode; undefined: a word is unknown. */
export function quickMethod({ ah, integrity, cipher, minutes, kilobytes }: QuickWords): Result<QuickMethod, string> | undefined {
  const foreign = FOREIGN.get(ah ?? "") ?? FOREIGN.get(integrity ?? "");
  if (foreign !== undefined) return err(foreign);
  if (ah === undefined && integrity === undefined) return undefined;
  if (ah !== undefined && !HASHES.has(ah)) return undefined;
  const esp = integrity === undefined ? null : espOf(integrity, cipher);
  if (esp === undefined) return undefined;
  if (esp && !esp.ok) return esp;
  return ok({
    ah: ah ?? null,
    esp: esp?.value ?? null,
    seconds: minutes === null ? null : minutes * 60,
    kilobytes,
    pfs: false,
  });
}

function espOf(integrity: string, cipher: string): Result<NonNullable<QuickMethod["esp"]>, string> | undefined {
  const combined = COMBINED.get(cipher);
  if (combined !== undefined) {
    const agrees = integrity === cipher || integrity === "none";
    return agrees ? ok({ cipher: combined, integrity: null }) : err("AES-GCM has to stand on both sides");
  }
  if (COMBINED.has(integrity)) return err("AES-GCM has to stand on both sides");
  const name = cipher === "none" ? "null" : CIPHERS.get(cipher);
  if (name === undefined) return undefined;
  if (integrity === "none") return err(name === "null" ? "it protects nothing" : "encryption without integrity can be forged");
  return HASHES.has(integrity) ? ok({ cipher: name, integrity }) : undefined;
}
