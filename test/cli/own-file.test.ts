import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, openSync, readFileSync, statSync, symlinkSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Failure } from "../../cli/exit.ts";
import { openOwn } from "../../cli/own-file.ts";
import { scratch } from "../daemon/pair.ts";

const uid = process.geteuid?.() ?? 0;
const write = (path: string, text: string): void => {
  const file = openOwn(path);
  writeSync(file, text);
  closeSync(file);
};

test("a file is its owner's only, also where one was there that others could read", (t) => {
  const path = join(scratch(t), "keys");
  writeFileSync(path, "old", { mode: 0o644 });
  const reader = openSync(path, "r");
  write(path, "new");
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(readFileSync(path, "utf8"), "new");
  // Whoever had it open sees nothing of what was written.
  assert.equal(readFileSync(reader, "utf8"), "old");
  closeSync(reader);
});

test("a file of somebody else is not written to, and neither is where a link leads", (t) => {
  const folder = scratch(t);
  const path = join(folder, "keys");
  writeFileSync(path, "theirs");
  assert.throws(
    () => openOwn(path, uid + 1),
    (error) => error instanceof Failure && error.exit === 1 && /somebody else/.test(error.message),
  );
  symlinkSync(path, join(folder, "link"));
  assert.throws(() => openOwn(join(folder, "link")), Failure);
  assert.throws(() => openOwn(folder), Failure);
  assert.throws(() => openOwn(join(folder, "none/keys")), Failure);
  assert.equal(readFileSync(path, "utf8"), "theirs");
});

test("a pipe is written to as it is, and its mode stays", (t) => {
  const path = join(scratch(t), "pipe");
  execFileSync("mkfifo", ["-m", "640", path]);
  const both = openSync(path, "r+");
  write(path, "");
  assert.equal(statSync(path).mode & 0o777, 0o640);
  assert.ok(statSync(path).isFIFO());
  closeSync(both);
});
