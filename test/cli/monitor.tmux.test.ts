/** The monitor as people see it: in tmux, on a small and on a large terminal, through a live negotiation. It has to be installed. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { ask } from "../../cli/client.ts";
import { until } from "../daemon/fakes.ts";
import { startPair } from "../daemon/pair.ts";
import { mainmode } from "./fake-daemon.ts";

const MAIN = fileURLToPath(new URL(`../../cli/main${import.meta.url.slice(import.meta.url.lastIndexOf("."))}`, import.meta.url));

/** A terminal of its own that runs the monitor, and nothing of this user's tmux. */
function terminal(t: TestContext, control: string, columns: number, rows: number, env: readonly string[] = []) {
  const folder = mkdtempSync(join(tmpdir(), "mainmode-tmux-"));
  const tmux = (...words: readonly string[]): string => {
    return execFileSync("tmux", ["-S", join(folder, "tmux"), "-f", "/dev/null", ...words], { encoding: "utf8" });
  };
  const command = ["env", "LC_ALL=C.UTF-8", ...env, process.execPath, MAIN, "monitor", "--interval", "1", "--control", control];
  tmux("new-session", "-d", "-x", String(columns), "-y", String(rows), command.join(" "), ";", "set-option", "-g", "remain-on-exit", "on");
  t.after(() => {
    tmux("kill-server");
    rmSync(folder, { recursive: true, force: true });
  });
  return {
    shown: () => tmux("capture-pane", "-p", "-N"),
    raw: () => tmux("capture-pane", "-p", "-e"),
    /** The monitor is gone. Asked from tmux's list: its words in the pane wait for a signal that it sometimes misses. */
    isOver: () => tmux("list-panes", "-F", "#{pane_dead}").trim() === "1",
    press: (...keys: readonly string[]) => void tmux("send-keys", ...keys),
  };
}

/** Waits until the screen shows it; what it showed instead stands in the error. */
const sees = (screen: { shown(): string }, pattern: RegExp): Promise<void> =>
  until(
    () => pattern.test(screen.shown()),
    () => `${pattern} on\n${screen.shown().trimEnd()}`,
  );

for (const [columns, rows] of [
  [80, 24],
  [200, 60],
] as const)
  test(`at ${columns}x${rows} a negotiation is seen from its first event to its SAs, and keys do what the last line says`, async (t) => {
    const { a } = await startPair(t);
    const screen = terminal(t, a.daemon.controlPath, columns, rows);
    await sees(screen, /mainmode live {2}0 IKE, 0 child/);
    assert.equal((await ask({ path: a.daemon.controlPath, request: { command: "initiate", rule: "peer", wait: 20 } })).exit, 0);
    await sees(screen, /1 IKE, 1 child/);
    const lines = screen.shown().split("\n");
    assert.equal(lines.length - 1, rows);
    assert.match(screen.shown(), /> \d+ +peer +127\.0\.0\.3:\d+ +up +█+/);
    assert.match(screen.shown(), /Main Mode established/);
    assert.match(lines[rows - 1] ?? "", /q quit/);
    assert.ok(screen.raw().includes("\x1b["));
    screen.press("Down", "Enter");
    await sees(screen, /spi 0x[0-9a-f]{8} in/);
    screen.press("Escape");
    screen.press("3");
    await sees(screen, /Active Acquire +0/);
    screen.press("1", "/", "z", "z", "z", "Enter");
    await sees(screen, /no SA matches the filter/);
    await a.daemon.stop();
    await sees(screen, /daemon gone, trying again/);
    screen.press("q");
    await until(
      () => screen.isOver(),
      () => `the monitor's end; it shows\n${screen.shown().trimEnd()}`,
    );
  });

test("without colours there are none, and the screen is whole", async (t) => {
  const { a } = await startPair(t);
  const screen = terminal(t, a.daemon.controlPath, 80, 24, ["NO_COLOR=1"]);
  await sees(screen, /mainmode live/);
  assert.equal(screen.raw().includes("\x1b["), false);
});

test("a terminal that can do nothing, and a pipe, get repeating text", async (t) => {
  const { a, folder } = await startPair(t);
  const screen = terminal(t, a.daemon.controlPath, 80, 24, ["TERM=dumb"]);
  await until(() => (screen.shown().match(/mainmode live/g) ?? []).length >= 2, "two pictures as text");
  const { exit, stdout } = await mainmode(["monitor", "--once", "--control", a.daemon.controlPath]);
  assert.equal(exit, 0);
  assert.match(stdout, /^mainmode live {2}0 IKE/);
  const json = await mainmode(["monitor", "--once", "--json", "--control", a.daemon.controlPath]);
  assert.equal(JSON.parse(json.stdout).kind, "snapshot");
  assert.equal((await mainmode(["monitor", "--once", "--control", join(folder, "nobody.sock")])).exit, 69);
});
