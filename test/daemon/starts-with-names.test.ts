/** A start of a daemon whose policy has names: what stands in the kernel while they are looked up, and when the start is over. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { ok } from "../../isakmp/result.ts";
import { memoryKernel } from "../../kernel/memory.ts";
import { parseConfiguration } from "../../policy/config.ts";
import { until } from "./fakes.ts";
import { configuration, freePort, scratch, startConfigured } from "./pair.ts";

const rule = (name: string, filters: readonly string[]): string =>
  `[[rule]]\nname = "${name}"\nfilters = ${JSON.stringify(filters)}\naction = "require"\nauth = [{ method = "psk", secret = "a throwaway key" }]\n`;

/** Starts a daemon on 127.0.0.2 with a rule for 127.0.0.3 and others with names; `answer` tells what a name stands for. */
async function start(t: TestContext, kernel = memoryKernel({})) {
  const [port, natPort] = [await freePort(["127.0.0.2"]), await freePort(["127.0.0.2"])];
  const more = rule("fast", ["me <-> fast.example.test"]) + rule("slow", ["me <-> slow.example.test", "me <-> 192.0.2.4"]);
  const parsed = parseConfiguration(configuration("127.0.0.2", "127.0.0.3", port, natPort) + more, "test.toml", () => ok(undefined));
  assert.ok(parsed.ok);
  const waiting = new Map<string, (addresses: readonly string[]) => void>();
  const findName = (name: string) => new Promise<readonly string[]>((resolve) => waiting.set(name, resolve));
  const state = { isStarted: false };
  const started = startConfigured(t, parsed.value, join(scratch(t), "c.sock"), { kernel, findName }).finally(
    () => (state.isStarted = true),
  );
  // Also where the test has failed half-way.
  t.after(async () => {
    for (const resolve of waiting.values()) resolve([]);
    await (await started).daemon.stop(1000);
  });
  const shut = () =>
    [...kernel.policies.values()].flatMap(({ direction, selector }) => (direction === "out" ? [selector.destination] : [])).sort();
  await until(() => waiting.size === 2, "both names to be asked for");
  return { started, state, shut, answer: (name: string, address: string) => waiting.get(name)?.([address]) };
}

test("rules that need no name stand before any name is known, and each other one as soon as its own is", async (t) => {
  const { started, state, shut, answer } = await start(t);
  await until(() => shut().length > 0, "the first policies");
  assert.deepEqual(shut(), ["127.0.0.3", "192.0.2.4"]);
  answer("fast.example.test", "192.0.2.5");
  await until(() => shut().length > 2, "the policy of the fast name");
  assert.deepEqual(shut(), ["127.0.0.3", "192.0.2.4", "192.0.2.5"]);
  assert.equal(state.isStarted, false);
  answer("slow.example.test", "192.0.2.6");
  await started;
  assert.deepEqual(shut(), ["127.0.0.3", "192.0.2.4", "192.0.2.5", "192.0.2.6"]);
});

test("where an earlier run's policies stand, they do until what names stand for is known: nothing of them goes meanwhile", async (t) => {
  const kernel = memoryKernel({});
  const selector = {
    source: "127.0.0.2",
    sourceLength: 32,
    destination: "192.0.2.6",
    destinationLength: 32,
    protocol: 0,
    sourcePort: 0,
    destinationPort: 0,
  };
  const template = { source: null, destination: null, protocol: "esp", mode: "transport", level: "required", reqid: 0x6d6d0001 } as const;
  await kernel.run([
    { do: "add-policy", policy: { direction: "out", selector, action: "allow", priority: 10_511, templates: [template] } },
  ]);
  const { started, shut, answer } = await start(t, kernel);
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.deepEqual(shut(), ["192.0.2.6"]);
  answer("fast.example.test", "192.0.2.5");
  answer("slow.example.test", "192.0.2.6");
  await started;
  assert.deepEqual(shut(), ["127.0.0.3", "192.0.2.4", "192.0.2.5", "192.0.2.6"]);
});
