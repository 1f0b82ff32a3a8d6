/**
 * What changed in the tables while one input was handled: the journal writes it down before any effect of that input is carried out.
 */
import type { ChildSa } from "./child-sa.ts";
import type { IkeSa } from "./ike-sa.ts";
import type { JournalValue } from "./journal-record.ts";

export class Changes {
  /** SAs that came, or that are not what they were. */
  readonly ikes = new Set<IkeSa>();
  readonly children = new Set<ChildSa>();
  /** Message ids that were used up, with the SA that they belong to. */
  readonly messageIds: (readonly [IkeSa, number])[] = [];
  /** Other owners that came, with what is written of them. */
  readonly came = new Map<string, JournalValue>();
  /** Owners of the journal that are gone. */
  readonly gone = new Set<string>();

  clear(): void {
    if (this.ikes.size > 0) this.ikes.clear();
    if (this.children.size > 0) this.children.clear();
    if (this.messageIds.length > 0) this.messageIds.length = 0;
    if (this.came.size > 0) this.came.clear();
    if (this.gone.size > 0) this.gone.clear();
  }
}

/** Names of owners in the journal. */
export const ownerOf = {
  ike: (id: number): string => `ike ${id}`,
  child: (id: number): string => `child ${id}`,
  guard: (id: number): string => `guard ${id}`,
};
