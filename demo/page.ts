/**
 * What the demo prints: at most 80 columns, colours only where a terminal shows them. In a guest the outer process decides about that.
 */
import { styleText } from "node:util";
import { safe } from "../cli/format.ts";
import { fill } from "./ladder.ts";

export type Ink = "bold" | "dim" | "green" | "red" | "cyan";

export interface Page {
  readonly colours: boolean;
  /** A line as it is, or an empty one. */
  line(text?: string): void;
  /** Text in lines of 78 columns, indented by two. */
  text(text: string, ink?: Ink): void;
  /** The title of a part, after an empty line. */
  part(title: string): void;
  /** A step that worked. */
  done(text: string): void;
  failed(text: string): void;
  paint(ink: Ink, text: string): string;
}

const WIDTH = 78;

/** A page that writes its lines with `write`. */
export function makePage(write: (text: string) => void, colours: boolean): Page {
  const paint = (ink: Ink, text: string): string => (colours ? styleText(ink, text, { validateStream: false }) : text);
  const line = (text = ""): void => write(`${text}\n`);
  let parts = 0;
  const marked = (mark: string, ink: Ink, text: string): void => {
    fill(safe(text), WIDTH - 4).forEach((each, i) => {
      line(`${i === 0 ? paint(ink, mark.padEnd(4)) : "    "}${each}`);
    });
  };
  return {
    colours,
    line,
    paint,
    text(text, ink) {
      for (const each of fill(safe(text), WIDTH - 2)) line(`  ${ink ? paint(ink, each) : each}`);
    },
    part(title) {
      parts++;
      line();
      line(paint("bold", `${parts}. ${title}`));
    },
    done: (text) => marked(" ok", "green", text),
    failed: (text) => marked(" !!", "red", text),
  };
}
