/**
 * Vendor ids (RFC 2408 §3.16) that peers are known to send. Most are the MD5 of a text, which is then given and checked by a test.
 * `tail`: how many octets of the sender's own choosing may follow, for instance a version. Sources: RFC 3947 §3.1, RFC 3706 §5.1,
 * MS-IKEE appendix A, draft-ietf-ipsec-isakmp-gss-auth §3.4, draft-beaulieu-ike-xauth §5; the rest as observed in the field.
 */
import { fromHex, isPrintable, printable, toHex } from "./hex.ts";

/** One known vendor id. */
export interface VendorId {
  readonly name: string;
  readonly bytes: Uint8Array;
  /** The text whose MD5 `bytes` is, if it is one. */
  readonly text: string | undefined;
  readonly tail: number;
  /** Names of the tail's values, as a big-endian number. */
  readonly tails: Readonly<Record<number, string>>;
}

/** Any number of octets may follow. */
const ANY = 0xffff;

const md5 = (hex: string, text: string, name = text, tail = 0, tails = {}): VendorId => ({ name, bytes: must(hex), text, tail, tails });
const literal = (hex: string, name: string, tail = 0, tails = {}): VendorId => ({ name, bytes: must(hex), text: undefined, tail, tails });

const WINDOWS = {
  2: "Windows 2000",
  3: "Windows XP",
  4: "Windows Server 2003",
  5: "Windows Vista",
  6: "Windows Server 2008",
  7: "Windows 7",
  8: "Windows Server 2008 R2",
  9: "Windows 8 or later",
} as const;
const KEY_MODS = { 0: "IKE", 1: "AuthIP", 2: "IKEv2" } as const;
const FRAGMENTATION = { 2147483648: "Main Mode", 1073741824: "base messages", 3221225472: "Main Mode and base messages" } as const;

/** What we send or act upon has a key of its own; the others are only named. */
export const VENDOR_IDS = {
  "RFC 3947": md5("4a131c81070358455c5728f20e95452f", "RFC 3947", "NAT-T (RFC 3947)"),
  "NAT-T 00": md5("4485152d18b6bbcd0be8a8469579ddcc", "draft-ietf-ipsec-nat-t-ike-00"),
  "NAT-T 01": md5("16f6ca16e4a4066d83821a0f0aeaa862", "draft-ietf-ipsec-nat-t-ike-01"),
  "NAT-T 02": md5("cd60464335df21f87cfdb2fc68b6a448", "draft-ietf-ipsec-nat-t-ike-02"),
  "NAT-T 02n": md5("90cb80913ebb696e086381b5ec427b1f", "draft-ietf-ipsec-nat-t-ike-02\n", "draft-ietf-ipsec-nat-t-ike-02 with newline"),
  "NAT-T 03": md5("7d9419a65310ca6f2c179d9215529d56", "draft-ietf-ipsec-nat-t-ike-03"),
  "NAT-T 04": md5("9909b64eed937c6573de52ace952fa6b", "draft-ietf-ipsec-nat-t-ike-04"),
  "NAT-T 05": md5("80d0bb3def54565ee84645d4c85ce3ee", "draft-ietf-ipsec-nat-t-ike-05"),
  "NAT-T 06": md5("4d1e0e136deafa34c4f3ea9f02ec7285", "draft-ietf-ipsec-nat-t-ike-06"),
  "NAT-T 07": md5("439b59f8ba676c4c7737ae22eab8f582", "draft-ietf-ipsec-nat-t-ike-07"),
  "NAT-T 08": md5("8f8d83826d246b6fc7a8a6a428c11de8", "draft-ietf-ipsec-nat-t-ike-08"),
  "NAT-T": md5("4df37928e9fc4fd1b3262170d515c662", "draft-ietf-ipsec-nat-t-ike"),
  "Stenberg 01": md5("27bab5dc01ea0760ea4e3190ac27c0d0", "draft-stenberg-ipsec-nat-traversal-01"),
  "Stenberg 02": md5("6105c422e76847e43f9684801292aecd", "draft-stenberg-ipsec-nat-traversal-02"),
  ESPThruNAT: md5("50760f624c63e5c53eea386c685ca083", "ESPThruNAT"),
  DPD: literal("afcad71368a1f1c96b8696fc77570100", "Dead Peer Detection (RFC 3706)"),
  XAUTH: literal("09002689dfd6b712", "XAUTH"),
  "Cisco Unity": literal("12f5f28c457168a9702d9fe274cc", "Cisco Unity", 2, { 256: "1.0" }),
  "Cisco VPN 3000": literal("1f07f70eaa6514d3b0fa96542a50", "Cisco VPN 3000", 2),
  "Check Point": literal("f4ed19e0c114eb516faaac0ee37daf2807b4381f", "Check Point", ANY),
  HeartBeat: literal("4865617274426561745f4e6f74696679", "HeartBeat Notify", 4),
  FRAGMENTATION: md5("4048b7d56ebce88525e7de7f00d6c2d3", "FRAGMENTATION", "FRAGMENTATION", 4, FRAGMENTATION),
  "MS NT5": md5("1e2b516905991c7d7c96fcbfb587e461", "MS NT5 ISAKMPOAKLEY", "MS NT5 ISAKMPOAKLEY", 4, WINDOWS),
  GSSAPI: md5("621b04bb09882ac1e15935fefa24aeee", "GSSAPI"),
  "GSS-API draft": md5(
    "b46d8914f3aaa3f2fedeb7c7db2943ca",
    "A GSS-API Authentication Method for IKE\n",
    "A GSS-API Authentication Method for IKE with newline",
  ),
  "GSS-API racoon": md5("ad2c0dd0b9c32083ccba25b8861ec455", "A GSS-API Authentication Method for IKE"),
  "Negotiation Discovery": md5("fb1de3cdf341b7ea16b7e5be0855f120", "MS-Negotiation Discovery Capable"),
  "Initial Contact": md5("26244d38eddb61b3172a36e3d0cfb819", "Vid-Initial-Contact"),
  NLBS: md5("72872b95fcda2eb708efe322119b4971", "NLBS_PRESENT"),
  CGA: md5("e3a5966a76379fe707228231e5ce8652", "IKE CGA version 1"),
  MamieExists: md5("214ca4faffa7f32d6748e5303395ae83", "MS-MamieExists", "MS-MamieExists (AuthIP)"),
  "Key Mods": literal("01528bbbc00696121849ab9a1c5b2a51", "KEY_MODS", 4, KEY_MODS),
  "AuthIP DH": literal("7bb93867d76c8d80df0f40fae8fc3b19", "AUTHIP_INIT_KE_DH_GROUP", 4),
  mainmode: md5("d1281cf3f16527a3bc799abee76ac4fa", "mainmode 1"),
  strongSwan: md5("882fe56d6fd20dbc2251613b2ebe5beb", "strongSwan"),
  "KAME racoon": md5("7003cbc1097dbe9c2600ba6983bc8b35", "KAME/racoon"),
  "ipsec-tools": md5("20a3622c1cea7ce37bee3ca484425276", "IPSec-Tools", "ipsec-tools racoon"),
  libreswan: literal("4f452d4c696272657377616e2d", "libreswan", ANY),
  Openswan: literal("4f45", "Openswan or libreswan", 10),
} as const satisfies Readonly<Record<string, VendorId>>;

export type VendorName = keyof typeof VENDOR_IDS;

/** Which known vendor id `bytes` is, or undefined. No two rows fit the same octets. */
export const knownVendor = (bytes: Uint8Array): VendorName | undefined => NAMES.find((name) => startsWith(bytes, VENDOR_IDS[name]));

/** Readable text of a vendor id: its name with what follows, printable text, or hexadecimal digits. */
export function describeVendor(bytes: Uint8Array): string {
  const known = knownVendor(bytes);
  if (known === undefined) return isPrintable(bytes) ? `"${printable(bytes)}"` : toHex(bytes.subarray(0, 64));
  const row: VendorId = VENDOR_IDS[known];
  const tail = bytes.subarray(row.bytes.length);
  if (tail.length === 0) return row.name;
  const named = tail.length <= 4 ? row.tails[tail.reduce((value, octet) => value * 256 + octet, 0)] : undefined;
  return `${row.name}, ${named ?? (isPrintable(tail) ? printable(tail) : toHex(tail.subarray(0, 64)))}`;
}

const NAMES = Object.keys(VENDOR_IDS) as readonly VendorName[];

const startsWith = (bytes: Uint8Array, { bytes: head, tail }: VendorId): boolean =>
  bytes.length >= head.length && bytes.length <= head.length + tail && head.every((octet, i) => bytes[i] === octet);

function must(hex: string): Uint8Array {
  const bytes = fromHex(hex);
  if (!bytes) throw new TypeError(`${hex} is no hexadecimal text`);
  return bytes;
}
