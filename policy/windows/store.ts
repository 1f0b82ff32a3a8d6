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

/** A named object and everything said of it, findable whatever the case of its letters. */
export class Shelf<T extends Place & { readonly name: string }> {
  readonly #what: string;
  readonly #byName = new Map<string, T>();

  constructor(what: string) {
    this.#what = what;
  }

  /** All, in the order in which they were added. */
  all(): readonly T[] {
    return [...this.#byName.values()];
  }

  find(name: string): T | undefined {
    return this.#byName.get(key(name));
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
    const there = this.find(item.name);
    if (there) findings.say("E_DUP_NAME", item, `a ${this.#what} ${JSON.stringify(item.name)} was made in line ${there.line}`);
    else this.#byName.set(key(item.name), item);
  }

  /** Puts `next` in the place of the object called `name`. */
  replace(name: string, next: T, findings: Findings): void {
    if (key(name) === key(next.name)) {
      this.#byName.set(key(name), next);
      return;
    }
    const taken = this.find(next.name);
    if (taken) return findings.say("E_DUP_NAME", next, `a ${this.#what} ${JSON.stringify(next.name)} was made in line ${taken.line}`);
    const entries = [...this.#byName].map(([k, item]): readonly [string, T] => (k === key(name) ? [key(next.name), next] : [k, item]));
    this.#byName.clear();
    for (const [k, item] of entries) this.#byName.set(k, item);
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

/** A list that still grows: scripts add thousands of filters one by one. */
export interface StoredList extends FilterList {
  readonly filters: WindowsFilter[];
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
  const rules = policy.rules.all().flatMap((rule): readonly WindowsRule[] => {
    const filterList = store.lists.need(rule.filterList, rule, findings);
    const filterAction = store.actions.need(rule.filterAction, rule, findings);
    return filterList && filterAction ? [{ ...rule, filterList, filterAction }] : [];
  });
  return { ...policy, rules };
}
