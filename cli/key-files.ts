/**
 * Keys in Wireshark's forms: lines of its tables ikev1_decryption_table and esp_sa. Algorithms that it has no name for become comments.
 */
import type { TraceDocument } from "../daemon/control-protocol.ts";

type IkeKey = Extract<TraceDocument, { kind: "ike-key" }>;
type EspKey = Extract<TraceDocument, { kind: "esp-key" }>;

/** A line of ikev1_decryption_table, as `decode --keys` reads it too. */
export const ikeKeyLine = ({ cookie, key }: Pick<IkeKey, "cookie" | "key">): string => `${cookie},${key}\n`;

/** A line of esp_sa. */
export function espKeyLine({
  source,
  destination,
  spi,
  encryption,
  encryptionKey,
  integrity,
  integrityBits,
  integrityKey,
}: EspKey): string {
  const [cipher, authentication] = [ENCRYPTIONS[encryption], INTEGRITIES[integrity === "" ? "" : `${integrity} ${integrityBits}`]];
  if (!cipher || !authentication)
    return `# ${spi} from ${source} to ${destination}: Wireshark has no name for ${cipher ? integrity : encryption}\n`;
  const hex = (digits: string): string => (digits === "" ? "" : `0x${digits}`);
  const family = source.includes(":") ? "IPv6" : "IPv4";
  const columns = [family, source, destination, spi, cipher, hex(encryptionKey), authentication, hex(integrityKey)];
  return `${columns.map((column) => `"${column}"`).join(",")}\n`;
}

/** The kernel's names for what Wireshark calls by its RFC. */
const ENCRYPTIONS: Readonly<Record<string, string>> = {
  "ecb(cipher_null)": "NULL",
  "cbc(aes)": "AES-CBC [RFC3602]",
  "cbc(des)": "DES-CBC [RFC2405]",
  "cbc(des3_ede)": "TripleDES-CBC [RFC2451]",
  "rfc4106(gcm(aes))": "AES-GCM with 16 octet ICV [RFC4106]",
};
const INTEGRITIES: Readonly<Record<string, string>> = {
  "": "NULL",
  "hmac(md5) 96": "HMAC-MD5-96 [RFC2403]",
  "hmac(sha1) 96": "HMAC-SHA-1-96 [RFC2404]",
  "hmac(sha256) 128": "HMAC-SHA-256-128 [RFC4868]",
  // What Windows and old Linux kernels did before there was an RFC.
  "hmac(sha256) 96": "HMAC-SHA-256-96 [draft-ietf-ipsec-ciph-sha-256-00]",
  "hmac(sha384) 192": "HMAC-SHA-384-192 [RFC4868]",
  "hmac(sha512) 256": "HMAC-SHA-512-256 [RFC4868]",
};
