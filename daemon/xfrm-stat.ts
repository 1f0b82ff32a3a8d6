/**
 * /proc/net/xfrm_stat: what the kernel's IPsec dropped, by cause, since the machine started; and a log record when that grows.
 */
import { readFileSync } from "node:fs";
import { KERNEL_DROPS } from "../ike/statistics-table.ts";
import type { DaemonEventName, Log } from "./log.ts";

const FILE = "/proc/net/xfrm_stat";

/** Counters by the kernel's names; null where this kernel does not count (CONFIG_XFRM_STATISTICS). */
export function readXfrmStat(file = FILE): ReadonlyMap<string, number> | null {
  try {
    return parseXfrmStat(readFileSync(file, "utf8"));
  } catch {
    return null;
  }
}

/** Lines of a name, blanks, and a number; others are passed over. */
export function parseXfrmStat(text: string): ReadonlyMap<string, number> {
  const lines = text.split("\n").map((line) => /^(Xfrm\w+)\s+(\d+)$/.exec(line.trim()));
  return new Map(lines.flatMap((match) => (match ? [[match[1] as string, Number(match[2])] as const] : [])));
}

/** Which event each cause is, and what helps against it. */
const TOLD: readonly (readonly [cause: string, event: DaemonEventName, what: string, hint: string])[] = [
  [
    "bad_spi",
    "drop.bad-spi",
    "had an SPI that the kernel does not know",
    "a peer that restarted, or kept an old SA: `mainmode status`, and there",
  ],
  [
    "auth_or_decrypt",
    "drop.integrity",
    "had a wrong check value",
    "the packets were changed on their way, or the keys differ: terminate the SA",
  ],
  [
    "replay",
    "drop.replay",
    "were replayed or came too late",
    "packets are reordered or repeated on their way: quality of service, or an attack",
  ],
  [
    "cleartext",
    "drop.cleartext",
    "were in clear, or not protected as the policy wants",
    "give the sender a rule for us, or exempt that traffic",
  ],
];

/** Logs what was dropped since the last look. The first look only remembers. */
export function dropWatch(log: Log, read: () => ReadonlyMap<string, number> | null = readXfrmStat): () => void {
  let before: ReadonlyMap<string, number> | null = null;
  return () => {
    const now = read();
    if (now && before)
      for (const [cause, event, what, hint] of TOLD) {
        const grown = total(now, cause) - total(before, cause);
        if (grown > 0)
          log({
            event,
            level: "warning",
            text: `${grown} packets that came in ${what}; the kernel dropped them`,
            failurePoint: "peer",
            reason: event,
            hint,
          });
      }
    before = now;
  };
}

const total = (counters: ReadonlyMap<string, number>, cause: string): number =>
  (KERNEL_DROPS[cause] ?? []).reduce((sum, name) => sum + (counters.get(name) ?? 0), 0);
