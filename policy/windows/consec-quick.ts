/**
 * Quick Mode of a connection security rule: its offers and its group, from the tags of netsh or a set of the cmdlets.
 */
import { type ConsecStore, fieldOf, type StoredConsec } from "./consec-store.ts";
import { CONSEC_QUICK, groupOf } from "./consec-suites.ts";
import type { DraftQuickMode } from "./draft.ts";
import type { DraftContext } from "./draft-auth.ts";
import type { QuickMethod } from "./methods.ts";
import { isWeak, offersOf } from "./offers.ts";

/** The Quick Mode; null where nothing may be offered, which is then said. */
export function quickModeOf(rule: StoredConsec, store: ConsecStore, context: DraftContext): DraftQuickMode | null {
  const wanted = wantedOf(rule, store, context);
  if (!wanted) return null;
  const offers = offersOf.quickMode(wanted.methods, rule, context);
  const pfs = groupFor(wanted.pfs, rule, context);
  if (!offers || pfs === null) return null;
  return { proposals: offers.proposals, lifetime: offers.lifetime, volume: offers.volume, pfs };
}

interface Wanted {
  readonly methods: readonly QuickMethod[];
  readonly pfs: string;
}

function wantedOf(rule: StoredConsec, store: ConsecStore, { findings }: DraftContext): Wanted | null {
  const reference = fieldOf(rule.values, "quick-set", "text");
  const isDefault = reference === undefined || /^default$/i.test(reference.text);
  const set = isDefault ? store.defaults.get("quick") : store.sets.get(reference.text.toLowerCase());
  if (!isDefault && set?.type !== "quick") {
    findings.say("E_NO_SUCH_OBJECT", reference, `rule ${JSON.stringify(rule.name)} names a Quick Mode set that the script doesn't make`);
    return null;
  }
  const [own, pfs] = [fieldOf(rule.values, "quick", "quick"), fieldOf(rule.values, "pfs", "words")];
  for (const what of own?.lost ?? [])
    findings.say("W_UNKNOWN_ALGORITHM", own ?? rule, `rule ${JSON.stringify(rule.name)}: the offer ${what}`);
  const fromSet = set?.type === "quick" ? set : null;
  return { methods: own?.methods ?? fromSet?.methods ?? CONSEC_QUICK, pfs: pfs?.words[0] ?? fromSet?.pfs ?? "none" };
}

const BETTER = "modp2048";

/** The group of PFS by our name; null where it may not be used. */
function groupFor(word: string, rule: StoredConsec, { options, findings, weak }: DraftContext): string | null {
  if (word === "none") return "none";
  if (word === "mainmode") return "main-mode";
  const group = groupOf(word);
  const name = group?.ok ? group.value : undefined;
  if (name !== undefined && !isWeak(name)) return name;
  const what = `rule ${JSON.stringify(rule.name)}: PFS with ${name ?? word}`;
  if (options.upgradeCrypto) {
    findings.say("W_WEAK_ALGORITHM", rule, `${what} became ${BETTER}; the peer has to take it too`);
    return BETTER;
  }
  if (name !== undefined && options.allowWeak) {
    findings.say("W_WEAK_ALGORITHM", rule, what);
    weak.add(name);
    return name;
  }
  findings.say("E_NO_METHOD", rule, `${what} is not offered; the rule is a comment`);
  return null;
}
