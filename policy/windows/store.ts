/**
 * The policy store of Windows, played through: `add`, `set` and `delete` in their order, names without regard to case,
 * filter lists and filter actions shared by all policies. What remains at the end is what the script made.
 */
import type { Findings, Place } from "./diagnostics.ts";
import type { MainMethod, QuickMethod } from "./methods.ts";
import type { WindowsAddress } from "./values.ts";

/** One filter of a list. Masks are prefix lengths, ports 0 for any, `protocol` an IP protocol number, 0 for any. */
export interface WindowsFilter extends Place {
  readonly source: WindowsAddress;
  readonly destination: WindowsAddress;
  readonly sourceMask: number | null;
  readonly destinationMask: number | null;
  readonly protocol: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly mirrored: boolean;
  readonly description: string;
}

export interface FilterList extends Place {
  readonly name: string;
  readonly description: string;
  readonly filters: readonly WindowsFilter[];
}

export interface FilterAction extends Place {
  readonly name: string;
  readonly description: string;
  readonly action: "permit" | "block" | "negotiate";
  readonly inpass: boolean;
  readonly soft: boolean;
  readonly pfs: boolean;
  /** null: Windows' own list. */
  readonly methods: readonly QuickMethod[] | null;
}

export type WindowsAuth =
  | { readonly kind: "kerberos" }
  | { readonly kind: "psk"; readonly key: string }
  | { readonly kind: "ca"; readonly name: string; readonly mapping: boolean; readonly excludeName: boolean };

export interface WindowsRule extends Place {
  readonly name: string;
  readonly description: string;
  readonly filterList: FilterList;
  readonly filterAction: FilterAction;
  readonly tunnel: WindowsAddress | null;
  readonly connection: "all" | "lan" | "dialup";
  readonly active: boolean;
  /** Empty: Windows' default, Kerberos. */
  readonly auth: readonly WindowsAuth[];
}

/** The rule without filters that answers whoever asks. */
export interface DefaultRule extends Place {
  readonly active: boolean;
  readonly pfs: boolean;
  readonly methods: readonly QuickMethod[] | null;
  readonly auth: readonly WindowsAuth[];
  /** Nobody wrote it: it is what this version of Windows does. */
  readonly assumed: boolean;
}

export interface WindowsPolicy extends Place {
  readonly name: string;
  readonly description: string;
  readonly masterPfs: boolean;
  readonly quickModes: number;
  readonly lifetimeMinutes: number;
  readonly defaultRule: DefaultRule;
  readonly assigned: boolean;
  /** null: Windows' own list. */
  readonly methods: readonly MainMethod[] | null;
  readonly rules: readonly WindowsRule[];
}

/** Objects of one kind: renaming and deleting look at all of them. */
const MOST = 5000;
/** Filters of all rules of a policy together. */
const MOST_FILTERS = 200_000;

/** A named object and everything said of it, findable whatever the case of its letters. */
export class Shelf<T extends Place & { readonly name: string }> {
  readonly #what: string;
  /** With the order in which each was added: a new name keeps it. */
  readonly #byName = new Map<string, { readonly order: number; readonly item: T }>();
  #next = 0;
  #renamed = false;

  constructor(what: string) {
    this.#what = what;
  }

  /** All, in the order in which they were added. */
  all(): readonly T[] {
    const entries = [...this.#byName.values()];
    if (this.#renamed) entries.sort((a, b) => a.order - b.order);
    return entries.map(({ item }) => item);
  }

  find(name: string): T | undefined {
    return this.#byName.get(key(name))?.item;
  }

  /** The object, or undefined after a finding. */
  need(name: string, at: Place, findings: Findings): T | undefined {
    const found = this.find(name);
    if (!found) findings.say("E_NO_SUCH_OBJECT", at, `there is no ${this.#what} ${JSON.stringify(name)}`);
    return found;
  }

  /** The object that is to be deleted; that there is none is a note only. */
  doomed(name: string, at: Place, findings: Findings): T | undefined {
    const found = this.find(name);
    if (!found) findings.say("W_NOTHING_DELETED", at, `there is no ${this.#what} ${JSON.stringify(name)} to delete`);
    return found;
  }

  add(item: T, findings: Findings): void {
    if (this.#byName.size >= MOST) return findings.say("E_LIMIT", item, `more than ${MOST} times ${this.#what}`);
    const there = this.find(item.name);
    if (there) findings.say("E_DUP_NAME", item, `a ${this.#what} ${JSON.stringify(item.name)} was made in line ${there.line}`);
    else this.#byName.set(key(item.name), { order: this.#next++, item });
  }

  /** Puts `next` in the place of the object called `name`. `at` is the command that wants it so. False: another has its new name, and nothing was changed. */
  replace(name: string, next: T, findings: Findings, at: Place = next): boolean {
    const order = this.#byName.get(key(name))?.order ?? this.#next++;
    if (key(name) !== key(next.name)) {
      const taken = this.find(next.name);
      if (taken) {
        findings.say("E_DUP_NAME", at, `a ${this.#what} ${JSON.stringify(next.name)} was made in line ${taken.line}`);
        return false;
      }
      this.#byName.delete(key(name));
      this.#renamed = true;
    }
    this.#byName.set(key(next.name), { order, item: next });
    return true;
  }

  remove(name: string): void {
    this.#byName.delete(key(name));
  }

  clear(): void {
    this.#byName.clear();
  }
}

const key = (name: string): string => name.trim().toLowerCase();

/** A rule while the script runs: it names what it uses, so that later changes of a list or action are seen. */
export interface StoredRule extends Place {
  readonly name: string;
  readonly description: string;
  readonly filterList: string;
  readonly filterAction: string;
  readonly tunnel: WindowsAddress | null;
  readonly connection: WindowsRule["connection"];
  readonly active: boolean;
  readonly auth: readonly WindowsAuth[];
}

export interface StoredPolicy extends Omit<WindowsPolicy, "rules"> {
  readonly rules: Shelf<StoredRule>;
}

/** A list that still grows and shrinks: scripts add and delete thousands of filters one by one, so they are found by what they select. */
export interface StoredList extends Omit<FilterList, "filters"> {
  readonly filters: Set<WindowsFilter>;
  readonly bySelectors: Map<string, WindowsFilter[]>;
}

/** What tells filters apart: all but where they were written and what is said of them. */
const selectors = ({ line: _line, column: _column, description: _description, ...rest }: WindowsFilter): string => JSON.stringify(rest);

/** Puts a filter into a list. */
export function addToList({ filters, bySelectors }: StoredList, filter: WindowsFilter): void {
  filters.add(filter);
  const key = selectors(filter);
  const same = bySelectors.get(key);
  if (same) same.push(filter);
  else bySelectors.set(key, [filter]);
}

/** Takes all filters with these selectors from a list; false: there are none. */
export function takeFromList({ filters, bySelectors }: StoredList, wanted: WindowsFilter): boolean {
  const key = selectors(wanted);
  for (const filter of bySelectors.get(key) ?? []) filters.delete(filter);
  return bySelectors.delete(key);
}

/** A list with these filters. */
export function listOf(list: Omit<FilterList, "filters">, filters: readonly WindowsFilter[]): StoredList {
  const made: StoredList = { ...list, filters: new Set(), bySelectors: new Map() };
  for (const filter of filters) addToList(made, filter);
  return made;
}

/** Everything that a script builds. */
export interface WindowsStore {
  readonly policies: Shelf<StoredPolicy>;
  readonly lists: Shelf<StoredList>;
  readonly actions: Shelf<FilterAction>;
}

/** An empty store. */
export const emptyStore = (): WindowsStore => ({
  policies: new Shelf("policy"),
  lists: new Shelf("filter list"),
  actions: new Shelf("filter action"),
});

/** A policy with its rules' lists and actions put in; rules whose list or action is gone are reported and left out. */
export function resolvePolicy(store: WindowsStore, policy: StoredPolicy, findings: Findings): WindowsPolicy {
  const lists = new Map<StoredList, FilterList>();
  let filters = 0;
  const rules = policy.rules.all().flatMap((rule): readonly WindowsRule[] => {
    const stored = store.lists.need(rule.filterList, rule, findings);
    const filterAction = store.actions.need(rule.filterAction, rule, findings);
    if (!stored || !filterAction) return [];
    const filterList = lists.get(stored) ?? plain(stored);
    lists.set(stored, filterList);
    filters += filterList.filters.length;
    if (filters <= MOST_FILTERS) return [{ ...rule, filterList, filterAction }];
    findings.say("E_LIMIT", rule, `rule ${JSON.stringify(rule.name)} was left out: with it there are more than ${MOST_FILTERS} filters`);
    return [];
  });
  return { ...policy, rules };
}

const plain = ({ bySelectors: _, filters, ...list }: StoredList): FilterList => ({ ...list, filters: [...filters] });
