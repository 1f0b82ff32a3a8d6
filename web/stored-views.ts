/**
 * The views that ask once: the active policy, and negotiations with their ladders.
 */
import { type Column, element, tableOf } from "./dom.ts";
import type { Policy, Talk, TalkDetail } from "./types.ts";
import { filtered, type Page, stateText } from "./views.ts";

/** The policy as written, and as it should stand in the kernel. */
export function policyView(page: Page, policy: Policy | null): readonly Node[] {
  if (!policy) return [element("p", { class: "faint" }, "not known yet")];
  return [
    element("h2", {}, `As written: ${policy.name}`),
    tableOf({ name: "sources", columns: SOURCES, rows: filtered(policy.sources, page.filter), empty: "nothing" }, page.redraw),
    element("h2", {}, "As installed, strongest first"),
    tableOf({ name: "policies", columns: POLICIES, rows: filtered(policy.policies, page.filter), empty: "nothing" }, page.redraw),
  ];
}

const SOURCES: readonly Column<Policy["sources"][number]>[] = [
  { title: "Key", cell: ({ key }) => key, order: ({ key }) => key },
  { title: "Value", cell: ({ value }) => element("code", {}, value), kind: "wrap" },
  { title: "From", cell: ({ file, line }) => `${file}:${line}` },
];

const POLICIES: readonly Column<Policy["policies"][number]>[] = [
  { title: "Priority", cell: ({ priority }) => String(priority), kind: "number", order: ({ priority }) => priority },
  { title: "Direction", cell: ({ direction }) => direction, order: ({ direction }) => direction },
  { title: "Selector", cell: ({ selector }) => element("code", {}, selector) },
  { title: "Action", cell: ({ action, level }) => (level === null ? (action === "allow" ? "clear" : "block") : `protect, level ${level}`) },
  { title: "Rule", cell: ({ rule, exempt }) => rule ?? `exempt: ${exempt}`, order: ({ rule }) => rule ?? "" },
];

/** Negotiations that are remembered, the newest first. */
export const talkList = (page: Page, talks: readonly Talk[], open: (talk: Talk) => void): readonly Node[] => [
  tableOf(
    { name: "talks", columns: TALKS, rows: filtered(talks, page.filter), empty: "no negotiation is remembered", onOpen: open },
    page.redraw,
  ),
];

const time = (text: string): string => new Date(text).toLocaleTimeString();

const TALKS: readonly Column<Talk>[] = [
  { title: "Begun", cell: ({ begun }) => time(begun), order: ({ begun }) => begun },
  { title: "Last", cell: ({ last }) => time(last), order: ({ last }) => last },
  { title: "Peer", cell: ({ peer }) => peer, order: ({ peer }) => peer },
  { title: "Rule", cell: ({ rule }) => rule ?? "", order: ({ rule }) => rule ?? "" },
  { title: "State", cell: ({ state }) => stateText(state), order: ({ state }) => state },
  { title: "Reason", cell: ({ reason }) => reason ?? "" },
  { title: "Messages", cell: ({ messages }) => String(messages), kind: "number", order: ({ messages }) => messages },
  { title: "Cookie", cell: ({ cookie }) => element("code", {}, cookie) },
];

/** One negotiation: its ladder as a picture, and everything in it as text. */
export function talkView(talk: TalkDetail, back: () => void): readonly Node[] {
  const button = element("button", { type: "button" }, "← all negotiations");
  button.addEventListener("click", back);
  const failure =
    talk.text === null
      ? []
      : [element("p", { class: "bad" }, talk.text), ...(talk.hint === null ? [] : [element("p", {}, `Try: ${talk.hint}`)])];
  const steps = talk.steps.map(({ at, kind, title, lines }) => {
    const head = `${at.slice(11, 23)} ${title}`;
    if (lines.length === 0) return element("p", { class: kind === "event" ? "" : "faint" }, head);
    return element("details", {}, element("summary", {}, head), element("pre", {}, lines.join("\n")));
  });
  return [
    button,
    element("h2", {}, `${talk.peer}${talk.rule === null ? "" : `, rule ${talk.rule}`}: ${talk.state}`),
    ...failure,
    element("img", { class: "ladder", src: `ladder/${talk.id}.svg?${talk.messages}`, alt: `Ladder of the messages with ${talk.peer}` }),
    element("h2", {}, "Messages and decisions"),
    ...steps,
  ];
}
