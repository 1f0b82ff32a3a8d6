/**
 * A parsed TOML value against the schema: what is readable, and a finding for everything that is not.
 * What a finding is about is taken out (lists keep their indexes), so that the rest can be judged too.
 */
import type { z } from "zod";
import type { Report } from "./diagnostic.ts";
import { nearest } from "./nearest.ts";
import { DOCUMENT, type Document, knownKeys, tablesKnowing } from "./schema.ts";
import type { KeyPath } from "./toml-locator.ts";

/** What was taken out can uncover something else, but not often. */
const ROUNDS = 8;

/** The readable part of `value`, a value as the TOML parser gives it. */
export function readDocument(value: unknown, report: Report): Document {
  let rest = value;
  for (let round = 0; round < ROUNDS; round++) {
    const parsed = DOCUMENT.safeParse(rest);
    if (parsed.success) return parsed.data;
    for (const issue of parsed.error.issues) {
      for (const path of reportIssue(issue, report)) rest = without(rest, path);
    }
  }
  return {};
}

/** Reports one refusal; gives the paths of what it is about. */
function reportIssue(issue: z.core.$ZodIssue, report: Report): readonly KeyPath[] {
  const path = issue.path.map((step) => (typeof step === "number" ? step : String(step)));
  if (issue.code === "unrecognized_keys") {
    for (const key of issue.keys) report.error([...path, key], unknownKey(key, path), "key", path);
    return issue.keys.map((key) => [...path, key]);
  }
  const isTable = issue.code === "invalid_type" && issue.expected === "object";
  report.error(path, isTable ? `a table is expected, with keys such as ${knownKeys(path)[0]}` : issue.message);
  return [path];
}

function unknownKey(key: string, path: KeyPath): string {
  const elsewhere = tablesKnowing(key);
  if (elsewhere.length > 0) return `unknown key ${JSON.stringify(key)} here; it belongs in ${elsewhere.join(" or ")}`;
  return `unknown key ${JSON.stringify(key)}; the nearest known key is "${nearest(key, knownKeys(path)) ?? ""}"`;
}

/** A copy without what stands at `path`; an element of a list leaves a hole. */
function without(value: unknown, path: KeyPath): unknown {
  const [step, ...deeper] = path;
  if (step === undefined) return {};
  if (Array.isArray(value)) return value.map((item, i) => (i !== step ? item : deeper.length > 0 ? without(item, deeper) : undefined));
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).filter(([key]) => key !== step || deeper.length > 0);
  return Object.fromEntries(entries.map(([key, item]) => [key, key === step ? without(item, deeper) : item]));
}
