/**
 * A proof that is refused, told under the keys of phase 1 (RFC 2409 §5.7). Both ends have them from Diffie-Hellman on, so that nobody between
 * two hosts can say such a thing, but whoever answered our message 3. That ends an attempt; it proves nothing and opens no other door: the
 * methods that come next are those that the same peer could have chosen in message 2.
 */
import { methodName } from "../auth/choice.ts";
import { AFTER_SIGNATURE } from "../auth/method.ts";
import type { Header } from "../isakmp/message.ts";
import { EXCHANGE, NOTIFY } from "../isakmp/numbers.ts";
import type { Body } from "../isakmp/payloads.ts";
import type { Negotiation } from "../sa-store/ike-sa.ts";
import { type Core, count, logError, peerName, random32, send } from "./core.ts";
import { open } from "./envelope.ts";
import type { IkeError } from "./errors.ts";
import { ikeFields } from "./event-fields.ts";
import { phase2Iv } from "./keys.ts";
import type { AuthSent, Checking } from "./main-mode-states.ts";
import { deleteIke, errorNotify } from "./notifies.ts";
import { giveUp } from "./phase1-end.ts";
import { offerNext } from "./phase1-start.ts";
import { checkHashed, sealHashed } from "./quick-mode.ts";
import { tell } from "./watch.ts";
import { isRefusal, notifyName } from "./windows-notify.ts";

/**
 * Whether a refused certificate came with a right signature: then its message is whole and the peer's own, no better one will follow, and to
 * wait for it would keep both ends in the dark.
 */
export const isFinal = (error: IkeError): boolean => error.kind === "auth-failed" && AFTER_SIGNATURE.has(error.failure.reason);

/**
 * Tells a peer that its proof is refused, and takes back what it may have of us. `keyed`: as it was after the peer's message. In messages of their
 * own: strongSwan reads nothing behind an error.
 */
export function sayRefused(core: Core, n: Negotiation, { keyed }: Checking): void {
  const { cookieI, cookieR, suite, keys, iv } = keyed;
  for (const word of [errorNotify(NOTIFY["AUTHENTICATION-FAILED"], null), deleteIke(cookieI, cookieR)]) {
    const messageId = random32(core, 1);
    const chain = { cipher: suite.encryption, key: keys.cipher, iv: phase2Iv(core.crypto, suite, iv, messageId) };
    send(core, n.path, sealHashed(core, keyed, chain, messageId, EXCHANGE.Informational, [word]).bytes);
  }
}

/** An encrypted Informational message for a negotiation of ours: after our message 5 the peer may say that it does not believe us. */
export function hearRefused(core: Core, n: Negotiation, header: Header, bytes: Uint8Array): void {
  const { state } = n;
  if (state.kind !== "auth-sent" || header.messageId === 0) return count(core, "phase 2 before phase 1");
  const notify = refusalIn(core, state, header, bytes);
  if (!notify) return count(core, "informational before its time");
  const name = notifyName(notify);
  const what = `${peerName(n.path)} refuses our proof (${methodName(state.auth.entry)}): ${name}`;
  const error: IkeError = { kind: "proof-refused", what };
  n.lastError = error;
  logError(core, "notify.received", peerName(n.path), error, ikeFields(n));
  for (const wish of n.wishes) tell(core, wish.watchers, what);
  if (!offerNext(core, n, error, state.auth)) giveUp(core, n);
}

/** The error that an authentic message reports, or undefined. */
function refusalIn(core: Core, state: AuthSent, header: Header, bytes: Uint8Array): Body<"notify"> | undefined {
  const { suite, keys, iv } = state;
  const chain = { cipher: suite.encryption, key: keys.cipher, iv: phase2Iv(core.crypto, suite, iv, header.messageId) };
  const opened = open(core.crypto, chain, header, bytes);
  if (!opened.ok || checkHashed(core, state, header.messageId, opened.value.payloads, opened.value.plain)) return undefined;
  const notify = opened.value.payloads.find((one) => one.name === "notify");
  return notify?.name === "notify" && isRefusal(notify.value) ? notify.value : undefined;
}
