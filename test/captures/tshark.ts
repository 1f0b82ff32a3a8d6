/**
 * Captures as tshark reads them, given the keys: the judge that shares no line with us. Its PDML is read by its attributes alone.
 */
import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { type EspKeys, keyTable } from "./kept.ts";

/** A field as tshark shows it; `value` is the octets in hexadecimal, where it has any. */
export interface Field {
  readonly name: string;
  readonly show: string;
  readonly value: string;
}

/** A packet with the protocols that tshark found in it, outermost first, and all their fields in order. */
export interface Packet {
  readonly number: number;
  readonly protocols: readonly string[];
  readonly fields: readonly Field[];
}

export interface Keys {
  readonly secrets: Readonly<Record<string, string>>;
  readonly esp?: readonly EspKeys[];
}

/** Lets tshark read a capture. `profile` is an empty folder: its configuration, in which it finds the keys. */
export async function dissect(capture: string, { secrets, esp = [] }: Keys, profile: string): Promise<readonly Packet[]> {
  writeFileSync(join(profile, "ikev1_decryption_table"), keyTable(secrets));
  writeFileSync(join(profile, "esp_sa"), esp.map(espLine).join(""));
  return dissectWith(capture, profile);
}

/** The same with a profile that has its keys already. `port`: where IKE is spoken, if not on 500. */
export async function dissectWith(capture: string, profile: string, port?: number): Promise<readonly Packet[]> {
  const preferences = PREFERENCES.flatMap((name) => ["-o", `${name}:TRUE`]);
  const { stdout } = await promisify(execFile)(
    "tshark",
    ["-n", ...preferences, ...(port === undefined ? [] : ["-d", `udp.port==${port},isakmp`]), "-r", capture, "-T", "pdml"],
    {
      env: { ...process.env, WIRESHARK_CONFIG_DIR: profile },
      maxBuffer: 1 << 28,
    },
  );
  return stdout.split("<packet>").slice(1).map(packet);
}

const PREFERENCES = ["esp.enable_encryption_decode", "esp.enable_authentication_check", "ip.check_checksum", "udp.check_checksum"];

function packet(pdml: string): Packet {
  const fields = [...pdml.matchAll(/<field name="([^"]*)"([^>]*)>/g)].map(([, name = "", rest = ""]) => ({
    name,
    show: / show="([^"]*)"/.exec(rest)?.[1] ?? "",
    value: / value="([^"]*)"/.exec(rest)?.[1] ?? "",
  }));
  const protocols = [...pdml.matchAll(/<proto name="([^"]*)"/g)].map(([, name = ""]) => name);
  return { number: Number(fields.find(({ name }) => name === "num")?.show), protocols, fields };
}

/** The kernel's names for what Wireshark calls by its RFC. */
const ENCRYPTIONS: Readonly<Record<string, string>> = {
  "cbc(aes)": "AES-CBC [RFC3602]",
  "cbc(des3_ede)": "TripleDES-CBC [RFC2451]",
  "rfc4106(gcm(aes))": "AES-GCM with 16 octet ICV [RFC4106]",
};
const AUTHENTICATIONS: Readonly<Record<string, string>> = {
  "hmac(md5)": "HMAC-MD5-96 [RFC2403]",
  "hmac(sha1)": "HMAC-SHA-1-96 [RFC2404]",
  "hmac(sha256)": "HMAC-SHA-256-128 [RFC4868]",
};

/** A line of Wireshark's table of ESP SAs. */
function espLine({ source, destination, spi, encryption, encryptionKey, authentication, authenticationKey = "" }: EspKeys): string {
  const cipher = ENCRYPTIONS[encryption];
  const integrity = authentication === undefined ? "NULL" : AUTHENTICATIONS[authentication];
  if (!cipher || !integrity) throw new Error(`tshark is not told what ${encryption} ${authentication} is`);
  const family = source.includes(":") ? "IPv6" : "IPv4";
  const columns = [family, source, destination, spi, cipher, encryptionKey, integrity, authenticationKey];
  return `${columns.map((column) => `"${column}"`).join(",")}\n`;
}
