/**
 * Vendor ids, RFC 2408 §3.16: what we announce, and the few announcements of peers that change what we do.
 */
import { type Payload, payload } from "../isakmp/payloads.ts";
import { VENDOR_IDS } from "../isakmp/vendor-ids.ts";
import { sameOctets } from "./crypto/compare.ts";
import type { Crypto } from "./crypto/provider.ts";
import type { PayloadOf } from "./flight.ts";

/** RFC 3706 §5.1: 14 octets, then major and minor version. */
const DPD = Uint8Array.from(Buffer.from("afcad71368a1f1c96b8696fc77570100", "hex"));
/** The first 16 octets; four octets of version follow (MS-IKEE §3.1.1). */
const MS_NT5 = Uint8Array.from(Buffer.from("1e2b516905991c7d7c96fcbfb587e461", "hex"));

/** Any of these gives method 65001, attribute 16384 and payload 129 the meaning of Kerberos; without one they are XAUTH's (draft §3.4). */
const GSS: readonly Uint8Array[] = [VENDOR_IDS.GSSAPI, VENDOR_IDS["GSS-API draft"], VENDOR_IDS["GSS-API racoon"], VENDOR_IDS["MS NT5"]].map(
  ({ bytes }) => bytes,
);

/** What a peer announced, as far as it matters here. */
export interface PeerTraits {
  /** It answers R-U-THERE (RFC 3706). */
  readonly dpd: boolean;
  /** It is Windows. */
  readonly windows: boolean;
  /** Its method 65001 is Kerberos. */
  readonly gss: boolean;
  /** It is mainmode, so that it settles a collision as we do. */
  readonly mainmode: boolean;
}

let own: readonly Payload[] | undefined;

/** The vendor ids of our first message: our name, dead peer detection, and where Kerberos is offered or chosen, what makes it that. */
export function ownVendorIds(crypto: Crypto, gss: boolean): readonly Payload[] {
  own ??= [payload("vid", { data: crypto.hash("md5", Buffer.from("mainmode 1")) }), payload("vid", { data: DPD })];
  return gss ? [...own, payload("vid", { data: VENDOR_IDS.GSSAPI.bytes })] : own;
}

/** Reads a message's vendor ids; unknown ones are no concern of ours. */
export function traitsOf(vids: readonly PayloadOf<"vid">[]): PeerTraits {
  const has = (id: Uint8Array) => vids.some(({ value: { data } }) => sameOctets(data.subarray(0, id.length), id));
  return { dpd: has(DPD.subarray(0, 14)), windows: has(MS_NT5), gss: GSS.some(has), mainmode: has(VENDOR_IDS.mainmode.bytes) };
}

/** Vendor ids may come in any message of Main Mode. */
export const addTraits = (traits: PeerTraits, vids: readonly PayloadOf<"vid">[]): PeerTraits => {
  const more = traitsOf(vids);
  return {
    dpd: traits.dpd || more.dpd,
    windows: traits.windows || more.windows,
    gss: traits.gss || more.gss,
    mainmode: traits.mainmode || more.mainmode,
  };
};
