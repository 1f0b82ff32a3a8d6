/**
 * What a message says, as lines in the order of its octets: once from tshark's dissection and once from our `decode --json`.
 * Where both read the same, the lists are equal; the difference of two lists names the field.
 */
import type { Field, Packet } from "./tshark.ts";

/** The messages of a capture: number of the packet, and facts. */
export type Facts = ReadonlyMap<number, readonly string[]>;

type Tell = (field: Field) => string;
const shown =
  (what: string): Tell =>
  ({ show }) =>
    `${what} ${show}`;
const octets =
  (what: string): Tell =>
  ({ value }) =>
    `${what} ${value}`;

/** tshark 4.0 prints bits as numbers, 4.4 as words. */
const FORMATS: Readonly<Record<string, string>> = { 0: "variable", False: "variable", 1: "basic", True: "basic" };
const attribute = (prefix: string): Readonly<Record<string, Tell>> => ({
  [`${prefix}.format`]: ({ show }) => `attribute ${FORMATS[show]}`,
  [`${prefix}.type`]: shown("type"),
  [`${prefix}.value`]: octets("value"),
});

/** tshark's fields that are compared. Left out is what it derives from these, and the lengths of what they hold. */
const TSHARK: Readonly<Record<string, Tell>> = {
  "isakmp.ispi": octets("cookie"),
  "isakmp.rspi": octets("cookie"),
  "isakmp.exchangetype": shown("exchange"),
  "isakmp.flags": octets("flags"),
  "isakmp.messageid": octets("message"),
  "isakmp.length": shown("octets"),
  "isakmp.typepayload": shown("payload"),
  "isakmp.sa.doi": shown("doi"),
  "isakmp.sa.situation": octets("situation"),
  "isakmp.prop.number": shown("number"),
  "isakmp.prop.protoid": shown("protocol"),
  "isakmp.spi": octets("spi"),
  "isakmp.trans.number": shown("number"),
  "isakmp.trans.id": shown("id"),
  ...attribute("isakmp.ike.attr"),
  ...attribute("isakmp.ipsec.attr"),
  "isakmp.key_exchange.data": octets("data"),
  "isakmp.nonce": octets("data"),
  "isakmp.hash": octets("data"),
  "isakmp.vid_bytes": octets("data"),
  "isakmp.sig": octets("data"),
  "isakmp.cert.encoding": shown("type"),
  "isakmp.certreq.type": shown("type"),
  "isakmp.ike.certreq.authority.sig": octets("data"),
  "isakmp.datapayload": octets("data"),
  "isakmp.ike.nat_hash": octets("data"),
  "isakmp.id.type": shown("type"),
  "isakmp.id.protoid": shown("protocol"),
  "isakmp.id.port": shown("port"),
  "isakmp.id.data.der_asn1_dn": octets("data"),
  "isakmp.id.data.ipv4_addr": octets("data"),
  "isakmp.id.data.ipv6_addr": octets("data"),
  "isakmp.id.data.ipv4_subnet": octets("mask"),
  "isakmp.id.data.ipv6_subnet": octets("mask"),
  "isakmp.notify.doi": shown("doi"),
  "isakmp.notify.protoid": shown("protocol"),
  "isakmp.notify.msgtype": shown("type"),
  "isakmp.notify.data": octets("data"),
  "isakmp.delete.doi": shown("doi"),
  "isakmp.delete.protoid": shown("protocol"),
  "isakmp.delete.spi": octets("spi"),
};

/** Every ISAKMP message that tshark finds whole. */
export function tsharkFacts(packets: readonly Packet[]): Facts {
  const messages = packets.filter(({ protocols }) => protocols.includes("isakmp") && !protocols.includes("_ws.malformed"));
  return new Map(
    messages.map(({ number, fields }) => [number, fields.flatMap((field) => withoutEmpty(TSHARK[field.name]?.(field)))] as const),
  );
}

/** A fact without a value is an empty field, such as no notification data. */
const withoutEmpty = (fact: string | undefined): readonly string[] => (fact === undefined || fact.endsWith(" ") ? [] : [fact]);

interface Attribute {
  readonly format: string;
  readonly type: number;
  readonly value: string;
}

interface Transform {
  readonly number: number;
  readonly id: number;
  readonly attributes: readonly Attribute[];
}

interface Proposal {
  readonly number: number;
  readonly protocol: number;
  readonly spi: string;
  readonly transforms: readonly Transform[];
}

/** Of the document of `decode --json`, as far as it is compared. */
interface JsonPayload {
  readonly payload: number;
  readonly doi?: number;
  readonly situation?: number;
  readonly proposals?: readonly Proposal[];
  readonly protocol?: number;
  readonly type?: number;
  readonly encoding?: number;
  readonly port?: number;
  readonly spi?: string;
  readonly spis?: readonly string[];
  readonly data?: string;
}

interface JsonMessage {
  readonly number: number;
  readonly initiatorCookie: string;
  readonly responderCookie: string;
  readonly exchangeType: number;
  readonly flags: readonly string[];
  readonly messageId: string;
  readonly length: number;
  readonly payloads?: readonly JsonPayload[];
}

/** Every message whose payloads `decode --json` shows. */
export function decodeFacts(json: string): Facts {
  const { messages } = JSON.parse(json) as { readonly messages: readonly JsonMessage[] };
  return new Map(
    messages.flatMap((message) =>
      message.payloads ? [[message.number, [...header(message), ...message.payloads.flatMap(payload)]] as const] : [],
    ),
  );
}

/** RFC 2408 §3.1. */
const FLAGS: Readonly<Record<string, number>> = { ENCRYPTION: 1, COMMIT: 2, "AUTH-ONLY": 4 };

const header = (m: JsonMessage): readonly string[] => [
  `cookie ${m.initiatorCookie}`,
  `cookie ${m.responderCookie}`,
  `exchange ${m.exchangeType}`,
  `flags ${hex(
    m.flags.reduce((sum, name) => sum + (FLAGS[name] ?? Number.NaN), 0),
    1,
  )}`,
  `message ${m.messageId}`,
  `octets ${m.length}`,
];

// Payload types of RFC 2408 §3.1, and those of proposals and transforms, which tshark counts.
const [SA, PROPOSAL, TRANSFORM, ID, CERT, CERTREQ, NOTIFY, DELETE] = [1, 2, 3, 5, 6, 7, 11, 12];

function payload(p: JsonPayload): readonly string[] {
  return [`payload ${p.payload}`, ...body(p).flatMap(withoutEmpty)];
}

function body(p: JsonPayload): readonly string[] {
  switch (p.payload) {
    case SA:
      return [`doi ${p.doi}`, `situation ${hex(p.situation ?? 0, 4)}`, ...(p.proposals ?? []).flatMap(proposal)];
    case ID:
      return [`type ${p.type}`, `protocol ${p.protocol}`, `port ${p.port}`, ...identity(p.type ?? 0, p.data ?? "")];
    case NOTIFY:
      return [`doi ${p.doi}`, `protocol ${p.protocol}`, `type ${p.type}`, `spi ${p.spi}`, `data ${p.data}`];
    case CERT:
      // tshark takes the certificate apart and shows no octets of it.
      return [`type ${p.encoding}`];
    case CERTREQ:
      return [`type ${p.encoding}`, `data ${p.data}`];
    case DELETE:
      return [`doi ${p.doi}`, `protocol ${p.protocol}`, ...(p.spis ?? []).map((spi) => `spi ${spi}`)];
    default:
      return [`data ${p.data}`];
  }
}

const proposal = (p: Proposal): readonly string[] => [
  `payload ${PROPOSAL}`,
  `number ${p.number}`,
  `protocol ${p.protocol}`,
  `spi ${p.spi}`,
  ...p.transforms.flatMap((t) => [
    `payload ${TRANSFORM}`,
    `number ${t.number}`,
    `id ${t.id}`,
    ...t.attributes.flatMap((a) => [`attribute ${a.format}`, `type ${a.type}`, `value ${a.value}`]),
  ]),
];

/** RFC 2407 §4.6.2: subnets of both families are an address and a mask. */
const SUBNETS = [4, 6];
const identity = (type: number, data: string): readonly string[] =>
  SUBNETS.includes(type) ? [`data ${data.slice(0, data.length / 2)}`, `mask ${data.slice(data.length / 2)}`] : [`data ${data}`];

const hex = (value: number, size: number): string => value.toString(16).padStart(2 * size, "0");
