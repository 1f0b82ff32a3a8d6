/**
 * What a restart needs to know, as records: each says what a part of an owner ("ike 7", "child 12", "policy …") is from now on, or that
 * it is gone. The last word about each part is the image that a start begins with. Secrets travel as octets, never as text.
 */
export interface JournalRecord {
  readonly owner: string;
  /** null: everything of the owner is gone. */
  readonly part: string | null;
  readonly value: JournalValue;
  /** Keys; whoever writes the record wipes them afterwards. */
  readonly secret: Uint8Array | null;
}

/** What JSON can hold. */
export type JournalValue = null | boolean | number | string | readonly JournalValue[] | { readonly [key: string]: JournalValue };

/** The last word about every part, by owner and part, in the order in which owners first came. */
export type JournalImage = ReadonlyMap<string, ReadonlyMap<string, JournalPart>>;

export interface JournalPart {
  readonly value: JournalValue;
  readonly secret: Uint8Array | null;
}

/** Plays records, oldest first. A secret that a later record replaces is wiped. */
export function playJournal(records: Iterable<JournalRecord>): JournalImage {
  const image = new Map<string, Map<string, JournalPart>>();
  for (const { owner, part, value, secret } of records) {
    const parts = image.get(owner);
    if (part === null) {
      for (const old of parts?.values() ?? []) old.secret?.fill(0);
      image.delete(owner);
      continue;
    }
    parts?.get(part)?.secret?.fill(0);
    if (parts) parts.set(part, { value, secret });
    else image.set(owner, new Map([[part, { value, secret }]]));
  }
  return image;
}

/** Wipes the keys of an image that is not used any more. */
export function destroyImage(image: JournalImage): void {
  for (const parts of image.values()) for (const { secret } of parts.values()) secret?.fill(0);
}
