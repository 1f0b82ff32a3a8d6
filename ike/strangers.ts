/**
 * Strangers: what a message 1 leaves behind, and what its message 3 makes of it.
 * A stranger is a row of octets (sa-store/stranger.ts). What else its negotiation needs is a pure function of its offer, our cookie and the policy:
 * when message 3 is here, message 1 is answered again, in thought, and only where that gives octet for octet what was sent a `Negotiation` begins.
 * Of the last few the thought itself is still there (last-answers.ts).
 * Invariant: a message 3 that is no good leaves the row and nothing more, whatever was computed for it.
 */
import { ownName, readName } from "../auth/gss.ts";
import { decodePayloads, type Header } from "../isakmp/message.ts";
import { FLAG, PAYLOAD } from "../isakmp/numbers.ts";
import { copyOf } from "../isakmp/octets.ts";
import { err, ok, type Result } from "../isakmp/result.ts";
import { ruleNamed, rulesForPeer } from "../policy/select.ts";
import type { AuthEntry, Rule } from "../policy/types.ts";
import type { Negotiation } from "../sa-store/ike-sa.ts";
import { DIGEST, PRINT, type Stranger } from "../sa-store/stranger.ts";
import { isFirstContact } from "./contact.ts";
import { type Core, count, hex, log, logError, peerName, send } from "./core.ts";
import { sameOctets } from "./crypto/compare.ts";
import type { EventFields } from "./effect.ts";
import { ERROR_POLICY, type IkeError } from "./errors.ts";
import { pathFields } from "./event-fields.ts";
import type { Cutter } from "./fragmenting.ts";
import { askAgain } from "./fronts.ts";
import type { Path, TerminateTarget } from "./input.ts";
import { jobRefusal } from "./jobs.ts";
import { onKeyExchange } from "./main-mode.ts";
import { chosenIn, essenceOf, onOffer, type Welcome } from "./main-mode-offer.ts";
import type { SaAnswered } from "./main-mode-states.ts";
import type { Step } from "./main-mode-table.ts";
import { isUnanswerable, planFor } from "./methods.ts";
import { silent } from "./note.ts";
import { clearNotify, commit, makeRoom, onStepError } from "./phase1.ts";
import { HALF_OPEN } from "./retransmit.ts";

/** The one timer of all strangers. */
const OWNER = "strangers all";

/** Strangers of a kind, with short or with long offers, whose time is over and that one tick forgets before it lets the sockets speak. */
const AT_ONCE = 100;

/** Octets that may leave for each octet that came, as long as an address may be forged. */
const AMPLIFICATION = 3;

/** Octets that no datagram exceeds. */
const LONGEST = 65_507;

/** The kinds of errors by number: what a row can hold of one. */
const KINDS = Object.keys(ERROR_POLICY) as readonly IkeError["kind"][];

/** A message 1 from somebody: one bounded row at most, and no exponentiation. `cookieR`: the cookie that we demanded, where we did. */
export function receiveFirst(core: Core, path: Path, header: Header, bytes: Uint8Array, cookieR: Uint8Array | null = null): void {
  const payloads = decodePayloads(header.nextPayload, bytes.subarray(28, header.length));
  if (!payloads.ok)
    return refuseFirst(core, path, header.initiatorCookie, header.length, {
      kind: "malformed",
      offset: payloads.error.offset,
      what: `message 1: ${payloads.error.what} at octet ${payloads.error.offset}`,
    });
  const candidates = rulesForPeer(core.policy, path.local.address, path.remote.address);
  if (candidates.length === 0) return refuseFirst(core, path, header.initiatorCookie, header.length, noRule(path));
  const id = core.store.newId();
  const welcome = {
    candidates,
    context: String(id),
    contact: isFirstContact(core, path),
    unusable: (entry: AuthEntry) => isUnanswerable(core, entry),
    cookieR,
    agreed: null,
  };
  const stepped = onOffer(core, path, welcome, header.initiatorCookie, payloads.value);
  if (!stepped.ok) return refuseFirst(core, path, header.initiatorCookie, header.length, stepped.error, candidates[0]);
  const { next, send: flight } = stepped.value;
  if (flight.length > Math.min(AMPLIFICATION * header.length, LONGEST)) return count(core, "answer too long for its question");
  const stranger: Stranger = {
    id,
    path,
    cookieI: next.cookieI,
    cookieR: next.cookieR,
    startedAt: core.now,
    rule: next.auth.rule.name,
    print: printOf(bytes),
    offer: essenceOf(payloads.value, next.auth),
    flight,
    contact: welcome.contact,
    told: false,
    fragmented: false,
    trouble: 0,
    refused: NOTHING_REFUSED,
  };
  core.store.halfOpen.strangers.put(stranger);
  if (core.unusable.size === 0) core.lastAnswers.keep(core.policy, id, next);
  makeRoom(core);
  armStrangers(core);
  if (!core.store.halfOpen.strangers.has(next.cookieI, path.remote.address)) return;
  log(core, "ike.started", "debug", `${peerName(path)}: Main Mode begun by the peer`, strangerFields(stranger));
  send(core, path, flight);
}

const NOTHING_REFUSED = { digest: new Uint8Array(DIGEST), count: 0 } as const;

const noRule = (path: Path): IkeError => ({ kind: "no-rule", what: `no rule for peer ${path.remote.address}` });

/** A refusal leaves no state; the notify is never longer than what came in, of `length` octets. */
function refuseFirst(core: Core, path: Path, cookieI: Uint8Array, length: number, error: IkeError, rule?: Rule): void {
  count(core, `main-mode ${ERROR_POLICY[error.kind].reason}`);
  logError(core, "ike.failed", `${peerName(path)}${rule ? ` (rule ${rule.name})` : ""}: message 1 refused`, error, {
    ...(rule ? { rule: rule.name } : {}),
    ...pathFields(path),
    initiatorCookie: hex(cookieI),
    ...{ exchange: "main-mode", role: "responder", state: "none" },
  });
  askAgain(core, path);
  const { notify } = ERROR_POLICY[error.kind];
  if (notify === null) return;
  const answer = clearNotify(cookieI, core.random(8), notify, core);
  if (answer.length <= length) send(core, path, answer);
}

/** The stranger of a cookie and an address. One whose minute is over is forgotten here: it may stand behind younger ones, if it came back from a job. */
export function strangerOf(core: Core, cookieI: Uint8Array, remote: string): Stranger | undefined {
  const stranger = core.store.halfOpen.strangers.find(cookieI, remote);
  if (!stranger || stranger.startedAt + HALF_OPEN > core.now) return stranger;
  forget(core, stranger);
  return undefined;
}

/** A Main Mode message with a stranger's cookie, from its address: message 1 again, or message 3. */
export function hearStranger(core: Core, stranger: Stranger, path: Path, header: Header, bytes: Uint8Array): void {
  if (path.local.address !== stranger.path.local.address) return count(core, "other peer's cookies");
  const first = header.responderCookie.every((octet) => octet === 0);
  // Message 1 bears our cookie where we had demanded one.
  if (!first && !sameOctets(header.responderCookie, stranger.cookieR)) return count(core, "unknown cookies");
  core.touched = stranger.id;
  if (sameOctets(printOf(bytes), stranger.print)) {
    count(core, "repeat");
    return send(core, stranger.path, stranger.flight);
  }
  // The first one counts.
  if (first) return count(core, "message 1 changed");
  if (sameOctets(bytes, stranger.flight)) return count(core, "reflected");
  if (stranger.refused.count > 0 && sameOctets(digestOf(core, bytes), stranger.refused.digest)) return count(core, "refused before");
  if ((header.flags & FLAG.ENCRYPTION) !== 0) return count(core, "main-mode out of turn");
  if (!core.gate.exponent(path.remote.address, core.now)) return count(core, "key exchange put off: too many from one source");
  onThird(core, stranger, header, bytes);
}

/** Message 3: the stranger becomes a negotiation, or stays what it was. */
function onThird(core: Core, stranger: Stranger, header: Header, bytes: Uint8Array): void {
  // What works does not change under a policy by which everything works.
  const kept = core.unusable.size === 0 ? core.lastAnswers.take(core.policy, stranger.id) : undefined;
  const answered = kept ? ok(kept) : answerAgain(core, stranger);
  if (!answered.ok) {
    forget(core, stranger);
    const rule = ruleNamed(core.policy, stranger.rule);
    return refuseFirst(core, stranger.path, stranger.cookieI, bytes.length, answered.error, rule);
  }
  const n = negotiationOf(stranger, answered.value);
  const full = jobRefusal(core, n);
  if (full !== undefined) return count(core, full);
  const stepped = exchangeKeys(core, answered.value, header, bytes);
  if (!stepped.ok) return complain(core, n, stranger, stepped.error);
  forget(core, stranger);
  core.store.putIke(n);
  core.timers.set(`ike ${n.id}`, "giveUp", n.startedAt + HALF_OPEN);
  n.cameFrom = core.arrival ?? n.path;
  commit(core, n, stepped.value, copyOf(bytes));
}

/** What message 1 led to, once more. An error where the policy of today answers otherwise than what was sent. */
function answerAgain(core: Core, stranger: Stranger): Result<SaAnswered, IkeError> {
  const { path, cookieI, contact, flight, offer } = stranger;
  const candidates = rulesForPeer(core.policy, path.local.address, path.remote.address);
  if (candidates.length === 0) return err(noRule(path));
  const agreed = chosenIn(flight);
  // It may live as long as an SA, which must not hold on to the whole row.
  const cookieR = copyOf(stranger.cookieR);
  const welcome = { candidates, context: String(stranger.id), contact, agreed: agreed?.method ?? null, cookieR };
  const payloads = decodePayloads(PAYLOAD.SA, offer);
  if (!payloads.ok) throw new Error(`a kept message 1 can't be read: ${payloads.error.what}`);
  const tools = { crypto: core.crypto, random: core.random, note: silent };
  const again = (unusable: Welcome["unusable"]) => onOffer(tools, path, { ...welcome, unusable }, cookieI, payloads.value);
  const fits = (one: ReturnType<typeof again>): boolean => one.ok && sameOctets(one.value.send, flight);
  const today = again((entry) => isUnanswerable(core, entry));
  // What works may have changed meanwhile: whom message 2 named is who takes the ticket.
  const name = fits(today) || !agreed ? undefined : readName(agreed.attributes);
  const stepped = name ? again((entry) => entry.method === "kerberos" && !sameOctets(ownName(entry).wire, name.wire)) : today;
  if (!stepped.ok) return stepped;
  if (!fits(stepped))
    return err({ kind: "no-proposal", what: "the policy was changed since message 1 was answered, and answers it otherwise now" });
  return ok(stepped.value.next);
}

function exchangeKeys(core: Core, state: SaAnswered, header: Header, bytes: Uint8Array): Step {
  const payloads = decodePayloads(header.nextPayload, bytes.subarray(28, header.length));
  if (payloads.ok) return onKeyExchange(core, state, payloads.value);
  return err({ kind: "malformed", offset: payloads.error.offset, what: `${payloads.error.what} at octet ${payloads.error.offset}` });
}

const negotiationOf = (stranger: Stranger, state: SaAnswered): Negotiation => ({
  phase: "negotiating",
  id: stranger.id,
  role: "responder",
  path: stranger.path,
  cameFrom: stranger.path,
  cookieI: state.cookieI,
  startedAt: stranger.startedAt,
  origin: stranger,
  state,
  wishes: [],
  lastError: null,
  refusal: null,
  told: stranger.told,
  working: null,
  refused: { message: null, count: stranger.refused.count },
  plan: planFor([], false),
  received: null,
  flight: stranger.flight,
  tries: 0,
  fragmented: stranger.fragmented,
  askedAt: null,
  sentAt: null,
  cookieDemands: 0,
});

/** A job has refused a message 3: as if it had never come, but that its repeats are known. Among strangers the negotiation is the youngest again. */
export function becomeStranger(core: Core, n: Negotiation, origin: Stranger, message: Uint8Array, error: IkeError): void {
  core.timers.clearAll(`ike ${n.id}`);
  core.store.removeIke(n.id);
  const stranger = { ...origin, fragmented: n.fragmented, refused: { digest: digestOf(core, message), count: n.refused.count } };
  complain(core, n, stranger, error);
  makeRoom(core);
  armStrangers(core);
}

/** What is wrong with a message 3 is said once; the row remembers what it was, and waits for a better one. */
function complain(core: Core, n: Negotiation, stranger: Stranger, error: IkeError): void {
  const trouble = KINDS.indexOf(error.kind) + 1;
  n.lastError = trouble === stranger.trouble ? error : null;
  onStepError(core, n, error);
  core.store.halfOpen.strangers.put({ ...stranger, trouble, told: n.told });
}

/** The kind of what was wrong with a stranger's message 3, as a code of reason; null: nothing yet. */
export function troubleOf({ trouble }: Stranger): string | null {
  const kind = KINDS[trouble - 1];
  return kind ? `message 3 was not accepted: ${ERROR_POLICY[kind].reason}` : null;
}

/** A stranger that both cookies and both addresses name, as the sender of fragments: a message 3 may be long. */
export function strangerInPieces(core: Core, path: Path, header: Header): Cutter | undefined {
  const { strangers } = core.store.halfOpen;
  const stranger = strangers.find(header.initiatorCookie, path.remote.address);
  if (!stranger || stranger.path.local.address !== path.local.address) return undefined;
  if (!sameOctets(stranger.cookieR, header.responderCookie)) return undefined;
  const rule = ruleNamed(core.policy, stranger.rule);
  return { id: stranger.id, proved: false, rule, noted: () => strangers.put({ ...stranger, fragmented: true }) };
}

/** Forgets the strangers that a command means; how many those were. */
export function endStrangers(core: Core, target: TerminateTarget): number {
  const { strangers } = core.store.halfOpen;
  const meant = (stranger: Stranger): boolean =>
    target.kind === "all" ||
    (target.kind === "rule" && target.rule === stranger.rule) ||
    (target.kind === "ike" && target.id === stranger.id);
  const ended = [...strangers].filter(meant);
  for (const stranger of ended) strangers.remove(stranger.cookieI, stranger.path.remote.address);
  armStrangers(core);
  return ended.length;
}

/** The timer of strangers is due: those whose minute is over are forgotten, without a word. */
export function onStrangersTimer(core: Core): void {
  const { strangers } = core.store.halfOpen;
  strangers.removeOlder(core.now - HALF_OPEN + 1, AT_ONCE);
  armStrangers(core);
}

function forget(core: Core, { cookieI, path }: Stranger): void {
  core.store.halfOpen.strangers.remove(cookieI, path.remote.address);
  armStrangers(core);
}

/** The timer runs while there are strangers, but never within this tick again. It may be early, where the one that it was for has gone. */
function armStrangers(core: Core): void {
  const { strangers } = core.store.halfOpen;
  if (strangers.size === 0) core.timers.clearAll(OWNER);
  else if (!core.timers.has(OWNER, "giveUp"))
    core.timers.set(OWNER, "giveUp", Math.max((strangers.since ?? core.now) + HALF_OPEN, core.now + 1));
}

/**
 * A checksum of 64 bits, twice FNV-1a with two factors, and the length in octets. A few hundred octets take a fraction of what a digest costs; two
 * messages with the same checksum are made easily. With the length that is harmless: without it a bare header could draw the longest message 2.
 */
function printOf(bytes: Uint8Array): Uint8Array {
  let [a, b] = [0x811c9dc5, 0x7ee3623a];
  for (let i = 0; i < bytes.length; i++) {
    const octet = bytes[i] as number;
    a = Math.imul(a ^ octet, 0x01000193);
    b = Math.imul(b ^ octet, 0x85ebca6b);
  }
  const print = new Uint8Array(PRINT);
  for (let i = 0; i < 4; i++) {
    print[i] = a >>> (8 * i);
    print[4 + i] = b >>> (8 * i);
  }
  print[8] = bytes.length >>> 8;
  print[9] = bytes.length;
  return print;
}

/** By which a message 3 that was refused is known. Nobody can make another one of the same, which would keep the good one away. */
const digestOf = (core: Core, bytes: Uint8Array): Uint8Array => core.crypto.hash("sha256", bytes).subarray(0, DIGEST);

const strangerFields = ({ id, rule, path, cookieI, cookieR }: Stranger): EventFields => ({
  rule,
  ...pathFields(path),
  initiatorCookie: hex(cookieI),
  responderCookie: hex(cookieR),
  ike: id,
  ...{ exchange: "main-mode", role: "responder", state: "sa-answered" },
});
