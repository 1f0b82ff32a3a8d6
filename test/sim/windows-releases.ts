/**
 * Releases of Windows as their documentation (MS-IKEE with its appendix A, MS-AIPS, MS-GPIPSEC, MS-FASP) and third parties' logs describe them on the
 * wire: vendor ids in their order, what they offer, and how they write it. No real Windows was asked; where a source says nothing, nothing is claimed.
 */
import { type Attribute, basic, variable } from "../../isakmp/attributes.ts";
import { DOI, PROTOCOL, SITUATION } from "../../isakmp/numbers.ts";
import { type Payload, type PayloadOf, payload } from "../../isakmp/payloads.ts";
import { VENDOR_IDS, type VendorName } from "../../isakmp/vendor-ids.ts";
import { u32 } from "./peer-keys.ts";

/** cipher (number, key length), hash, group: RFC 2409 appendix A. */
export interface Phase1Suite {
  readonly cipher: number;
  readonly bits: number | null;
  readonly hash: number;
  readonly group: number;
}

/** Transform of ESP, key length, authentication algorithm: RFC 2407 §4.4.4, §4.5. */
export interface Phase2Suite {
  readonly esp: number;
  readonly bits: number | null;
  readonly integrity: number;
}

export interface Release {
  readonly name: string;
  /** What follows `MS NT5 ISAKMPOAKLEY`. */
  readonly version: number;
  readonly vids: readonly Payload[];
  readonly phase1: readonly Phase1Suite[];
  readonly phase2: readonly Phase2Suite[];
  /** Deletes that want an answer: since XP (MS-IKEE §3.8). */
  readonly reliable: boolean;
  /** AuthIP begins beside Main Mode: since Vista. */
  readonly authip: boolean;
  /** EXCHANGE_INFO in Quick Mode: since Vista. */
  readonly discovery: boolean;
  /** Whether it cuts messages as responder too: until Server 2003 (MS-IKEE notes 16 to 19). */
  readonly cutsAnswers: boolean;
}

const [DES, TRIPLE_DES, AES] = [1, 5, 7];
const [MD5, SHA1] = [1, 2];
const p1 = (cipher: number, bits: number | null, hash: number, group: number): Phase1Suite => ({ cipher, bits, hash, group });
const p2 = (esp: number, bits: number | null, integrity: number): Phase2Suite => ({ esp, bits, integrity });

/** The built-in order of 2000 and XP (MS-GPIPSEC §2.2.1.2.1). */
const OLD = [p1(TRIPLE_DES, null, SHA1, 2), p1(TRIPLE_DES, null, MD5, 2), p1(DES, null, SHA1, 1), p1(DES, null, MD5, 1)];
const OLD_ESP = [p2(3, null, SHA1), p2(3, null, MD5), p2(2, null, SHA1), p2(2, null, MD5)];

const vid = (name: VendorName, tail?: number): Payload =>
  payload("vid", { data: Uint8Array.from([...VENDOR_IDS[name].bytes, ...(tail === undefined ? [] : u32(tail))]) });
const ms = (version: number): Payload => vid("MS NT5", version);
const before = (version: number): readonly Payload[] => [ms(version), vid("FRAGMENTATION"), vid("NAT-T 02n"), vid("Initial Contact")];
const since = (version: number): readonly Payload[] => [
  ms(version),
  vid("RFC 3947"),
  vid("NAT-T 02n"),
  vid("FRAGMENTATION"),
  vid("Negotiation Discovery"),
  vid("Initial Contact"),
  vid("CGA"),
  vid("MamieExists"),
];

const OLD_HABITS = { authip: false, discovery: false, cutsAnswers: true } as const;
const NEW_HABITS = { authip: true, discovery: true, cutsAnswers: false, reliable: true } as const;

export const RELEASES: readonly Release[] = [
  { name: "Windows 2000", version: 2, vids: before(2), phase1: OLD, phase2: OLD_ESP, reliable: false, ...OLD_HABITS },
  { name: "Windows XP", version: 3, vids: before(3), phase1: OLD, phase2: OLD_ESP, reliable: true, ...OLD_HABITS },
  {
    name: "Windows Server 2003",
    version: 4,
    vids: before(4),
    phase1: [p1(TRIPLE_DES, null, SHA1, 14), ...OLD],
    phase2: OLD_ESP,
    reliable: true,
    ...OLD_HABITS,
  },
  {
    // Defaults of the firewall's policy (MS-FASP note 31).
    name: "Windows 7",
    version: 7,
    vids: [vid("Key Mods", 0), vid("Key Mods", 1), ...since(7)],
    phase1: [p1(AES, 128, SHA1, 2), p1(TRIPLE_DES, null, SHA1, 2)],
    phase2: [p2(12, 128, SHA1), p2(3, null, SHA1)],
    ...NEW_HABITS,
  },
  {
    // The client of L2TP/IPsec.
    name: "Windows 10",
    version: 9,
    vids: [vid("Key Mods", 0), vid("Key Mods", 1), vid("Key Mods", 2), ...since(9), vid("AuthIP DH", 2)],
    phase1: [
      p1(AES, 256, SHA1, 20),
      p1(AES, 128, SHA1, 19),
      p1(AES, 256, SHA1, 14),
      p1(TRIPLE_DES, null, SHA1, 14),
      p1(TRIPLE_DES, null, SHA1, 2),
    ],
    phase2: [p2(12, 256, SHA1), p2(12, 128, SHA1), p2(3, null, SHA1), p2(2, null, SHA1), p2(11, null, SHA1)],
    ...NEW_HABITS,
  },
];

/** What members of a cluster add. */
export const NLBS: Payload = vid("NLBS");

/** A lifetime as Windows writes it: four octets, however small the number. */
const long = (type: number, value: number): Attribute => variable(type, u32(value));

/** Eight hours. */
const PHASE1_SECONDS = 28_800;

/** An SA payload of phase 1: every suite a transform, the lifetime in four octets. */
export const offerPhase1 = (suites: readonly Phase1Suite[]): PayloadOf<"sa"> =>
  payload("sa", {
    doi: DOI.IPSEC,
    situation: SITUATION.SIT_IDENTITY_ONLY,
    proposals: [
      {
        number: 1,
        protocol: PROTOCOL.ISAKMP,
        spi: new Uint8Array(0),
        transforms: suites.map(({ cipher, bits, hash, group }, i) => ({
          number: i + 1,
          id: 1,
          attributes: [
            basic(1, cipher),
            ...(bits === null ? [] : [basic(14, bits)]),
            basic(2, hash),
            basic(4, group),
            basic(3, 1),
            basic(11, 1),
            long(12, PHASE1_SECONDS),
          ],
        })),
      },
    ],
  });

/** An SA payload of phase 2: every suite a proposal of its own, with one SPI; an hour and 250 MB; a private attribute at the end. `mode`: transport unless said. */
export const offerPhase2 = (suites: readonly Phase2Suite[], spi: number, mode = 2): PayloadOf<"sa"> =>
  payload("sa", {
    doi: DOI.IPSEC,
    situation: SITUATION.SIT_IDENTITY_ONLY,
    proposals: suites.map(({ esp, bits, integrity }, i) => ({
      number: i + 1,
      protocol: PROTOCOL.ESP,
      spi: u32(spi),
      transforms: [
        {
          number: 1,
          id: esp,
          attributes: [
            basic(4, mode),
            ...(bits === null ? [] : [basic(6, bits)]),
            basic(5, integrity),
            basic(1, 1),
            long(2, 3600),
            basic(1, 2),
            long(2, 250_000),
            basic(32_767, 1),
          ],
        },
      ],
    })),
  });
