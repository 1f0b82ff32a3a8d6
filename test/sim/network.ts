/**
 * The network of the simulator: every datagram meets one fate of a list, in the order of sending, so that a failing schedule can be shrunk.
 */

/** What becomes of one datagram. `ms` are added to the usual latency; `bit` counts modulo the datagram's length. */
export type Fate =
  | { readonly kind: "deliver" | "drop" }
  | { readonly kind: "duplicate" | "delay"; readonly ms: number }
  | { readonly kind: "corrupt"; readonly bit: number };

export const DELIVER: Fate = { kind: "deliver" };
export const DROP: Fate = { kind: "drop" };

/** A copy of a datagram on its way. */
export interface Copy {
  readonly bytes: Uint8Array;
  readonly delay: number;
  readonly corrupt: boolean;
}

/**
 * Whether a change of an octet makes another message of it. Nothing protects the flags (octet 19), nor, in an encrypted message, padding
 * (at most the last block) and a length that cuts it off (24 to 27).
 */
function isProtected(bytes: Uint8Array, octet: number): boolean {
  if (octet === FLAGS_OCTET) return false;
  const sealed = ((bytes[FLAGS_OCTET] ?? 0) & 1) !== 0;
  return !sealed || (octet < bytes.length - BLOCK && (octet < 24 || octet > 27));
}

const FLAGS_OCTET = 19;
const BLOCK = 16;

/** What arrives of one datagram under a fate, and when. */
export function copiesOf(bytes: Uint8Array, fate: Fate, latency: number): readonly Copy[] {
  const straight: Copy = { bytes, delay: latency, corrupt: false };
  switch (fate.kind) {
    case "deliver":
      return [straight];
    case "drop":
      return [];
    case "duplicate":
      return [straight, { ...straight, delay: latency + fate.ms }];
    case "delay":
      return [{ ...straight, delay: latency + fate.ms }];
    case "corrupt": {
      const bit = fate.bit % (bytes.length * 8);
      return [{ ...straight, bytes: flipped(bytes, bit), corrupt: isProtected(bytes, bit >> 3) }];
    }
  }
}

/** A copy with one bit changed; bit 0 is the highest of the first octet. */
export function flipped(bytes: Uint8Array, bit: number): Uint8Array {
  const out = Uint8Array.from(bytes);
  out[bit >> 3] = (out[bit >> 3] ?? 0) ^ (0x80 >> (bit & 7));
  return out;
}

/** `drop`, `delay 40`, `corrupt bit 7`. */
export function formatFate(fate: Fate): string {
  switch (fate.kind) {
    case "deliver":
    case "drop":
      return fate.kind;
    case "duplicate":
    case "delay":
      return `${fate.kind} ${fate.ms}`;
    case "corrupt":
      return `corrupt bit ${fate.bit}`;
  }
}
