/**
 * The SA payload of phase 1: offer, choose, and check that the answer is one of ours (RFC 2409 §5, appendix A).
 * One proposal (protocol ISAKMP) whose transforms are alternatives. The chosen transform is echoed as it came.
 */
import { type Attribute, attributeNumber, numberAttribute } from "../isakmp/attributes.ts";
import {
  IKE_ATTRIBUTE as A,
  AUTH_METHOD,
  DOI,
  ENCRYPTION,
  GROUP,
  HASH,
  ISAKMP_TRANSFORM,
  LIFE_TYPE,
  PROTOCOL,
  SITUATION,
} from "../isakmp/numbers.ts";
import type { Body, Transform } from "../isakmp/payloads.ts";
import { nameOf } from "../isakmp/registry.ts";
import { err, ok, type Result } from "../isakmp/result.ts";
import type { Rule } from "../policy/types.ts";
import { ENCRYPTIONS, GROUPS, HASHES, type IkeSuite, ikeSuiteName } from "./crypto/suite.ts";
import type { IkeError } from "./errors.ts";
import { readLife } from "./life.ts";
import { type Note, silent } from "./note.ts";

export type SaBody = Body<"sa">;

/** One phase 1 alternative as read from a transform. */
export interface IkeOffer {
  readonly suite: IkeSuite;
  /** Authentication method number, RFC 2409 appendix A. */
  readonly method: number;
  /** null: no lifetime in seconds was named (RFC 2409: 8 hours). */
  readonly lifetimeSeconds: number | null;
  /** All of them as they stood there; private ones may mean something to a method. */
  readonly attributes: readonly Attribute[];
}

/** A method in an offer of ours, with what it adds to each transform. */
export interface OfferedMethod {
  readonly number: number;
  readonly attributes: readonly Attribute[];
}

/** Transform numbers are one octet, and start with 1. */
const MOST_TRANSFORMS = 255;

/** Attributes from here on are private use (RFC 2409 appendix A): unknown ones are no reason to refuse. */
const PRIVATE_ATTRIBUTES = 16384;

/** Our SA payload: every method with every suite, both in order of preference. */
export function offerIke(suites: readonly IkeSuite[], methods: readonly OfferedMethod[], lifetimeSeconds: number): SaBody {
  const transforms = methods
    .flatMap((method) => suites.map((suite) => ({ suite, method })))
    .slice(0, MOST_TRANSFORMS)
    .map(({ suite, method }, i) => ({
      number: i + 1,
      id: ISAKMP_TRANSFORM.KEY_IKE,
      attributes: [
        numberAttribute(A["Encryption Algorithm"], suite.encryption.ike),
        ...(suite.encryption.keyLengthAttribute === null ? [] : [numberAttribute(A["Key Length"], suite.encryption.keyLengthAttribute)]),
        numberAttribute(A["Hash Algorithm"], suite.hash.ike),
        numberAttribute(A["Group Description"], suite.group.ike),
        numberAttribute(A["Authentication Method"], method.number),
        numberAttribute(A["Life Type"], LIFE_TYPE.seconds),
        numberAttribute(A["Life Duration"], lifetimeSeconds),
        ...method.attributes,
      ],
    }));
  return {
    doi: DOI.IPSEC,
    situation: SITUATION.SIT_IDENTITY_ONLY,
    proposals: [{ number: 1, protocol: PROTOCOL.ISAKMP, spi: new Uint8Array(0), transforms }],
  };
}

/** Reads one transform; the error says why it can't be used, in words. */
export function readIkeTransform(transform: Transform): Result<IkeOffer, string> {
  if (transform.id !== ISAKMP_TRANSFORM.KEY_IKE) return err(`transform id ${transform.id} is not KEY_IKE`);
  const numbers: Numbers = [];
  for (const attribute of transform.attributes) {
    if (attribute.type === A["Life Type"] || attribute.type === A["Life Duration"]) continue;
    const problem = readAttribute(attribute, numbers);
    if (problem) return err(problem);
  }
  const suite = suiteOf(numbers);
  if (!suite.ok) return suite;
  const method = numbers[A["Authentication Method"]];
  if (method === undefined) return err("no authentication method");
  const { seconds } = readLife(transform.attributes, A["Life Type"], A["Life Duration"]);
  return ok({ suite: suite.value, method, lifetimeSeconds: seconds, attributes: transform.attributes });
}

const READ: ReadonlySet<number> = new Set([
  A["Encryption Algorithm"],
  A["Hash Algorithm"],
  A["Authentication Method"],
  A["Group Description"],
  A["Group Type"],
  A["Key Length"],
]);

/** Values by the number of their attribute; the numbers of all in READ are small. */
type Numbers = (number | undefined)[];

/** Files one attribute by number; returns what is wrong with it, if anything. */
function readAttribute(attribute: Attribute, into: Numbers): string | undefined {
  if (!READ.has(attribute.type))
    return attribute.type >= PRIVATE_ATTRIBUTES ? undefined : `attribute ${nameOf(A, attribute.type)} is not supported`;
  const value = attributeNumber(attribute);
  if (value === undefined) return `${nameOf(A, attribute.type)} is no number`;
  if (into[attribute.type] !== undefined) return `${nameOf(A, attribute.type)} stands twice`;
  into[attribute.type] = value;
  return undefined;
}

function suiteOf(numbers: Readonly<Numbers>): Result<IkeSuite, string> {
  const [cipher, bits] = [numbers[A["Encryption Algorithm"]] ?? 0, numbers[A["Key Length"]] ?? null];
  const encryption = ENCRYPTIONS.find((row) => row.ike === cipher && row.keyLengthAttribute === bits);
  if (!encryption)
    return err(`encryption ${nameOf(ENCRYPTION, cipher)} with ${bits === null ? "no key length" : `key length ${bits}`} is not supported`);
  const hash = HASHES.find((row) => row.ike === numbers[A["Hash Algorithm"]]);
  if (!hash) return err(`hash ${nameOf(HASH, numbers[A["Hash Algorithm"]] ?? 0)} is not supported`);
  const group = GROUPS.find((row) => row.ike === numbers[A["Group Description"]]);
  if (!group) return err(`group ${nameOf(GROUP, numbers[A["Group Description"]] ?? 0)} is not supported`);
  return ok({ encryption, hash, group });
}

/** Alternatives, and rules, that an explanation names. */
const MOST_FAULTS = 12;
const MOST_RULES = 6;

/** Whether a rule takes a suite. */
export const allowsSuite = (rule: Rule, suite: IkeSuite): boolean =>
  rule.mainMode.proposals.some((p) => p.encryption === suite.encryption && p.hash === suite.hash && p.group === suite.group);

/** What is wrong with an offer, or how to say it. */
type Fault = string | (() => string);
const textOf = (fault: Fault): string => (typeof fault === "string" ? fault : fault());

export interface ChosenIke {
  readonly offer: IkeOffer;
  /** The body of message 2's SA payload: the chosen transform, byte for byte. */
  readonly answer: SaBody;
}

/**
 * The first transform of the initiator's that `accepts` finds no fault with; `accepts` returns the fault in words.
 * The error lists the first alternatives with their faults, for the one who has to mend a configuration.
 */
export function chooseIke(sa: SaBody, accepts: (offer: IkeOffer) => Fault | undefined, note: Note = silent): Result<ChosenIke, IkeError> {
  if (sa.doi !== DOI.IPSEC || sa.situation !== SITUATION.SIT_IDENTITY_ONLY)
    return err({
      kind: "no-proposal",
      what: `DOI ${sa.doi}, situation ${sa.situation}: only the IPsec DOI with SIT_IDENTITY_ONLY is supported`,
    });
  const faults: Fault[] = [];
  for (const proposal of sa.proposals) {
    if (proposal.protocol !== PROTOCOL.ISAKMP) {
      faults.push(() => `proposal ${proposal.number}: protocol ${nameOf(PROTOCOL, proposal.protocol)} is not ISAKMP`);
      continue;
    }
    for (const transform of proposal.transforms) {
      const offer = readIkeTransform(transform);
      const fault = offer.ok ? accepts(offer.value) : offer.error;
      const where = `proposal ${proposal.number} transform ${transform.number}`;
      if (offer.ok && fault === undefined) {
        note(() => `${where} taken: ${ikeOfferName(offer.value)}`);
        return ok({ offer: offer.value, answer: { ...sa, proposals: [{ ...proposal, transforms: [transform] }] } });
      }
      note(() => `${where} refused: ${offer.ok ? `${ikeOfferName(offer.value)}: ` : ""}${textOf(fault ?? "")}`);
      faults.push(() => `${offer.ok ? ikeOfferName(offer.value) : `transform ${transform.number}`}: ${textOf(fault ?? "")}`);
    }
  }
  // A stranger's hundreds of transforms must not cost hundreds of sentences.
  const said = faults.slice(0, MOST_FAULTS).map(textOf);
  return err({ kind: "no-proposal", what: said.join("; ") || "the peer offered nothing" });
}

/** The offer that message 2 accepts. It must be one of ours in everything but life attributes (the isakmpd lesson: compare it). */
export function verifyIkeAnswer(ours: SaBody, answer: SaBody): Result<IkeOffer, IkeError> {
  const [proposal] = answer.proposals;
  const [transform] = proposal?.transforms ?? [];
  if (answer.proposals.length !== 1 || proposal?.transforms.length !== 1 || !transform)
    return err({ kind: "not-offered", what: "the answer does not hold exactly one proposal with one transform" });
  if (proposal.protocol !== PROTOCOL.ISAKMP)
    return err({ kind: "not-offered", what: `the answer is for ${nameOf(PROTOCOL, proposal.protocol)}, not ISAKMP` });
  const chosen = readIkeTransform(transform);
  if (!chosen.ok) return err({ kind: "not-offered", what: `the answer is unusable: ${chosen.error}` });
  const offered = (ours.proposals[0]?.transforms ?? []).some((own) => {
    const offer = readIkeTransform(own);
    return offer.ok && ikeOfferName(offer.value) === ikeOfferName(chosen.value);
  });
  return offered ? chosen : err({ kind: "not-offered", what: `the peer answered ${ikeOfferName(chosen.value)}, which we did not offer` });
}

/** The first difference between an offer and the proposal of the first rules that comes nearest to it, in words. */
export function ikeDifference(offered: IkeSuite, rules: readonly Rule[]): string {
  const configured = rules.slice(0, MOST_RULES).flatMap((rule) => rule.mainMode.proposals);
  const differences = configured.map((own) =>
    (["encryption", "hash", "group"] as const)
      .filter((part) => own[part] !== offered[part])
      .map((part) => `${part} ${offered[part].name} offered, ${own[part].name} configured`),
  );
  const [nearest] = differences.sort((a, b) => a.length - b.length);
  return nearest?.[0] ?? "no proposal is configured";
}

/** `aes128-sha1-modp2048 (Pre-shared key)`. */
export const ikeOfferName = (offer: IkeOffer): string => `${ikeSuiteName(offer.suite)} (${nameOf(AUTH_METHOD, offer.method)})`;

/** What the candidate rules would have taken, for the one who reads the refusal. */
export function configuredProposals(rules: readonly Rule[]): string {
  const told = rules.slice(0, MOST_RULES).map((rule) => `${rule.mainMode.proposals.map(ikeSuiteName).join(", ")} (rule ${rule.name})`);
  return `configured: ${told.join("; ")}${rules.length > MOST_RULES ? `; and ${rules.length - MOST_RULES} more rules` : ""}`;
}
