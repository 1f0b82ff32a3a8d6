/**
 * The SA payload of phase 2: offer, choose, and check that the answer is one of ours (RFC 2409 §5.5, RFC 2407 §4.5).
 * Proposals that share a number belong together (AH and ESP on one packet); transforms of one proposal are alternatives.
 */
import { type Attribute, attributeNumber, numberAttribute } from "../isakmp/attributes.ts";
import {
  IPSEC_ATTRIBUTE as A,
  AH_TRANSFORM,
  AUTH_ALGORITHM,
  DOI,
  ENCAPSULATION,
  ESP_TRANSFORM,
  GROUP,
  LIFE_TYPE,
  PROTOCOL,
  SITUATION,
} from "../isakmp/numbers.ts";
import { uint32, uint32Octets } from "../isakmp/octets.ts";
import type { Proposal, Transform } from "../isakmp/payloads.ts";
import { nameOf } from "../isakmp/registry.ts";
import { err, ok, type Result } from "../isakmp/result.ts";
import {
  type ChildSuite,
  childSuiteName,
  ESP_CIPHERS,
  GROUPS,
  type Group,
  INTEGRITIES,
  type ProtocolSuite,
  protocolSuiteName,
} from "./crypto/suite.ts";
import type { IkeError } from "./errors.ts";
import { type Life, readLife, shorter } from "./life.ts";
import type { NatNumbers } from "./nat.ts";
import type { SaBody } from "./negotiate-ike.ts";
import { type Note, silent } from "./note.ts";

/** What a child is to be, apart from its selectors. */
export interface ChildTerms {
  readonly mode: "transport" | "tunnel";
  /** Packets travel in UDP, and whose numbers say so; null: they don't. */
  readonly udp: NatNumbers | null;
  /** PFS group, or null. */
  readonly group: Group | null;
  readonly lifetimeSeconds: number;
  /** Kilobytes of 1000 octets, or null for no limit. */
  readonly lifetimeKilobytes: number | null;
}

/** One protocol of one alternative as read from a transform. */
export interface ProtocolOffer {
  readonly suite: ProtocolSuite;
  readonly spi: number;
  readonly mode: "transport" | "tunnel" | null;
  /** The mode is one of UDP encapsulation. */
  readonly udp: boolean;
  readonly group: Group | null;
  readonly life: Life;
}

/** What both ends agreed on. `offers` are as the sender of the message gave them: the SPIs are the sender's inbound ones. */
export interface ChosenChild {
  readonly suite: ChildSuite;
  readonly offers: readonly ProtocolOffer[];
  readonly group: Group | null;
  readonly life: Life;
}

/** Attributes from here on are private use (RFC 2407 §4.5): unknown ones are no reason to refuse. */
const PRIVATE_ATTRIBUTES = 32001;

/** Our SA payload. `spiOf` gives our inbound SPI for each protocol. Single-protocol suites of one protocol in a row share a proposal. */
export function offerChild(suites: readonly ChildSuite[], terms: ChildTerms, spiOf: (protocol: "esp" | "ah") => number): SaBody {
  const proposals: Proposal[] = [];
  let number = 0;
  let open: { protocol: number; transforms: Transform[] } | undefined;
  for (const suite of suites) {
    const [only] = suite;
    if (suite.length === 1 && only && open?.protocol === protocolNumber(only)) {
      open.transforms.push(transformOf(only, open.transforms.length + 1, terms));
      continue;
    }
    number++;
    open = undefined;
    for (const part of suite) {
      const transforms = [transformOf(part, 1, terms)];
      proposals.push({ number, protocol: protocolNumber(part), spi: spiBytes(spiOf(part.protocol)), transforms });
      if (suite.length === 1) open = { protocol: protocolNumber(part), transforms };
    }
  }
  return { doi: DOI.IPSEC, situation: SITUATION.SIT_IDENTITY_ONLY, proposals };
}

const protocolNumber = (suite: ProtocolSuite): number => (suite.protocol === "esp" ? PROTOCOL.ESP : PROTOCOL.AH);

/** The four octets of an SPI, as in payloads and in KEYMAT. */
export const spiBytes = (spi: number): Uint8Array => uint32Octets(spi);

function transformOf(suite: ProtocolSuite, number: number, terms: ChildTerms): Transform {
  const attributes: Attribute[] = [
    numberAttribute(A["SA Life Type"], LIFE_TYPE.seconds),
    numberAttribute(A["SA Life Duration"], terms.lifetimeSeconds),
  ];
  if (terms.lifetimeKilobytes !== null)
    attributes.push(
      numberAttribute(A["SA Life Type"], LIFE_TYPE.kilobytes),
      numberAttribute(A["SA Life Duration"], terms.lifetimeKilobytes),
    );
  if (terms.group) attributes.push(numberAttribute(A["Group Description"], terms.group.ike));
  attributes.push(numberAttribute(A["Encapsulation Mode"], MODES[terms.udp ?? "bare"][terms.mode]));
  if (suite.integrity) attributes.push(numberAttribute(A["Authentication Algorithm"], suite.integrity.attribute));
  if (suite.cipher?.keyLengthAttribute) attributes.push(numberAttribute(A["Key Length"], suite.cipher.keyLengthAttribute));
  return { number, id: suite.protocol === "esp" ? suite.cipher.esp : suite.integrity.ah, attributes };
}

/** RFC 2407 §4.5, RFC 3947 §5.1, and the private numbers of its drafts. */
const MODES = {
  bare: { tunnel: ENCAPSULATION.Tunnel, transport: ENCAPSULATION.Transport },
  rfc: { tunnel: ENCAPSULATION["UDP-Encapsulated-Tunnel"], transport: ENCAPSULATION["UDP-Encapsulated-Transport"] },
  draft: { tunnel: ENCAPSULATION["UDP-Encapsulated-Tunnel draft"], transport: ENCAPSULATION["UDP-Encapsulated-Transport draft"] },
} as const;

function modeOf(number: number): { readonly mode: "transport" | "tunnel"; readonly udp: boolean } | undefined {
  for (const numbers of ["bare", "rfc", "draft"] as const)
    for (const mode of ["tunnel", "transport"] as const) if (MODES[numbers][mode] === number) return { mode, udp: numbers !== "bare" };
  return undefined;
}

/** Reads one transform of one proposal; the error says why it can't be used, in words. */
export function readChildTransform(proposal: Proposal, transform: Transform): Result<ProtocolOffer, string> {
  if (proposal.spi.length !== 4) return err(`an SPI of ${proposal.spi.length} octets`);
  const spi = uint32(proposal.spi);
  if (spi < 256) return err(`SPI ${spi} is reserved (RFC 2406 §2.1)`);
  const numbers: Numbers = [];
  for (const attribute of transform.attributes) {
    const problem = readAttribute(attribute, numbers);
    if (problem) return err(problem);
  }
  const suite =
    proposal.protocol === PROTOCOL.ESP
      ? espSuite(transform.id, numbers)
      : proposal.protocol === PROTOCOL.AH
        ? ahSuite(transform.id, numbers)
        : err(`protocol ${nameOf(PROTOCOL, proposal.protocol)}`);
  if (!suite.ok) return suite;
  const group = numbers[A["Group Description"]];
  const row = GROUPS.find((g) => g.ike === group);
  if (group !== undefined && !row) return err(`group ${nameOf(GROUP, group)} is not supported`);
  const encapsulation = numbers[A["Encapsulation Mode"]];
  const mode = encapsulation === undefined ? null : modeOf(encapsulation);
  if (encapsulation !== undefined && mode === undefined)
    return err(`encapsulation mode ${nameOf(ENCAPSULATION, encapsulation)} is not supported here`);
  return ok({
    suite: suite.value,
    spi,
    mode: mode?.mode ?? null,
    udp: mode?.udp ?? false,
    group: row ?? null,
    life: readLife(transform.attributes, A["SA Life Type"], A["SA Life Duration"]),
  });
}

const READ: ReadonlySet<number> = new Set([
  A["Group Description"],
  A["Encapsulation Mode"],
  A["Authentication Algorithm"],
  A["Key Length"],
]);
const LIFE: ReadonlySet<number> = new Set([A["SA Life Type"], A["SA Life Duration"]]);

/** Values by the number of their attribute; the numbers of all in READ are small. */
type Numbers = (number | undefined)[];

function readAttribute(attribute: Attribute, into: Numbers): string | undefined {
  if (LIFE.has(attribute.type)) return undefined;
  if (!READ.has(attribute.type))
    return attribute.type >= PRIVATE_ATTRIBUTES ? undefined : `attribute ${nameOf(A, attribute.type)} is not supported`;
  const value = attributeNumber(attribute);
  if (value === undefined) return `${nameOf(A, attribute.type)} is no number`;
  if (into[attribute.type] !== undefined) return `${nameOf(A, attribute.type)} stands twice`;
  into[attribute.type] = value;
  return undefined;
}

function espSuite(id: number, numbers: Readonly<Numbers>): Result<ProtocolSuite, string> {
  const bits = numbers[A["Key Length"]] ?? null;
  const cipher = ESP_CIPHERS.find((row) => row.esp === id && row.keyLengthAttribute === bits);
  if (!cipher) return err(`${nameOf(ESP_TRANSFORM, id)} with ${bits === null ? "no key length" : `key length ${bits}`} is not supported`);
  const attribute = numbers[A["Authentication Algorithm"]];
  if (cipher.icvBits !== null)
    return attribute === undefined
      ? ok({ protocol: "esp", cipher, integrity: null })
      : err("a combined mode with an authentication algorithm");
  const integrity = INTEGRITIES.find((row) => row.attribute === attribute);
  if (!integrity)
    return err(
      attribute === undefined
        ? "ESP without integrity protection is refused"
        : `authentication algorithm ${nameOf(AUTH_ALGORITHM, attribute)} is not supported`,
    );
  return ok({ protocol: "esp", cipher, integrity });
}

function ahSuite(id: number, numbers: Readonly<Numbers>): Result<ProtocolSuite, string> {
  const integrity = INTEGRITIES.find((row) => row.ah === id);
  if (!integrity) return err(`${nameOf(AH_TRANSFORM, id)} is not supported`);
  if (numbers[A["Authentication Algorithm"]] !== integrity.attribute)
    return err("AH transform and authentication algorithm contradict each other (RFC 2407 §4.4.3)");
  return ok({ protocol: "ah", cipher: null, integrity });
}

/** The proposals of one number, RFC 2408 §4.2: all of them together are one alternative. */
function bundles(sa: SaBody): readonly (readonly Proposal[])[] {
  const byNumber = new Map<number, Proposal[]>();
  for (const proposal of sa.proposals) byNumber.set(proposal.number, [...(byNumber.get(proposal.number) ?? []), proposal]);
  return [...byNumber.values()];
}

/** What a responder asks of an offer: suites in any order, one mode, a PFS group or none. */
export interface ChildDemand {
  readonly suites: readonly ChildSuite[];
  readonly mode: "transport" | "tunnel";
  /** A NAT stands between, or might: packets must travel in UDP. */
  readonly udp: boolean;
  readonly group: Group | null;
}

/** The first alternative of the initiator's that the demand allows, and the SA body to answer with (our SPIs, their transforms). */
export function chooseChild(
  sa: SaBody,
  demand: ChildDemand,
  spiOf: (protocol: "esp" | "ah") => number,
  note: Note = silent,
): Result<{ readonly chosen: ChosenChild; readonly answer: SaBody }, IkeError> {
  const faults: string[] = [];
  const tell = (): void => {
    for (const fault of faults) note(() => fault.replace(": ", " refused: "));
  };
  for (const bundle of bundles(sa)) {
    const picked = pickBundle(bundle, demand, faults);
    if (!picked) continue;
    tell();
    for (const { proposal, transform, offer } of picked)
      note(() => `proposal ${proposal.number} transform ${transform.number} taken: ${protocolSuiteName(offer.suite)}`);
    const answer = picked.map(({ proposal, transform, offer }) => ({
      ...proposal,
      spi: spiBytes(spiOf(offer.suite.protocol)),
      transforms: [transform],
    }));
    return ok({ chosen: agreed(picked.map((p) => p.offer)), answer: { ...sa, proposals: answer } });
  }
  tell();
  const configured = `configured: ${demand.suites.map(childSuiteName).join(", ")}, ${demand.mode}, ${demand.group ? `PFS ${demand.group.name}` : "no PFS"}`;
  return err({ kind: "no-proposal", what: `${faults.slice(0, 12).join("; ") || "the peer offered nothing"}; ${configured}` });
}

type Picked = { readonly proposal: Proposal; readonly transform: Transform; readonly offer: ProtocolOffer };

/** One transform from each proposal of a bundle such that together they are a suite of the demand. */
function pickBundle(bundle: readonly Proposal[], demand: ChildDemand, faults: string[]): readonly Picked[] | undefined {
  for (const suite of demand.suites) {
    if (suite.length !== bundle.length) continue;
    const picked = suite.map((part) => pickPart(bundle, part, demand));
    if (picked.every((p) => p !== undefined)) return [...picked].sort((a, b) => bundle.indexOf(a.proposal) - bundle.indexOf(b.proposal));
  }
  if (demand.suites.every((suite) => suite.length !== bundle.length)) {
    faults.push(
      `proposal ${bundle[0]?.number}: ${bundle.length === 1 ? "one protocol offered, a bundle" : "a bundle offered, one protocol"} configured`,
    );
    return undefined;
  }
  for (const proposal of bundle) for (const transform of proposal.transforms) faults.push(faultOf(proposal, transform, demand));
  return undefined;
}

function pickPart(bundle: readonly Proposal[], part: ProtocolSuite, demand: ChildDemand): Picked | undefined {
  for (const proposal of bundle) {
    for (const transform of proposal.transforms) {
      const offer = readChildTransform(proposal, transform);
      if (offer.ok && protocolSuiteName(offer.value.suite) === protocolSuiteName(part) && termsFault(offer.value, demand) === undefined)
        return { proposal, transform, offer: offer.value };
    }
  }
  return undefined;
}

function faultOf(proposal: Proposal, transform: Transform, demand: ChildDemand): string {
  const offer = readChildTransform(proposal, transform);
  const where = `proposal ${proposal.number} transform ${transform.number}`;
  if (!offer.ok) return `${where}: ${offer.error}`;
  const name = protocolSuiteName(offer.value.suite);
  return `${where} (${name}): ${termsFault(offer.value, demand) ?? childDifference(offer.value.suite, demand)}`;
}

/** The first difference between an offered protocol and the configured one that comes nearest to it, in words. */
function childDifference(offered: ProtocolSuite, demand: ChildDemand): string {
  const same = demand.suites.flat().filter((own) => own.protocol === offered.protocol);
  if (same.length === 0) return `${offered.protocol} offered, ${demand.suites.map(childSuiteName).join(" or ")} configured`;
  const differences = same.map((own) => {
    const parts = [
      ["cipher", offered.cipher?.name ?? "none", own.cipher?.name ?? "none"],
      ["integrity", offered.integrity?.name ?? "none", own.integrity?.name ?? "none"],
    ];
    return parts
      .filter(([, theirs, ours]) => theirs !== ours)
      .map(([what, theirs, ours]) => `${what} ${theirs} offered, ${ours} configured`);
  });
  const [nearest] = differences.sort((a, b) => a.length - b.length);
  return nearest?.[0] ?? `${offered.protocol} alone offered, a bundle configured`;
}

/** A responder without PFS takes an offer with it; one that wants PFS insists on its group. */
function termsFault(offer: ProtocolOffer, demand: ChildDemand): string | undefined {
  if (offer.mode !== null && offer.mode !== demand.mode) return `${offer.mode} mode offered, ${demand.mode} configured`;
  const outside = udpFault(offer, demand.udp);
  if (outside !== undefined) return outside;
  if (demand.group && offer.group?.ike !== demand.group.ike)
    return `PFS group ${offer.group?.name ?? "none"} offered, ${demand.group.name} configured`;
  if (!demand.group && offer.group?.weak) return `PFS group ${offer.group.name} is weak`;
  return undefined;
}

/** Both ends know whether a NAT was found: packets in UDP, or bare, and never AH through one (RFC 3947 §1). */
function udpFault({ suite, mode, udp }: ProtocolOffer, wanted: boolean): string | undefined {
  if (wanted && suite.protocol === "ah") return "AH can't pass the NAT that was found between us, or its UDP encapsulation";
  if (mode === null || udp === wanted) return undefined;
  return wanted ? "packets not in UDP offered, although a NAT was found" : "packets in UDP offered, although no NAT was found";
}

/** Several protocols of one alternative share group and lifetime: the shortest life counts. */
function agreed(offers: readonly ProtocolOffer[]): ChosenChild {
  return {
    suite: offers.map((offer) => offer.suite),
    offers,
    group: offers.find((offer) => offer.group)?.group ?? null,
    life: offers.reduce<Life>(
      (life, { life: l }) => ({ seconds: shorter(life.seconds, l.seconds), kilobytes: shorter(life.kilobytes, l.kilobytes) }),
      { seconds: null, kilobytes: null },
    ),
  };
}

/** What message 2 accepts. It must be one alternative of ours in everything but SPIs and life attributes. */
export function verifyChildAnswer(suites: readonly ChildSuite[], terms: ChildTerms, answer: SaBody): Result<ChosenChild, IkeError> {
  const offers: ProtocolOffer[] = [];
  for (const proposal of answer.proposals) {
    const [transform] = proposal.transforms;
    if (!transform || proposal.transforms.length !== 1)
      return err({ kind: "not-offered", what: "the answer does not hold exactly one transform for each protocol" });
    const offer = readChildTransform(proposal, transform);
    if (!offer.ok) return err({ kind: "not-offered", what: `the answer is unusable: ${offer.error}` });
    if (offer.value.mode !== null && offer.value.mode !== terms.mode)
      return err({ kind: "not-offered", what: `the peer answered ${offer.value.mode} mode, we offered ${terms.mode}` });
    const outside = udpFault(offer.value, terms.udp !== null);
    if (outside !== undefined) return err({ kind: "not-offered", what: `the peer answered: ${outside}` });
    if (offer.value.group?.ike !== terms.group?.ike)
      return err({
        kind: "not-offered",
        what: `the peer answered PFS group ${offer.value.group?.name ?? "none"}, we offered ${terms.group?.name ?? "none"}`,
      });
    offers.push(offer.value);
  }
  const names = offers.map((offer) => protocolSuiteName(offer.suite)).sort();
  const match = suites.find((suite) => suite.map(protocolSuiteName).sort().join("+") === names.join("+"));
  return match
    ? ok(agreed(offers))
    : err({ kind: "not-offered", what: `the peer answered ${names.join("+") || "nothing"}, which we did not offer` });
}
