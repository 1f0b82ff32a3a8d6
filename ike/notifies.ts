/**
 * Notify and delete payloads that we make and read, RFC 2408 §3.14-3.15, RFC 2407 §4.6.3, RFC 3706.
 */
import { ATTRIBUTE, type Attribute, numberAttribute } from "../isakmp/attributes.ts";
import { encodeOne, list } from "../isakmp/codec.ts";
import { DOI, IKE_ATTRIBUTE, IPSEC_ATTRIBUTE, LIFE_TYPE, NOTIFY, PROTOCOL } from "../isakmp/numbers.ts";
import { payload } from "../isakmp/payloads.ts";
import { readWith } from "../isakmp/reader.ts";
import type { PayloadOf } from "./flight.ts";
import { type Life, readLife } from "./life.ts";
import { spiBytes } from "./negotiate-child.ts";

type Notify = PayloadOf<"notify">;

/** The data of a RESPONDER-LIFETIME: attributes, as in a transform. */
const LIMITS = list(ATTRIBUTE, 8);
const encodeAttributes = (attributes: readonly Attribute[]): Uint8Array => encodeOne(LIMITS, attributes);
const decodeAttributes = (data: Uint8Array) => readWith(data, (r) => LIMITS.decode(r));

/** An ISAKMP SA is named by its cookie pair (RFC 2408 §3.14). */
const cookies = (initiator: Uint8Array, responder: Uint8Array): Uint8Array => Buffer.concat([initiator, responder]);

const ofIke = (type: number, initiator: Uint8Array, responder: Uint8Array, data: Uint8Array = new Uint8Array(0)): Notify =>
  payload("notify", { doi: DOI.IPSEC, protocol: PROTOCOL.ISAKMP, spi: cookies(initiator, responder), type, data });

/** INITIAL-CONTACT, RFC 2407 §4.6.3.3: we know of no other SA with you. */
export const initialContact = (initiator: Uint8Array, responder: Uint8Array): Notify =>
  ofIke(NOTIFY["INITIAL-CONTACT"], initiator, responder);

/** R-U-THERE-ACK, RFC 3706 §5.4: the sequence number comes back as it was. */
export const deadPeerAnswer = (initiator: Uint8Array, responder: Uint8Array, sequence: Uint8Array): Notify =>
  ofIke(NOTIFY["R-U-THERE-ACK"], initiator, responder, sequence);

/** R-U-THERE, RFC 3706 §5.3: a sequence number of 32 bits. */
export const deadPeerQuestion = (initiator: Uint8Array, responder: Uint8Array, sequence: number): Notify =>
  ofIke(NOTIFY["R-U-THERE"], initiator, responder, spiBytes(sequence));

/** RESPONDER-LIFETIME of phase 1, RFC 2407 §4.6.3.1: our lifetime is the shorter one. */
export const responderLifetime = (initiator: Uint8Array, responder: Uint8Array, seconds: number): Notify =>
  ofIke(
    NOTIFY["RESPONDER-LIFETIME"],
    initiator,
    responder,
    encodeAttributes([
      numberAttribute(IKE_ATTRIBUTE["Life Type"], LIFE_TYPE.seconds),
      numberAttribute(IKE_ATTRIBUTE["Life Duration"], seconds),
    ]),
  );

/** RESPONDER-LIFETIME of phase 2 for our inbound SPI; kilobytes where they are limited. */
export function childResponderLifetime(protocol: number, spi: number, seconds: number, kilobytes: number | null): Notify {
  const T = IPSEC_ATTRIBUTE;
  const limits = [numberAttribute(T["SA Life Type"], LIFE_TYPE.seconds), numberAttribute(T["SA Life Duration"], seconds)];
  if (kilobytes !== null)
    limits.push(numberAttribute(T["SA Life Type"], LIFE_TYPE.kilobytes), numberAttribute(T["SA Life Duration"], kilobytes));
  return payload("notify", {
    doi: DOI.IPSEC,
    protocol,
    spi: spiBytes(spi),
    type: NOTIFY["RESPONDER-LIFETIME"],
    data: encodeAttributes(limits),
  });
}

/** The limits that a RESPONDER-LIFETIME among these notifies states, or undefined. Both phases number life type and duration 11/12 or 1/2. */
export function readResponderLifetime(notifies: readonly Notify[], phase: 1 | 2 = 1): Life | undefined {
  const found = notifies.find((n) => n.value.type === NOTIFY["RESPONDER-LIFETIME"]);
  if (!found) return undefined;
  const attributes = decodeAttributes(found.value.data);
  if (!attributes.ok) return undefined;
  return phase === 1
    ? readLife(attributes.value, IKE_ATTRIBUTE["Life Type"], IKE_ATTRIBUTE["Life Duration"])
    : readLife(attributes.value, IPSEC_ATTRIBUTE["SA Life Type"], IPSEC_ATTRIBUTE["SA Life Duration"]);
}

/** Whether a notify of `type` is among these. */
export const hasNotify = (notifies: readonly Notify[], type: number): boolean => notifies.some((n) => n.value.type === type);

/** An error notify about phase 1, or about a child whose offer had `spi`. */
export const errorNotify = (type: number, child: { readonly protocol: number; readonly spi: Uint8Array } | null): Notify =>
  payload("notify", {
    doi: DOI.IPSEC,
    protocol: child?.protocol ?? PROTOCOL.ISAKMP,
    spi: child?.spi ?? new Uint8Array(0),
    type,
    data: new Uint8Array(0),
  });

/** Delete of our inbound SA: the peer's outbound one (RFC 2408 §3.15). */
export const deleteChild = (protocol: number, spi: number): PayloadOf<"delete"> =>
  payload("delete", { doi: DOI.IPSEC, protocol, spiSize: 4, spis: [spiBytes(spi)] });

/** Delete of the ISAKMP SA itself. */
export const deleteIke = (initiator: Uint8Array, responder: Uint8Array): PayloadOf<"delete"> =>
  payload("delete", { doi: DOI.IPSEC, protocol: PROTOCOL.ISAKMP, spiSize: 16, spis: [cookies(initiator, responder)] });
