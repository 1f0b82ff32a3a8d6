/** Octets as text: hexadecimal both ways, and peers' strings made safe to print. */

/** Lower-case hexadecimal digits, two an octet. */
export function toHex(octets: Uint8Array): string {
  let text = "";
  for (const octet of octets) text += DIGITS[octet];
  return text;
}

/** An integer of 32 bits in eight lower-case digits. (V8's own `toString(16)` leaves for C++ where a number has 32 bits.) */
export const hex32 = (value: number): string =>
  `${DIGITS[value >>> 24]}${DIGITS[(value >>> 16) & 0xff]}${DIGITS[(value >>> 8) & 0xff]}${DIGITS[value & 0xff]}`;

const DIGITS: readonly string[] = Array.from({ length: 256 }, (_, octet) => octet.toString(16).padStart(2, "0"));

/** Octets of a text of hexadecimal digits; undefined if it is none or has an odd digit left. */
export function fromHex(text: string): Uint8Array | undefined {
  if (text.length % 2 !== 0) return undefined;
  const octets = new Uint8Array(text.length / 2);
  for (let i = 0; i < octets.length; i++) {
    const high = VALUES[text.charCodeAt(2 * i)] ?? NONE;
    const low = VALUES[text.charCodeAt(2 * i + 1)] ?? NONE;
    if (high === NONE || low === NONE) return undefined;
    octets[i] = (high << 4) | low;
  }
  return octets;
}

const NONE = -1;

/** What each digit is worth, by its code. */
const VALUES = Int8Array.from({ length: 128 }, (_, code) => "0123456789abcdef".indexOf(String.fromCharCode(code).toLowerCase()));

/**
 * A peer's octets for a log or a terminal, at most `max` octets of them: printable ASCII stays, everything else becomes \xNN.
 * Otherwise an ID could forge log lines or send escape sequences to the administrator's terminal.
 */
export function printable(octets: Uint8Array, max = 256): string {
  let text = "";
  for (const octet of octets.subarray(0, max))
    text += octet >= 0x20 && octet < 0x7f && octet !== 0x5c ? String.fromCharCode(octet) : `\\x${octet.toString(16).padStart(2, "0")}`;
  return octets.length > max ? `${text}... (${octets.length} octets)` : text;
}

/** Whether octets are a non-empty text of printable ASCII. */
export const isPrintable = (octets: Uint8Array): boolean => octets.length > 0 && octets.every((octet) => octet >= 0x20 && octet < 0x7f);
