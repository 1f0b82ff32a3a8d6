/** Values for property tests: any payload our layouts can hold, and any message made of them. */
import fc from "fast-check";
import type { Attribute } from "../../isakmp/attributes.ts";
import {
  type Body,
  LIMITS,
  PAYLOADS,
  type Payload,
  type PayloadName,
  type Proposal,
  payload,
  type Transform,
} from "../../isakmp/payloads.ts";

export const octets = (constraints: { minLength?: number; maxLength?: number } = {}): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ maxLength: 80, ...constraints }).map((view) => Uint8Array.from(view));

/** A record with the prototype of ordinary objects, as decoders make them. */
export const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> =>
  fc.record(model, { noNullPrototype: true }) as fc.Arbitrary<T>;

export const uint8 = fc.nat(0xff);
export const uint16 = fc.nat(0xffff);
export const uint32 = fc.nat(0xffffffff);

export const attribute: fc.Arbitrary<Attribute> = fc.oneof(
  record({ type: fc.nat(0x7fff), format: fc.constant<"basic" | "variable">("basic"), value: octets({ minLength: 2, maxLength: 2 }) }),
  record({ type: fc.nat(0x7fff), format: fc.constant<"basic" | "variable">("variable"), value: octets() }),
);

const transform: fc.Arbitrary<Transform> = record({ number: uint8, id: uint8, attributes: fc.array(attribute, { maxLength: 9 }) });

const spi = octets({ maxLength: LIMITS.spi });

const proposal: fc.Arbitrary<Proposal> = record({
  number: uint8,
  protocol: uint8,
  spi,
  transforms: fc.array(transform, { minLength: 1, maxLength: 5 }),
});

const opaque = record({ data: octets() });
const certificate = record({ encoding: uint8, data: octets() });
const natOa = record({ type: uint8, address: octets({ maxLength: 16 }) });

const deletion: fc.Arbitrary<Body<"delete">> = fc
  .tuple(uint32, uint8, fc.integer({ min: 1, max: LIMITS.spi }))
  .chain(([doi, protocol, spiSize]) =>
    fc
      .array(octets({ minLength: spiSize, maxLength: spiSize }), { maxLength: 6 })
      .map((spis): Body<"delete"> => ({ doi, protocol, spiSize, spis })),
  );

/** A value for every row of the payload table; a row without one is a compile error. */
export const BODIES: { readonly [N in PayloadName]: fc.Arbitrary<Body<N>> } = {
  sa: record({ doi: fc.constant(1), situation: fc.constant(1), proposals: fc.array(proposal, { minLength: 1, maxLength: 4 }) }),
  ke: opaque,
  id: record({ type: uint8, protocol: uint8, port: uint16, data: octets() }),
  cert: certificate,
  certReq: certificate,
  hash: opaque,
  sig: opaque,
  nonce: opaque,
  notify: record({ doi: uint32, protocol: uint8, type: uint16, spi, data: octets() }),
  delete: deletion,
  vid: opaque,
  natD: opaque,
  natOa,
  gss: opaque,
  natDDraft: opaque,
  natOaDraft: natOa,
  fragment: record({ id: uint16, number: uint8, flags: uint8, data: octets() }),
};

export const NAMES = Object.keys(PAYLOADS) as readonly PayloadName[];

/** Any payload of the table, ready to send. */
export const anyPayload: fc.Arbitrary<Payload> = fc
  .constantFrom(...NAMES)
  .chain((name) => (BODIES[name] as fc.Arbitrary<Body<PayloadName>>).map((value): Payload => payload(name, value)));

export const headerFields = record({
  initiatorCookie: octets({ minLength: 8, maxLength: 8 }),
  responderCookie: octets({ minLength: 8, maxLength: 8 }),
  exchange: uint8,
  flags: uint8,
  messageId: uint32,
});

/** Octets that are nearly a message: a mutation of one that is. */
export const mutated = (original: fc.Arbitrary<Uint8Array>): fc.Arbitrary<Uint8Array> =>
  fc
    .tuple(original, fc.array(fc.tuple(fc.nat(), fc.oneof(uint8, fc.constantFrom(0, 1, 255))), { maxLength: 6 }), fc.option(fc.nat()))
    .map(([bytes, changes, cut]) => {
      const copy = Uint8Array.from(bytes);
      for (const [at, value] of changes) if (copy.length > 0) copy[at % copy.length] = value;
      return cut === null ? copy : copy.slice(0, cut % (copy.length + 1));
    });
