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
  const partial = new Uint8Array(LIMIT);
  let length = 0;
  return {
    push(chunk) {
      const lines: string[] = [];
      for (const octet of chunk) {
        if (octet !== LINE_FEED) {
          if (length < LIMIT) partial[length] = octet;
          length++;
          continue;
        }
        const line = partial.subarray(0, length);
        if (length <= LIMIT && !holdsKey(line)) lines.push(String.fromCharCode(...line));
        line.fill(0);
        length = 0;
      }
      chunk.fill(0);
      return lines;
    },
  };
}

const [LINE_FEED, SPACE, TAB] = [0x0a, 0x20, 0x09];
const KEY_WORDS = ["auth", "auth-trunc", "enc", "aead", "comp"].map((word) => Uint8Array.from(`${word} `, (c) => c.charCodeAt(0)));

/** Whether the first word of a line says that the second or third is a key. */
function holdsKey(line: Uint8Array): boolean {
  let start = 0;
  while (line[start] === SPACE || line[start] === TAB) start++;
  return KEY_WORDS.some((word) => word.every((octet, i) => line[start + i] === octet));
}
