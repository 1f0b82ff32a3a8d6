import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { drawSvg, escapeXml, type LadderRung } from "../../isakmp/ladder-svg.ts";

const rung = (more: Partial<LadderRung>): LadderRung => ({
  at: 0,
  kind: "message",
  from: "left",
  label: "l",
  size: "1 octets",
  parts: [],
  ...more,
});

/** Elements of a drawing that is well formed: every tag is closed, and no text holds markup. */
function elements(svg: string): readonly string[] {
  const open: string[] = [];
  const names: string[] = [];
  const rest = svg.replace(
    /<(\/?)([a-z]+)((?: [a-zA-Z0-9:-]+="[^"<&]*(?:&(?:amp|lt|gt|quot|#39);[^"<&]*)*")*)(\/?)>/g,
    (_, close, name, _attributes, single) => {
      if (close) assert.equal(open.pop(), name);
      else {
        names.push(name);
        if (!single) open.push(name);
      }
      return "";
    },
  );
  assert.deepEqual(open, []);
  assert.ok(!/[<>]/.test(rest.replace(/&(amp|lt|gt|quot|#39);/g, "")), rest);
  return names;
}

test("whatever a peer chose, the drawing stays the same elements, without script or reference", () => {
  const shape = (text: string): readonly string[] =>
    elements(
      drawSvg({
        title: text,
        left: text,
        right: text,
        rungs: [rung({ label: text, size: text, parts: [text] }), rung({ kind: "note", label: text })],
      }),
    );
  const expected = shape("plain");
  assert.deepEqual([...new Set(expected)].sort(), ["line", "path", "rect", "style", "svg", "text", "title"]);
  for (const text of ["</text><script>alert(1)</script>", '"><image href="http://x"/>', "]]>", "&lt;", "\u0000\u001b[2J\u202e"])
    assert.deepEqual(shape(text), expected);
  fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => assert.deepEqual(shape(text), expected)));
});

test("control characters, and those that turn the direction of text, do not get through", () => {
  assert.equal(escapeXml("a\u0000b\u202ec\u2028d\ud800"), "a·b·c·d·");
});

test("a drawing is bounded: in rungs, in lines of one rung, in length of a line", () => {
  const parts = Array.from({ length: 1000 }, () => "x".repeat(10_000));
  const svg = drawSvg({ title: "t", left: "a", right: "b", rungs: Array.from({ length: 1000 }, () => rung({ parts })) });
  assert.ok(svg.length < 3_000_000, `${svg.length}`);
  assert.match(svg, />800 more</);
  assert.match(svg, /… 982 more lines/);
});

test("arrows point to who gets the message, and repeats are dashed", () => {
  const svg = drawSvg({ title: "t", left: "a", right: "b", rungs: [rung({}), rung({ from: "right", kind: "repeat" })] });
  assert.match(svg, /<line class="message" x1="92" y1="\d+" x2="759"/);
  assert.match(svg, /<line class="repeat" x1="768" y1="\d+" x2="101"/);
});
