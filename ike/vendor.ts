/**
 * Vendor ids, RFC 2408 §3.16: what we announce, and the few announcements of peers that change what we do. Nothing protects them: they may make
 * us more careful or more patient, and never end or weaken anything. AuthIP is never announced, or Windows would not answer in IKE.
 */
import { uint32 } from "../isakmp/octets.ts";
import { type Payload, payload } from "../isakmp/payloads.ts";
import { VENDOR_IDS } from "../isakmp/vendor-ids.ts";

import type { Crypto } from "./crypto/provider.ts";
import type { PayloadOf } from "./flight.ts";
import { NAT_DIALECTS, type NatDialect, natDialectOf, natVendorIds } from "./nat.ts";

/** RFC 3706 §5.1: 14 octets, then major and minor version. */
const DPD = Uint8Array.from(Buffer.from("afcad71368a1f1c96b8696fc77570100", "hex"));
const DPD_ID = DPD.slice(0, 14);
/** Of Main Mode. strongSwan and racoon want to see the capability, Windows takes it with or without one, and sends none. */
const FRAGMENTATION = Uint8Array.from([...VENDOR_IDS.FRAGMENTATION.bytes, 0x80, 0, 0, 0]);

/** Any of these gives method 65001, attribute 16384 and payload 129 the meaning of Kerberos; without one they are XAUTH's (draft §3.4). */
const GSS: readonly Uint8Array[] = [VENDOR_IDS.GSSAPI, VENDOR_IDS["GSS-API draft"], VENDOR_IDS["GSS-API racoon"], VENDOR_IDS["MS NT5"]].map(
  ({ bytes }) => bytes,
);

/** What those announce that send on a new pair only when they have message 3; strongSwan announces XAUTH. */
const PATIENT = (["mainmode", "MS NT5", "XAUTH", "strongSwan", "KAME racoon", "ipsec-tools"] as const).map(
  (name) => VENDOR_IDS[name].bytes,
);

/** What a peer announced, as far as it matters here. */
export interface PeerTraits {
  /** It answers R-U-THERE (RFC 3706). */
  readonly dpd: boolean;
  /** It is Windows. */
  readonly windows: boolean;
  /** Which one: the number behind `MS NT5 ISAKMPOAKLEY`; null for others. */
  readonly release: number | null;
  /** It speaks AuthIP, too. */
  readonly authip: boolean;
  /** It belongs to a cluster (NLBS_PRESENT): SAs that idle must go soon, or they hold up a failover (MS-IKEE §3.6). */
  readonly cluster: boolean;
  /** It takes messages in fragments. */
  readonly fragments: boolean;
  /** Its method 65001 is Kerberos. */
  readonly gss: boolean;
  /** The best of what it announced of NAT traversal. */
  readonly nat: NatDialect | null;
  /** It is mainmode, so that it settles a collision as we do. */
  readonly mainmode: boolean;
  /**
   * As responder of Quick Mode it sends on the new pair before message 2 has left, so that the first packets meet nothing at the initiator
   * (libreswan). It keeps its name to itself unless told otherwise, and is known by what it announces and what it does not.
   */
  readonly hasty: boolean;
}

/** What the first message says besides who we are. */
export interface Announced {
  /** Kerberos is offered or chosen: what makes method 65001 that. */
  readonly gss: boolean;
  /** Messages may come in fragments. */
  readonly fragments: boolean;
  /** No Main Mode SA with the peer exists here: a cluster of Windows hosts may choose who answers (MS-IKEE §3.5). */
  readonly contact: boolean;
  /** NAT traversal, as it may be used. */
  readonly nat: readonly NatDialect[];
}

const vid = (data: Uint8Array): readonly Payload[] => [payload("vid", { data })];
const SAYS = { gss: vid(VENDOR_IDS.GSSAPI.bytes), fragments: vid(FRAGMENTATION), contact: vid(VENDOR_IDS["Initial Contact"].bytes) };
const NOTHING: readonly Payload[] = [];

let own: readonly Payload[] | undefined;

/** The vendor ids of our first message. */
export function ownVendorIds(crypto: Crypto, { gss, fragments, contact, nat }: Announced): readonly Payload[] {
  own ??= [payload("vid", { data: crypto.hash("md5", Buffer.from("mainmode 1")) }), payload("vid", { data: DPD })];
  return [
    ...own,
    ...natVendorIds(nat),
    ...(gss ? SAYS.gss : NOTHING),
    ...(fragments ? SAYS.fragments : NOTHING),
    ...(contact ? SAYS.contact : NOTHING),
  ];
}

/** All that `traitsOf` looks for. */
const TELLING: readonly Uint8Array[] = [
  DPD_ID,
  ...GSS,
  ...PATIENT,
  ...NAT_DIALECTS.map((name) => VENDOR_IDS[name].bytes),
  ...(["FRAGMENTATION", "MamieExists", "NLBS", "libreswan"] as const).map((name) => VENDOR_IDS[name].bytes),
];

/** The same by their first four octets, so that a vendor id is compared with the one or two that it may be; none is shorter than that. */
const BY_START: ReadonlyMap<number, readonly Uint8Array[]> = TELLING.reduce(
  (map, id) => map.set(uint32(id), [...(map.get(uint32(id)) ?? []), id]),
  new Map<number, readonly Uint8Array[]>(),
);

const NONE: readonly Uint8Array[] = [];
const candidatesFor = (data: Uint8Array): readonly Uint8Array[] => (data.length < 4 ? NONE : (BY_START.get(uint32(data)) ?? NONE));

function begins(data: Uint8Array, id: Uint8Array): boolean {
  if (data.length < id.length) return false;
  for (let i = 0; i < id.length; i++) if (data[i] !== id[i]) return false;
  return true;
}

/** Whether a vendor id may say something to us; what `traitsOf` reads from a message does not depend on the others. */
export const isTelling = ({ value: { data } }: PayloadOf<"vid">): boolean => candidatesFor(data).some((id) => begins(data, id));

/** Reads a message's vendor ids; unknown ones are no concern of ours. */
export function traitsOf(vids: readonly PayloadOf<"vid">[]): PeerTraits {
  if (vids.length === 0) return SILENT;
  const said: { readonly id: Uint8Array; readonly data: Uint8Array }[] = [];
  for (const { value } of vids) for (const id of candidatesFor(value.data)) if (begins(value.data, id)) said.push({ id, data: value.data });
  const find = (id: Uint8Array): Uint8Array | undefined => said.find((one) => one.id === id)?.data;
  const has = (id: Uint8Array): boolean => find(id) !== undefined;
  const windows = find(VENDOR_IDS["MS NT5"].bytes);
  const fragmentation = find(VENDOR_IDS.FRAGMENTATION.bytes);
  return {
    dpd: has(DPD_ID),
    windows: windows !== undefined,
    release: windows?.length === 20 ? (windows[19] ?? null) : null,
    authip: has(VENDOR_IDS.MamieExists.bytes),
    cluster: has(VENDOR_IDS.NLBS.bytes),
    // With capabilities behind it, that of Main Mode must be among them.
    fragments: fragmentation !== undefined && (fragmentation.length < 20 || ((fragmentation[16] ?? 0) & 0x80) !== 0),
    gss: GSS.some(has),
    nat: natDialectOf(vids),
    mainmode: has(VENDOR_IDS.mainmode.bytes),
    hasty: has(VENDOR_IDS.libreswan.bytes) || (fragmentation !== undefined && !PATIENT.some(has)),
  };
}

/** Of a message without vendor ids. */
const SILENT: PeerTraits = {
  dpd: false,
  windows: false,
  release: null,
  authip: false,
  cluster: false,
  fragments: false,
  gss: false,
  nat: null,
  mainmode: false,
  hasty: false,
};

/** Vendor ids may come in any message of Main Mode. */
export const addTraits = (traits: PeerTraits, vids: readonly PayloadOf<"vid">[]): PeerTraits => {
  if (vids.length === 0) return traits;
  const more = traitsOf(vids);
  return {
    dpd: traits.dpd || more.dpd,
    windows: traits.windows || more.windows,
    release: traits.release ?? more.release,
    authip: traits.authip || more.authip,
    cluster: traits.cluster || more.cluster,
    fragments: traits.fragments || more.fragments,
    gss: traits.gss || more.gss,
    nat: NAT_DIALECTS.find((name) => name === traits.nat || name === more.nat) ?? null,
    mainmode: traits.mainmode || more.mainmode,
    hasty: traits.hasty || more.hasty,
  };
};

/** `Windows 7, which offers AuthIP too`, for logs; null for other peers. */
export function windowsText({ windows, release, authip }: PeerTraits): string | null {
  if (!windows) return null;
  const name = Object.entries(VENDOR_IDS["MS NT5"].tails).find(([number]) => Number(number) === release)?.[1] ?? "Windows";
  return authip ? `${name}, which offers AuthIP too` : name;
}
