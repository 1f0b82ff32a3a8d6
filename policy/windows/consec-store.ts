/**
 * Connection security rules while a script runs: rules and main mode rules by name, sets of the cmdlets, and what `set global` says.
 * Values stay as they were given; `consec-convert.ts` makes rules of them when the script has ended.
 */
import type { Field } from "./consec-grammar.ts";
import type { ConsecCa, ConsecValue } from "./consec-values.ts";
import type { Place } from "./diagnostics.ts";
import type { MainMethod, QuickMethod } from "./methods.ts";

export interface Given extends Place {
  readonly tag: string;
  readonly value: ConsecValue;
}
/** By field; tags that share one have their names behind it. */
export type Values = ReadonlyMap<string, Given>;

export interface StoredConsec extends Place {
  /** The name that only one rule has: that of `-Name`, or one of ours. */
  readonly id: string;
  /** What people call it. */
  readonly name: string;
  readonly values: Values;
}

/** One way of proving identity; `foreign` is what only AuthIP has. */
export type ConsecAuth =
  | { readonly kind: "kerberos" }
  | { readonly kind: "psk"; readonly key: string }
  | ({ readonly kind: "ca"; readonly signature: "rsa" | "ecdsa256" | "ecdsa384" } & ConsecCa)
  | { readonly kind: "foreign"; readonly what: string };

/** Sets that the cmdlets make, by name. */
export type ConsecSet = Place & { readonly id: string; readonly name: string } & SetContent;
export type SetContent =
  | { readonly type: "phase1" | "phase2"; readonly auth: readonly ConsecAuth[] }
  | { readonly type: "main"; readonly methods: readonly MainMethod[]; readonly minutes: number | null; readonly sessions: number | null }
  | { readonly type: "quick"; readonly methods: readonly QuickMethod[]; readonly pfs: string };
export type SetType = SetContent["type"];

/** Rules that are found by either name, whatever the case of its letters. */
export class ConsecShelf {
  readonly #byId = new Map<string, StoredConsec>();
  readonly #byName = new Map<string, Set<string>>();
  readonly #most: number;

  constructor(most: number) {
    this.#most = most;
  }

  isFull(): boolean {
    return this.#byId.size >= this.#most;
  }

  all(): readonly StoredConsec[] {
    return [...this.#byId.values()];
  }

  byId(id: string): StoredConsec | undefined {
    return this.#byId.get(key(id));
  }

  byName(name: string): readonly StoredConsec[] {
    return [...(this.#byName.get(key(name)) ?? [])].flatMap((id) => this.#byId.get(id) ?? []);
  }

  /** Adds a rule, or puts it in the place of that with its id. */
  put(rule: StoredConsec): void {
    const old = this.#byId.get(key(rule.id));
    if (old) this.#byName.get(key(old.name))?.delete(key(rule.id));
    this.#byId.set(key(rule.id), rule);
    const named = this.#byName.get(key(rule.name)) ?? new Set();
    this.#byName.set(key(rule.name), named.add(key(rule.id)));
  }

  remove({ id, name }: StoredConsec): void {
    this.#byId.delete(key(id));
    this.#byName.get(key(name))?.delete(key(id));
  }

  clear(): void {
    this.#byId.clear();
    this.#byName.clear();
  }
}

const key = (name: string): string => name.trim().toLowerCase();

export interface ConsecStore {
  readonly rules: ConsecShelf;
  readonly mainRules: ConsecShelf;
  /** By id, in small letters. */
  readonly sets: Map<string, ConsecSet>;
  /** The sets that rules have which name none. */
  readonly defaults: Map<SetType, ConsecSet>;
  readonly globals: Map<string, Given>;
  /** The next id of ours. */
  next: number;
}

const [MOST_RULES, MOST_MAIN_RULES] = [50_000, 100];

/** An empty store. */
export const emptyConsec = (): ConsecStore => ({
  rules: new ConsecShelf(MOST_RULES),
  // Each is compared with every rule.
  mainRules: new ConsecShelf(MOST_MAIN_RULES),
  sets: new Map(),
  defaults: new Map(),
  globals: new Map(),
  next: 1,
});

/** A name that no script writes. */
export const freshId = (store: ConsecStore): string => `{mainmode-${store.next++}}`;

/** A field of a rule, where it has the kind that is expected. */
export function fieldOf<K extends ConsecValue["kind"]>(
  values: Values,
  field: Field,
  kind: K,
): (Extract<ConsecValue, { readonly kind: K }> & Place) | undefined {
  const given = values.get(field);
  if (given?.value.kind !== kind) return undefined;
  return { ...(given.value as Extract<ConsecValue, { readonly kind: K }>), line: given.line, column: given.column };
}
