/**
 * Messages as readable lines, for logs, traces, `decode` and failed tests, and as JSON.
 * Peers' text is made safe to print, long values are cut, and what has no name stays a number. Nothing here decides anything.
 */
import { addressFromBytes, formatAddress } from "./address.ts";
import { type Attribute, attributeNumber, decodeAttributes } from "./attributes.ts";
import { type Codec, sizeText } from "./codec.ts";
import { describeName } from "./distinguished-name.ts";
import { hex32, isPrintable, printable, toHex } from "./hex.ts";
import type { Header } from "./message.ts";
import * as N from "./numbers.ts";
import { type Body, PAYLOADS, type Payload, type PayloadName, type Proposal, payloadType, type Transform } from "./payloads.ts";
import { isNamed, nameOf, type Registry } from "./registry.ts";
import { describeVendor } from "./vendor-ids.ts";

/** The header in one line and every payload in one or more, indented. In place of payloads a note may stand: why there are none. */
export function describeMessage(header: Header, payloads: readonly Payload[] | string): readonly string[] {
  const lines = typeof payloads === "string" ? [payloads] : payloads.flatMap(describePayload);
  return [describeHeader(header), ...lines.map((line) => `  ${line}`)];
}

/** Exchange, cookies, message id, flags and length (RFC 2408 §3.1). */
export function describeHeader(header: Header): string {
  const parts = [
    nameOf(N.EXCHANGE, header.exchange),
    `cookies ${toHex(header.initiatorCookie)} ${toHex(header.responderCookie)}`,
    `message ${hex32(header.messageId)}`,
    ...flagNames(header.flags),
    `${header.length} octets`,
  ];
  return parts.join(", ");
}

/** A payload in lines; the first begins with its name, further ones are indented. */
export function describePayload(p: Payload): readonly string[] {
  if (p.name === "unknown") return [`payload ${p.type}: ${sizeText(p.raw)} ${digits(p.raw)}`];
  const [first, ...more] = linesOf(p.name, p.value);
  return [`${nameOf(N.PAYLOAD, payloadType(p))}: ${first}`, ...more.map((line) => `  ${line}`)];
}

/** `Name=value` of one attribute; the protocol of its proposal says which class numbers hold (1: RFC 2409, others: RFC 2407). */
export function describeAttribute(protocol: number, a: Attribute): string {
  const isIke = protocol === N.PROTOCOL.ISAKMP;
  const name = nameOf(isIke ? N.IKE_ATTRIBUTE : N.IPSEC_ATTRIBUTE, a.type);
  if (isIke && (a.type === GSS_NAME || a.type === GSS_NAME_2000)) return `${name}=${wideText(a.value)}`;
  const number = attributeNumber(a);
  if (number === undefined) return `${name}=0x${digits(a.value)}`;
  const values = (isIke ? IKE_VALUES : IPSEC_VALUES)[a.type];
  return `${name}=${values ? nameOf(values, number) : number}`;
}

/** An ID payload as text: `ID_IPV4_ADDR 192.0.2.1 udp/500`; protocol and port only where one is set (RFC 2407 §4.6.2). */
export function describeId(id: Body<"id">): string {
  const port = id.port === 0 ? "" : `/${id.port}`;
  const filter = id.protocol === 0 && id.port === 0 ? "" : ` ${nameOf(N.IP_PROTOCOL, id.protocol)}${port}`;
  return `${nameOf(N.ID_TYPE, id.type)} ${idText(id.type, id.data)}${filter}`;
}

/** The message for `decode --json`: header fields and, per payload, its values (octets as hexadecimal) and the lines of `describePayload`. */
export function messageJson(header: Header, payloads: readonly Payload[] | string): Readonly<Record<string, unknown>> {
  return {
    initiatorCookie: toHex(header.initiatorCookie),
    responderCookie: toHex(header.responderCookie),
    exchange: nameOf(N.EXCHANGE, header.exchange),
    exchangeType: header.exchange,
    flags: flagNames(header.flags),
    messageId: hex32(header.messageId),
    length: header.length,
    ...(typeof payloads === "string" ? { note: payloads } : { payloads: payloads.map(payloadJson) }),
  };
}

/** `payload` is the payload's number; `type`, where there is one, is the body's own: an ID's or a notification's. */
const payloadJson = (p: Payload): Readonly<Record<string, unknown>> => ({
  payload: payloadType(p),
  name: p.name === "unknown" ? null : nameOf(N.PAYLOAD, payloadType(p)),
  ...(p.name === "unknown"
    ? { data: toHex(p.raw) }
    : (jsonOf(p.name === "sa" ? namedSa(p.value) : p.value) as Readonly<Record<string, unknown>>)),
  text: describePayload(p),
});

/** An SA whose transforms and attributes carry their names beside the numbers. */
const namedSa = (sa: Body<"sa">): unknown => ({
  ...sa,
  proposals: sa.proposals.map((p) => ({
    ...p,
    transforms: p.transforms.map((t) => ({
      ...t,
      name: nameOf(TRANSFORM_IDS[p.protocol] ?? NO_NAMES, t.id),
      attributes: t.attributes.map((a) => ({ ...a, text: describeAttribute(p.protocol, a) })),
    })),
  })),
});

function jsonOf(value: unknown): unknown {
  if (value instanceof Uint8Array) return toHex(value);
  if (Array.isArray(value)) return value.map(jsonOf);
  if (typeof value === "object" && value !== null) return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, jsonOf(v)]));
  return value;
}

const GSS_NAME = N.IKE_ATTRIBUTE["GSS Identity Name"];
const GSS_NAME_2000 = N.IKE_ATTRIBUTE["GSS Identity Name (Windows 2000)"];

const IKE_VALUES: Readonly<Record<number, Registry>> = {
  [N.IKE_ATTRIBUTE["Encryption Algorithm"]]: N.ENCRYPTION,
  [N.IKE_ATTRIBUTE["Hash Algorithm"]]: N.HASH,
  [N.IKE_ATTRIBUTE["Authentication Method"]]: N.AUTH_METHOD,
  [N.IKE_ATTRIBUTE["Group Description"]]: N.GROUP,
  [N.IKE_ATTRIBUTE["Life Type"]]: N.LIFE_TYPE,
};

const IPSEC_VALUES: Readonly<Record<number, Registry>> = {
  [N.IPSEC_ATTRIBUTE["SA Life Type"]]: N.LIFE_TYPE,
  [N.IPSEC_ATTRIBUTE["Group Description"]]: N.GROUP,
  [N.IPSEC_ATTRIBUTE["Encapsulation Mode"]]: N.ENCAPSULATION,
  [N.IPSEC_ATTRIBUTE["Authentication Algorithm"]]: N.AUTH_ALGORITHM,
};

const TRANSFORM_IDS: Readonly<Record<number, Registry>> = {
  [N.PROTOCOL.ISAKMP]: N.ISAKMP_TRANSFORM,
  [N.PROTOCOL.AH]: N.AH_TRANSFORM,
  [N.PROTOCOL.ESP]: N.ESP_TRANSFORM,
};

/** The table's entry for a payload and its value; the compiler can't see that the two belong together. */
function linesOf(name: PayloadName, value: unknown): Lines {
  const lines = LINES[name] as ((value: unknown) => Lines) | undefined;
  return lines ? lines(value) : [(PAYLOADS[name].body as Codec<unknown>).describe(value)];
}

type Lines = readonly [string, ...string[]];

/** What is said of payloads whose text needs more than their layout; the others describe themselves. */
const LINES: { readonly [P in PayloadName]?: (value: Body<P>) => Lines } = {
  sa: (sa) => [`${nameOf(N.DOI, sa.doi)}, ${nameOf(N.SITUATION, sa.situation)}`, ...sa.proposals.flatMap(proposalLines)],
  id: (id) => [describeId(id)],
  certReq: (cert) => [`${nameOf(N.CERT_ENCODING, cert.encoding)}, ${cert.data.length === 0 ? "any authority" : nameText(cert.data)}`],
  notify: (n) => [`${nameOf(N.NOTIFY, n.type)}, ${nameOf(N.PROTOCOL, n.protocol)}${spiText(n.spi)}${notifyText(n)}`],
  delete: (d) => [
    `${nameOf(N.PROTOCOL, d.protocol)}, ${d.spis.length === 0 ? "no SPI" : d.spis.map((spi) => `SPI ${toHex(spi)}`).join(", ")}`,
  ],
  vid: ({ data }) => [describeVendor(data)],
  natD: ({ data }) => [digits(data)],
  natOa: (oa) => [`${nameOf(N.ID_TYPE, oa.type)} ${idText(oa.type, oa.address)}`],
  natDDraft: ({ data }) => [digits(data)],
  natOaDraft: (oa) => [`${nameOf(N.ID_TYPE, oa.type)} ${idText(oa.type, oa.address)}`],
};

function proposalLines(p: Proposal): readonly string[] {
  const transforms = p.transforms.map((t) => `  ${transformLine(p.protocol, t)}`);
  return [`proposal ${p.number}: ${nameOf(N.PROTOCOL, p.protocol)}${spiText(p.spi)}`, ...transforms];
}

function transformLine(protocol: number, t: Transform): string {
  const id = nameOf(TRANSFORM_IDS[protocol] ?? NO_NAMES, t.id);
  return [`transform ${t.number}: ${id}`, ...t.attributes.map((a) => describeAttribute(protocol, a))].join(", ");
}

const NO_NAMES: Registry = {};

/** Notification data, by type: attributes, a sequence number, an error code; else text or digits (RFC 2407 §4.6.3, RFC 3706 §5.3). */
function notifyText(n: Body<"notify">): string {
  if (n.data.length === 0) return "";
  if (n.type === N.NOTIFY["RESPONDER-LIFETIME"]) {
    const attributes = decodeAttributes(n.data);
    if (attributes.ok) return `, ${attributes.value.map((a) => describeAttribute(n.protocol, a)).join(", ")}`;
  }
  const isSequence = n.type === N.NOTIFY["R-U-THERE"] || n.type === N.NOTIFY["R-U-THERE-ACK"];
  if (isSequence && n.data.length === 4) return `, sequence ${n.data.reduce((value, octet) => value * 256 + octet, 0)}`;
  return isPrintable(n.data) ? `, data "${printable(n.data)}"` : `, data ${digits(n.data)}`;
}

/** Identification data by type; what doesn't have the length of its type is shown as digits (RFC 2407 §4.6.2). */
function idText(type: number, data: Uint8Array): string {
  switch (type) {
    case N.ID_TYPE.ID_IPV4_ADDR:
    case N.ID_TYPE.ID_IPV6_ADDR:
      return addressText(data, sizeOf(type)) ?? digits(data);
    case N.ID_TYPE.ID_IPV4_ADDR_SUBNET:
    case N.ID_TYPE.ID_IPV6_ADDR_SUBNET:
      return pairText(data, sizeOf(type), subnetText) ?? digits(data);
    case N.ID_TYPE.ID_IPV4_ADDR_RANGE:
    case N.ID_TYPE.ID_IPV6_ADDR_RANGE:
      return pairText(data, sizeOf(type), (first, last) => `${first}-${last}`) ?? digits(data);
    case N.ID_TYPE.ID_FQDN:
    case N.ID_TYPE.ID_USER_FQDN:
      return printable(data);
    case N.ID_TYPE.ID_DER_ASN1_DN:
      return nameText(data);
    default:
      return isPrintable(data) ? printable(data) : digits(data);
  }
}

/** Octets of one address in an ID of this type. */
const sizeOf = (type: number): 4 | 16 =>
  type === N.ID_TYPE.ID_IPV6_ADDR || type === N.ID_TYPE.ID_IPV6_ADDR_SUBNET || type === N.ID_TYPE.ID_IPV6_ADDR_RANGE ? 16 : 4;

function addressText(data: Uint8Array, octets: number): string | undefined {
  const address = data.length === octets ? addressFromBytes(data) : undefined;
  return address && formatAddress(address.family, address.value);
}

function pairText(
  data: Uint8Array,
  octets: number,
  join: (first: string, second: string, bytes: Uint8Array) => string,
): string | undefined {
  const [first, second] = [addressText(data.subarray(0, octets), octets), addressText(data.subarray(octets), octets)];
  return first !== undefined && second !== undefined ? join(first, second, data.subarray(octets)) : undefined;
}

/** `ADDRESS/LENGTH`, or the mask itself where it is no prefix. */
function subnetText(address: string, maskText: string, mask: Uint8Array): string {
  const bits = Array.from(mask, (octet) => octet.toString(2).padStart(8, "0")).join("");
  return `${address}/${/^1*0*$/.test(bits) ? bits.lastIndexOf("1") + 1 : maskText}`;
}

const nameText = (der: Uint8Array): string => describeName(der) ?? digits(der);

/** The GSS name of a transform: UTF-16LE as Windows and racoon send it, or octets a character. */
function wideText(octets: Uint8Array): string {
  const isWide = octets.length > 0 && octets.length % 2 === 0 && octets.every((octet, i) => i % 2 === 0 || octet === 0);
  return `"${printable(isWide ? octets.filter((_, i) => i % 2 === 0) : octets)}"`;
}

const flagNames = (flags: number): readonly string[] =>
  [1, 2, 4, 8, 16, 32, 64, 128].filter((bit) => flags & bit).map((bit) => (isNamed(N.FLAG, bit) ? nameOf(N.FLAG, bit) : `flag ${bit}`));

const spiText = (spi: Uint8Array): string => (spi.length === 0 ? "" : `, SPI ${toHex(spi)}`);

/** Hexadecimal digits of at most 64 octets. */
const digits = (octets: Uint8Array): string =>
  octets.length > 64 ? `${toHex(octets.subarray(0, 64))}... (${sizeText(octets)})` : toHex(octets);
