/**
 * What changed in the tables while one input was handled: the journal writes it down before any effect of that input is carried out.
 */
import type { ChildSa } from "./child-sa.ts";
import type { IkeSa } from "./ike-sa.ts";
import type { JournalValue } from "./journal-record.ts";

export class Changes {
  /** SAs that came, or that are not what they were. */
  ikes: Set<IkeSa> = new Set();
  /** Children that came, and those of which something is different now that may change in a child's life. */
  children: Set<ChildSa> = new Set();
  touched: Set<ChildSa> = new Set();
  /** Message ids that were used up, with the SA that they belong to. */
  messageIds: (readonly [IkeSa, number])[] = [];
  /** Other owners that came, with what is written of them. */
  came: Map<string, JournalValue> = new Map();
  /** Owners of the journal that are gone. */
  gone: Set<string> = new Set();

  /** New ones, and not the same ones emptied: in V8 what a Set held before stays reachable from it until the next full collection. */
  clear(): void {
    if (this.ikes.size > 0) this.ikes = new Set();
    if (this.children.size > 0) this.children = new Set();
    if (this.touched.size > 0) this.touched = new Set();
    if (this.messageIds.length > 0) this.messageIds = [];
    if (this.came.size > 0) this.came = new Map();
    if (this.gone.size > 0) this.gone = new Set();
  }
}

/** Names of owners in the journal. */
export const ownerOf = {
  ike: (id: number): string => `ike ${id}`,
  child: (id: number): string => `child ${id}`,
  guard: (id: number): string => `guard ${id}`,
  /** A peer that speaks IKE, by both addresses. */
  spoke: (addresses: string): string => `spoke ${addresses}`,
};
