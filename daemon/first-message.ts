/** Which inputs cost least and come most in a flood: first messages of strangers. */
import type { Input } from "../ike/input.ts";

/** Octets of a message in which the responder's cookie stands (RFC 2408 §3.1). */
export const RESPONDER_COOKIE_AT = 8;
const RESPONDER_COOKIE_END = 16;

/** Whether a message can only be the first of its exchange: it bears no responder's cookie, or is no message. */
export function bearsNoCookie(message: Uint8Array): boolean {
  for (let i = RESPONDER_COOKIE_AT; i < RESPONDER_COOKIE_END; i++) if (message[i]) return false;
  return true;
}

/** The same of an input; only datagrams are messages. */
export const isFirstMessage = (input: Input): boolean => input.type === "datagram" && bearsNoCookie(input.bytes);
