/**
 * Octets of a child process to lines of text. `ip` prints keys in some of its answers, so lines that hold one never become text.
 * Invariant: memory is bounded whatever comes: a line longer than the limit is dropped to its end.
 */

/** Longest line kept, in octets; the longest that `ip xfrm` prints is about 200, a key line about 180. */
const LIMIT = 1024;

export interface LineReader {
  /** Takes the next octets and returns the lines that they complete, without line ends. Fills `chunk` with zeros. */
  push(chunk: Uint8Array): readonly string[];
}

/** A reader of ASCII lines that drops those of `ip xfrm state` which carry keys (auth, auth-trunc, enc, aead, comp). */
export function lineReader(): LineReader {
  /** The line that the last chunk left open. One octet over the limit says that it is too long. */
  const open = Buffer.alloc(LIMIT + 1);
  let length = 0;
  const keep = (octets: Buffer, from: number, to: number): void => {
    length += octets.copy(open, length, from, to);
  };
  return {
    push(chunk) {
      const lines: string[] = [];
      const octets = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
      let from = 0;
      for (let to = octets.indexOf(LINE_FEED); to >= 0; to = octets.indexOf(LINE_FEED, from)) {
        if (length > 0) keep(octets, from, to);
        const line = length > 0 ? textOf(open, 0, length) : textOf(octets, from, to);
        if (line !== undefined) lines.push(line);
        open.fill(0, 0, length);
        length = 0;
        from = to + 1;
      }
      keep(octets, from, octets.length);
      octets.fill(0);
      return lines;
    },
  };
}

const [LINE_FEED, SPACE, TAB] = [0x0a, 0x20, 0x09];
const KEY_WORDS = ["auth ", "auth-trunc ", "enc ", "aead ", "comp "].map((word) => Buffer.from(word, "latin1"));

/** A line as text; undefined where it is too long, or where its first word says that a key follows. */
function textOf(octets: Buffer, from: number, to: number): string | undefined {
  let start = from;
  while (start < to && (octets[start] === SPACE || octets[start] === TAB)) start++;
  const startsWith = (word: Buffer): boolean =>
    octets[start] === word[0] && start + word.length <= to && octets.compare(word, 0, word.length, start, start + word.length) === 0;
  return to - from > LIMIT || KEY_WORDS.some(startsWith) ? undefined : octets.toString("latin1", from, to);
}
