/** `npm pack`: what it makes installs globally, and runs. */
import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { must, ROOT, run, workFolder } from "./shell.ts";

const folder = workFolder();
const prefix = join(folder, "prefix");
const env = { MAINMODE_CONTROL: join(folder, "none.sock") };
const mainmode = (...words: readonly string[]) => run(join(prefix, "bin/mainmode"), words, { env, cwd: folder });

test("the package installs with -g into a prefix, without a build and without development packages", () => {
  must("npm", ["pack", "--silent", "--pack-destination", folder]);
  const [tarball = "", ...others] = readdirSync(folder).filter((name) => name.endsWith(".tgz"));
  assert.deepEqual(others, []);
  must("npm", ["install", "--global", "--prefix", prefix, "--no-audit", "--no-fund", join(folder, tarball)], { cwd: folder });
  const modules = readdirSync(join(prefix, "lib/node_modules/mainmode/node_modules"));
  assert.deepEqual([modules.includes("koffi"), modules.includes("typescript")], [true, false]);
});

test("it knows its version, judges a configuration, and says that no daemon runs", () => {
  assert.match(mainmode("--version").text, /^\d+\.\d+\.\d+\n$/);
  const installed = join(prefix, "lib/node_modules/mainmode");
  assert.equal(mainmode("check", join(installed, "examples/host-to-host.toml")).status, 0);
  assert.equal(mainmode("status").status, 69);
});

test("two hosts negotiate in it", () => {
  const { status, text } = mainmode("demo", "--place", "memory");
  assert.equal(status, 0, text);
});

test("the man pages are where man looks", () => {
  for (const page of ["man8/mainmode.8", "man5/mainmode.toml.5"]) assert.ok(existsSync(join(prefix, "share/man", page)), page);
  const path = must("man", ["--manpath", join(prefix, "share/man"), "--where", "8", "mainmode"]);
  assert.match(path, /mainmode\.8/);
});

test("nothing of the tests is published", () => {
  const published = readdirSync(join(prefix, "lib/node_modules/mainmode/dist"));
  assert.deepEqual(
    published.filter((name) => name === "test" || name === "bench"),
    [],
  );
  assert.ok(existsSync(join(ROOT, "dist/test")), "so that it could have been");
});
