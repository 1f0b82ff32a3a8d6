/**
 * The guides of docs/ as data: files that they show and commands that they run, each with the host that it is for, in order.
 * A block says it behind its language: `console a`, `console a,b`, `toml a:/etc/mainmode/mainmode.toml`.
 */

export interface Command {
  readonly kind: "command";
  readonly hosts: readonly string[];
  readonly text: string;
  /** What the guide shows of its output. */
  readonly shown: readonly string[];
  /** Line of the guide where it stands, from 0. */
  readonly line: number;
}

export interface File {
  readonly kind: "file";
  readonly host: string;
  readonly path: string;
  readonly text: string;
}

export interface Block {
  /** The word behind the fence, and the rest of its line. */
  readonly language: string;
  readonly info: string;
  readonly text: string;
  /** Line of its first line, from 0. */
  readonly line: number;
  /** The comment in front of it: why no guide runs it. */
  readonly excuse: string | undefined;
}

/** The fenced blocks of a page. */
export function blocksOf(page: string): readonly Block[] {
  const lines = page.split("\n");
  const found: Block[] = [];
  for (let i = 0; i < lines.length; i++) {
    const [, fence, language = "", info = ""] = /^(```)(\S*) ?(.*)$/.exec(lines[i] ?? "") ?? [];
    if (!fence) continue;
    const start = i + 1;
    while (++i < lines.length && lines[i] !== "```");
    const excuse = /^<!-- ((?:not )?run\b.*) -->$/.exec(lines[start - 2] ?? "")?.[1];
    found.push({ language, info, text: lines.slice(start, i).join("\n"), line: start, excuse });
  }
  return found;
}

/** What a guide does, in its order. */
export const stepsOf = (page: string): readonly (Command | File)[] =>
  blocksOf(page).flatMap((block): readonly (Command | File)[] => (block.language === "console" ? commandsOf(block) : fileOf(block)));

function commandsOf({ info, text, line }: Block): readonly Command[] {
  const found: { text: string; shown: string[]; line: number }[] = [];
  for (const [i, row] of text.split("\n").entries()) {
    if (/^[#$] /.test(row)) found.push({ text: row.slice(2), shown: [], line: line + i });
    else found.at(-1)?.shown.push(row);
  }
  const hosts = info === "" ? [] : info.split(",");
  return hosts.length === 0 ? [] : found.map((command) => ({ kind: "command", hosts, ...command }));
}

function fileOf({ info, text }: Block): readonly File[] {
  const [, host, path] = /^(\w+):(\/\S+)$/.exec(info) ?? [];
  return host && path ? [{ kind: "file", host, path, text: `${text}\n` }] : [];
}

/** Text in which what differs from run to run is alike: numbers, times, repeats of a message. Addresses stay, columns may be wider. */
export const alike = (lines: readonly string[]): string =>
  lines
    .filter((line) => !line.startsWith("no answer yet"))
    .join("\n")
    .trimEnd()
    .replace(/\b\d+(?:\.\d+){3}\b/g, (address) => address.replace(/\d/g, (digit) => "abcdefghij"[Number(digit)] ?? ""))
    .replace(/0x[0-9a-f]+/g, "0x#")
    .replace(/\b(?:\d+ h(?: \d+ min)?|\d+ min(?: \d+ s)?|\d+ s)\b/g, "TIME")
    .replace(/\d+(?:\.\d+)?/g, "#")
    .replace(/[ \t]+/g, " ")
    .replace(/ $/gm, "");
