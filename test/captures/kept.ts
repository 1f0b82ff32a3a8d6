/**
 * The captures that are kept in pcaps/: NAME.pcap, and NAME.json with what it shows, its keys and what `mainmode decode` says about it.
 * The keys were made for the recording, protected nothing but its pings, and ended with it. Recorded again by record.ts.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** NAME.json. */
export interface Kept {
  readonly about: string;
  /** When, where, and what versions of what met. */
  readonly recorded: string;
  readonly note: string;
  /** Keys of phase 1 ciphers by initiator cookie, both in hexadecimal. */
  readonly secrets: Readonly<Record<string, string>>;
  /** Keys of the ESP SAs, as far as the capture shows packets of theirs. */
  readonly esp?: readonly EspKeys[];
  /** The lines of `mainmode decode NAME.pcap --keys ...`. */
  readonly expected: readonly string[];
}

/** One direction. Algorithms have the kernel's names; no authentication where the cipher does it. Values begin with 0x. */
export interface EspKeys {
  readonly source: string;
  readonly destination: string;
  readonly spi: string;
  readonly encryption: string;
  readonly encryptionKey: string;
  readonly authentication?: string;
  readonly authenticationKey?: string;
}

export const THROWAWAY = "The keys were made for this recording and ended with it: they protect nothing.";

/** The folder; compiled tests find it from dist/. */
export const FOLDER = fileURLToPath(folder());

/** The names that have a file with this ending. */
export const keptNames = (ending: ".pcap" | ".json"): readonly string[] =>
  readdirSync(FOLDER)
    .filter((file) => file.endsWith(ending))
    .map((file) => file.slice(0, -ending.length))
    .sort();

export const pcapOf = (name: string): string => `${FOLDER}${name}.pcap`;
export const jsonOf = (name: string): string => `${FOLDER}${name}.json`;

export const kept = (name: string): Kept => JSON.parse(readFileSync(jsonOf(name), "utf8")) as Kept;

/** Lines `COOKIE,KEY`: Wireshark's ikev1_decryption_table, and what `decode --keys` reads. */
export const keyTable = (secrets: Readonly<Record<string, string>>): string =>
  Object.entries(secrets)
    .map(([cookie, key]) => `${cookie},${key}\n`)
    .join("");

function folder(): URL {
  for (let at = new URL("./", import.meta.url); ; at = new URL("../", at)) {
    if (existsSync(new URL("package.json", at))) return new URL("pcaps/", at);
    if (at.pathname === "/") throw new Error("no package.json above the tests");
  }
}
