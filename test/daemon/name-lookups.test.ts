/** Names by the system's resolver, in a process of its own. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { NameLookups } from "../../daemon/name-lookups.ts";

/** A process that answers as `body` says: of `name`, by `say(addresses)`, with `asked` as the number of questions about it so far. */
function lookups(t: TestContext, body: string, stuckAfter?: number): NameLookups {
  const folder = mkdtempSync(join(tmpdir(), "names-"));
  const entry = join(folder, "process.mjs");
  writeFileSync(
    entry,
    `const times = new Map(); process.on("disconnect", () => process.exit(0));
process.on("message", (name) => {
  const asked = (times.get(name) ?? 0) + 1; times.set(name, asked);
  const say = (addresses) => process.send({ name, addresses });
  ${body}
});\n`,
  );
  const made = new NameLookups(entry, stuckAfter);
  t.after(() => {
    made.close();
    rmSync(folder, { recursive: true });
  });
  return made;
}

test("the system's resolver tells what a name stands for, by its own process", async (t) => {
  const made = new NameLookups();
  t.after(() => made.close());
  assert.ok((await made.find("localhost")).some((address) => address === "127.0.0.1" || address === "::1"));
  assert.deepEqual(await made.find("no-such-name.invalid"), []);
});

test("a hundred names that nobody answers for keep no other one waiting", async (t) => {
  const made = lookups(t, `if (name === "good.example.test") say(["192.0.2.1"]);`);
  for (let i = 0; i < 100; i++) void made.find(`dead${i}.example.test`);
  assert.deepEqual(await made.find("good.example.test"), ["192.0.2.1"]);
});

test("of one name there is one look-up at a time, and who asks meanwhile gets the answer of the next one", async (t) => {
  const made = lookups(t, `setTimeout(() => say([String(asked)]), 50);`);
  const [first, ...later] = await Promise.all([0, 1, 2, 3].map(() => made.find("a.example.test")));
  assert.deepEqual([first, later], [["1"], [["2"], ["2"], ["2"]]]);
  assert.deepEqual(await made.find("a.example.test"), ["3"]);
});

test("a process that ends answers nothing, and is started again; so it is after a close", async (t) => {
  const made = lookups(t, `if (name === "deadly.example.test") process.exit(1); if (name === "good.example.test") say(["192.0.2.1"]);`);
  const waiting = made.find("dead.example.test");
  assert.deepEqual(await made.find("deadly.example.test"), []);
  assert.deepEqual(await waiting, []);
  assert.deepEqual(await made.find("good.example.test"), ["192.0.2.1"]);
  const late = [made.find("dead.example.test"), made.find("dead.example.test")];
  made.close();
  assert.deepEqual(await Promise.all(late), [[], []]);
  assert.deepEqual(await made.find("good.example.test"), ["192.0.2.1"]);
});

test("a look-up that never ends keeps its name from nobody who asks later, and others that are asked for lose nothing", async (t) => {
  const made = lookups(t, `if (name === "good.example.test") setTimeout(() => say(["192.0.2.1"]), 50);`, 100);
  const stuck = made.find("a.example.test");
  await new Promise((resolve) => setTimeout(resolve, 150));
  const good = made.find("good.example.test");
  void made.find("a.example.test");
  assert.deepEqual([await stuck, await good], [[], ["192.0.2.1"]]);
});

test("where no process can be started names are looked up here, again and again", async (t) => {
  const [made, path] = [new NameLookups(), process.execPath];
  t.after(() => {
    process.execPath = path;
    made.close();
  });
  process.execPath = "/nowhere/node";
  for (let i = 0; i < 3; i++) assert.ok((await made.find("localhost")).length > 0);
});
