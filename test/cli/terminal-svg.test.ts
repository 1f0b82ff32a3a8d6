/** The picture of the terminal monitor, and whether it is still what the program shows. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { cells } from "../../cli/monitor/cells.ts";
import { START } from "../../cli/monitor/model.ts";
import { screen } from "../../cli/monitor/screen.ts";
import { columnsFor, titleLine } from "../../cli/monitor/table.ts";
import { PICTURE, readScreen } from "./monitor-picture.ts";
import { drawScreen, SCHEMES, textOf } from "./terminal-svg.ts";

test("the picture in the documentation is drawn from the screen that is kept", () => {
  assert.equal(readFileSync(PICTURE.svg, "utf8"), drawScreen(readScreen()));
});

test("the screen that is kept is one that the monitor still shows: its size, its titles, its keys", () => {
  const { columns, lines } = readScreen();
  const text = lines.map(textOf);
  for (const line of text) assert.ok(cells(line.trimEnd()) <= columns, line);
  const titles = titleLine(columnsFor(columns), "")
    .map((span) => span.text)
    .join("")
    .trimEnd();
  assert.ok(
    text.some((line) => line.startsWith(titles)),
    titles,
  );
  const now = screen(START, { columns, rows: lines.length }, { colours: false, unicode: true });
  assert.equal(text.at(-1)?.trimEnd(), now.at(-1)?.trimEnd());
});

test("colours, weights and blocks come out where they were, and text is escaped", () => {
  const svg = drawScreen({
    title: "<t>",
    columns: 12,
    lines: ["\x1b[1mA\x1b[0m \x1b[32m██░\x1b[39m<b>", "\x1b[7m q \x1b[27m  \x1b[33mz\x1b[0m"],
  });
  assert.match(svg, /<title>&lt;t&gt;<\/title>/);
  assert.match(svg, /<text class="bold" x="12" y="25" textLength="7.5" xml:space="preserve">A<\/text>/);
  assert.match(svg, /<rect class="g" x="27" y="15" width="15" height="11"\/><rect class="g empty" x="42"/);
  assert.match(svg, /x="49.5" y="25" textLength="22.5" xml:space="preserve">&lt;b&gt;<\/text>/);
  assert.match(svg, /<rect class="t" x="12" y="29" width="22.5" height="17"\/><text class="on" x="19.5" y="42"/);
  assert.match(svg, /<text class="y" x="49.5" y="42"/);
  assert.throws(() => drawScreen({ title: "", columns: 1, lines: ["\x1b[2J"] }), /not an escape of style/);
});

/** WCAG 2.1's contrast of two colours. */
function contrast(one: string, other: string): number {
  const luminance = (colour: string): number => {
    const [r = 0, g = 0, b = 0] = [1, 3, 5].map((at) => {
      const value = Number.parseInt(colour.slice(at, at + 2), 16) / 255;
      return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const [light = 0, dark = 0] = [luminance(one), luminance(other)].sort((a, b) => b - a);
  return (light + 0.05) / (dark + 0.05);
}

for (const [name, { ground, ...colours }] of Object.entries(SCHEMES))
  test(`every colour of the ${name.toLowerCase()} scheme can be read on its ground`, () => {
    for (const [letter, colour] of Object.entries(colours))
      assert.ok(contrast(colour, ground) >= 4.5, `${letter}: ${contrast(colour, ground)}`);
  });
