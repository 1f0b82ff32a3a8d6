/** What the scripted peer offers and says: attributes by number, as they stand in RFC 2409 appendix A and RFC 2407 §4.5. */
import assert from "node:assert/strict";
import { type Attribute, basic } from "../../isakmp/attributes.ts";
import { decodePayloads, type Header } from "../../isakmp/message.ts";
import { DOI, ESP_TRANSFORM, ID_TYPE, NOTIFY, PROTOCOL, SITUATION } from "../../isakmp/numbers.ts";
import { type Body, type Payload, type PayloadName, type PayloadOf, payload } from "../../isakmp/payloads.ts";
import { u32 } from "./peer-keys.ts";

/** aes128-sha256-x25519, pre-shared key, one hour. */
export const IKE_ATTRIBUTES: readonly Attribute[] = [
  basic(1, 7),
  basic(14, 128),
  basic(2, 4),
  basic(4, 31),
  basic(3, 1),
  basic(11, 1),
  basic(12, 3600),
];

/** Transport mode, HMAC-SHA2-256, 128 bits of AES, five minutes. */
export const ESP_ATTRIBUTES: readonly Attribute[] = [basic(1, 1), basic(2, 300), basic(4, 2), basic(5, 5), basic(6, 128)];

/** An SA payload of phase 1 with one transform. */
export const offerIke = (attributes: readonly Attribute[] = IKE_ATTRIBUTES): PayloadOf<"sa"> =>
  payload("sa", {
    doi: DOI.IPSEC,
    situation: SITUATION.SIT_IDENTITY_ONLY,
    proposals: [{ number: 1, protocol: PROTOCOL.ISAKMP, spi: new Uint8Array(0), transforms: [{ number: 1, id: 1, attributes }] }],
  });

/** An SA payload of phase 2 with one transform. */
export const offerEsp = (spi: number, attributes: readonly Attribute[] = ESP_ATTRIBUTES): PayloadOf<"sa"> =>
  payload("sa", {
    doi: DOI.IPSEC,
    situation: SITUATION.SIT_IDENTITY_ONLY,
    proposals: [{ number: 1, protocol: PROTOCOL.ESP, spi: u32(spi), transforms: [{ number: 1, id: ESP_TRANSFORM.ESP_AES, attributes }] }],
  });

/** An ID payload for one IPv4 host. */
export const hostId = (address: string): PayloadOf<"id"> =>
  payload("id", { type: ID_TYPE.ID_IPV4_ADDR, protocol: 0, port: 0, data: Uint8Array.from(address.split(".").map(Number)) });

/** CONNECTED for an SPI of the sender's. */
export const connected = (spi: number): PayloadOf<"notify"> => notify(NOTIFY.CONNECTED, PROTOCOL.ESP, u32(spi));

/** A delete of inbound SPIs of the sender's. */
export const deleteOf = (...spis: readonly number[]): PayloadOf<"delete"> =>
  payload("delete", { doi: DOI.IPSEC, protocol: PROTOCOL.ESP, spiSize: 4, spis: spis.map(u32) });

/** The payloads of a message in clear that the engine sent. */
export function clear(header: Header, body: Uint8Array): readonly Payload[] {
  const payloads = decodePayloads(header.nextPayload, body);
  assert.ok(payloads.ok, "what the engine sends in clear can be read");
  return payloads.value;
}

/** The only payload of a kind. */
export function one<N extends PayloadName>(payloads: readonly Payload[], name: N): Body<N> {
  const found = payloads.filter((p) => p.name === name);
  assert.equal(found.length, 1, `one ${name} payload`);
  return (found[0] as PayloadOf<N>).value as Body<N>;
}

/** A notify payload; about phase 1 unless an SPI says otherwise. */
export const notify = (
  type: number,
  protocol: number = PROTOCOL.ISAKMP,
  spi: Uint8Array = new Uint8Array(0),
  data: Uint8Array = new Uint8Array(0),
): PayloadOf<"notify"> => payload("notify", { doi: DOI.IPSEC, protocol, spi, type, data });
