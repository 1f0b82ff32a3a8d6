/**
 * The method strings: `3DES-SHA1-2` of Main Mode, `AH[SHA1]+ESP[3DES,SHA1]:100000k/3600s` of Quick Mode, and back again.
 * Their names in our spelling are the last column of the tables.
 */
import { err, ok, type Result } from "../../isakmp/result.ts";

/** One offer of Main Mode. The names are those of our proposals. */
export interface MainMethod {
  readonly cipher: string;
  readonly hash: string;
  readonly group: string;
}

/** One offer of Quick Mode; `cipher` "null" with AH's or ESP's integrity; `integrity` null with combined ciphers. Kilobytes of 1000 octets; null: not said. */
export interface QuickMethod {
  readonly ah: string | null;
  readonly esp: { readonly cipher: string; readonly integrity: string | null } | null;
  readonly kilobytes: number | null;
  readonly seconds: number | null;
  /** ipsecpol's trailing P. */
  readonly pfs: boolean;
}

export interface MethodFault {
  readonly code: "E_BAD_VALUE" | "E_ESP_NONE_NONE" | "E_NO_INTEGRITY";
  readonly what: string;
}

const CIPHERS: ReadonlyMap<string, string> = new Map([
  ["DES", "des"],
  ["3DES", "3des"],
  ["NONE", "null"],
  ["NULL", "null"],
]);
const HASHES: ReadonlyMap<string, string> = new Map([
  ["MD5", "md5"],
  ["SHA1", "sha1"],
  ["SHA", "sha1"],
]);
const GROUPS: ReadonlyMap<string, string> = new Map([
  ["1", "modp768"],
  ["2", "modp1024"],
  ["3", "modp2048"],
]);

/** What Windows offers where a script names no methods. */
export const DEFAULT_MAIN = "3DES-SHA1-2 3DES-MD5-2 DES-SHA1-1 DES-MD5-1";
export const DEFAULT_QUICK = "ESP[3DES,SHA1] ESP[3DES,MD5] ESP[DES,SHA1] ESP[DES,MD5]";

/** Reads a list of Main Mode offers, separated by blanks or commas. */
export function parseMainMethods(text: string): Result<readonly MainMethod[], MethodFault> {
  const methods: MainMethod[] = [];
  for (const offer of text.split(/[\s,]+/).filter((part) => part !== "")) {
    const [cipherText = "", hashText = "", groupText = "", ...more] = offer.toUpperCase().split("-");
    const [cipher, hash, group] = [CIPHERS.get(cipherText), HASHES.get(hashText), GROUPS.get(groupText)];
    if (cipher === undefined || cipher === "null" || hash === undefined || group === undefined || more.length > 0)
      return err({
        code: "E_BAD_VALUE",
        what: `${JSON.stringify(offer)} is no Main Mode method: DES or 3DES, MD5 or SHA1, and group 1, 2 or 3, such as 3DES-SHA1-3`,
      });
    methods.push({ cipher, hash, group });
  }
  return methods.length > 0 ? ok(methods) : err({ code: "E_BAD_VALUE", what: "the list of methods is empty" });
}

/** Reads a list of Quick Mode offers, separated by blanks. */
export function parseQuickMethods(text: string): Result<readonly QuickMethod[], MethodFault> {
  const methods: QuickMethod[] = [];
  // Blanks inside of brackets and round the plus are tolerated.
  const tight = text.replace(/\s*([[\],+])\s*/g, (_whole, c: string) => (c === "]" ? "] " : c)).replace(/\]\s*([+:])/g, "]$1");
  for (const offer of tight.split(/\s+/).filter((part) => part !== "")) {
    const method = parseQuick(offer);
    if (!method.ok) return method;
    methods.push(method.value);
  }
  return methods.length > 0 ? ok(methods) : err({ code: "E_BAD_VALUE", what: "the list of methods is empty" });
}

const LIFE = /^(?:(\d{1,10})k)?\/?(?:(\d{1,10})s)?(p)?$/i;

function parseQuick(offer: string): Result<QuickMethod, MethodFault> {
  const bad = (why: string) => err<MethodFault>({ code: "E_BAD_VALUE", what: `${JSON.stringify(offer)} is no Quick Mode method: ${why}` });
  const shape = /^((?:AH|ESP)\[[^\]]*\](?:\+(?:AH|ESP)\[[^\]]*\])?)(?::?(.*))$/i.exec(offer);
  if (!shape) return bad("ESP[cipher,hash], AH[hash] or AH[hash]+ESP[cipher,hash] is expected");
  const life = LIFE.exec(shape[2] ?? "");
  if (!life) return bad(`${JSON.stringify(shape[2])} is no lifetime such as 100000k/3600s`);
  let [ah, esp]: [string | null, QuickMethod["esp"]] = [null, null];
  for (const part of (shape[1] as string).toUpperCase().split("+")) {
    const [, protocol, inner = ""] = /^(AH|ESP)\[(.*)\]$/.exec(part) ?? [];
    const names = inner.split(",").map((name) => name.trim());
    if (protocol === "AH") {
      const hash = HASHES.get(names[0] ?? "");
      if (hash === undefined || names.length !== 1 || ah !== null) return bad("AH takes MD5 or SHA1");
      ah = hash;
      continue;
    }
    const [cipher, integrity] = [CIPHERS.get(names[0] ?? ""), names[1] === "NONE" ? "none" : HASHES.get(names[1] ?? "")];
    if (cipher === undefined || integrity === undefined || names.length !== 2 || esp !== null)
      return bad("ESP takes DES, 3DES or NONE and MD5, SHA1 or NONE");
    esp = { cipher, integrity };
  }
  if (esp?.cipher === "null" && esp.integrity === "none") return err({ code: "E_ESP_NONE_NONE", what: `${offer} protects nothing` });
  if (esp?.integrity === "none" && ah === null) return err({ code: "E_NO_INTEGRITY", what: `${offer} has no integrity algorithm` });
  const [kilobytes, seconds] = [life[1], life[2]].map((digits) => (digits === undefined ? null : Number(digits))) as [
    number | null,
    number | null,
  ];
  return ok({ ah, esp, kilobytes, seconds, pfs: life[3] !== undefined });
}

/** An offer in the spelling of our configuration. */
export const ourMain = ({ cipher, hash, group }: MainMethod): string => `${cipher}-${hash}-${group}`;

/** An offer in the spelling of our configuration: AH first where both are wanted. Cipher without integrity is possible beside AH only, and not here. */
export function ourQuick({ ah, esp }: QuickMethod): string {
  const parts = [
    ah === null ? null : `ah:${ah}`,
    esp === null ? null : `esp:${[esp.cipher, ...(esp.integrity === null ? [] : [esp.integrity])].join("-")}`,
  ];
  return parts.filter((part) => part !== null).join("+");
}
