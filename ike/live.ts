/**
 * Negotiations in flight and the step each is at, for the monitors: what `view.ts` does not say about them. Holds no secrets.
 */
import { hex32 } from "../isakmp/hex.ts";
import type { IkeSa, Negotiation, QuickExchange, QuickState } from "../sa-store/ike-sa.ts";
import type { LiveView, NegotiationView, RuleView, StepView } from "../sa-store/live-view.ts";
import type { Stranger } from "../sa-store/stranger.ts";
import { type Core, hex, peerName, ruleOf } from "./core.ts";
import type { Instant } from "./input.ts";
import type { MainModeState } from "./main-mode-states.ts";
import { troubleOf } from "./strangers.ts";

/** What is under way now. */
export function liveViewOf(core: Core, now: Instant): LiveView {
  const negotiations: NegotiationView[] = [];
  for (const entry of core.store.ikes.values()) {
    if (entry.phase === "negotiating") negotiations.push(mainModeView(entry, now));
    else for (const ex of entry.exchanges.values()) if (ex.state.kind !== "done") negotiations.push(quickModeView(entry, ex, now));
  }
  for (const stranger of core.store.halfOpen.strangers) negotiations.push(strangerView(stranger, now));
  return {
    negotiations,
    rules: ruleViews(core),
    wishes: core.wishes.size,
    retries: core.retries.size,
    halfOpen: core.store.halfOpen.count,
    reassembling: core.fragments.size,
    kernelRequests: core.pending.size,
  };
}

/** A rule is down where something that is wanted of it has no pair: a try under way, one that waits, or a start that found no route. */
function ruleViews(core: Core): readonly RuleView[] {
  const found = new Map(core.policy.rules.map((rule) => [rule.name, { children: 0, asked: rule.start === "now", missing: false }]));
  for (const child of core.store.children.values()) {
    const rule = found.get(child.spec.rule.name);
    if (!rule || child.outbound !== "installed" || child.state === "draining") continue;
    rule.children++;
    rule.asked ||= child.wanted;
  }
  for (const { spec, replaces } of core.wishes.values()) {
    const rule = found.get(spec.rule.name);
    if (!rule || replaces !== null) continue;
    rule.asked = true;
    rule.missing = true;
  }
  for (const { spec } of core.retries.values()) {
    const rule = found.get(spec.rule.name);
    if (rule) rule.missing = true;
  }
  return [...found].map(([rule, { children, asked, missing }]) => ({ rule, wanted: asked, up: children > 0 && !missing, children }));
}

/** By state: the last message of Main Mode that was sent or came, and what is waited for. RFC 2409 §5 numbers them 1 to 6. */
const MAIN_MODE_STEPS: Readonly<Record<MainModeState["kind"], readonly [number, string]>> = {
  weighing: [0, "choosing a method"],
  "sa-sent": [1, "offer sent"],
  ticketing: [2, "getting a ticket"],
  "ke-sent": [3, "key exchange sent"],
  signing: [4, "making our signature"],
  "auth-sent": [5, "our proof sent"],
  "sa-answered": [2, "offer answered"],
  accepting: [3, "checking the ticket"],
  "ke-answered": [4, "key exchange answered"],
  checking: [5, "checking the peer's proof"],
  proving: [5, "making our signature"],
  stepping: [4, "Kerberos goes on"],
  unwrapping: [5, "checking the peer's proof"],
  wrapping: [5, "making our proof"],
};

/** The same for Quick Mode's three messages, RFC 2409 §5.5. */
const QUICK_MODE_STEPS: Readonly<Record<QuickState["kind"], readonly [number, string]>> = {
  offered: [1, "offer sent"],
  installing: [1, "installing inbound SAs"],
  answered: [2, "offer answered"],
  confirmed: [3, "confirmed"],
  done: [3, "done"],
};

const stepOf = ([message, text]: readonly [number, string], of: number): StepView => ({ message, of, text });

const secondsSince = (at: Instant, now: Instant): number => Math.max(0, Math.round((now - at) / 1000));

const mainModeView = (n: Negotiation, now: Instant): NegotiationView => ({
  kind: "main-mode",
  ike: n.id,
  rule: ruleOf(n).name,
  peer: peerName(n.path),
  role: n.role,
  initiatorCookie: hex(n.cookieI),
  messageId: null,
  step: stepOf(MAIN_MODE_STEPS[n.state.kind], 6),
  seconds: secondsSince(n.startedAt, now),
  repeats: n.tries,
  trouble: n.lastError?.what ?? (n.refusal ? `the peer says, unverified: ${n.refusal.name}` : null),
});

const strangerView = (stranger: Stranger, now: Instant): NegotiationView => ({
  kind: "main-mode",
  ike: stranger.id,
  rule: stranger.rule,
  peer: peerName(stranger.path),
  role: "responder",
  initiatorCookie: hex(stranger.cookieI),
  messageId: null,
  step: stepOf(MAIN_MODE_STEPS["sa-answered"], 6),
  seconds: secondsSince(stranger.startedAt, now),
  repeats: 0,
  trouble: troubleOf(stranger),
});

function quickModeView(ike: IkeSa, ex: QuickExchange, now: Instant): NegotiationView {
  const { state } = ex;
  const spec = state.kind === "done" ? null : state.kind === "offered" ? state.wish.spec : "child" in state ? state.child.spec : state.spec;
  return {
    kind: "quick-mode",
    ike: ike.id,
    rule: spec?.rule.name ?? ruleOf(ike).name,
    peer: peerName(ike.path),
    role: ex.role,
    initiatorCookie: hex(ike.sa.cookieI),
    messageId: hex32(ex.messageId),
    step: stepOf(QUICK_MODE_STEPS[state.kind], 3),
    seconds: secondsSince(ex.startedAt, now),
    repeats: ex.tries,
    trouble: null,
  };
}
