/**
 * Identities of phase 1 as text (`ip: fqdn: user: dn: key:`), as the value of an ID payload (RFC 2407 §4.6.2), and compared.
 * What a peer sends is shown only in printable form; what cannot be read as its type says becomes `other`, which never matches.
 */
import { addressBytes, addressFromBytes, formatAddress, formatRange, parseAddress } from "../isakmp/address.ts";
import { ID_TYPE, IP_PROTOCOL } from "../isakmp/numbers.ts";
import { nameOf } from "../isakmp/registry.ts";
import { err, ok, type Result } from "../isakmp/result.ts";
import { decodeName, encodeName } from "./distinguished-name.ts";
import { isPattern, nameKey, nameMatches, sameName } from "./name-match.ts";
import { rangeOfId } from "./selector.ts";
import type { Identity } from "./types.ts";

/** Reads a configured identity. A text without a prefix is refused, with the prefix that would fit. */
export function parseIdentity(text: string): Result<Identity, string> {
  const [, prefix = "", rest = ""] = /^\s*([a-z]+):(.*)$/s.exec(text) ?? [];
  const value = rest.trim();
  if (!(prefix in READERS)) return err(`${quote(text)} does not say what kind of identity it is; write "${guess(text.trim())}"`);
  if (value === "") return err(`${quote(text)} is empty after the colon`);
  return READERS[prefix as keyof typeof READERS](value);
}

/** The text that `parseIdentity` reads; for `other` the RFC's name of the type and the octets. Safe to print. */
export function formatIdentity(identity: Identity): string {
  switch (identity.type) {
    case "ip":
      return `ip:${identity.address}`;
    case "fqdn":
    case "user":
      return `${identity.type}:${identity.name}`;
    case "dn":
      return `dn:${identity.text}`;
    case "key":
      return `key:${keyText(identity.octets)}`;
    case "other":
      return `${nameOf(ID_TYPE, identity.idType)}:${otherText(identity.idType, identity.octets)}`;
  }
}

/** Type and data of an ID payload; protocol and port are 0 in phase 1, where RFC 2407 §4.6.2 would also allow UDP and 500. */
export function idPayloadValue(identity: Identity): {
  readonly type: number;
  readonly protocol: number;
  readonly port: number;
  readonly data: Uint8Array;
} {
  const { type, data } = typeAndData(identity);
  return { type, protocol: 0, port: 0, data };
}

/**
 * What is wrong with protocol and port of an ID payload of phase 1 (RFC 2407 §4.6.2: both zero, or UDP and 500). Peers also say UDP with
 * no port or with that of NAT traversal, which means no more.
 */
export const phase1IdFault = ({ protocol, port }: { readonly protocol: number; readonly port: number }): string | undefined =>
  (protocol === 0 && (port === 0 || port === 500)) || (protocol === IP_PROTOCOL.udp && [0, 500, 4500].includes(port))
    ? undefined
    : `the peer's identity is limited to protocol ${protocol} and port ${port}, which phase 1 knows not`;

/** The identity that an ID payload claims. Never fails: what cannot be read is `other`. */
export function identityOf(id: { readonly type: number; readonly data: Uint8Array }): Identity {
  return readData(id) ?? { type: "other", idType: id.type, octets: id.data };
}

/** Whether two identities are the same: names of hosts whatever their case, names of users and keys octet by octet, dn as `sameName` says. */
export function sameIdentity(a: Identity, b: Identity): boolean {
  if (a.type === "ip" && b.type === "ip") return a.address === b.address;
  if (a.type === "fqdn" && b.type === "fqdn") return a.name.toLowerCase() === b.name.toLowerCase();
  if (a.type === "user" && b.type === "user") return a.name === b.name;
  if (a.type === "dn" && b.type === "dn") return sameName(a.der, b.der);
  if (a.type === "key" && b.type === "key") return sameOctets(a.octets, b.octets);
  return false;
}

/** A text that two identities share where they are the same, and, unlike `formatIdentity`, no others do: opaque ones with all of their octets. */
export function identityKey(identity: Identity): string {
  switch (identity.type) {
    case "fqdn":
      return `fqdn:${identity.name.toLowerCase()}`;
    case "key":
      return `key:${hexText(identity.octets, identity.octets.length)}`;
    case "dn":
      return `dn:${nameKey(identity.der) ?? hexText(identity.der, identity.der.length)}`;
    case "other":
      return `${identity.idType}:${hexText(identity.octets, identity.octets.length)}`;
    default:
      return formatIdentity(identity);
  }
}

/** Whether an identity is the one that is wanted: in a wanted dn the value `*` stands for any one value. */
export const fitsIdentity = (wanted: Identity, id: Identity): boolean =>
  wanted.type === "dn" && id.type === "dn" ? nameMatches(wanted.der, id.der) : sameIdentity(wanted, id);

/** Whether an identity is a pattern, which can be wanted but is nobody's. */
export const isIdentityPattern = (identity: Identity): boolean => identity.type === "dn" && isPattern(identity.der);

const quote = (text: string): string => JSON.stringify(text);

const READERS = {
  ip: (value: string): Result<Identity, string> => {
    const address = parseAddress(value);
    return address
      ? ok({ type: "ip", address: formatAddress(address.family, address.value) })
      : err(`${quote(value)} is no IPv4 or IPv6 address`);
  },
  fqdn: (value: string): Result<Identity, string> =>
    NAME.test(value) && !value.includes("@")
      ? ok({ type: "fqdn", name: value })
      : err(`${quote(value)} is no host name, such as "fqdn:a.example.test"`),
  user: (value: string): Result<Identity, string> =>
    NAME.test(value) ? ok({ type: "user", name: value }) : err(`${quote(value)} is no user name, such as "user:me@example.test"`),
  dn: (value: string): Result<Identity, string> => {
    const der = encodeName(value);
    return der.ok ? ok({ type: "dn", der: der.value, text: decodeName(der.value) ?? value }) : der;
  },
  key: (value: string): Result<Identity, string> => {
    if (!value.startsWith("0x")) return ok({ type: "key", octets: new TextEncoder().encode(value) });
    const octets = hexOctets(value.slice(2));
    return octets ? ok({ type: "key", octets }) : err(`${quote(value)} is no even number of hex digits`);
  },
};

/** Printable ASCII without blanks: what the two name types may hold in text. */
const NAME = /^[!-~]{1,255}$/;

function guess(text: string): string {
  if (parseAddress(text)) return `ip:${text}`;
  if (/^[A-Za-z]+=/.test(text)) return `dn:${text}`;
  if (text.includes("@")) return `user:${text}`;
  return NAME.test(text) && !text.includes(":") ? `fqdn:${text}` : "fqdn:a.example.test";
}

function typeAndData(identity: Identity): { readonly type: number; readonly data: Uint8Array } {
  switch (identity.type) {
    case "ip": {
      const address = parseAddress(identity.address);
      if (!address) throw new Error(`identity with the address ${identity.address}`);
      const type = address.family === 4 ? ID_TYPE.ID_IPV4_ADDR : ID_TYPE.ID_IPV6_ADDR;
      return { type, data: addressBytes(address.family, address.value) };
    }
    case "fqdn":
      return { type: ID_TYPE.ID_FQDN, data: new TextEncoder().encode(identity.name) };
    case "user":
      return { type: ID_TYPE.ID_USER_FQDN, data: new TextEncoder().encode(identity.name) };
    case "dn":
      return { type: ID_TYPE.ID_DER_ASN1_DN, data: identity.der };
    case "key":
      return { type: ID_TYPE.ID_KEY_ID, data: identity.octets };
    case "other":
      return { type: identity.idType, data: identity.octets };
  }
}

function readData({ type, data }: { readonly type: number; readonly data: Uint8Array }): Identity | undefined {
  switch (type) {
    case ID_TYPE.ID_IPV4_ADDR:
    case ID_TYPE.ID_IPV6_ADDR: {
      const address = addressFromBytes(data);
      const family = type === ID_TYPE.ID_IPV4_ADDR ? 4 : 6;
      return address?.family === family ? { type: "ip", address: formatAddress(family, address.value) } : undefined;
    }
    case ID_TYPE.ID_FQDN:
    case ID_TYPE.ID_USER_FQDN: {
      const name = String.fromCharCode(...data.subarray(0, 256));
      const kind = type === ID_TYPE.ID_FQDN ? "fqdn" : "user";
      return NAME.test(name) && !(kind === "fqdn" && name.includes("@")) ? { type: kind, name } : undefined;
    }
    case ID_TYPE.ID_DER_ASN1_DN: {
      const text = decodeName(data);
      return text === undefined ? undefined : { type: "dn", der: data, text };
    }
    case ID_TYPE.ID_KEY_ID:
      return data.length > 0 ? { type: "key", octets: data } : undefined;
    default:
      return undefined;
  }
}

/** Printable ASCII as it is, anything else (and text that would read as hex, or lose its blanks) as `0x` and hex. */
function keyText(octets: Uint8Array): string {
  const text = String.fromCharCode(...octets.subarray(0, 256));
  return octets.length <= 255 && /^[!-~]([ -~]*[!-~])?$/.test(text) && !text.startsWith("0x") ? text : hexText(octets, 255);
}

/** Subnets and ranges readable, the rest in hex. */
function otherText(idType: number, octets: Uint8Array): string {
  const range = rangeOfId({ type: idType, data: octets });
  if (range) return formatRange(range);
  return hexText(octets, 64);
}

/** `0x` and at most `limit` octets: a peer may send 64 kB, and a log line must stay one. */
function hexText(octets: Uint8Array, limit: number): string {
  const shown = Array.from(octets.subarray(0, limit), (octet) => octet.toString(16).padStart(2, "0")).join("");
  return octets.length <= limit ? `0x${shown}` : `0x${shown}… (${octets.length} octets)`;
}

const hexOctets = (text: string): Uint8Array | undefined =>
  /^([0-9a-fA-F]{2})+$/.test(text) ? Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16)) : undefined;

const sameOctets = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && a.every((octet, i) => octet === b[i]);
