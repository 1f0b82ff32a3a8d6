/**
 * Windows under attack answers message 1 with a cookie and forgets it (MS-IKEE §3.9): an Informational message in clear with one notify, whose
 * eight octets message 1 is to bear as the responder's cookie. Whoever can make us do that saw our message 1, and gets one more of them.
 */
import { bodyOf, decodePayloads, type Header } from "../isakmp/message.ts";
import { NOTIFY } from "../isakmp/numbers.ts";
import type { Negotiation } from "../sa-store/ike-sa.ts";
import { type Core, count, send } from "./core.ts";

/** Octets of a cookie, and where the responder's stands in the header. */
const COOKIE = 8;
const AT = 8;

/** Message 1 again, with the cookie; its repetitions by timer stay without, since the cookie may have been forged, or be stale by then. */
export function onCookieDemand(core: Core, n: Negotiation, header: Header, bytes: Uint8Array): void {
  const cookie = demanded(header, bytes);
  if (n.role !== "initiator" || n.state.kind !== "sa-sent" || !n.flight || !cookie) return count(core, "cookie demand out of turn");
  // One for each message 1 that left by the timer.
  if (n.cookieDemands > n.tries) return count(core, "cookie demanded too often");
  n.cookieDemands = n.tries + 1;
  count(core, "cookie demanded");
  const again = Uint8Array.from(n.flight);
  again.set(cookie, AT);
  send(core, n.path, again);
}

function demanded(header: Header, bytes: Uint8Array): Uint8Array | undefined {
  const payloads = decodePayloads(header.nextPayload, bodyOf(header, bytes));
  const notify = payloads.ok ? payloads.value.find((p) => p.name === "notify" && p.value.type === NOTIFY["DOS-COOKIE"]) : undefined;
  const data = notify?.name === "notify" ? notify.value.data : undefined;
  return data?.length === COOKIE && data.some((octet) => octet !== 0) ? data : undefined;
}
