/** Routes are followed where a tunnel leaves its own end to them, and nowhere else. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { RouteWatch } from "../../daemon/routes.ts";
import { configuration, policyOf } from "../sim/policies.ts";
import { until } from "./fakes.ts";

const tunnel = (ends: string) =>
  policyOf(configuration([{ filters: '["10.1.0.0/16 <-> 10.2.0.0/16"]', mode: '"tunnel"', tunnel: `{ ${ends}remote = "192.0.2.2" }` }]));
const ROAMING = tunnel("");
const FIXED = tunnel('local = "192.0.2.1", ');

test("a monitor of routes runs while a tunnel has no end of its own; what it says rings once, and once more for what follows", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "routes-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const started = join(folder, "started");
  // As `ip -o monitor route rule` prints them: a route, one that is gone, a rule.
  const lines = "default via 192.0.2.254 dev eth0 \\nDeleted 10.9.0.0/24 dev eth1 \\n32765:\\tfrom all fwmark 0x1 lookup 7\\n";
  const script = `echo $$ >> ${started}; printf '${lines}'; exec sleep 60`;
  let calls = 0;
  const watch = new RouteWatch({ onChange: () => calls++, command: ["/bin/sh", "-c", script], gatherMs: 50 });
  t.after(() => watch.close());
  const pids = (): readonly string[] => (existsSync(started) ? readFileSync(started, "utf8").trim().split("\n") : []);
  const isAlive = (pid: string | undefined): boolean => existsSync(`/proc/${pid}`);
  watch.follow(FIXED);
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.deepEqual(pids(), []);
  watch.follow(ROAMING);
  watch.follow(ROAMING);
  await until(() => calls === 2, "both calls");
  await new Promise((resolve) => setTimeout(resolve, 150));
  assert.deepEqual([calls, pids().length], [2, 1]);
  watch.follow(FIXED);
  await until(() => !isAlive(pids()[0]), "the monitor's end");
  watch.follow(ROAMING);
  await until(() => pids().length === 2, "another monitor");
  watch.close();
  await until(() => !isAlive(pids()[1]), "its end");
  watch.follow(ROAMING);
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.equal(pids().length, 2);
});
