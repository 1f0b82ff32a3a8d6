/**
 * Where things stand in a TOML text: the parser gives values without positions, and an error without its line helps nobody.
 * Works on texts that the parser has accepted; on others it gives whatever it found before the first surprise.
 * Invariant: every key, table, array element and value of the document has a node, in the parser's own structure.
 */

/** A place in a text. Both count from 1; columns are UTF-16 units, as the parser's own errors count them. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** Keys of tables and indexes of arrays, from the root. */
export type KeyPath = readonly (string | number)[];

/** One key or element: offsets of its key (of its value, where it has none) and of its value. */
export interface Located {
  readonly key: number;
  readonly value: number;
  readonly children: ReadonlyMap<string | number, Located>;
}

export interface Locator {
  /** The position of the key or value at `path`; of the nearest enclosing one where the path does not exist. */
  readonly find: (path: KeyPath, part: "key" | "value") => Position;
  /** Line and column of an offset in the text. */
  readonly position: (offset: number) => Position;
  readonly root: Located;
}

/** Scans `text` once. Never throws. */
export function locate(text: string): Locator {
  const root = node(0, 0);
  const scanner: Scanner = { text, at: text.charCodeAt(0) === 0xfeff ? 1 : 0 };
  let table = root;
  for (skipBlank(scanner, true); scanner.at < text.length; skipBlank(scanner, true)) {
    const before = scanner.at;
    if (text[scanner.at] === "[") table = header(scanner, root);
    else keyValue(scanner, table);
    if (scanner.at === before) break;
  }
  const lines = lineStarts(text);
  const position = (offset: number) => positionOf(lines, offset);
  return { root, position, find: (path, part) => position(offsetOf(root, path, part)) };
}

/** `text` with an `x` for every character of the strings that stand under one of `keys`: whatever else it says stands where it stood. */
export function blankStrings(text: string, { root }: Locator, keys: ReadonlySet<string>): string {
  const starts: number[] = [];
  const visit = ({ children }: Located): void => {
    for (const [key, inner] of children)
      if (typeof key === "string" && keys.has(key)) starts.push(inner.value);
      else visit(inner);
  };
  visit(root);
  const parts: string[] = [];
  let done = 0;
  for (const start of starts.sort((a, b) => a - b)) {
    const quote = text.charAt(start);
    if (quote !== '"' && quote !== "'") continue;
    const scanner: Scanner = { text, at: start };
    quoted(scanner);
    const fence = text.startsWith(quote.repeat(3), start) && scanner.at - start >= 6 ? 3 : 1;
    const end = scanner.at - fence;
    parts.push(text.slice(done, start + fence), text.slice(start + fence, end).replace(/[^\r\n]/g, "x"));
    done = end;
  }
  return [...parts, text.slice(done)].join("");
}

interface Node {
  key: number;
  value: number;
  readonly children: Map<string | number, Node>;
}

interface Scanner {
  readonly text: string;
  at: number;
}

const node = (key: number, value: number): Node => ({ key, value, children: new Map() });

function offsetOf(root: Located, path: KeyPath, part: "key" | "value"): number {
  let at = root;
  for (const step of path) {
    const next = at.children.get(step);
    if (!next) return at.key;
    at = next;
  }
  return part === "key" ? at.key : at.value;
}

/** `[a.b]` or `[[a.b]]`: the table it opens. The position is the first bracket's. */
function header(scanner: Scanner, root: Node): Node {
  const start = scanner.at;
  const isArray = scanner.text.startsWith("[[", start);
  scanner.at += isArray ? 2 : 1;
  const keys = dottedKey(scanner);
  let table = root;
  for (const [i, key] of keys.entries()) {
    const last = i === keys.length - 1;
    if (last && isArray) {
      const list = child(table, key.name, start, start);
      table = child(list, list.children.size, start, start);
    } else table = latest(child(table, key.name, start, start));
  }
  // [a.b] may have come before [a]: the table's own header is its place.
  table.key = table.value = start;
  while (scanner.text[scanner.at] === "]") scanner.at++;
  return table;
}

/** An array of tables stands for its last element in a header. */
function latest(table: Node): Node {
  return table.children.get(table.children.size - 1) ?? table;
}

function child(table: Node, name: string | number, key: number, value: number): Node {
  const known = table.children.get(name);
  if (known) return known;
  const made = node(key, value);
  table.children.set(name, made);
  return made;
}

/** `a.b = value`: every part of a dotted key is a table whose value starts where the dotted key starts. */
function keyValue(scanner: Scanner, table: Node): void {
  const keys = dottedKey(scanner);
  const last = keys.pop();
  if (!last || scanner.text[scanner.at] !== "=") return;
  scanner.at++;
  skipBlank(scanner, false);
  let at = table;
  for (const key of keys) at = child(at, key.name, key.offset, key.offset);
  value(scanner, child(at, last.name, last.offset, scanner.at));
}

/** Reads one value and hangs what is inside it below `into`. */
function value(scanner: Scanner, into: Node): void {
  const first = scanner.text[scanner.at];
  if (first === "[") array(scanner, into);
  else if (first === "{") inlineTable(scanner, into);
  else if (first === '"' || first === "'") quoted(scanner);
  else while (scanner.at < scanner.text.length && !/[,\]}#\r\n]/.test(scanner.text.charAt(scanner.at))) scanner.at++;
}

function array(scanner: Scanner, into: Node): void {
  scanner.at++;
  for (let index = 0; ; index++) {
    skipBlank(scanner, true);
    if (ends(scanner, "]")) return;
    value(scanner, child(into, index, scanner.at, scanner.at));
    skipBlank(scanner, true);
    if (scanner.text[scanner.at] === ",") scanner.at++;
    else {
      if (!ends(scanner, "]")) stop(scanner);
      return;
    }
  }
}

/** Line breaks and trailing commas are allowed inside, as in TOML 1.1: being tolerant costs nothing here. */
function inlineTable(scanner: Scanner, into: Node): void {
  scanner.at++;
  for (;;) {
    skipBlank(scanner, true);
    if (ends(scanner, "}")) return;
    const before = scanner.at;
    keyValue(scanner, into);
    skipBlank(scanner, true);
    if (scanner.text[scanner.at] === ",") scanner.at++;
    else {
      if (!ends(scanner, "}") || scanner.at === before) stop(scanner);
      return;
    }
  }
}

/** Steps over the closing bracket; the end of the text closes everything. */
function ends(scanner: Scanner, bracket: string): boolean {
  if (scanner.at >= scanner.text.length) return true;
  if (scanner.text[scanner.at] !== bracket) return false;
  scanner.at++;
  return true;
}

/** A text that the parser would have refused: no more positions. */
function stop(scanner: Scanner): void {
  scanner.at = scanner.text.length;
}

interface Key {
  readonly name: string;
  readonly offset: number;
}

/** `a . "b c" . 'd'`, with the blanks round it. Empty where no key stands. */
function dottedKey(scanner: Scanner): Key[] {
  const keys: Key[] = [];
  for (;;) {
    skipBlank(scanner, false);
    const offset = scanner.at;
    const first = scanner.text[offset];
    if (first === '"' || first === "'") keys.push({ name: quoted(scanner), offset });
    else {
      while (/[A-Za-z0-9_-]/.test(scanner.text.charAt(scanner.at))) scanner.at++;
      if (scanner.at === offset) return keys;
      keys.push({ name: scanner.text.slice(offset, scanner.at), offset });
    }
    skipBlank(scanner, false);
    if (scanner.text[scanner.at] !== ".") return keys;
    scanner.at++;
  }
}

/** Steps over a string of any of the four kinds; gives its text, right for keys (which have one line). */
function quoted(scanner: Scanner): string {
  const { text } = scanner;
  const quote = text.charAt(scanner.at);
  const fence = text.startsWith(quote.repeat(3), scanner.at) ? quote.repeat(3) : quote;
  const start = scanner.at + fence.length;
  let at = start;
  while (at < text.length && !text.startsWith(fence, at)) at += quote === '"' && text[at] === "\\" ? 2 : 1;
  // Up to two more quotes before the fence belong to a long string: """a"""" ends with a quote.
  if (fence.length === 3) for (let i = 0; i < 2 && text[at + 3] === quote; i++) at++;
  scanner.at = Math.min(at + fence.length, text.length);
  const inner = text.slice(start, at);
  return quote === '"' ? readEscapes(inner) : inner;
}

const ESCAPES: Readonly<Record<string, string>> = { b: "\b", t: "\t", n: "\n", f: "\f", r: "\r", e: "\u001b" };

const readEscapes = (text: string): string =>
  text.replace(/\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|x([0-9a-fA-F]{2})|(.))/g, (_, short, long, byte, single) => {
    const hex = short ?? long ?? byte;
    if (hex === undefined) return ESCAPES[single] ?? single;
    const code = Number.parseInt(hex, 16);
    return code <= 0x10ffff ? String.fromCodePoint(code) : "";
  });

/** Blanks; with `lines` also line ends and comments. */
function skipBlank(scanner: Scanner, lines: boolean): void {
  const { text } = scanner;
  for (; scanner.at < text.length; scanner.at++) {
    const char = text.charAt(scanner.at);
    if (char === " " || char === "\t") continue;
    if (!lines) return;
    if (char === "#") while (scanner.at + 1 < text.length && text[scanner.at + 1] !== "\n") scanner.at++;
    else if (char !== "\n" && char !== "\r") return;
  }
}

function lineStarts(text: string): readonly number[] {
  const starts = [0];
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) starts.push(at + 1);
  return starts;
}

function positionOf(lines: readonly number[], offset: number): Position {
  let [low, high] = [0, lines.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((lines[middle] ?? 0) <= offset) low = middle;
    else high = middle - 1;
  }
  return { line: low + 1, column: offset - (lines[low] ?? 0) + 1 };
}
