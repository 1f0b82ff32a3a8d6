/**
 * Every payload body we know, one row each: RFC 2408 §3.4-3.16, RFC 2407 §4.6, RFC 3947 §3.2 and §5.2.
 * Invariant: `raw` is the body as it was received or is to be sent; digests are taken over it and nothing is re-encoded to be hashed.
 */
import { ATTRIBUTES } from "./attributes.ts";
import { bytes, type Codec, countOf, encodeOne, lengthOf, reserved, rest, sizeText, struct, uint, type ValueOf } from "./codec.ts";
import { toHex } from "./hex.ts";
import { CERT_ENCODING, DOI, ID_TYPE, NOTIFY, PAYLOAD, PROTOCOL, SITUATION } from "./numbers.ts";
import { type Reader, readWith } from "./reader.ts";
import type { Writer } from "./writer.ts";

/** What one message may hold. The RFCs set no bounds; these keep a hostile datagram cheap and are far above honest ones. */
export const LIMITS = { payloads: 128, proposals: 255, transforms: 255, transformsPerSa: 512, spis: 256, spi: 16 } as const;

/** Octets of the generic payload header, RFC 2408 §3.2. */
export const GENERIC_HEADER = 4;

/** RFC 2408 §3.6. The meaning of `id` and of the attribute classes depends on the proposal's protocol. */
const TRANSFORM = struct("transform", {
  number: uint(1),
  id: uint(1),
  reserved: reserved(2),
  attributes: ATTRIBUTES,
});

/** RFC 2408 §3.5. */
const PROPOSAL = struct("proposal", {
  number: uint(1),
  protocol: uint(1, PROTOCOL),
  spiSize: lengthOf("spi"),
  transformCount: countOf("transforms"),
  spi: rest(LIMITS.spi),
  transforms: chain(PAYLOAD.T, TRANSFORM, LIMITS.transforms),
});

/** RFC 2408 §3.4 with the situation of RFC 2407 §4.6.1: only the IPsec DOI and SIT_IDENTITY_ONLY have a layout here. */
const SA = checkedSa(
  struct("SA", { doi: uint(4, DOI), situation: uint(4, SITUATION), proposals: chain(PAYLOAD.P, PROPOSAL, LIMITS.proposals) }),
);

/** RFC 2408 §3.14. */
const NOTIFICATION = struct("notify", {
  doi: uint(4, DOI),
  protocol: uint(1, PROTOCOL),
  spiSize: lengthOf("spi"),
  type: uint(2, NOTIFY),
  spi: rest(LIMITS.spi),
  data: rest(),
});

const CERTIFICATE = { encoding: uint(1, CERT_ENCODING), data: rest() } as const;
const OPAQUE = struct("octets", { data: rest() });
const opaque = (name: string): typeof OPAQUE => ({ ...OPAQUE, name, describe: ({ data }) => sizeText(data) });
const natOa = (name: string) => struct(name, { type: uint(1, ID_TYPE), reserved: reserved(3), address: rest(16) });

/** The payload table: number on the wire and layout of the body. */
export const PAYLOADS = {
  sa: { type: PAYLOAD.SA, body: SA },
  ke: { type: PAYLOAD.KE, body: opaque("KE") },
  id: { type: PAYLOAD.ID, body: struct("ID", { type: uint(1, ID_TYPE), protocol: uint(1), port: uint(2), data: rest() }) },
  cert: { type: PAYLOAD.CERT, body: struct("CERT", CERTIFICATE) },
  certReq: { type: PAYLOAD.CERTREQ, body: struct("CERTREQ", CERTIFICATE) },
  hash: { type: PAYLOAD.HASH, body: opaque("HASH") },
  sig: { type: PAYLOAD.SIG, body: opaque("SIG") },
  nonce: { type: PAYLOAD.NONCE, body: opaque("NONCE") },
  notify: { type: PAYLOAD.N, body: NOTIFICATION },
  delete: { type: PAYLOAD.D, body: deleteBody() },
  vid: { type: PAYLOAD.VID, body: opaque("VID") },
  natD: { type: PAYLOAD["NAT-D"], body: opaque("NAT-D") },
  natOa: { type: PAYLOAD["NAT-OA"], body: natOa("NAT-OA") },
  gss: { type: PAYLOAD.GSS, body: opaque("GSS") },
  natDDraft: { type: PAYLOAD["NAT-D draft"], body: opaque("NAT-D draft") },
  natOaDraft: { type: PAYLOAD["NAT-OA draft"], body: natOa("NAT-OA draft") },
  fragment: { type: PAYLOAD.FRAGMENT, body: struct("FRAGMENT", { id: uint(2), number: uint(1), flags: uint(1), data: rest() }) },
} as const;

export type Transform = ValueOf<typeof TRANSFORM>;
export type Proposal = ValueOf<typeof PROPOSAL>;
export type PayloadName = keyof typeof PAYLOADS;
export type Body<N extends PayloadName> = ValueOf<(typeof PAYLOADS)[N]["body"]>;

/** Where a received payload stood: its generic header begins at `start` and its body ends at `end` of the decoded octets; -1 for our own. */
interface Placed {
  readonly raw: Uint8Array;
  readonly start: number;
  readonly end: number;
}

/** A payload of one kind. */
export type PayloadOf<N extends PayloadName> = { readonly [K in N]: Placed & { readonly name: K; readonly value: Body<K> } }[N];

/** A payload whose type has no row in the table. */
export type UnknownPayload = Placed & { readonly name: "unknown"; readonly type: number };

/** Any payload; `raw` is its body without the generic header, a view where it was received. */
export type Payload = PayloadOf<PayloadName> | UnknownPayload;

/** A payload to send; its body is encoded here and never again. RangeError for values that don't fit the layout. */
export function payload<N extends PayloadName>(name: N, value: Body<N>): PayloadOf<N> {
  const codec = PAYLOADS[name].body as unknown as Codec<Body<N>>;
  return { name, value, raw: encodeOne(codec, value), start: -1, end: -1 } as unknown as PayloadOf<N>;
}

/** The number of a payload on the wire. */
export const payloadType = (p: Payload): number => (p.name === "unknown" ? p.type : PAYLOADS[p.name].type);

/** Reads the body of a payload that fills `r` to its end. A type without a row is kept as octets. */
export function decodeBody(type: number, r: Reader, start: number): Payload {
  const end = r.at + r.left;
  const row = ROW_OF_TYPE[type];
  const raw = r.peek();
  if (row === undefined) return { name: "unknown", type, raw, start, end };
  // Private numbers have no owner: what does not look like the payload that we know is somebody else's.
  if (type >= PRIVATE_PAYLOADS && !readWith(raw, (whole) => readBody(row, whole)).ok) return { name: "unknown", type, raw, start, end };
  return { name: row.name, value: readBody(row, r), raw, start, end } as Payload;
}

/** Payload types from here on are for private use (RFC 2408 §3.1). */
const PRIVATE_PAYLOADS = 128;

function readBody({ body }: PayloadRow, r: Reader): unknown {
  const value = body.decode(r);
  r.finish(body.name);
  return value;
}

interface PayloadRow {
  readonly name: PayloadName;
  readonly body: Codec<unknown>;
}

/** The table by type, which is one octet: every payload of every message is looked up here. */
const ROW_OF_TYPE: readonly (PayloadRow | undefined)[] = Array.from({ length: 256 }, (_, type) => {
  const name = (Object.keys(PAYLOADS) as PayloadName[]).find((one) => PAYLOADS[one].type === type);
  return name && { name, body: PAYLOADS[name].body as Codec<unknown> };
});

/**
 * Proposals of an SA or transforms of a proposal: each has a generic header whose next-payload is `type`, or NONE on the last.
 * At least one is there (RFC 2408 §3.4, §3.5), and nothing may follow the last one.
 */
function chain<T>(type: number, item: Codec<T>, max: number): Codec<readonly T[]> {
  const what = (): string => item.name;
  return {
    name: `${item.name}s`,
    encode: (values, out) => {
      if (values.length < 1 || values.length > max) throw new RangeError(`${values.length} times ${item.name}, 1 to ${max} allowed`);
      for (const [i, value] of values.entries()) {
        const start = out.length;
        out.uint(i === values.length - 1 ? PAYLOAD.NONE : type, 1);
        out.reserve(3);
        item.encode(value, out);
        out.patch(start + 2, out.length - start, 2);
      }
    },
    decode: (r) => {
      const values: T[] = [];
      for (let next = type; next !== PAYLOAD.NONE; ) {
        if (values.length === max) r.fail(`more than ${max} ${item.name}s`);
        const at = r.at;
        next = r.uint(1, what, "next payload");
        if (next !== type && next !== PAYLOAD.NONE) r.fail(`${item.name}: next payload ${next} where only ${type} or 0 may stand`, at);
        const inner = generic(r, what);
        values.push(item.decode(inner));
        inner.finish(item.name);
      }
      r.finish(`the last ${item.name}`);
      return values;
    },
    describe: (values) => values.map((value) => item.describe(value)).join("; "),
  };
}

/** The rest of a generic header, behind its next-payload octet, and a reader of the body. The reserved octet is ignored. */
export function generic(r: Reader, what: () => string): Reader {
  r.uint(1, what, "reserved octet");
  const at = r.at;
  const length = r.uint(2, what, "length");
  if (length < GENERIC_HEADER) r.fail(`${what()}: length ${length} is less than its own header`, at);
  if (length - GENERIC_HEADER > r.left) r.fail(`${what()}: length ${length} passes the end by ${length - GENERIC_HEADER - r.left}`, at);
  return r.sub(length - GENERIC_HEADER, what);
}

function checkedSa<T extends { readonly proposals: readonly Proposal[] }>(body: Codec<T>): Codec<T> {
  return {
    ...body,
    decode: (r) => {
      const at = r.at;
      const head = r.fork();
      const doi = head.uint(4, "SA: DOI");
      if (doi !== DOI.IPSEC) r.fail(`SA: DOI ${doi}, only the IPsec DOI (1) is known`, at, NOTIFY["DOI-NOT-SUPPORTED"]);
      const situation = head.uint(4, "SA: situation");
      if (situation !== SITUATION.SIT_IDENTITY_ONLY)
        r.fail(`SA: situation ${situation}, only SIT_IDENTITY_ONLY (1) is known`, at + 4, NOTIFY["SITUATION-NOT-SUPPORTED"]);
      const value = body.decode(r);
      const transforms = value.proposals.reduce((sum, p) => sum + p.transforms.length, 0);
      if (transforms > LIMITS.transformsPerSa) r.fail(`SA: ${transforms} transforms, at most ${LIMITS.transformsPerSa} are read`, at);
      return value;
    },
  };
}

interface DeleteBody {
  readonly doi: number;
  readonly protocol: number;
  readonly spiSize: number;
  readonly spis: readonly Uint8Array[];
}

/** RFC 2408 §3.15. Count and size must fill the payload exactly; a count of empty SPIs would make 65535 entries out of 12 octets. */
function deleteBody(): Codec<DeleteBody> {
  const head = struct("delete", { doi: uint(4, DOI), protocol: uint(1, PROTOCOL), spiSize: uint(1), count: uint(2) });
  return {
    name: "delete",
    encode: ({ spis, ...rest }: DeleteBody, out: Writer) => {
      if (rest.spiSize > LIMITS.spi || spis.length > LIMITS.spis || (rest.spiSize === 0 && spis.length > 0))
        throw new RangeError(`${spis.length} SPIs of ${rest.spiSize} octets`);
      head.encode({ count: spis.length, ...rest }, out);
      for (const spi of spis) bytes(rest.spiSize).encode(spi, out);
    },
    decode: (r: Reader) => {
      const at = r.at;
      const { count, ...rest } = head.decode(r);
      if (rest.spiSize > LIMITS.spi) r.fail(`delete: SPI size ${rest.spiSize}, at most ${LIMITS.spi}`, at + 5);
      if (count > LIMITS.spis) r.fail(`delete: ${count} SPIs, at most ${LIMITS.spis} are read`, at + 6);
      if (rest.spiSize === 0 && count > 0) r.fail(`delete: ${count} SPIs of no octets`, at + 5);
      if (count * rest.spiSize !== r.left) r.fail(`delete: ${count} SPIs of ${rest.spiSize} octets in ${r.left}`, at + 6);
      return { spis: Array.from({ length: count }, () => r.bytes(rest.spiSize, "delete: SPI")), ...rest };
    },
    describe: ({ spis, ...rest }: DeleteBody) => `${head.describe({ ...rest, count: spis.length })} spis=${spis.map(toHex).join(",")}`,
  };
}
