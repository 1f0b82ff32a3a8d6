/**
 * The secret-free picture of the tables (interface.md §3). Counters of octets are the kernel's; the daemon fills them in.
 */
import { methodWord } from "../auth/choice.ts";
import { formatEndpoint, formatRange } from "../isakmp/address.ts";
import { HEADER_SIZE } from "../isakmp/message.ts";
import { AUTH_METHOD, IP_PROTOCOL } from "../isakmp/numbers.ts";
import { nameOf } from "../isakmp/registry.ts";
import { formatIdentity } from "../policy/identity.ts";
import type { AuthEntry } from "../policy/types.ts";
import type { ChildSa } from "../sa-store/child-sa.ts";
import type { IkeSa, Negotiation } from "../sa-store/ike-sa.ts";
import type { Stranger } from "../sa-store/stranger.ts";
import type { ChildSaView, GuardView, IkeSaView, SoftSaView, StatusDocument } from "../sa-store/view.ts";
import { type Core, hex, spiText } from "./core.ts";
import type { IkeSuite } from "./crypto/suite.ts";
import type { Front } from "./fronts.ts";
import type { Instant } from "./input.ts";
import { chosenIn } from "./main-mode-offer.ts";
import { type OpenState, responderCookieOf, ruleOfState, settledState, type Weighing } from "./main-mode-states.ts";
import { natWord } from "./nat.ts";
import type { IkeOffer } from "./negotiate-ike.ts";
import { refusedViews } from "./refused.ts";
import { unknownView } from "./unknown.ts";

/** The SA tables of interface.md §3, without counters, which only the kernel knows. */
export function viewOf(core: Core, now: Instant): StatusDocument {
  return {
    ikeSas: [
      ...[...core.store.ikes.values()].map((entry) => (entry.phase === "negotiating" ? negotiationView(entry) : ikeView(entry, now))),
      ...strangerViews(core),
    ],
    softSas: core.fronts.soft.map((front) => softView(front, now)),
    guards: core.fronts.all().flatMap((front) => (front.kind === "guard" ? [guardView(front, now)] : [])),
    childSas: [...core.store.children.values()].map((child) => childView(child, now)),
    refusedPolicies: refusedViews(core),
    policiesUnknown: unknownView(core, now),
  };
}

const suiteView = (suite: IkeSuite | null) => ({
  encryption: suite?.encryption.name ?? null,
  hash: suite?.hash.name ?? null,
  group: suite?.group.name ?? null,
});
const endpoint = ({ address, port }: { readonly address: string; readonly port: number }): string => formatEndpoint(address, port);
const secondsUntil = (at: Instant, now: Instant): number => Math.max(0, Math.round((at - now) / 1000));

function negotiationView(n: Negotiation): IkeSaView {
  const rule = ruleOfState(n.state);
  const settled = settledState(n.state);
  const cookieR = responderCookieOf(n.state);
  return {
    id: n.id,
    rule: rule.name,
    role: n.role,
    state: "negotiating",
    local: endpoint(n.path.local),
    remote: endpoint(n.path.remote),
    localId: null,
    remoteId: null,
    auth: methodWord(entryOf(settled)),
    ...suiteView("suite" in settled ? settled.suite : null),
    initiatorCookie: hex(n.cookieI),
    responderCookie: cookieR ? hex(cookieR) : "0".repeat(16),
    nat: "none",
    lifetimeSeconds: null,
    secondsLeft: null,
    quickModes: 0,
  };
}

/** What a message 2 of ours chose, as it is shown. */
type AnswerView = Pick<IkeSaView, "auth" | "encryption" | "hash" | "group">;

/** Strangers, as what they are to everybody else: negotiations. Thousands of them have few answers between them, so that each is read once. */
function strangerViews(core: Core): readonly IkeSaView[] {
  const known = new Map<string, AnswerView>();
  const views: IkeSaView[] = [];
  for (const stranger of core.store.halfOpen.strangers) {
    const text = Buffer.from(stranger.flight).toString("latin1", HEADER_SIZE);
    const answer = known.get(text) ?? answerView(chosenIn(stranger.flight));
    known.set(text, answer);
    views.push(strangerView(stranger, answer));
  }
  return views;
}

const strangerView = ({ id, rule, path, cookieI, cookieR }: Stranger, { auth, encryption, hash, group }: AnswerView): IkeSaView => ({
  id,
  rule,
  role: "responder",
  state: "negotiating",
  local: endpoint(path.local),
  remote: endpoint(path.remote),
  localId: null,
  remoteId: null,
  auth,
  encryption,
  hash,
  group,
  initiatorCookie: hex(cookieI),
  responderCookie: hex(cookieR),
  nat: "none",
  lifetimeSeconds: null,
  secondsLeft: null,
  quickModes: 0,
});

const answerView = (chosen: IkeOffer | undefined): AnswerView => ({
  auth: METHOD_WORDS[chosen?.method ?? 0] ?? "ecdsa",
  ...suiteView(chosen?.suite ?? null),
});

/** `methodWord` by the number on the wire; the others are those of ECDSA. */
const METHOD_WORDS: Readonly<Record<number, IkeSaView["auth"]>> = {
  [AUTH_METHOD["Pre-shared key"]]: "psk",
  [AUTH_METHOD["RSA signatures"]]: "rsa",
  [AUTH_METHOD.Kerberos]: "kerberos",
};

/** The method under way; of an offer of several the first. */
function entryOf(state: Weighing | OpenState): AuthEntry {
  if ("auth" in state) return state.auth.entry;
  const [first] = state.kind === "sa-sent" ? state.choices : [...state.usable, ...state.left];
  return (first?.entry ?? state.rule.auth[0]) as AuthEntry;
}

function ikeView(entry: IkeSa, now: Instant): IkeSaView {
  const { sa } = entry;
  return {
    id: entry.id,
    rule: sa.rule.name,
    role: entry.role,
    state: entry.state === "replaced" ? "closing" : entry.state,
    local: endpoint(entry.path.local),
    remote: endpoint(entry.path.remote),
    localId: formatIdentity(sa.ownId),
    remoteId: formatIdentity(sa.peerId),
    auth: methodWord(sa.proof.entry),
    ...suiteView(sa.suite),
    initiatorCookie: hex(sa.cookieI),
    responderCookie: hex(sa.cookieR),
    nat: natWord(sa.nat),
    lifetimeSeconds: sa.lifetimeSeconds,
    secondsLeft: secondsUntil(entry.expiresAt, now),
    quickModes: entry.quickModes,
  };
}

/** Clear text with a peer that speaks no IKE, and what guards have in common with that. */
function softView({ id, spec, until }: Front, now: Instant): SoftSaView {
  const { selector } = spec;
  return {
    id,
    rule: spec.rule.name,
    local: formatRange(selector.local),
    remote: formatRange(selector.remote),
    localPort: selector.localPort || null,
    remotePort: selector.remotePort || null,
    protocol: nameOf(IP_PROTOCOL, selector.protocol),
    secondsLeft: secondsUntil(until, now),
  };
}

/** What keeps a flow from the clear. */
const guardView = (front: Front, now: Instant): GuardView => ({
  ...softView(front, now),
  policies: front.policies.map(({ direction, selector, templates, priority }) => ({
    direction,
    source: `${selector.source}/${selector.sourceLength}`,
    destination: `${selector.destination}/${selector.destinationLength}`,
    sourcePort: selector.sourcePort || null,
    destinationPort: selector.destinationPort || null,
    protocol: nameOf(IP_PROTOCOL, selector.protocol),
    level: templates[0]?.level ?? null,
    priority,
  })),
});

function childView(child: ChildSa, now: Instant): ChildSaView {
  const { spec } = child;
  return {
    id: child.id,
    ike: child.ike,
    rule: spec.rule.name,
    state: child.outbound === "installed" || child.state !== "installed" ? child.state : "negotiating",
    mode: spec.rule.mode,
    tunnel: spec.rule.mode === "tunnel" ? { local: spec.local, remote: spec.remote } : null,
    local: formatRange(spec.selector.local),
    remote: formatRange(spec.selector.remote),
    localPort: spec.selector.localPort || null,
    remotePort: spec.selector.remotePort || null,
    protocol: nameOf(IP_PROTOCOL, spec.selector.protocol),
    group: child.group,
    protections: child.protections.map(({ suite, spiIn, spiOut }) => ({
      protocol: suite.protocol,
      encryption: suite.cipher?.name ?? null,
      integrity: suite.integrity?.name ?? null,
      spiIn: spiText(spiIn),
      spiOut: spiText(spiOut),
    })),
    bytesIn: 0,
    bytesOut: 0,
    lifetimeSeconds: child.lifetimeSeconds,
    secondsLeft: secondsUntil(child.installedAt + child.lifetimeSeconds * 1000, now),
    lifetimeKilobytes: child.lifetimeKilobytes,
    rekeys: child.rekeys,
    warning: child.use.tooFast ? "the volume is too small for this link" : null,
  };
}
