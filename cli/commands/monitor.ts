/**
 * `mainmode monitor`: the screen of `monitor/` on a terminal, live; repeating text anywhere else. What the terminal was before, it is after.
 */
import { ask, type Update } from "../client.ts";
import { EXIT } from "../exit.ts";
import { keysOf, type Model, onKey, onUpdate, START } from "../monitor/model.ts";
import { rowsOf } from "../monitor/rows.ts";
import { plainText, screen } from "../monitor/screen.ts";

export interface MonitorOptions {
  readonly control: string;
  /** Seconds between two pictures. */
  readonly interval: number;
  readonly once: boolean;
  readonly json: boolean;
}

const RECENT = 100;

/** Resolves with the exit code when the user leaves, or after one picture. */
export function monitor(options: MonitorOptions): Promise<number> {
  const { stdin, stdout } = process;
  const terminal = stdout.isTTY && stdin.isTTY && process.env["TERM"] !== "dumb" && !options.once && !options.json;
  return terminal ? fullScreen(options) : repeating(options);
}

/** Asks for updates until `signal`; rejects when the daemon goes. */
const follow = (options: MonitorOptions, onNews: (update: Update) => void, signal: AbortSignal, recent: number): Promise<unknown> =>
  ask({
    path: options.control,
    request: { command: "subscribe", recent, snapshots: options.interval },
    patienceSeconds: null,
    onUpdate: onNews,
    signal,
  });

async function repeating({ once, json, ...options }: MonitorOptions): Promise<number> {
  const stop = new AbortController();
  process.once("SIGINT", () => stop.abort());
  let model = START;
  let pictures = 0;
  const write = (text: string): void => void process.stdout.write(`${text}\n`);
  const tell = (update: Update): void => {
    if (stop.signal.aborted) return;
    model = onUpdate(model, update);
    if (json) {
      if (!once || update.kind === "snapshot") write(JSON.stringify(update));
    } else if (update.kind === "event") write(`${update.time} ${update.level} ${plainEvent(update.text)}`);
    else if (update.kind === "snapshot") write(`${pictures > 0 ? "\n" : ""}${plainText(model).join("\n")}`);
    if (update.kind === "snapshot" && ++pictures > 0 && once) stop.abort();
  };
  await follow({ ...options, once, json }, tell, stop.signal, once ? 0 : RECENT);
  return EXIT.done;
}

const plainEvent = (text: string): string => text.replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, " ");

/** Other screen, no cursor; and back. */
const [ENTER, LEAVE] = ["\x1b[?1049h\x1b[?25l\x1b[2J", "\x1b[?25h\x1b[?1049l"];
const AGAIN_MS = 2000;
/** Updates are drawn together. */
const DRAW_MS = 50;

async function fullScreen(options: MonitorOptions): Promise<number> {
  const stop = new AbortController();
  const display = displayOn(process.stdout);
  let model = START;
  let due: NodeJS.Timeout | undefined;
  const change = (next: Model | null): void => {
    if (next === null) return stop.abort();
    model = next;
    due ??= setTimeout(() => {
      due = undefined;
      if (!stop.signal.aborted) display.draw(model);
    }, DRAW_MS);
  };
  const giveBack = takeTerminal({
    onKey: (key) => !stop.signal.aborted && change(onKey(model, key, shownKeys(model))),
    onResize: () => {
      display.forget();
      change(model);
    },
    onEnd: () => stop.abort(),
  });
  try {
    while (!stop.signal.aborted) {
      const known = model.events.length > 0;
      try {
        await follow(options, (update) => change(onUpdate({ ...model, connection: "live" }, update)), stop.signal, known ? 0 : RECENT);
      } catch (error) {
        // A daemon that was never there is an error; one that went away may come back.
        if (model.snapshot === null) throw error;
        change({ ...model, connection: "gone" });
        await pause(AGAIN_MS, stop.signal);
      }
    }
  } finally {
    clearTimeout(due);
    giveBack();
  }
  return EXIT.done;
}

const shownKeys = (model: Model): readonly string[] => rowsOf(model).map(({ key }) => key);

interface TerminalUse {
  readonly onKey: (key: string) => void;
  readonly onResize: () => void;
  readonly onEnd: () => void;
}

/** Other screen, keys one by one; the answer undoes it. Whatever ends the process, the terminal gets its own screen back. */
function takeTerminal({ onKey, onResize, onEnd }: TerminalUse): () => void {
  const { stdin, stdout } = process;
  const onInput = (chunk: string): void => keysOf(chunk).forEach(onKey);
  const signals = ["SIGTERM", "SIGHUP", "SIGINT"] as const;
  const restore = (): void => {
    stdout.write(LEAVE);
    stdin.setRawMode(false);
  };
  stdout.write(ENTER);
  stdin.setRawMode(true);
  stdin.setEncoding("utf8");
  stdin.on("data", onInput);
  stdin.resume();
  stdout.on("resize", onResize);
  for (const name of signals) process.on(name, onEnd);
  process.once("exit", restore);
  return () => {
    process.removeListener("exit", restore);
    for (const name of signals) process.removeListener(name, onEnd);
    stdin.removeListener("data", onInput);
    stdout.removeListener("resize", onResize);
    stdin.pause();
    restore();
  };
}

/** Draws what changed since the last time. */
function displayOn(stdout: NodeJS.WriteStream) {
  let drawn: readonly string[] = [];
  const colours = !process.env["NO_COLOR"];
  const unicode = /utf-?8/i.test(process.env["LC_ALL"] || process.env["LC_CTYPE"] || process.env["LANG"] || "");
  return {
    draw(model: Model): void {
      const lines = screen(model, { columns: stdout.columns || 80, rows: stdout.rows || 24 }, { colours, unicode });
      const changed = lines.flatMap((line, i) => (line === drawn[i] ? [] : [`\x1b[${i + 1};1H${line}`]));
      drawn = lines;
      if (changed.length > 0) stdout.write(changed.join(""));
    },
    forget(): void {
      drawn = [];
      stdout.write("\x1b[2J");
    },
  };
}

const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    const end = (): void => {
      clearTimeout(timer);
      resolve();
    };
    signal.addEventListener("abort", end, { once: true });
  });
