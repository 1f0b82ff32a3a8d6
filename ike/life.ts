/**
 * Lifetimes in SA attributes: pairs of a type and a duration, in both phases and both encodings (RFC 2409 appendix A, RFC 2407 §4.5).
 */
import { type Attribute, attributeNumber } from "../isakmp/attributes.ts";
import { LIFE_TYPE } from "../isakmp/numbers.ts";

/** More than this is no limit; it keeps octets exact in a double. */
const LONGEST = 2 ** 40;

export interface Life {
  readonly seconds: number | null;
  readonly kilobytes: number | null;
}

/** Reads every pair. A duration belongs to the type before it; one without a type, or of an unknown type, is ignored; the shorter wins. */
export function readLife(attributes: readonly Attribute[], typeClass: number, durationClass: number): Life {
  let type = 0;
  let seconds: number | null = null;
  let kilobytes: number | null = null;
  for (const attribute of attributes) {
    if (attribute.type === typeClass) type = attributeNumber(attribute) ?? 0;
    if (attribute.type !== durationClass) continue;
    const duration = Math.min(attributeNumber(attribute) ?? LONGEST, LONGEST);
    if (duration === 0) continue;
    if (type === LIFE_TYPE.seconds) seconds = shorter(seconds, duration);
    if (type === LIFE_TYPE.kilobytes) kilobytes = shorter(kilobytes, duration);
  }
  return { seconds, kilobytes };
}

/** The smaller of two limits, where null is none. */
export const shorter = (a: number | null, b: number | null): number | null => (a === null ? b : b === null ? a : Math.min(a, b));
