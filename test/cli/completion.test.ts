/** Completion in bash, by the script that the command prints. zsh and fish have their turn where they are installed: test/packages/. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { CommandNode } from "../../cli/completion.ts";
import { mainmode, scratch } from "./fake-daemon.ts";

const script = (await mainmode(["completion", "bash"])).stdout;
const tree = JSON.parse((await mainmode(["completion", "tree"])).stdout) as CommandNode;

/** What bash would offer for the last of these words; `mainmode completion --rules` knows two rules. */
function complete(folder: string, ...words: readonly string[]): readonly string[] {
  writeFileSync(join(folder, "mainmode"), `#!/bin/sh\n[ "$*" = "completion --rules" ] && printf 'hr\\nbranch office\\n'\n`);
  chmodSync(join(folder, "mainmode"), 0o755);
  const call = `${script}\ncd ${folder}\nCOMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); _mainmode; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const env = { PATH: `${folder}:/usr/bin:/bin` };
  const { stdout, stderr } = spawnSync("bash", ["--norc", "-c", call, "bash", ...words], { env, encoding: "utf8" });
  assert.equal(stderr, "");
  return stdout.split("\n").filter((line) => line !== "");
}

test("commands, aliases, flags and the values of flags are offered where they belong", (t) => {
  const folder = scratch(t);
  const of = (...words: readonly string[]) => complete(folder, "mainmode", ...words);
  assert.deepEqual(
    of(""),
    tree.commands.flatMap(({ name, aliases }) => [name, ...aliases]),
  );
  assert.deepEqual(of("statu"), ["status"]);
  assert.deepEqual(of("--control", "/x", "statu"), ["status"]);
  assert.deepEqual(of("daemon", "--log-format", ""), ["text", "json"]);
  assert.deepEqual(of("policy", ""), ["show", "export", "import"]);
  assert.ok(of("policy", "show", "--").includes("--specific"));
  assert.deepEqual(of("down", "--i"), ["--ike"]);
  assert.deepEqual(of("down", "--ike", ""), [], "a number can't be guessed");
});

test("names of rules come from the daemon, and files from the folder", (t) => {
  const folder = scratch(t);
  writeFileSync(join(folder, "host one.toml"), "");
  assert.deepEqual(complete(folder, "mainmode", "initiate", ""), ["hr", "branch\\ office"]);
  assert.deepEqual(complete(folder, "mainmode", "up", "h"), ["hr"]);
  assert.deepEqual(complete(folder, "mainmode", "check", "host"), ["host one.toml"]);
});

test("a shell that is not known is wrong usage, and hidden words stay hidden", async () => {
  const { exit, stderr } = await mainmode(["completion", "tcsh"]);
  assert.equal(exit, 2);
  assert.match(stderr, /bash, zsh, fish/);
  const flags = (node: CommandNode): readonly string[] => [...node.flags.flatMap(({ names }) => names), ...node.commands.flatMap(flags)];
  assert.equal(flags(tree).includes("--rules"), false);
  assert.equal(flags(tree).includes("--inside"), false);
});

test("without a daemon no rule is offered, and nothing is said", async (t) => {
  const { exit, stdout, stderr } = await mainmode(["--control", join(scratch(t), "none.sock"), "completion", "--rules"]);
  assert.deepEqual([exit, stdout, stderr], [0, "", ""]);
});
