/**
 * Identities and selectors as JSON values, for the journal, and back.
 */
import { formatRange, parseRange } from "../isakmp/address.ts";
import { fromHex, toHex } from "../isakmp/hex.ts";
import type { Identity, TrafficSelector } from "../policy/types.ts";

/** An identity with its octets in hex. */
export type IdentityRecord = Readonly<Record<string, string | number>>;

/** An identity as JSON. */
export function identityRecord(identity: Identity): IdentityRecord {
  switch (identity.type) {
    case "dn":
      return { type: "dn", der: toHex(identity.der), text: identity.text };
    case "key":
      return { type: "key", octets: toHex(identity.octets) };
    case "other":
      return { type: "other", idType: identity.idType, octets: toHex(identity.octets) };
    default:
      return { ...identity };
  }
}

/** The identity again; undefined where the value is none. */
export function identityOfRecord(record: unknown): Identity | undefined {
  const { type, address, name, der, text, octets, idType } = (record ?? {}) as Readonly<Record<string, unknown>>;
  const hex = (value: unknown): Uint8Array | undefined => (typeof value === "string" ? fromHex(value) : undefined);
  if (type === "ip" && typeof address === "string") return { type, address };
  if ((type === "fqdn" || type === "user") && typeof name === "string") return { type, name };
  const [nameOctets, opaque] = [hex(der), hex(octets)];
  if (type === "dn" && nameOctets && typeof text === "string") return { type, der: nameOctets, text };
  if (type === "key" && opaque) return { type, octets: opaque };
  return type === "other" && opaque && typeof idType === "number" ? { type, idType, octets: opaque } : undefined;
}

/** A selector as JSON: ranges as text. */
export const selectorRecord = ({ local, remote, ...rest }: TrafficSelector): Readonly<Record<string, string | number>> => ({
  local: formatRange(local),
  remote: formatRange(remote),
  ...rest,
});

/** The selector again; undefined where the value is none. */
export function selectorOfRecord(record: unknown): TrafficSelector | undefined {
  const { local, remote, protocol, localPort, remotePort } = (record ?? {}) as Readonly<Record<string, unknown>>;
  const [own, far] = [local, remote].map((text) => (typeof text === "string" ? parseRange(text) : undefined));
  const numbers = [protocol, localPort, remotePort];
  if (!own || !far || !numbers.every((number) => typeof number === "number")) return undefined;
  const [p, l, r] = numbers as [number, number, number];
  return { local: own, remote: far, protocol: p, localPort: l, remotePort: r };
}
