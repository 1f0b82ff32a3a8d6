import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Update } from "../../cli/client.ts";
import { cells, fit } from "../../cli/monitor/cells.ts";
import { keysOf, type Model, onKey, onUpdate, START } from "../../cli/monitor/model.ts";
import { rowsOf } from "../../cli/monitor/rows.ts";
import { plainText, screen } from "../../cli/monitor/screen.ts";
import { shortTime } from "../../cli/monitor/table.ts";
import { EVENT, snapshot } from "./snapshots.ts";

const BARE = { colours: false, unicode: false };
const SMALL = { columns: 80, rows: 24 };
const fed = (...updates: readonly Update[]): Model => updates.reduce(onUpdate, START);
const FULL = fed(snapshot(0, 1000), EVENT("one"), EVENT("two", "warning"), snapshot(2, 5000));
const press = (model: Model, ...keys: readonly string[]): Model =>
  keys.reduce(
    (now: Model, key) =>
      onKey(
        now,
        key,
        rowsOf(now).map((row) => row.key),
      ) ?? START,
    model,
  );
const shown = (model: Model, size = SMALL): readonly string[] => screen(model, size, BARE).map((line) => line.trimEnd());

test("at 80x24 and without colour everything is there: SAs with bars and rates, what is in flight, what is down, events", () => {
  assert.deepEqual(shown(FULL), [
    "mainmode live  1 IKE, 2 child, 1 in flight  in 2 kB/s  out 0 B/s    12:00:02 UTC",
    "main 7  quick 0  rekeys 0  failed 0  auth 2  spi n/a  icv n/a  replay n/a",
    "DOWN, but should be up: branch",
    "  ID   RULE     PEER            STATE  TIME LEFT     VOLUME         IN/s   OUT/s",
    "> 1    hr       192.0.2.2       up     ####--  5h00m",
    "    3    hr     192.0.2.2       up     #-----    30s ######  99%     2kB      0B",
    "  2    branch   192.0.2.9       nego               -",
    "    4    lonely 192.0.2.7       drain              - no limit         0B      0B",
    "IN FLIGHT",
    "  192.0.2.9        branch    Main Mode  -> [***...] 3/6 key exchange sent, 12s,~",
    "EVENTS",
    "12:00:01   one",
    "12:00:01 ! two",
    ...Array.from({ length: 10 }, () => ""),
    " q quit  tab page  / filter  s sort:id  enter details  p pause  ? help",
  ]);
});

test("every screen is as wide and as high as the terminal, whatever it shows and however small it is", () => {
  const keys = fc.array(fc.constantFrom("tab", "s", "/", "x", "enter", "escape", "down", "up", "?", "p", "end", "1", "2", "3"), {
    maxLength: 8,
  });
  const size = fc.record({ columns: fc.integer({ min: 1, max: 220 }), rows: fc.integer({ min: 1, max: 70 }) });
  fc.assert(
    fc.property(keys, size, fc.constantFrom(FULL, START, fed(snapshot(0, 0))), (pressed, dimensions, model) => {
      const lines = screen(press(model, ...pressed), dimensions, BARE);
      assert.equal(lines.length, dimensions.rows);
      for (const line of lines) assert.equal(cells(line), dimensions.columns, JSON.stringify(line));
    }),
  );
});

test("colours change no letter, and wide screens say what is protected and how", () => {
  const large = { columns: 200, rows: 60 };
  const coloured = screen(FULL, large, { colours: true, unicode: true });
  const plain = screen(FULL, large, { colours: false, unicode: true });
  const escapes = new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*m`, "g");
  assert.deepEqual(
    coloured.map((line) => line.replace(escapes, "")),
    plain,
  );
  assert.notDeepEqual(coloured, plain);
  assert.match(plain.join("\n"), /192\.0\.2\.1\/32 - 192\.0\.2\.2\/32 any esp:aes128-sha1/);
  assert.match(plain.join("\n"), /█+░+/);
});

test("details of the chosen SA: SPIs, cookies, lifetimes, and the events about it alone", () => {
  const model = fed(snapshot(0, 1000), { ...EVENT("about it"), child: 3 } as Update, EVENT("about another"));
  const text = shown(press(model, "down", "enter")).join("\n");
  assert.match(text, /esp +aes128 sha1, spi 0x0000000a in, 0x0000000b out/);
  assert.match(text, /about it/);
  assert.doesNotMatch(text, /about another/);
  assert.match(shown(press(model, "enter")).join("\n"), /cookies +0000000000000001 0000000000000002/);
  assert.doesNotMatch(shown(press(model, "enter", "escape")).join("\n"), /cookies/);
});

test("a filter keeps what contains all its words, an IKE SA also for its children's sake", () => {
  const keys = (model: Model) => rowsOf(model).map(({ key }) => key);
  const typed = (text: string): Model => press(FULL, "/", ...text, "enter");
  assert.deepEqual(keys(typed("branch")), ["ike 2"]);
  assert.deepEqual(keys(typed("0x0000000a")), ["ike 1", "child 3", "child 4"]);
  assert.deepEqual(keys(typed("no such thing")), []);
  assert.match(shown(typed("no such thing")).join("\n"), /no SA matches the filter/);
  assert.deepEqual(keys(press(typed("branch"), "escape")), keys(FULL));
  assert.equal(press(FULL, "/", "a", "b", "backspace").filter, "a");
});

test("sorting by rate puts the busy ones first, by time left those that end soonest", () => {
  const order = (model: Model) => rowsOf(model).flatMap(({ kind, sa }) => (kind === "ike" ? [sa.id] : []));
  assert.deepEqual(order(press(FULL, "s")), [2, 1]);
  assert.equal(press(FULL, "s", "s", "s").sort, "left");
  assert.deepEqual(order(press(FULL, "s", "s", "s")), [1, 2]);
});

test("pages: events with reason and hint, Windows' statistics with n/a, help", () => {
  const failed = { ...EVENT("refused", "warning"), reason: "psk-mismatch", hint: "compare the keys", winEventId: 4653 } as Update;
  assert.match(shown(press(fed(snapshot(0, 0), failed), "tab")).join("\n"), /refused\n +psk-mismatch; Windows 4653; compare the keys/);
  assert.match(shown(press(FULL, "3")).join("\n"), /Bad SPI Packets +n\/a/);
  assert.match(shown(press(FULL, "?")).join("\n"), /details of the chosen SA/);
});

test("a picture that is held still stays, and events go on being kept", () => {
  const held = onUpdate(onUpdate(press(FULL, "p"), snapshot(10, 9_000_000)), EVENT("meanwhile"));
  assert.equal(held.snapshot, FULL.snapshot);
  assert.equal(held.events.at(-1)?.text, "meanwhile");
  assert.match(shown(held)[0] ?? "", /PAUSED/);
});

test("a daemon that went away is said, with the last picture still there", () => {
  const lines = shown({ ...FULL, connection: "gone" });
  assert.match(lines[0] ?? "", /daemon gone, trying again/);
  assert.match(lines.join("\n"), /192\.0\.2\.2/);
});

test("keys are read from what terminals send, several at once; unknown sequences are nothing", () => {
  assert.deepEqual(keysOf("q\x1b[A\x1b[B\x1bOA\r\t\x7f\x03"), ["q", "up", "down", "up", "enter", "tab", "backspace", "ctrl-c"]);
  assert.deepEqual(keysOf("\x1b"), ["escape"]);
  assert.deepEqual(keysOf("\x1b\tq"), ["escape", "tab", "q"]);
  assert.deepEqual(keysOf("\x1b[1;5C\x1b[200~ü\x00"), ["ü"]);
  assert.equal(onKey(FULL, "q", []), null);
  assert.equal(onKey({ ...FULL, typing: true }, "ctrl-c", []), null);
  fc.assert(fc.property(fc.string(), (text) => keysOf(text).length <= text.length));
});

test("text of peers moves no cursor and takes no more room than it is given", () => {
  assert.equal(fit("a\x1b[2Jb", 10), "a [2Jb    ");
  assert.equal(fit("表表表", 5), "表表~");
  assert.equal(fit("abcdef", 3), "ab~");
  const evil = fed({ ...EVENT("x\x1b[31m\nforged"), level: "warning" } as Update, snapshot(0, 0));
  for (const line of screen(evil, SMALL, BARE))
    assert.equal(
      [...line].some((c) => c < " " || c === "\x7f"),
      false,
    );
});

test("times are short", () => {
  assert.deepEqual([0, 59, 61, 3600, 90_000, 864_000].map(shortTime), ["0s", "59s", "1m01s", "1h00m", "1d01h", "10d00h"]);
});

test("for readers that are no terminal the same stands in lines, without escapes", () => {
  const text = plainText(FULL).join("\n");
  assert.match(text, /DOWN, but should be up: branch/);
  assert.match(text, /3\/6 key exchange sent/);
  assert.deepEqual(plainText(START), []);
});

test("policies that do not stand, or of which nobody knows, are told above all else", () => {
  const update = snapshot(0, 1000);
  const refused = {
    rule: "hr",
    direction: "out",
    selector: "x",
    action: "block",
    level: null,
    priority: 1,
    reason: "File exists",
  } as const;
  const status = {
    ...update.status,
    refusedPolicies: [{ ...refused, foreign: true, hint: "remove it" }],
    policiesUnknown: { seconds: 9, reason: "Dump terminated", hint: "try it" },
  };
  const lines = shown(fed({ ...update, status }));
  assert.ok(lines.includes("NOT KNOWN whether the policies stand: Dump terminated"), lines.join("\n"));
  assert.ok(lines.includes("NOT IN THE KERNEL: 1 policies; see status"));
});
