/**
 * Rules that are added while the daemon runs, and gone with it: texts like files of the configuration, one rule each, so that the same
 * reader judges them.
 */
import { parse, TomlError } from "smol-toml";
import { err, ok, type Result } from "../isakmp/result.ts";
import type { ConfigurationText } from "./parse.ts";
import { locate } from "./toml-locator.ts";

/** What `policy show` and diagnostics call them. */
export const RUN_TIME = "(run time)";

/** The rules in a text, by name, each with its own lines. An error is a sentence: such a text has `[[rule]]` tables with names and nothing else. */
export function splitRules(text: string): Result<ReadonlyMap<string, ConfigurationText>, string> {
  const parsed = parseTables(text);
  if (!parsed.ok) return parsed;
  const { rule: rules, ...others } = parsed.value;
  const [other] = Object.keys(others);
  if (other !== undefined) return err(`only [[rule]] tables can be added at run time; ${other} belongs in the configuration file`);
  if (!Array.isArray(rules) || rules.length === 0) return err("no [[rule]] in it");
  const locator = locate(text);
  const split = new Map<string, ConfigurationText>();
  const lines = text.split(/(?<=\n)/);
  for (const [i, rule] of rules.entries()) {
    const name: unknown = typeof rule === "object" && rule !== null ? rule.name : undefined;
    if (typeof name !== "string") return err("every rule needs a name, by which `rule delete` finds it");
    if (split.has(name)) return err(`two rules are called ${JSON.stringify(name)}`);
    const { line, column } = locator.find(["rule", i], "key");
    if (!lines[line - 1]?.slice(column - 1).startsWith("[[")) return err("every rule needs a [[rule]] of its own");
    const next = i + 1 < rules.length ? locator.find(["rule", i + 1], "key").line : lines.length + 1;
    split.set(name, { file: RUN_TIME, text: lines.slice(line - 1, next - 1).join(""), runTimeLine: line });
  }
  return ok(split);
}

function parseTables(text: string): Result<Readonly<Record<string, unknown>>, string> {
  try {
    return ok(parse(text, { maxDepth: 32, unsafeKeyBehaviour: "throw" }));
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    // The first line only: the others quote the text, and a key may stand there.
    return err(`line ${error.line}: ${error.message.split("\n", 1)[0]?.replace("Invalid TOML document: ", "no valid TOML: ")}`);
  }
}
