/** Which inputs cost least and come most in a flood: first messages of strangers. */
import type { Input } from "../ike/input.ts";

/** Whether it is a datagram that can only be the first of its exchange: it bears no responder's cookie (octets 8 to 15), or is no message. */
export function isFirstMessage(input: Input): boolean {
  if (input.type !== "datagram") return false;
  for (let i = 8; i < 16; i++) if (input.bytes[i]) return false;
  return true;
}
