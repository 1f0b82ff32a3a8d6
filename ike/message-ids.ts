/**
 * Message ids of phase 2: each begins one exchange under an IKE SA, once (RFC 2408 §3.1), which is also what makes replays harmless.
 * Probes of dead peer detection come all day long and would fill any table: their own sequence numbers keep them apart (RFC 3706 §6).
 */

import { NOTIFY } from "../isakmp/numbers.ts";
import type { Payload } from "../isakmp/payloads.ts";
import type { IkeSa } from "../sa-store/ike-sa.ts";
import { type Core, random32 } from "./core.ts";

/** Ids that an IKE SA remembers before nothing of ours begins under it any more, and before the peer is not listened to. */
const MOST_OF_OURS = 16_384;
const MOST = 65_536;

/** Whether we may begin one more exchange under an IKE SA. */
export const hasIdsForUs = (ike: IkeSa): boolean => ike.usedMessageIds.size < MOST_OF_OURS;
/** Whether the peer may begin one more. */
export const hasIdsForPeer = (ike: IkeSa): boolean => ike.usedMessageIds.size < MOST;

/** A message id that this SA has not seen; it is remembered unless the message is a mere answer to a probe. */
export function newMessageId(core: Core, ike: IkeSa, remember = true): number {
  for (;;) {
    const id = random32(core, 1);
    if (ike.usedMessageIds.has(id)) continue;
    if (remember) core.store.useMessageId(ike, id);
    return id;
  }
}

/** What an authentic Informational message with a new id is: `probe` for R-U-THERE alone, `answer` for R-U-THERE-ACK alone. */
export function probeKind(payloads: readonly Payload[]): "probe" | "answer" | undefined {
  const [, notify] = payloads;
  if (payloads.length !== 2 || notify?.name !== "notify" || notify.value.data.length !== 4) return undefined;
  if (notify.value.type === NOTIFY["R-U-THERE"]) return "probe";
  return notify.value.type === NOTIFY["R-U-THERE-ACK"] ? "answer" : undefined;
}

/** Whether a probe is not older than the last one, and no repetition of it; if so it is the last one from now on. */
export function isFreshProbe(ike: IkeSa, messageId: number, data: Uint8Array): boolean {
  const sequence = new DataView(data.buffer, data.byteOffset, 4).getUint32(0);
  const last = ike.lastProbe;
  // The numbers may come round: whatever lies within half of them ahead is newer.
  const ahead = last === null ? 1 : (sequence - last.sequence) | 0;
  if (ahead < 0 || (ahead === 0 && last?.messageId === messageId)) return false;
  ike.lastProbe = { sequence, messageId };
  return true;
}
