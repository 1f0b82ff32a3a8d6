import assert from "node:assert/strict";
import { test } from "node:test";
import type { AuthJob } from "../../../auth/method.ts";
import { createJobRunner, type Provider } from "../../../auth/providers/run-job.ts";
import { ok } from "../../../isakmp/result.ts";

const data = Uint8Array.of(1);
const wrap: AuthJob = { kind: "gss-wrap", context: "1", data };

function provider(run: Provider["run"]) {
  const closed: string[] = [];
  return { run, close: async () => void closed.push("closed"), closed };
}

test("a provider is loaded with its first job, once, and closed with the runner", async () => {
  const kerberos = provider(async () => ok({ kind: "gss-wrapped", data }));
  const loads: string[] = [];
  const runner = createJobRunner({
    x509: async () => assert.fail("nobody asked for it"),
    kerberos: async () => {
      loads.push("kerberos");
      return kerberos;
    },
  });
  await runner.run({ kind: "gss-drop", context: "9" });
  assert.deepEqual(loads, []);
  const [first] = await Promise.all([runner.run(wrap), runner.run(wrap)]);
  assert.equal(first?.ok, true);
  assert.deepEqual(loads, ["kerberos"]);
  await runner.close();
  assert.deepEqual(kerberos.closed, ["closed"]);
});

test("a provider that throws, and one that can't be loaded, fail the job with their words; loading is tried again", async () => {
  let tries = 0;
  const runner = createJobRunner({
    x509: async () => assert.fail("nobody asked for it"),
    kerberos: async () => {
      if (++tries === 1) throw new Error("no library");
      return provider(() => {
        throw new Error("out of order");
      });
    },
  });
  for (const words of [/no library/, /out of order/]) {
    const outcome = await runner.run(wrap);
    assert.ok(!outcome.ok);
    assert.equal(outcome.error.reason, "provider-failed");
    assert.match(outcome.error.what, words);
  }
  await runner.close();
});
