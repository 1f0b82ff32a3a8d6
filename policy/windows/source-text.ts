/**
 * From the octets of a script to its text: scripts come as UTF-8, as UTF-16 from PowerShell and regedit, and in code pages.
 */
import { err, ok, type Result } from "../../isakmp/result.ts";

export interface DecodedScript {
  readonly text: string;
  /** It is no UTF-8, and nobody said what it is. */
  readonly guessed: boolean;
}

const GUESSED = "windows-1252";

/** Octets of a script that are read; policies are a few hundred lines. */
export const LARGEST_SCRIPT = 8 * 2 ** 20;

/**
 * Decodes a script: by its byte order mark, by `encoding` where given, else as UTF-8, and where that fails as Windows-1252.
 * Errors name the encoding, or the size in octets.
 */
export function decodeScript(bytes: Uint8Array, encoding: string | undefined): Result<DecodedScript, string> {
  if (bytes.length > LARGEST_SCRIPT) return err(`${bytes.length} octets; at most ${LARGEST_SCRIPT} are read`);
  const marked = MARKS.find(({ mark }) => mark.every((octet, i) => bytes[i] === octet));
  const label = marked?.label ?? encoding ?? wideness(bytes);
  if (label !== undefined) {
    const decoded = decode(bytes, label);
    return decoded.ok ? ok({ ...decoded.value, guessed: false }) : decoded;
  }
  const utf8 = decode(bytes, "utf-8");
  return utf8.ok ? utf8 : decode(bytes, GUESSED);
}

const MARKS = [
  { mark: [0xef, 0xbb, 0xbf], label: "utf-8" },
  { mark: [0xff, 0xfe], label: "utf-16le" },
  { mark: [0xfe, 0xff], label: "utf-16be" },
] as const;

/** Text in 16 bits without a mark: line ends and ASCII have a zero on one side, and nothing has one on the other. */
function wideness(bytes: Uint8Array): "utf-16le" | "utf-16be" | undefined {
  const start = bytes.subarray(0, Math.min(bytes.length & ~1, 4096));
  const zeros = [0, 0];
  for (const [i, octet] of start.entries()) if (octet === 0) zeros[i & 1] = (zeros[i & 1] as number) + 1;
  const [even = 0, odd = 0] = zeros;
  if (Math.max(even, odd) * 8 < start.length || Math.min(even, odd) > 0) return undefined;
  return odd > 0 ? "utf-16le" : "utf-16be";
}

function decode(bytes: Uint8Array, label: string): Result<DecodedScript, string> {
  try {
    return ok({ text: new TextDecoder(label, { fatal: true }).decode(bytes), guessed: label === GUESSED });
  } catch {
    return err(`not readable as ${label}`);
  }
}
