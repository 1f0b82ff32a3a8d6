/**
 * Finds the keys of phase 1 in charon's log, at level 4 of `ike` and 2 of `mgr`: a thread first says which IKE SA it takes up for
 * a message, by its cookies, and then shows the key that the message made it derive.
 */

/** Initiator cookie to encryption key, both in hexadecimal. */
export function charonKeys(log: string): ReadonlyMap<string, string> {
  const keys = new Map<string, string>();
  const cookies = new Map<string, string>();
  /** The cookie whose key a thread is printing, 16 octets a line. Threads take turns. */
  const printing = new Map<string, string>();
  for (const line of log.split("\n")) {
    const [, thread = "", text = ""] = /^\S+ (\d+)\[(?:IKE|MGR)\] (.*)$/.exec(line) ?? [];
    const checkout = /^checkout IKEv1 SA .*with SPIs ([0-9a-f]{16})_i/.exec(text);
    const octets = /^\s+\d+: ((?:[0-9A-F]{2} ){1,16})/.exec(text)?.[1];
    if (checkout) cookies.set(thread, checkout[1] ?? "");
    const cookie = printing.get(thread);
    if (octets === undefined) printing.delete(thread);
    else if (cookie !== undefined) keys.set(cookie, `${keys.get(cookie) ?? ""}${octets.replaceAll(" ", "").toLowerCase()}`);
    if (!/^encryption key Ka => \d+ bytes/.test(text)) continue;
    const begun = cookies.get(thread);
    if (begun !== undefined) printing.set(thread, begun);
  }
  return keys;
}
