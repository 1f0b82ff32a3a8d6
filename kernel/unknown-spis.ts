/**
 * Packets that came with an SPI that no SA has: the kernel counts them and tells nobody, so that its count is read from time to time.
 * Anybody can send such packets; a peer that goes on with what we have no more does too.
 */
import { readFile } from "node:fs/promises";

export interface UnknownSpisOptions {
  /** More have come since the last look. */
  readonly onMore: (packets: number) => void;
  readonly file?: string;
  /** Milliseconds between two looks. */
  readonly everyMs?: number;
}

export interface UnknownSpis {
  close(): void;
}

const STATISTICS = "/proc/net/xfrm_stat";
const EVERY_MS = 10_000;

/** Looks until it is closed. What was counted before the first look is nobody's business; a kernel that does not count is not asked again. */
export function watchUnknownSpis({ onMore, file = STATISTICS, everyMs = EVERY_MS }: UnknownSpisOptions): UnknownSpis {
  let known: number | undefined;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;
  const look = async (): Promise<void> => {
    const found = unknownSpisIn(await readFile(file, "latin1").catch(() => ""));
    if (closed || found === undefined) return;
    if (known !== undefined && found > known) onMore(found - known);
    known = found;
    timer = setTimeout(() => void look(), everyMs).unref();
  };
  void look();
  return {
    close() {
      closed = true;
      clearTimeout(timer);
    },
  };
}

/** The kernel's count in the text of /proc/net/xfrm_stat. */
export function unknownSpisIn(text: string): number | undefined {
  const count = /^XfrmInNoStates\s+(\d+)$/m.exec(text)?.[1];
  return count === undefined ? undefined : Number(count);
}
