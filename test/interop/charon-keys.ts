/**
 * Finds the keys of phase 1 in charon's log at level 4 of `ike`: there, "encryption key Ka" is followed, in the same thread, by
 * the octets that NAT detection hashes, which begin with the two cookies (RFC 3947 §3.2).
 */

/** Initiator cookie to encryption key, both in hexadecimal. */
export function charonKeys(log: string): ReadonlyMap<string, string> {
  const keys = new Map<string, string>();
  const pending = new Map<string, string>();
  for (const { thread, name, hex } of dumps(log)) {
    const key = pending.get(thread);
    if (name === "encryption key Ka") pending.set(thread, hex);
    if (name !== "natd_chunk" || key === undefined) continue;
    keys.set(hex.slice(0, 16), key);
    pending.delete(thread);
  }
  return keys;
}

interface Dump {
  readonly thread: string;
  readonly name: string;
  readonly hex: string;
}

/** The values that the log shows octet by octet, each a line that names it and lines of 16 octets. Threads take turns. */
function dumps(log: string): readonly Dump[] {
  const found: { thread: string; name: string; hex: string }[] = [];
  const open = new Map<string, { thread: string; name: string; hex: string }>();
  for (const line of log.split("\n")) {
    const [, thread = "", text = ""] = /^\S+ (\d+)\[IKE\] (.*)$/.exec(line) ?? [];
    const name = /^(.*) => \d+ bytes @/.exec(text)?.[1];
    const octets = /^\s+\d+: ((?:[0-9A-F]{2} ){1,16})/.exec(text)?.[1];
    const dump = open.get(thread);
    if (name !== undefined) {
      const begun = { thread, name, hex: "" };
      open.set(thread, begun);
      found.push(begun);
    } else if (octets !== undefined && dump) {
      dump.hex += octets.replaceAll(" ", "").toLowerCase();
    }
  }
  return found;
}
