/** Looks for secrets in text, as they are, in hexadecimal and in base64, however many there are of both. */
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";

export interface Found {
  /** How the secret is written there. */
  readonly form: "text" | "hex" | "base64";
  /** What stands around it. */
  readonly around: string;
}

/** Shorter ones can stand anywhere by chance, and so can what is made of three octets or fewer. */
const LEAST_OCTETS = 12;
const LEAST_DIFFERENT = 4;
/** Letters by which a place is looked up: as long as the shortest form of the shortest secret. */
const WINDOW = 12;

/** Places in the texts where one of the secrets stands, at most one for each text and form. `secrets`: hexadecimal digits. */
export function secretsIn(texts: readonly string[], secrets: Iterable<string>): readonly Found[] {
  const needles = new Map<string, { readonly form: Found["form"]; readonly needle: string }[]>();
  const add = (form: Found["form"], needle: string): void => {
    const start = needle.slice(0, WINDOW);
    needles.set(start, [...(needles.get(start) ?? []), { form, needle }]);
  };
  for (const hex of secrets) {
    const octets = Buffer.from(hex, "hex");
    if (octets.length < LEAST_OCTETS || new Set(octets).size < LEAST_DIFFERENT) continue;
    add("hex", hex.toLowerCase());
    // Its last letters depend on what comes after, where the secret is a part of something longer.
    add("base64", octets.toString("base64").slice(0, Math.floor((octets.length * 4) / 3)));
    if (octets.every((octet) => octet >= 0x20 && octet < 0x7f)) add("text", octets.toString("latin1"));
  }
  return texts.flatMap((text) => found(text, needles));
}

type Needles = ReadonlyMap<string, readonly { readonly form: Found["form"]; readonly needle: string }[]>;

function found(text: string, needles: Needles): readonly Found[] {
  const hits = new Map<Found["form"], Found>();
  const lower = text.toLowerCase();
  for (const [where, isLower] of [
    [text, false],
    [lower, true],
  ] as const)
    for (let at = 0; at + WINDOW <= where.length; at++)
      for (const { form, needle } of needles.get(where.slice(at, at + WINDOW)) ?? [])
        if ((form === "hex") === isLower && !hits.has(form) && where.startsWith(needle, at))
          hits.set(form, { form, around: text.slice(Math.max(0, at - 60), at + needle.length + 20) });
  return [...hits.values()];
}

/** The secrets that secrets-ledger.ts has written into a folder. */
export const readLedger = (folder: string): ReadonlySet<string> =>
  new Set(
    readdirSync(folder)
      .flatMap((name) => readFileSync(join(folder, name), "utf8").split("\n"))
      .filter((digits) => digits !== ""),
  );

/** What a run has left in a folder. */
export interface Left {
  readonly secrets: ReadonlySet<string>;
  /** Everything that was said, by its file. */
  readonly outputs: ReadonlyMap<string, string>;
}

/** Logs, transcripts, traces and reports. */
const SAID = /\.(txt|jsonl?|log|tap|out|said|journal)$|(^|\/)said$/;
/**
 * What holds secrets because somebody asked for that, or for whom it is: configurations and keys that the tests make, keys that `trace --keys` was
 * asked for, and what strongSwan and libreswan say, whose logs are told to show keys so that they can be compared.
 */
const MEANT = /(^|\/)(pki|keys|charon[^/]*|pluto[^/]*|plan\.json|judgeKeys\.txt)(\/|$)/;

/** Collects, and removes, the ledgers below a folder (its folders called `secrets`), and reads what was said there. */
export function whatWasLeft(root: string): Left {
  const entries = readdirSync(root, { recursive: true, withFileTypes: true });
  const path = (entry: (typeof entries)[number]): string => join(entry.parentPath, entry.name);
  const ledgers = entries.filter((entry) => entry.isDirectory() && entry.name === "secrets").map(path);
  const secrets = new Set(ledgers.flatMap((folder) => [...readLedger(folder)]));
  for (const folder of ledgers) rmSync(folder, { recursive: true });
  const said = entries.filter((entry) => entry.isFile() && !ledgers.includes(entry.parentPath)).map(path);
  const files = said.filter((name) => SAID.test(name) && !MEANT.test(name.slice(root.length + 1)));
  return { secrets, outputs: new Map(files.map((name) => [name, readFileSync(name, "utf8")])) };
}
