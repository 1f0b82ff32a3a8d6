/**
 * Windows' notifies (MS-IKEE §2.2.6): NOTIFY_STATUS says with a number of Windows' why it failed, and what is said about a Quick Mode may end in
 * its message id, where others have its SPI at most.
 */
import { NOTIFY } from "../isakmp/numbers.ts";
import type { Body } from "../isakmp/payloads.ts";
import { nameOf } from "../isakmp/registry.ts";

type Notify = Body<"notify">;

/** Windows' words for what goes wrong in a negotiation (winerror.h). */
const STATUS: Readonly<Record<number, string>> = {
  13801: "ERROR_IPSEC_IKE_AUTH_FAIL",
  13802: "ERROR_IPSEC_IKE_ATTRIB_FAIL",
  13803: "ERROR_IPSEC_IKE_NEGOTIATION_PENDING",
  13804: "ERROR_IPSEC_IKE_GENERAL_PROCESSING_ERROR",
  13805: "ERROR_IPSEC_IKE_TIMED_OUT",
  13806: "ERROR_IPSEC_IKE_NO_CERT",
  13807: "ERROR_IPSEC_IKE_SA_DELETED",
  13808: "ERROR_IPSEC_IKE_SA_REAPED",
  13868: "ERROR_IPSEC_IKE_POLICY_MATCH",
};

/** Whether a notify refuses something: the error types of RFC 2408 §3.14.1, or a status of Windows' that is an error. */
export const isRefusal = (notify: Notify): boolean =>
  notify.type < NOTIFY.CONNECTED || (notify.type === NOTIFY.NOTIFY_STATUS && statusOf(notify) !== 0);

/** A notify by its name, Windows' with what the number means. */
export function notifyName(notify: Notify): string {
  const name = nameOf(NOTIFY, notify.type);
  const status = notify.type === NOTIFY.NOTIFY_STATUS ? statusOf(notify) : undefined;
  return status === undefined ? name : `${name} ${STATUS[status] ?? ""}${STATUS[status] ? " " : ""}(Windows error ${status})`;
}

function statusOf({ data }: Notify): number | undefined {
  return data.length < 4 ? undefined : new DataView(data.buffer, data.byteOffset, 4).getUint32(0);
}

/** Which of the Quick Modes under way (by message id) a notify names: behind the SPI, or at the end of the data. */
export function namedExchange(notify: Notify, isOpen: (messageId: number) => boolean): number | undefined {
  const tails = [notify.spi.length === 8 ? notify.spi : undefined, notify.data.length >= 4 ? notify.data : undefined];
  for (const tail of tails) {
    if (!tail) continue;
    const messageId = new DataView(tail.buffer, tail.byteOffset + tail.length - 4, 4).getUint32(0);
    if (isOpen(messageId)) return messageId;
  }
  return undefined;
}
