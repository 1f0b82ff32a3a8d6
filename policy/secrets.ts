/**
 * Pre-shared keys as administrators write them: text, `0x` and hex, or `0s` and base64, as in strongSwan.
 * Octets go from the file into a Secret without ever becoming text; no error says anything about their value.
 */
import { Secret } from "../ike/crypto/secret.ts";
import { err, ok, type Result } from "../isakmp/result.ts";

/** The key that a file's octets stand for: one trailing line end is removed. Wipes `octets`. */
export function secretOfFile(octets: Uint8Array): Result<Secret, string> {
  let end = octets.length;
  if (octets[end - 1] === LINE_FEED) end -= octets[end - 2] === CARRIAGE_RETURN ? 2 : 1;
  const secret = secretOf(octets.subarray(0, end));
  octets.fill(0);
  return secret;
}

/** The key that a text in the configuration stands for. The text itself cannot be wiped, which is what `secret-file` is for. */
export function secretOfText(text: string): Result<Secret, string> {
  const octets = new TextEncoder().encode(text);
  const secret = secretOf(octets);
  octets.fill(0);
  return secret;
}

const [LINE_FEED, CARRIAGE_RETURN, ZERO, LETTER_X, LETTER_S, PADDING] = [10, 13, 0x30, 0x78, 0x73, 0x3d];

function secretOf(written: Uint8Array): Result<Secret, string> {
  const octets = decode(written);
  if (!octets.ok) return octets;
  return octets.value.length === 0 ? err("the key is empty; everybody knows that one") : ok(new Secret(octets.value));
}

/** Always a copy, so that the caller may wipe what it gave. */
function decode(written: Uint8Array): Result<Uint8Array, string> {
  const [first, second] = written;
  const rest = written.subarray(2);
  if (first === ZERO && second === LETTER_X) return decodeDigits(rest, 4, "0x wants pairs of hex digits");
  if (first === ZERO && second === LETTER_S) {
    let end = rest.length;
    while (end > rest.length - 2 && rest[end - 1] === PADDING) end--;
    const padded = end < rest.length;
    const message = "0s wants base64";
    return padded && rest.length % 4 !== 0 ? err(message) : decodeDigits(rest.subarray(0, end), 6, message);
  }
  return ok(Uint8Array.from(written));
}

/** Digits of `width` bits each, most significant first. Bits left over at the end must be zero and fewer than a digit's. */
function decodeDigits(digits: Uint8Array, width: 4 | 6, message: string): Result<Uint8Array, string> {
  const out = new Uint8Array((digits.length * width) >> 3);
  let [at, bits, held] = [0, 0, 0];
  for (const digit of digits) {
    const value = digitValue(digit, width);
    if (value === undefined) return refuse(out, message);
    held = ((held << width) | value) & 0xfff;
    bits += width;
    if (bits < 8) continue;
    bits -= 8;
    out[at++] = held >> bits;
    held &= (1 << bits) - 1;
  }
  return bits >= width || held !== 0 ? refuse(out, message) : ok(out);
}

function refuse(out: Uint8Array, message: string): Result<never, string> {
  out.fill(0);
  return err(message);
}

/** Value of an ASCII digit in hex (4 bits) or base64 (6 bits). */
function digitValue(digit: number, width: 4 | 6): number | undefined {
  const alphabet = width === 4 ? HEX_DIGITS : BASE64_DIGITS;
  const value = alphabet.indexOf(digit);
  return value < 0 ? undefined : width === 4 ? value % 16 : value;
}

const HEX_DIGITS = new TextEncoder().encode("0123456789abcdef0123456789ABCDEF");
const BASE64_DIGITS = new TextEncoder().encode("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
