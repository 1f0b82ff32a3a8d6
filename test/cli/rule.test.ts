/** `mainmode rule add|delete` as users run it. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fakeDaemon, mainmode, scratch } from "./fake-daemon.ts";

test("rule add sends the text of a file as it is, and rule delete any name", async (t) => {
  const file = join(scratch(t), "rules.toml");
  const text = `# ${"ü".repeat(20_000)}\n[[rule]]\nname = "a"\n`;
  writeFileSync(file, text);
  const { path, requests } = await fakeDaemon(t, [{ type: "end", exit: 0, text: "done" }]);
  assert.deepEqual(await mainmode(["--control", path, "rule", "add", file]), { exit: 0, stdout: "done\n", stderr: "" });
  assert.equal((await mainmode(["--control", path, "rule", "delete", "--", "-x"])).exit, 0);
  assert.deepEqual(
    requests.map((line) => JSON.parse(line)),
    [
      { command: "rule", add: text },
      { command: "rule", delete: "-x" },
    ],
  );
});

for (const [what, content, says] of [
  ["that is no UTF-8", Buffer.from([0x5b, 0x5b, 0xff, 0x5d]), /rules\.toml: the file is no UTF-8 text; try: save it as UTF-8/],
  [
    "that is too long",
    "#".repeat((1 << 20) + 1),
    /rules\.toml: 1048577 octets, and 1048576 are possible at once; try: add it in parts, or .*conf\.d/,
  ],
] as const)
  test(`rule add of a file ${what} asks the daemon nothing`, async (t) => {
    const file = join(scratch(t), "rules.toml");
    writeFileSync(file, content);
    const { path, requests } = await fakeDaemon(t, [{ type: "end", exit: 0 }]);
    const { exit, stderr } = await mainmode(["--control", path, "rule", "add", file]);
    assert.equal(exit, 1);
    assert.match(stderr, says);
    assert.deepEqual(requests, []);
  });
