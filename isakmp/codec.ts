/**
 * Layouts declared once: a codec encodes, decodes and describes the same value, so the three can't disagree.
 * `struct` takes its fields in wire order; sizes and counts of other fields are part of the layout and not of the value.
 */
import { toHex } from "./hex.ts";
import type { Reader } from "./reader.ts";
import { nameOf, type Registry } from "./registry.ts";
import { Writer } from "./writer.ts";

/** One layout. `decode` fails through its Reader only, and calls the field `what` then; `encode` throws RangeError for values that don't fit. */
export interface Codec<T> {
  readonly name: string;
  encode(value: T, out: Writer): void;
  decode(r: Reader, what?: string): T;
  describe(value: T): string;
}

/** The value type of a codec. */
export type ValueOf<C> = C extends Codec<infer T> ? T : never;

/** An unsigned big-endian integer of `size` octets, named by a registry when described. */
export const uint = (size: 1 | 2 | 4, names?: Registry): Codec<number> => ({
  name: `uint${8 * size}`,
  encode: (value, out) => out.uint(value, size),
  decode: (r, what = `integer of ${8 * size} bits`) => r.uint(size, what),
  describe: (value) => (names ? nameOf(names, value) : String(value)),
});

/** Exactly `size` octets. */
export const bytes = (size: number): Codec<Uint8Array> => ({
  name: `${size} octets`,
  encode: (value, out) => {
    if (value.length !== size) throw new RangeError(`${value.length} octets where the layout has ${size}`);
    out.bytes(value);
  },
  decode: (r, what = "field") => r.bytes(size, what),
  describe: toHex,
});

/** Every octet up to the end of the enclosing payload, `max` at most. */
export const rest = (max = 0xffff): Codec<Uint8Array> => ({
  name: "octets",
  encode: (value, out) => {
    if (value.length > max) throw new RangeError(`${value.length} octets where the layout allows ${max}`);
    out.bytes(value);
  },
  decode: (r, what = "field") => (r.left > max ? r.fail(`${what}: ${r.left} octets, at most ${max} are read`) : r.rest()),
  describe: sizeText,
});

/** Items one after the other up to the end of the enclosing window, `max` at most. */
export const list = <T>(item: Codec<T>, max: number): Codec<readonly T[]> => ({
  name: `list of ${item.name}`,
  encode: (values, out) => {
    limit(item.name, values.length, max);
    for (const value of values) item.encode(value, out);
  },
  decode: (r, what = "list") => {
    const values: T[] = [];
    while (r.left > 0) {
      if (values.length === max) r.fail(`${what}: more than ${max} times ${item.name}`);
      values.push(item.decode(r));
    }
    return values;
  },
  describe: (values) => values.map((value) => item.describe(value)).join(", "),
});

/** A field that holds the octets (`lengthOf`) or the items (`countOf`) of a later field; it is no part of the value. */
export interface Measure<K extends string> {
  readonly measures: K;
  readonly unit: "octets" | "items";
  readonly size: 1 | 2;
}

/** A field of `size` octets that holds the length, in octets, of the field `measures`. */
export const lengthOf = <const K extends string>(measures: K, size: 1 | 2 = 1): Measure<K> => ({ measures, unit: "octets", size });
/** A field of `size` octets that holds how many items the list `measures` has. */
export const countOf = <const K extends string>(measures: K, size: 1 | 2 = 1): Measure<K> => ({ measures, unit: "items", size });

/** Octets that are zero when sent and ignored when received (RFC 2408 §3.2). */
export interface Reserved {
  readonly reserved: number;
}

/** `size` octets that mean nothing: written as zeros, read as whatever they are. */
export const reserved = (size: number): Reserved => ({ reserved: size });

// biome-ignore lint/suspicious/noExplicitAny: a field may be a codec of anything; Struct recovers the type
type Field = Codec<any> | Measure<string> | Reserved;
type Fields = Readonly<Record<string, Field>>;

/** The value of a struct: its codec fields, in wire order. */
export type Struct<F extends Fields> = { readonly [K in keyof F as F[K] extends Codec<infer _> ? K : never]: ValueOf<F[K]> };

/** Fields one after the other; key order is wire order. */
export const struct = <const F extends Fields>(name: string, fields: F): Codec<Struct<F>> => {
  const rows = Object.entries(fields).map(([key, field]): Row => [key, field, labelOf(name, key, field)]);
  return {
    name,
    encode: (value, out) => encodeFields(rows, value as Values, out),
    decode: (r) => decodeFields(rows, r) as Struct<F>,
    describe: (value) => describeFields(rows, value as Values),
  };
};

/** How much there is: keys, tokens and certificates are counted in texts, never shown. */
export const sizeText = (octets: Uint8Array): string => `${octets.length} ${octets.length === 1 ? "octet" : "octets"}`;

/** Encodes one value into octets of its own. */
export function encodeOne<T>(codec: Codec<T>, value: T): Uint8Array {
  const out = new Writer();
  codec.encode(value, out);
  return out.take();
}

/** Key, field, and what complaints call it. */
type Row = readonly [string, Field, string];
type Rows = readonly Row[];
type Values = Readonly<Record<string, unknown>>;

function labelOf(name: string, key: string, field: Field): string {
  if ("reserved" in field) return `${name}: reserved octets`;
  return "measures" in field ? `${name}: ${field.unit} of ${field.measures}` : `${name}: ${key}`;
}

/** A measure whose field has not come yet. */
interface Slot {
  readonly at: number;
  readonly measure: Measure<string>;
  readonly told: number;
}

/** That of a field, if it has one; a layout has two at most. */
function slotOf(open: readonly Slot[], key: string): Slot | undefined {
  for (const slot of open) if (slot.measure.measures === key) return slot;
  return undefined;
}

function encodeFields(rows: Rows, value: Values, out: Writer): void {
  let open: Slot[] | undefined;
  for (const [key, field] of rows) {
    if ("reserved" in field) out.reserve(field.reserved);
    else if ("measures" in field) {
      open ??= [];
      open.push({ at: out.reserve(field.size), measure: field, told: 0 });
    } else {
      const start = out.length;
      field.encode(value[key], out);
      const slot = open && slotOf(open, key);
      if (slot) out.patch(slot.at, measured(slot.measure, value[key], out.length - start), slot.measure.size);
    }
  }
}

const measured = (measure: Measure<string>, value: unknown, octets: number): number =>
  measure.unit === "octets" ? octets : (value as readonly unknown[]).length;

function decodeFields(rows: Rows, r: Reader): Values {
  const value: Record<string, unknown> = {};
  let open: Slot[] | undefined;
  for (const [key, field, label] of rows) {
    if ("reserved" in field) r.bytes(field.reserved, label);
    else if ("measures" in field) {
      open ??= [];
      const at = r.at;
      open.push({ at, measure: field, told: r.uint(field.size, label) });
    } else value[key] = decodeField(label, field, r, open && slotOf(open, key));
  }
  return value;
}

function decodeField(what: string, field: Codec<unknown>, r: Reader, slot?: Slot): unknown {
  if (!slot) return field.decode(r, what);
  if (slot.measure.unit === "octets") {
    const inner = r.sub(slot.told, what);
    const value = field.decode(inner, what);
    inner.finish(what);
    return value;
  }
  const value = field.decode(r, what);
  const found = (value as readonly unknown[]).length;
  if (found !== slot.told) r.fail(`${what}: ${slot.told} announced, ${found} present`, slot.at);
  return value;
}

const describeFields = (rows: Rows, value: Values): string =>
  rows.flatMap(([key, field]) => ("decode" in field ? [`${key} ${field.describe(value[key])}`] : [])).join(", ");

function limit(name: string, count: number, max: number): void {
  if (count > max) throw new RangeError(`${count} times ${name} where the layout allows ${max}`);
}
