/**
 * From the octets of a script to its text: scripts come as UTF-8, as UTF-16 from PowerShell and regedit, and in code pages.
 */
import { err, ok, type Result } from "../../isakmp/result.ts";

/** Octets of a script that are read; policies are a few hundred lines. */
export const LARGEST_SCRIPT = 8 * 2 ** 20;

/**
 * Decodes a script: by its byte order mark, by `encoding` where given, else as UTF-8, and where that fails as Windows-1252.
 * Errors name the encoding, or the size in octets.
 */
export function decodeScript(bytes: Uint8Array, encoding: string | undefined): Result<string, string> {
  if (bytes.length > LARGEST_SCRIPT) return err(`${bytes.length} octets; at most ${LARGEST_SCRIPT} are read`);
  const marked = MARKS.find(({ mark }) => mark.every((octet, i) => bytes[i] === octet));
  const label = marked?.label ?? encoding ?? (looksWide(bytes) ? "utf-16le" : undefined);
  if (label !== undefined) return decode(bytes, label);
  const utf8 = decode(bytes, "utf-8");
  return utf8.ok ? utf8 : decode(bytes, "windows-1252");
}

const MARKS = [
  { mark: [0xef, 0xbb, 0xbf], label: "utf-8" },
  { mark: [0xff, 0xfe], label: "utf-16le" },
  { mark: [0xfe, 0xff], label: "utf-16be" },
] as const;

/** ASCII in 16 bits without a mark: every second octet is zero. */
const looksWide = (bytes: Uint8Array): boolean => {
  const start = bytes.subarray(0, 64);
  return start.length >= 4 && start.every((octet, i) => (i % 2 === 1 ? octet === 0 : octet !== 0));
};

function decode(bytes: Uint8Array, label: string): Result<string, string> {
  try {
    return ok(new TextDecoder(label, { fatal: true }).decode(bytes));
  } catch {
    return err(`not readable as ${label}`);
  }
}
