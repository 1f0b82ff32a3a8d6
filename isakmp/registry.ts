/**
 * Registries of assigned numbers. Keys are the names as the RFC prints them; numbers without a name stay numbers,
 * since a peer may send values that were assigned after us, or never.
 */
export type Registry = Readonly<Record<string, number>>;

const reverse = new WeakMap<Registry, ReadonlyMap<number, string>>();

/** Declares a registry. The first name wins where two share a number. */
export function registry<const T extends Record<string, number>>(table: T): Readonly<T> {
  const names = new Map<number, string>();
  for (const [name, number] of Object.entries(table)) if (!names.has(number)) names.set(number, name);
  reverse.set(table, names);
  return table;
}

/** The RFC's name of a number, or the number itself in decimal. */
export const nameOf = (table: Registry, number: number): string => reverse.get(table)?.get(number) ?? String(number);

/** Whether a number has a name in this registry. */
export const isNamed = (table: Registry, number: number): boolean => reverse.get(table)?.has(number) ?? false;
