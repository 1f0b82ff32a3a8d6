/**
 * Vendor ids, RFC 2408 §3.16: what we announce, and the few announcements of peers that change what we do.
 */
import { type Payload, payload } from "../isakmp/payloads.ts";
import { sameOctets } from "./crypto/compare.ts";
import type { Crypto } from "./crypto/provider.ts";
import type { PayloadOf } from "./flight.ts";

/** RFC 3706 §5.1: 14 octets, then major and minor version. */
const DPD = Uint8Array.from(Buffer.from("afcad71368a1f1c96b8696fc77570100", "hex"));
/** The first 16 octets; four octets of version follow (MS-IKEE §3.1.1). */
const MS_NT5 = Uint8Array.from(Buffer.from("1e2b516905991c7d7c96fcbfb587e461", "hex"));

/** What a peer announced, as far as it matters here. */
export interface PeerTraits {
  /** It answers R-U-THERE (RFC 3706). */
  readonly dpd: boolean;
  /** It is Windows. */
  readonly windows: boolean;
}

let own: readonly Payload[] | undefined;

/** The vendor ids of our first message: our name, and dead peer detection. */
export function ownVendorIds(crypto: Crypto): readonly Payload[] {
  own ??= [payload("vid", { data: crypto.hash("md5", Buffer.from("mainmode 1")) }), payload("vid", { data: DPD })];
  return own;
}

/** Reads a message's vendor ids; unknown ones are no concern of ours. */
export function traitsOf(vids: readonly PayloadOf<"vid">[]): PeerTraits {
  const has = (id: Uint8Array) => vids.some(({ value: { data } }) => sameOctets(data.subarray(0, id.length), id));
  return { dpd: has(DPD.subarray(0, 14)), windows: has(MS_NT5) };
}

/** Vendor ids may come in any message of Main Mode. */
export const addTraits = (traits: PeerTraits, vids: readonly PayloadOf<"vid">[]): PeerTraits => {
  const more = traitsOf(vids);
  return { dpd: traits.dpd || more.dpd, windows: traits.windows || more.windows };
};
