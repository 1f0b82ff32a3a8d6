/**
 * A configuration of several files: mainmode.toml and, in the order of their names, the files of conf.d beside it. Later files win key by
 * key; their rules and manual SAs are added, and a rule (or SA) whose name is there already replaces the one before, as a whole.
 */
import type { KnownKeys } from "./auth-entries.ts";
import type { Report } from "./diagnostic.ts";
import { isTablesPlace, NO_LIST } from "./schema.ts";
import type { KeyPath, Locator, Position } from "./toml-locator.ts";

/** One file: its parsed value, and where things stand in it. */
export interface Layer {
  readonly file: string;
  readonly value: unknown;
  readonly locator: Pick<Locator, "find">;
  /** Others may read it. */
  readonly exposed: boolean;
  /** It was added at run time: a rule of a file whose name it has takes its place. */
  readonly isRunTime: boolean;
  /** Where its keys are, if they are not in it any more, or are not to be read again. */
  readonly known: KnownKeys | undefined;
}

/** A position with its file. */
export interface FilePosition extends Position {
  readonly file: string;
}

/** Several files as one value. */
export interface Layered {
  readonly value: unknown;
  /** Where the key or value at a path of the merged value stands; the nearest enclosing place where the path does not exist. */
  readonly find: (path: KeyPath, part: "key" | "value") => FilePosition;
  /** The file in which the value at a path stands. */
  readonly layerOf: (path: KeyPath) => Layer;
  /** Rules of run-time layers whose names files have: they are left out. With the places of those that count. */
  readonly displaced: readonly { readonly name: string; readonly path: KeyPath }[];
  /** Every value that counts, without its secrets, with its place. */
  readonly sources: () => readonly Source[];
}

/** A value of the configuration as a person wrote it, and where. */
export interface Source {
  /** `[policy.main-mode] lifetime`, or `rule hr: filters`. */
  readonly key: string;
  readonly value: string;
  readonly file: string;
  readonly line: number;
}

/** Lists of tables that grow from file to file. */
const LISTS = ["rule", "sa"] as const;

/**
 * Merges files; the first is the weakest. There is at least one. What is no list where `[[rule]]` or `[[sa]]` belongs is an error in whichever file it
 * stands, and a hole of the list: nothing else may hide it, and it hides nothing else.
 */
export function mergeLayers(layers: readonly Layer[], report: Report): Layered {
  const first = layers[0] as Layer;
  if (layers.length === 1) {
    const find: Layered["find"] = (path, part) => ({ file: first.file, ...first.locator.find(path, part) });
    return { value: first.value, find, layerOf: () => first, displaced: [], sources: () => sourcesOf(first.value, find) };
  }
  const displaced: { name: string; path: KeyPath }[] = [];
  const origins = new Map(LISTS.map((list) => [list as string, elementsOf(layers, list, displaced)]));
  let value: unknown = {};
  for (const layer of layers) value = merge(value, layer.value, []);
  for (const [list, elements] of origins)
    if (isTable(value) && list in value) value = { ...value, [list]: elements.map((element) => element.value) };
  for (const list of LISTS)
    for (const [i, { index }] of (origins.get(list) ?? []).entries())
      if (index === undefined) report.error([list, i], NO_LIST[list], "value", [list]);
  /** Whose value counts at a path, and where it is there. */
  const originOf = (path: KeyPath): { readonly layer: Layer; readonly own: KeyPath } => {
    const [top, at, ...deeper] = path;
    const element = typeof at === "number" ? origins.get(String(top))?.[at] : undefined;
    if (element && top !== undefined) {
      const { layer, index } = element;
      return { layer, own: index === undefined ? [top] : [top, index, ...deeper] };
    }
    const counts = valueAt(value, path);
    const layer =
      layers.findLast((each) => has(each.value, path) && valueAt(each.value, path) === counts) ??
      layers.findLast((each) => has(each.value, path)) ??
      layers.findLast((each) => has(each.value, path.slice(0, 1))) ??
      first;
    return { layer, own: path };
  };
  const find: Layered["find"] = (path, part) => {
    const { layer, own } = originOf(path);
    return { file: layer.file, ...layer.locator.find(own, part) };
  };
  return { value, find, layerOf: (path) => originOf(path).layer, displaced, sources: () => sourcesOf(value, find) };
}

interface Element {
  readonly layer: Layer;
  /** Its place in the layer's own list; undefined where the layer has something else there, which is then left out. */
  readonly index: number | undefined;
  readonly value: unknown;
}

/** The tables of a list in the order of the files; a named one takes the place of an earlier one of another file, but what was added at run time of none. */
function elementsOf(layers: readonly Layer[], list: string, displaced: { name: string; path: KeyPath }[]): readonly Element[] {
  const elements: Element[] = [];
  const named = new Map<unknown, number>();
  for (const layer of layers) {
    if (!has(layer.value, [list])) continue;
    const own = valueAt(layer.value, [list]);
    if (!Array.isArray(own)) elements.push({ layer, index: undefined, value: undefined });
    for (const [index, value] of (Array.isArray(own) ? own : []).entries()) {
      const name = isTable(value) ? value["name"] : undefined;
      const at = name === undefined ? undefined : named.get(name);
      const isElsewhere = at !== undefined && elements[at]?.layer !== layer;
      if (isElsewhere && layer.isRunTime) displaced.push({ name: String(name), path: [list, at] });
      else if (isElsewhere) elements[at] = { layer, index, value };
      else elements.push({ layer, index, value });
      // Of two of one name in one file both stay, so that whoever judges the rules finds them.
      if (name !== undefined && at === undefined) named.set(name, elements.length - 1);
    }
  }
  return elements;
}

/** Tables are merged; of everything else the later value counts. What stands where a table belongs, and is none, stays to be seen. */
function merge(a: unknown, b: unknown, path: KeyPath): unknown {
  if (!isTable(a) || !isTable(b)) return isTable(b) && isTablesPlace(path) ? a : b;
  const merged: Record<string, unknown> = { ...a };
  for (const [key, value] of Object.entries(b)) merged[key] = Object.hasOwn(a, key) ? merge(a[key], value, [...path, key]) : value;
  return merged;
}

function valueAt(value: unknown, path: KeyPath): unknown {
  let at = value;
  for (const step of path)
    at = typeof at === "object" && at !== null ? (at as Readonly<Record<string | number, unknown>>)[step] : undefined;
  return at;
}

function has(value: unknown, path: KeyPath): boolean {
  let at = value;
  for (const step of path) {
    if (typeof at !== "object" || at === null || !Object.hasOwn(at, step)) return false;
    at = (at as Readonly<Record<string | number, unknown>>)[step];
  }
  return true;
}

const isTable = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value) && !("getTime" in value);

/** Keys whose values nobody may see. */
export const SECRET: ReadonlySet<string> = new Set(["secret", "key-in", "key-out"]);

function sourcesOf(value: unknown, find: Layered["find"]): readonly Source[] {
  const sources: Source[] = [];
  const visit = (at: unknown, path: KeyPath, heading: string): void => {
    if (!isTable(at)) return;
    for (const [key, inner] of Object.entries(at)) {
      const here = [...path, key];
      if (path.length === 0 && LISTS.some((list) => list === key) && Array.isArray(inner)) {
        for (const [i, each] of inner.entries())
          visit(each, [...here, i], `${key} ${isTable(each) && typeof each["name"] === "string" ? each["name"] : i + 1}:`);
      } else if (isTable(inner) && path.every((step) => typeof step === "string")) visit(inner, here, `[${here.join(".")}]`);
      else {
        const { file, line } = find(here, "key");
        sources.push({ key: `${heading} ${key}`, value: SECRET.has(key) ? HIDDEN : shown(inner), file, line });
      }
    }
  };
  visit(value, [], "");
  return sources;
}

const HIDDEN = '"…"';

/** TOML of a value on one line, secrets left out. */
function shown(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(shown).join(", ")}]`;
  if (isTable(value))
    return `{ ${Object.entries(value)
      .map(([key, inner]) => `${key} = ${SECRET.has(key) ? HIDDEN : shown(inner)}`)
      .join(", ")} }`;
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}
