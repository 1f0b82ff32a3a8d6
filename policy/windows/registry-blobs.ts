/**
 * The `ipsecData` of Windows' policy store (MS-GPIPSEC), all of it little-endian: a GUID that says what it is, a length, and a body.
 * Lengths are checked against what is there; what does not fit is an error, never a guess.
 */
import { addressFromBytes, formatAddress } from "../../isakmp/address.ts";
import { err, ok, type Result } from "../../isakmp/result.ts";
import type { MainMethod, QuickMethod } from "./methods.ts";
import { wideText } from "./registry-file.ts";
import type { WindowsAuth, WindowsFilter, WindowsRule } from "./store.ts";
import type { WindowsAddress } from "./values.ts";

/** A body that ends too early or says what can't be; thrown inside of this file only. */
class Short extends Error {}

class Cursor {
  readonly #view: DataView;
  #at = 0;

  constructor(octets: Uint8Array) {
    this.#view = new DataView(octets.buffer, octets.byteOffset, octets.byteLength);
  }

  get left(): number {
    return this.#view.byteLength - this.#at;
  }

  take(length: number): Uint8Array {
    if (length > this.left) throw new Short(`${length} octets at ${this.#at}, and ${this.left} are left`);
    const octets = new Uint8Array(this.#view.buffer, this.#view.byteOffset + this.#at, length);
    this.#at += length;
    return octets;
  }

  u8(): number {
    return this.take(1)[0] as number;
  }

  u16(): number {
    const [low = 0, high = 0] = this.take(2);
    return low | (high << 8);
  }

  u32(): number {
    const octets = this.take(4);
    return new DataView(octets.buffer, octets.byteOffset, 4).getUint32(0, true);
  }

  /** Text with its length in octets in front, and a zero at its end. */
  text(): string {
    return wideText(this.take(this.u32())).replace(/\0+$/, "");
  }
}

/** GUIDs in the form in which a key's name has them, lower case. */
const guidText = (octets: Uint8Array): string => {
  const hex = (from: number, to: number, reversed: boolean): string => {
    const part = [...octets.subarray(from, to)].map((octet) => octet.toString(16).padStart(2, "0"));
    return (reversed ? part.reverse() : part).join("");
  };
  return [hex(0, 4, true), hex(4, 6, true), hex(6, 8, true), hex(8, 10, false), hex(10, 16, false)].join("-");
};

const GUID = {
  isakmp: "80dc20b8-2ec8-11d1-a89e-00a0248d3021",
  rule: "11bbac00-498d-11d1-8639-00a0248d3021",
  negotiation: "80dc20b9-2ec8-11d1-a89e-00a0248d3021",
  filter: "80dc20b5-2ec8-11d1-a89e-00a0248d3021",
} as const;

/** Reads a blob of one kind; the error says what is wrong with its octets. */
function read<T>(octets: Uint8Array, kind: keyof typeof GUID, body: (cursor: Cursor) => T): Result<T, string> {
  try {
    const cursor = new Cursor(octets);
    const guid = guidText(cursor.take(16));
    if (guid !== GUID[kind]) return err(`its GUID is ${guid}, not that of ${kind}`);
    const length = cursor.u32();
    return ok(body(new Cursor(cursor.take(Math.min(length, cursor.left)))));
  } catch (error) {
    if (error instanceof Short) return err(error.message);
    throw error;
  }
}

/** More of anything is no policy. */
const MOST = 10_000;

function counted(cursor: Cursor): number {
  const count = cursor.u32();
  if (count > MOST) throw new Short(`a count of ${count}`);
  return count;
}

const times = <T>(count: number, one: () => T): readonly T[] => Array.from({ length: count }, one);

export interface KeyExchangeBlob {
  readonly masterPfs: boolean;
  readonly quickModes: number;
  readonly lifetimeMinutes: number;
  readonly methods: readonly MainMethod[];
  /** Offers of algorithms that are unknown here; they are not among the methods. */
  readonly unknown: number;
}

/** Offers of group 14 that stand before the list, by the number in the blob. */
const DH2048_OFFERS: Readonly<Record<number, MainMethod>> = {
  1: { cipher: "des", hash: "md5", group: "modp2048" },
  2: { cipher: "des", hash: "sha1", group: "modp2048" },
  3: { cipher: "3des", hash: "md5", group: "modp2048" },
  4: { cipher: "3des", hash: "sha1", group: "modp2048" },
};
const MAIN_CIPHERS: Readonly<Record<number, string>> = { 1: "des", 2: "3des", 3: "3des" };
const HASHES: Readonly<Record<number, string>> = { 1: "md5", 2: "sha1" };
const GROUPS: Readonly<Record<number, string>> = { 1: "modp768", 2: "modp1024", 268435457: "modp2048" };

/** Reads an ipsecISAKMPPolicy. */
export const readKeyExchange = (octets: Uint8Array): Result<KeyExchangeBlob, string> =>
  read(octets, "isakmp", (cursor) => {
    cursor.take(16 + 4);
    const masterPfs = cursor.u32() !== 0;
    cursor.u32();
    const first = [...cursor.take(4)].flatMap((number) => DH2048_OFFERS[number] ?? []);
    const quickModes = cursor.u32();
    const seconds = cursor.u32();
    cursor.take(20);
    const read = times(counted(cursor), () => mainMethod(new Cursor(cursor.take(64))));
    const methods = read.filter((method) => method !== undefined);
    return {
      masterPfs,
      quickModes,
      lifetimeMinutes: seconds === 0 ? 480 : Math.max(1, Math.floor(seconds / 60)),
      methods: [...first, ...methods],
      unknown: read.length - methods.length,
    };
  });

function mainMethod(cursor: Cursor): MainMethod | undefined {
  cursor.take(4);
  const cipher = MAIN_CIPHERS[cursor.u32()];
  cursor.take(8);
  const hash = HASHES[cursor.u32()];
  cursor.take(4 + 4 + 8);
  const override = DH2048_OFFERS[cursor.u8()];
  cursor.take(7);
  const group = GROUPS[cursor.u32()];
  if (override) return override;
  return cipher !== undefined && hash !== undefined && group !== undefined ? { cipher, hash, group } : undefined;
}

export interface RuleBlob {
  readonly auth: readonly WindowsAuth[];
  readonly connection: WindowsRule["connection"];
  readonly name: string;
  readonly tunnel: WindowsAddress | null;
  readonly active: boolean;
  /** Something stands behind the rule that is not read: authentication with options, an end of a tunnel in IPv6. */
  readonly more: boolean;
}

const CONNECTIONS: Readonly<Record<number, RuleBlob["connection"]>> = { 4294967295: "dialup", 4294967294: "lan", 4294967293: "all" };

/** Reads an ipsecNFA: a rule without its filters and action. */
export const readRule = (octets: Uint8Array): Result<RuleBlob, string> =>
  read(octets, "rule", (cursor) => {
    const auth = times(counted(cursor), () => authOf(cursor.u32(), cursor.take(cursor.u32())));
    const connection = CONNECTIONS[cursor.u32()] ?? "all";
    const name = cursor.text();
    const address = cursor.take(4);
    const tunneled = cursor.u32() !== 0;
    const active = cursor.u32() !== 0;
    const end = cursor.left >= 4 ? cursor.text() : "";
    const tunnel: WindowsAddress = end === "" ? hostOf(address) : { kind: "name", name: end.toLowerCase() };
    return { auth, connection, name, tunnel: tunneled ? tunnel : null, active, more: !isEmpty(cursor.take(cursor.left)) };
  });

const isEmpty = (octets: Uint8Array): boolean => octets.every((octet) => octet === 0);

function authOf(type: number, data: Uint8Array): WindowsAuth {
  const text = wideText(data).replace(/\0+$/, "");
  if (type === 5) return { kind: "kerberos" };
  if (type === 1) return { kind: "psk", key: text };
  if (type === 3) return { kind: "ca", name: text, mapping: false, excludeName: false };
  throw new Short(`authentication of the unknown kind ${type}`);
}

const hostOf = (octets: Uint8Array): WindowsAddress => ({ kind: "address", address: textOf(octets), length: null });

function textOf(octets: Uint8Array): string {
  const address = addressFromBytes(octets);
  return address ? formatAddress(address.family, address.value) : "0.0.0.0";
}

const ESP_CIPHERS: Readonly<Record<number, string>> = { 1: "null", 2: "des", 3: "3des" };

export interface NegotiationBlob {
  readonly methods: readonly QuickMethod[];
  /** An offer without algorithms: how the fall-back to clear text is believed to be stored. */
  readonly soft: boolean;
  /** Offers of algorithms that are unknown here; they are not among the methods. */
  readonly unknown: number;
}

/** Reads an ipsecNegotiationPolicy: the offers of a filter action. */
export const readNegotiation = (octets: Uint8Array): Result<NegotiationBlob, string> =>
  read(octets, "negotiation", (cursor) => {
    const offers = times(counted(cursor), () => quickMethod(new Cursor(cursor.take(80))));
    const methods = offers.filter((offer) => offer !== "none").flatMap((offer) => offer ?? []);
    return { methods, soft: offers.includes("none"), unknown: offers.filter((offer) => offer === undefined).length };
  });

function quickMethod(cursor: Cursor): QuickMethod | "none" | undefined {
  const [seconds, kilobytes] = [cursor.u32(), cursor.u32()];
  cursor.u32();
  // The published table has this flag the wrong way round for every other flag there; taken as it is elsewhere.
  const pfs = cursor.u32() !== 0;
  const count = cursor.u32();
  if (count === 0) return "none";
  if (count > 3) return undefined;
  let [ah, esp]: [string | null, QuickMethod["esp"]] = [null, null];
  for (let i = 0; i < count; i++) {
    const [algorithm, integrity, type] = [cursor.u32(), cursor.u32(), cursor.u32()];
    cursor.take(8);
    const [hash, cipher] = [HASHES[type === 1 ? algorithm : integrity], ESP_CIPHERS[algorithm]];
    // An offer is taken as a whole or not at all: without the part that is unknown it would protect less.
    if (type === 1 && hash !== undefined) ah = hash;
    else if (type === 2 && cipher !== undefined && (hash !== undefined || integrity === 0)) esp = { cipher, integrity: hash ?? "none" };
    else return undefined;
  }
  const usable = ah !== null || (esp !== null && !(esp.cipher === "null" && esp.integrity === "none"));
  return usable ? { ah, esp, kilobytes: kilobytes || null, seconds: seconds || null, pfs } : undefined;
}

export interface FilterBlob {
  readonly filters: readonly Omit<WindowsFilter, "line" | "column">[];
  /** Behind them stand filters in the second form, for IPv6 and ranges, which are not read. */
  readonly more: boolean;
}

/** Reads an ipsecFilter: the filters of a list, in their first form. */
export const readFilters = (octets: Uint8Array): Result<FilterBlob, string> =>
  read(octets, "filter", (cursor) => ({
    filters: times(counted(cursor), () => oneFilter(cursor)),
    more: !isEmpty(cursor.take(cursor.left)),
  }));

const SERVERS = [undefined, "dns", "wins", "dhcp", "gateway"] as const;

function oneFilter(cursor: Cursor): Omit<WindowsFilter, "line" | "column"> {
  const [sourceName, destinationName, description] = [cursor.text(), cursor.text(), cursor.text()];
  cursor.take(16);
  const mirrored = cursor.u32() !== 0;
  const [source, sourceMask, destination, destinationMask] = times(4, () => cursor.take(4)) as [
    Uint8Array,
    Uint8Array,
    Uint8Array,
    Uint8Array,
  ];
  cursor.take(4);
  const protocol = cursor.u32() & 255;
  const [sourcePort, destinationPort] = [cursor.u16(), cursor.u16()];
  cursor.u8();
  const special = cursor.u8();
  cursor.u16();
  const server = SERVERS[special & 0x7f];
  if (special !== 0 && server === undefined) throw new Short(`a kind of server ${special}`);
  const ofServer: WindowsAddress | undefined = server && { kind: "server", server };
  const left = side(sourceName, source, sourceMask);
  const right = side(destinationName, destination, destinationMask);
  return {
    source: ofServer && (special & 0x80) === 0 ? ofServer : left.address,
    destination: ofServer && (special & 0x80) !== 0 ? ofServer : right.address,
    sourceMask: ofServer && (special & 0x80) === 0 ? null : left.mask,
    destinationMask: ofServer && (special & 0x80) !== 0 ? null : right.mask,
    protocol,
    sourcePort,
    destinationPort,
    mirrored,
    description,
  };
}

/** An address of zeros is me with a full mask, any with an empty one. */
function side(name: string, address: Uint8Array, mask: Uint8Array): { readonly address: WindowsAddress; readonly mask: number | null } {
  if (name !== "") return { address: { kind: "name", name: name.toLowerCase() }, mask: null };
  const bits = [...mask].map((octet) => octet.toString(2).padStart(8, "0")).join("");
  if (!/^1*0*$/.test(bits)) throw new Short(`a mask with holes, ${[...mask].join(".")}`);
  const length = bits.lastIndexOf("1") + 1;
  if (address.every((octet) => octet === 0)) return { address: { kind: length === 0 ? "any" : "me" }, mask: null };
  return { address: { kind: "address", address: textOf(address), length: null }, mask: length };
}
