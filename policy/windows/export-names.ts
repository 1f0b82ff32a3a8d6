/**
 * Names of an exported policy: on Windows they are unique without regard to case, and a tunnel needs more of them than it has here.
 */
import type { Rule } from "../types.ts";

export interface ExportNames {
  /** The rule's name, also that of its filter action and filter list. */
  readonly name: string;
  /** Of a tunnel: its filter list outwards, and its rule and filter list inwards. */
  readonly out: string;
  readonly in: string;
  /** The variable that holds its pre-shared key. */
  readonly variable: string;
}

/** Names for all rules: those of ours first, so that no name that is made takes one. */
export function exportNames(rules: readonly Rule[]): ReadonlyMap<Rule, ExportNames> {
  const [taken, variables] = [new Set<string>(), new Map<string, number>()];
  const own = rules.map((rule) => free(rule.name, taken));
  return new Map(
    rules.map((rule, i) => {
      const name = own[i] as string;
      const [outwards, inwards] = rule.tunnel ? [free(`${name} out`, taken), free(`${name} in`, taken)] : [name, name];
      return [rule, { name, out: outwards, in: inwards, variable: variableOf(rule, variables) }];
    }),
  );
}

/** `name`, or with the first number behind it that nobody has. */
function free(name: string, taken: Set<string>): string {
  let unique = name;
  for (let n = 2; taken.has(unique.toLowerCase()); n++) unique = `${name} (${n})`;
  taken.add(unique.toLowerCase());
  return unique;
}

/** Each key has a variable of its own. A name that ends in a number could be another's with one behind it, so it gets one, too. */
function variableOf({ name }: Rule, variables: Map<string, number>): string {
  const plain =
    name
      .toUpperCase()
      .replace(/[^A-Z0-9]+/g, "_")
      .replace(/^_|_$/g, "") || "RULE";
  const count = (variables.get(plain) ?? 0) + 1;
  variables.set(plain, count);
  return `%PSK_${plain}${count > 1 || /(^|_)\d+$/.test(plain) ? `_${count}` : ""}%`;
}
