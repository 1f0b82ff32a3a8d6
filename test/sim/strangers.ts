/** First messages of strangers. */
import { nameAttribute, ownName } from "../../auth/gss.ts";
import { offerIke } from "../../ike/negotiate-ike.ts";
import type { Attribute } from "../../isakmp/attributes.ts";
import { encodeMessage } from "../../isakmp/message.ts";
import { AUTH_METHOD, EXCHANGE } from "../../isakmp/numbers.ts";
import { payload } from "../../isakmp/payloads.ts";
import { VENDOR_IDS } from "../../isakmp/vendor-ids.ts";
import { kerberos } from "./credentials.ts";
import { policyOf, towards } from "./policies.ts";
import { B } from "./setting.ts";

/** Message 1 that offers Kerberos, and brings attributes that nobody knows. */
export function makeOffer(cookieI: Uint8Array, more: readonly Attribute[] = []): Uint8Array {
  const proposals = policyOf(towards(B)).rules[0]?.mainMode.proposals ?? [];
  const method = { number: AUTH_METHOD.Kerberos, attributes: [nameAttribute(ownName(kerberos("A"))), ...more] };
  return encodeMessage(
    { initiatorCookie: cookieI, responderCookie: new Uint8Array(8), exchange: EXCHANGE["Identity Protection"], flags: 0, messageId: 0 },
    [payload("sa", offerIke(proposals, [method], 3600)), payload("vid", { data: VENDOR_IDS.GSSAPI.bytes })],
  );
}
