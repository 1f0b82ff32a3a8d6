/**
 * The web monitor in the browser: keeps what the daemon streams, draws the view that is chosen, and listens to the keyboard.
 * The address after # names the view, so that it can be kept and shared.
 */
import { element } from "./dom.ts";
import { policyView, talkList, talkView } from "./stored-views.ts";
import type { HistorySample, LogEvent, Policy, Snapshot, Talk, TalkDetail } from "./types.ts";
import { events, mainModeSas, overview, type Page, quickModeSas, statistics } from "./views.ts";

const MOST_EVENTS = 500;
const MOST_SAMPLES = 240;

interface State {
  snapshot: Snapshot | null;
  history: HistorySample[];
  events: LogEvent[];
  policy: Policy | null;
  talks: readonly Talk[];
  talk: TalkDetail | null;
  filter: string;
}

const state: State = { snapshot: null, history: [], events: [], policy: null, talks: [], talk: null, filter: "" };

interface View {
  readonly title: string;
  readonly draw: (page: Page) => readonly Node[];
  readonly filters: boolean;
  /** Asks for what the stream does not tell. */
  readonly load?: () => Promise<void>;
}

const VIEWS: Readonly<Record<string, View>> = {
  overview: { title: "Overview", draw: overview, filters: false },
  "main-mode": { title: "Main Mode SAs", draw: mainModeSas, filters: true },
  "quick-mode": { title: "Quick Mode SAs", draw: quickModeSas, filters: true },
  negotiations: { title: "Negotiations", draw: drawTalks, filters: true, load: loadTalks },
  statistics: { title: "Statistics", draw: statistics, filters: true },
  policy: { title: "Active policy", draw: (page) => policyView(page, state.policy), filters: true, load: loadPolicy },
  events: { title: "Events", draw: events, filters: true },
};

const byId = (id: string): HTMLElement => document.getElementById(id) as HTMLElement;

/** `#negotiations/7`: the view's name, and what it shows of it. */
function place(): readonly [string, string] {
  const [name = "", detail = ""] = location.hash.slice(1).split("/");
  return [name in VIEWS ? name : "overview", detail];
}

const page = (): Page => ({
  snapshot: state.snapshot,
  history: state.history,
  events: state.events,
  filter: state.filter,
  redraw: draw,
  openCookie,
});

function drawTalks(shown: Page): readonly Node[] {
  const [, detail] = place();
  if (detail !== "" && state.talk && String(state.talk.id) === detail) return talkView(state.talk, () => go("negotiations"));
  if (detail !== "") return [element("p", { class: "faint" }, "this negotiation is no longer remembered")];
  return talkList(shown, state.talks, ({ id }) => go(`negotiations/${id}`));
}

const go = (where: string): void => {
  location.hash = where;
};

function openCookie(cookie: string): void {
  void loadTalks().then(() => {
    const talk = state.talks.find((each) => each.cookie === cookie);
    if (talk) go(`negotiations/${talk.id}`);
  });
}

async function loadTalks(): Promise<void> {
  state.talks = (await ask<readonly Talk[]>("api/negotiations")) ?? [];
  const [name, detail] = place();
  if (name === "negotiations" && detail !== "") state.talk = await ask<TalkDetail>(`api/negotiations/${encodeURIComponent(detail)}`);
}

async function loadPolicy(): Promise<void> {
  state.policy = await ask<Policy>("api/policy");
}

async function ask<T>(path: string): Promise<T | null> {
  try {
    const response = await fetch(path);
    return response.ok ? ((await response.json()) as T) : null;
  } catch {
    return null;
  }
}

/** Draws the view anew; what has the focus keeps it, by its place. */
function draw(): void {
  const [name] = place();
  const view = VIEWS[name];
  if (!view) return;
  for (const tab of byId("tabs").children) {
    const selected = tab.getAttribute("data-view") === name;
    tab.setAttribute("aria-selected", String(selected));
    tab.setAttribute("tabindex", selected ? "0" : "-1");
  }
  const main = byId("view");
  const focusable = (): HTMLElement[] => [...main.querySelectorAll<HTMLElement>("button, input, summary, tr[tabindex]")];
  const at = focusable().indexOf(document.activeElement as HTMLElement);
  const open = new Set([...main.querySelectorAll("details")].flatMap((each, i) => (each.open ? [i] : [])));
  main.replaceChildren(...(view.filters && place()[1] === "" ? [filterBox()] : []), ...view.draw(page()));
  main.querySelectorAll("details").forEach((each, i) => {
    each.open = open.has(i);
  });
  if (at >= 0) focusable()[at]?.focus();
}

function filterBox(): HTMLElement {
  const input = element("input", {
    type: "search",
    placeholder: "filter",
    "aria-label": "Filter",
    value: state.filter,
  }) as HTMLInputElement;
  input.addEventListener("input", () => {
    state.filter = input.value;
    draw();
    const [again] = byId("view").getElementsByTagName("input");
    again?.setSelectionRange(again.value.length, again.value.length);
  });
  return input;
}

function makeTabs(): void {
  for (const [name, { title }] of Object.entries(VIEWS)) {
    const tab = element("button", { type: "button", role: "tab", "data-view": name, "aria-controls": "view" }, title);
    tab.addEventListener("click", () => go(name));
    byId("tabs").append(tab);
  }
}

function listenToKeys(): void {
  document.addEventListener("keydown", (event) => {
    const typing = document.activeElement instanceof HTMLInputElement;
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const names = Object.keys(VIEWS);
    const at = names.indexOf(place()[0]);
    if (event.key === "Escape") {
      state.filter = "";
      if (place()[1] !== "") go(place()[0]);
      (document.activeElement as HTMLElement | null)?.blur();
      draw();
    } else if (!typing && (event.key === "ArrowRight" || event.key === "ArrowLeft")) {
      go(names[(at + (event.key === "ArrowRight" ? 1 : names.length - 1)) % names.length] ?? "overview");
    } else if (!typing && event.key === "/") {
      event.preventDefault();
      byId("view").getElementsByTagName("input")[0]?.focus();
    }
  });
}

async function show(): Promise<void> {
  draw();
  await VIEWS[place()[0]]?.load?.();
  draw();
}

/** The stream mends itself: the browser connects again, and the daemon tells the last events anew. */
function follow(): void {
  const source = new EventSource("api/events");
  const link = byId("link");
  source.addEventListener("open", () => {
    state.events = [];
    link.textContent = "live";
    link.className = "live";
  });
  source.addEventListener("error", () => {
    link.textContent = "no connection to the daemon";
    link.className = "";
  });
  source.addEventListener("history", (message) => {
    state.history = JSON.parse((message as MessageEvent<string>).data);
  });
  source.addEventListener("sample", (message) => {
    state.history = [...state.history, JSON.parse((message as MessageEvent<string>).data)].slice(-MOST_SAMPLES);
  });
  source.addEventListener("snapshot", (message) => {
    state.snapshot = JSON.parse((message as MessageEvent<string>).data);
    drawUnlessRead();
  });
  source.addEventListener("record", (message) => {
    state.events = [JSON.parse((message as MessageEvent<string>).data) as LogEvent, ...state.events].slice(0, MOST_EVENTS);
    if (place()[0] === "negotiations") void loadTalks().then(drawUnlessRead);
    else drawUnlessRead();
  });
}

let waiting = false;

/** Not while somebody selects text; and many things that happen at once are drawn once. */
function drawUnlessRead(): void {
  if (waiting || (getSelection()?.toString() ?? "") !== "") return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    draw();
  });
}

makeTabs();
listenToKeys();
addEventListener("hashchange", () => void show());
follow();
void loadPolicy().then(() => {
  byId("policy").textContent = state.policy ? `policy ${state.policy.name}` : "";
});
void show();
