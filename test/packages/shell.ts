/** Programs that the tests of packages call, and the folders that they look at. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after } from "node:test";
import { fileURLToPath } from "node:url";

export const ROOT =
  ["../..", "../../.."]
    .map((up) => join(dirname(fileURLToPath(import.meta.url)), up))
    .find((path) => existsSync(join(path, "package.json"))) ?? ".";

export interface Ran {
  readonly status: number | null;
  /** Both streams, as a person would see them. */
  readonly text: string;
}

export interface How {
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  readonly seconds?: number;
}

/** Runs a program to its end; at most `seconds` (300). */
export function run(program: string, words: readonly string[], { env = {}, cwd = ROOT, seconds = 300 }: How = {}): Ran {
  const { status, stdout, stderr, error } = spawnSync(program, words, {
    cwd,
    env: { ...process.env, ...env },
    encoding: "utf8",
    timeout: seconds * 1000,
    stdio: ["ignore", "pipe", "pipe"],
    maxBuffer: 64 << 20,
  });
  return { status, text: `${stdout ?? ""}${stderr ?? ""}${error ? error.message : ""}` };
}

/** The same, of a program that has to succeed: what it said. */
export function must(program: string, words: readonly string[], how: How = {}): string {
  const { status, text } = run(program, words, how);
  assert.equal(status, 0, `${program} ${words.join(" ")}\n${text.slice(-4000)}`);
  return text;
}

/** A folder that is removed when the file's tests are done. `inMemory` where a guest has its memory there. */
export function workFolder(parent = tmpdir()): string {
  const folder = mkdtempSync(join(parent, "mainmode-packages-"));
  after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Builds the Debian package; its path. */
export const buildDeb = (output: string, ...words: readonly string[]): string =>
  must(process.execPath, ["scripts/deb.js", "--output", output, ...words])
    .trim()
    .split("\n")
    .at(-1) ?? "";
