/**
 * Registry exports as text (`.reg`): keys in brackets, values of strings, numbers and octets, long ones continued with a backslash.
 */
import type { Findings, Place } from "./diagnostics.ts";

export type RegistryValue =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "texts"; readonly texts: readonly string[] }
  | { readonly kind: "number"; readonly number: number }
  | { readonly kind: "octets"; readonly octets: Uint8Array };

export interface RegistryKey extends Place {
  /** Full path, as written. */
  readonly path: string;
  /** By name in lower case. */
  readonly values: ReadonlyMap<string, RegistryValue>;
}

/** Whether a text is a registry export. */
export const isRegistryFile = (text: string): boolean => /^\s*(Windows Registry Editor Version 5|REGEDIT4)/.test(text);

/** Reads all keys. Lines that are none are reported. */
export function readRegistryFile(text: string, findings: Findings): readonly RegistryKey[] {
  const keys: { path: string; line: number; column: number; values: Map<string, RegistryValue> }[] = [];
  for (const { line, text: whole } of logicalLines(text)) {
    if (whole === "" || whole.startsWith(";") || isRegistryFile(whole)) continue;
    const at = { line, column: 1 };
    const path = /^\[(-?)(.+)\]$/.exec(whole);
    if (path) {
      if (path[1] === "") keys.push({ ...at, path: path[2] as string, values: new Map() });
      continue;
    }
    const [, quotedName, data] = /^(?:"((?:[^"\\]|\\.)*)"|@)\s*=\s*(.*)$/.exec(whole) ?? [];
    const value = data === undefined ? undefined : readData(data);
    const key = keys.at(-1);
    if (!value || !key) findings.say("E_REGISTRY", at, "this is no key and no value");
    else key.values.set(unescaped(quotedName ?? "").toLowerCase(), value);
  }
  return keys;
}

function* logicalLines(text: string): Generator<{ readonly line: number; readonly text: string }> {
  let parts: string[] = [];
  let start = 0;
  for (const [i, raw] of text.split(/\r\n|\n|\r/).entries()) {
    const line = raw.trim();
    if (parts.length === 0) start = i + 1;
    // Only octets are continued: a string may end in a backslash.
    if (line.endsWith("\\") && (parts.length > 0 || /=hex|^[0-9a-f]{2},/i.test(line))) parts.push(line.slice(0, -1));
    else {
      yield { line: start, text: [...parts, line].join("") };
      parts = [];
    }
  }
}

const unescaped = (text: string): string => text.replace(/\\(.)/g, "$1");

const [REG_EXPAND_SZ, REG_MULTI_SZ, REG_SZ] = ["2", "7", "1"];

function readData(data: string): RegistryValue | undefined {
  const text = /^"((?:[^"\\]|\\.)*)"$/.exec(data);
  if (text) return { kind: "text", text: unescaped(text[1] as string) };
  const number = /^dword:([0-9a-f]{1,8})$/i.exec(data);
  if (number) return { kind: "number", number: Number.parseInt(number[1] as string, 16) };
  const hex = /^hex(?:\(([0-9a-f]+)\))?:((?:[0-9a-f]{2}(?:,|$))*)$/i.exec(data.replace(/\s+/g, ""));
  if (!hex) return undefined;
  const octets = Uint8Array.from(
    (hex[2] as string).split(",").filter((pair) => pair !== ""),
    (pair) => Number.parseInt(pair, 16),
  );
  const type = hex[1];
  if (type === REG_MULTI_SZ)
    return {
      kind: "texts",
      texts: wideText(octets)
        .split("\0")
        .filter((one) => one !== ""),
    };
  if (type === REG_SZ || type === REG_EXPAND_SZ) return { kind: "text", text: wideText(octets).replace(/\0+$/, "") };
  return { kind: "octets", octets };
}

/** Text of 16-bit units, little-endian. */
export const wideText = (octets: Uint8Array): string => new TextDecoder("utf-16le").decode(octets);
