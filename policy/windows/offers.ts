/**
 * Offers of Windows as ours: the weak ones are left out unless they are asked for, better ones put in front on request.
 */
import type { Findings, Place } from "./diagnostics.ts";
import {
  DEFAULT_MAIN,
  DEFAULT_QUICK,
  type MainMethod,
  ourMain,
  ourQuick,
  parseMainMethods,
  parseQuickMethods,
  type QuickMethod,
} from "./methods.ts";

export interface OfferContext {
  readonly options: { readonly allowWeak: boolean; readonly upgradeCrypto: boolean };
  readonly findings: Findings;
  /** Weak algorithms that the result uses, by our names. */
  readonly weak: Set<string>;
}

export interface QuickOffers {
  readonly proposals: readonly string[];
  readonly lifetime: string;
  readonly volume: string;
  readonly pfs: boolean;
}

const WEAK: ReadonlySet<string> = new Set(["des", "md5", "modp768", "modp1024"]);
const BETTER_MAIN = "aes256-sha256-modp2048";
const BETTER_QUICK = "esp:aes256-sha256";

/** Windows' lifetimes where an offer says none, and the range in which its own tools stay. */
const DEFAULT_SECONDS = 3600;
const DEFAULT_KILOBYTES = 100_000;
const USUAL = { seconds: [300, 172_800], kilobytes: [20_480, 0x7fff_ffff] } as const;

/** Whether a name is one that has to be allowed. */
export const isWeak = (name: string): boolean => WEAK.has(name);

/** The two kinds of offers. Both report what they leave out. */
export const offersOf = {
  /** Main Mode: empty where nothing that we may offer is left; then our own defaults hold. */
  mainMode(methods: readonly MainMethod[] | null, at: Place, context: OfferContext): readonly string[] {
    const offers = (methods ?? windowsMain()).map((method) => ({
      text: ourMain(method),
      names: Object.values(method) as readonly string[],
    }));
    const kept = keep(offers, "Main Mode", at, context);
    const proposals = context.options.upgradeCrypto ? [BETTER_MAIN, ...kept] : kept;
    if (proposals.length === 0)
      context.findings.say("E_NO_METHOD", at, "no Main Mode offer is left; ours are used, which Windows may refuse");
    return proposals;
  },
  /** Quick Mode: null where nothing is left. */
  quickMode(methods: readonly QuickMethod[] | null, at: Place, context: OfferContext): QuickOffers | null {
    const all = methods ?? windowsQuick();
    const usable = all.filter((method) => {
      if (method.esp?.integrity !== "none") return true;
      context.findings.say("E_NO_INTEGRITY", at, `${ourQuick(method)}: ESP without integrity, even beside AH, is not offered`);
      return false;
    });
    const offers = usable.map((method) => ({ text: ourQuick(method), names: namesOf(method) }));
    const kept = keep(offers, "Quick Mode", at, context);
    const proposals = context.options.upgradeCrypto ? [BETTER_QUICK, ...kept] : kept;
    if (proposals.length === 0) {
      context.findings.say("E_NO_METHOD", at, "no Quick Mode offer is left; the rule is a comment");
      return null;
    }
    return { proposals, ...lifetimesOf(usable, at, context.findings), pfs: all.some(({ pfs }) => pfs) };
  },
};

const windowsMain = (): readonly MainMethod[] => must(parseMainMethods(DEFAULT_MAIN));
const windowsQuick = (): readonly QuickMethod[] => must(parseQuickMethods(DEFAULT_QUICK));

function must<T>(result: { readonly ok: true; readonly value: T } | { readonly ok: false }): T {
  if (!result.ok) throw new Error("a default list does not read");
  return result.value;
}

const namesOf = ({ ah, esp }: QuickMethod): readonly string[] =>
  [ah, esp?.cipher, esp?.integrity].filter((name) => typeof name === "string");

interface Offer {
  readonly text: string;
  readonly names: readonly string[];
}

function keep(offers: readonly Offer[], what: string, at: Place, { options, findings, weak }: OfferContext): readonly string[] {
  const kept = new Set<string>();
  for (const { text, names } of offers) {
    const found = names.filter((name) => WEAK.has(name));
    if (found.length > 0)
      findings.say(
        "W_WEAK_ALGORITHM",
        at,
        `${what} offer ${text} uses ${found.join(" and ")}${options.allowWeak ? "" : "; it was left out"}`,
      );
    if (found.length > 0 && !options.allowWeak) continue;
    for (const name of found) weak.add(name);
    kept.add(text);
  }
  return [...kept];
}

/** Offers have one lifetime here: the shortest and the smallest. Kilobytes are 1000 octets. */
function lifetimesOf(
  methods: readonly QuickMethod[],
  at: Place,
  findings: Findings,
): { readonly lifetime: string; readonly volume: string } {
  const seconds = methods.map((method) => method.seconds || DEFAULT_SECONDS);
  const kilobytes = methods.map((method) => method.kilobytes ?? DEFAULT_KILOBYTES);
  if (new Set(seconds).size > 1 || new Set(kilobytes).size > 1) findings.say("W_MIXED_OFFERS", at, "the offers' lifetimes differ");
  const [least, smallest] = [Math.min(...seconds), Math.min(...kilobytes.filter((value) => value > 0))];
  const outside = (value: number, [low, high]: readonly [number, number]) => value < low || value > high;
  if (outside(least, USUAL.seconds) || (smallest !== Number.POSITIVE_INFINITY && outside(smallest, USUAL.kilobytes)))
    findings.say("W_LIFETIME", at, `a lifetime of ${least} s and ${smallest} kB`);
  return { lifetime: `${least}s`, volume: Number.isFinite(smallest) ? `${smallest}kB` : "none" };
}
