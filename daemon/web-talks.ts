/**
 * Negotiations for the web monitor: the list, one with everything decoded, and its ladder.
 */
import { formatEndpoint } from "../isakmp/address.ts";
import { rungMaker } from "../isakmp/ladder-rungs.ts";
import { drawSvg, type LadderRung } from "../isakmp/ladder-svg.ts";
import { exchangeTitle, showMessage } from "../isakmp/trace-lines.ts";
import type { FailedTalk, Talk, Talks } from "./talks.ts";
import type { MessageEntry, TapEntry } from "./trace-entry.ts";

/** Every negotiation that is remembered, the newest first; failures stay when the rest of theirs is forgotten. */
export function talkList(talks: Talks): readonly (Talk | FailedTalk)[] {
  const failed = new Map(talks.failures().map((talk) => [talk.id, talk]));
  const open = talks.list();
  const known = new Set(open.map(({ id }) => id));
  return [...open.map((talk) => withReason(talk, failed.get(talk.id))), ...[...failed.values()].filter(({ id }) => !known.has(id))].sort(
    (a, b) => b.lastAt - a.lastAt,
  );
}

/** A negotiation by its number. */
export const talkOf = (talks: Talks, id: number): Talk | FailedTalk | undefined => talkList(talks).find((talk) => talk.id === id);

/** A negotiation that failed for good keeps the reason; what was established meanwhile has none to show. */
const withReason = (talk: Talk, failure: FailedTalk | undefined): Talk | FailedTalk =>
  failure && talk.state !== "established" ? { ...failure, ...talk } : talk;

/** A line of the list. */
export function talkSummary(talk: Talk | FailedTalk) {
  const { id, cookie, peer, rule, state, begunAt, lastAt, entries } = talk;
  const messages = entries.filter(({ kind }) => kind === "message").length;
  const reason = "reason" in talk ? talk.reason : null;
  return { id, cookie, peer, rule, state, begun: iso(begunAt), last: iso(lastAt), messages, reason };
}

/** Everything of one, decoded. */
export function talkDetail(talk: Talk | FailedTalk) {
  const [text, hint] = "text" in talk ? [talk.text, talk.hint] : [null, null];
  return { ...talkSummary(talk), text, hint, steps: talk.entries.map(stepOf) };
}

const iso = (at: number): string => new Date(at).toISOString();

function stepOf(entry: TapEntry) {
  const at = iso(entry.at);
  if (entry.kind !== "message") {
    const title = entry.kind === "event" ? `${entry.event}: ${entry.text}` : entry.text;
    return { at, kind: entry.kind, title, lines: [] };
  }
  const { header, before, after } = showMessage(entry.bytes, entry.plain);
  const peer = formatEndpoint(entry.remote.address, entry.remote.port);
  const what = header ? exchangeTitle(header.exchange) : "no ISAKMP message";
  const title = `${entry.way === "out" ? "sent to" : "received from"} ${peer}: ${what}, ${entry.bytes.length} octets`;
  return {
    at,
    kind: "message",
    title,
    lines: [...before, ...(after.length > 0 ? ["decrypted:", ...after.map((line) => `  ${line}`)] : [])],
  };
}

/** The ladder: ourselves on the left; decisions that refused something, and events, stand between the messages. */
export function talkLadder({ peer, entries, begunAt }: Talk): string {
  const rung = rungMaker();
  const ours = entries.find((entry): entry is MessageEntry => entry.kind === "message");
  const rungs = entries.flatMap((entry): readonly LadderRung[] => {
    const at = entry.at - begunAt;
    if (entry.kind === "message") {
      if (entry.assembled) return [];
      const { header, payloads, after } = showMessage(entry.bytes, entry.plain);
      const shown = payloads.length === 0 && after.length > 0 ? after.join("; ") : payloads;
      return [rung({ at, from: entry.way === "out" ? "left" : "right", bytes: entry.bytes, header, payloads: shown })];
    }
    const said = entry.kind === "event" ? `${entry.event}: ${entry.text}` : entry.text;
    if (entry.kind === "note" && !TELLING.test(said)) return [];
    const bad = entry.kind === "event" ? entry.event.endsWith(".failed") : said.includes(" refused: ");
    return [{ at, kind: bad ? "failure" : "note", from: "left", label: said, size: "", parts: [] }];
  });
  return drawSvg({ title: `Negotiation with ${peer}`, left: `${ours?.local.address ?? "this host"}`, right: peer, rungs });
}

/** Notes that belong into the picture; the others stand in the text. */
const TELLING = / (taken|refused): /;
