/**
 * What many rules cost, in steps (steps.ts): ten times as many rules may cost ten times as much to read, and nothing more to look up.
 */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { ran } from "./steps.ts";

/** Nothing of ours is loaded before. */
const { policyOfRules, walkPolicy } = await import("../../bench/policy-rules.ts");
const { destroyPolicy } = await import("../../policy/config.ts");
const { rulesForPeer } = await import("../../policy/select.ts");

/** What `run` costs in steps, and what it gives. */
function counted<T>(run: () => T): readonly [steps: number, value: T] {
  ran();
  const value = run();
  return [ran(), value];
}

const [FEW, MANY] = [100, 1000];
const steps = { [FEW]: new Map<string, number>(), [MANY]: new Map<string, number>() };
const works = new Map<number, ReturnType<typeof walkPolicy>>();
/** How many times as many steps it takes for ten times as many rules. */
const growth = (step: string): number => (steps[MANY]?.get(step) ?? Number.NaN) / (steps[FEW]?.get(step) ?? Number.NaN);

before(() => {
  for (const rules of [FEW, MANY]) {
    const noted = steps[rules] as Map<string, number>;
    const work = walkPolicy(rules, (step, run) => {
      const [count, value] = counted(run);
      noted.set(step, count);
      return value;
    });
    works.set(rules, work);
    const policy = policyOfRules(rules, "");
    // The first one makes the index.
    assert.equal(rulesForPeer(policy, "192.0.2.1", "10.0.7.9").length, 1);
    const [asked] = counted(() => {
      for (let k = 0; k < 1000; k++) rulesForPeer(policy, "192.0.2.1", `10.0.${k % FEW}.9`);
    });
    noted.set("stranger", asked);
    destroyPolicy(policy);
  }
});

test("steps are counted: look-ups are so many, and work with ten times as many rules is more", () => {
  for (const rules of [FEW, MANY]) assert.ok((steps[rules]?.get("lookUp") ?? 0) > 10_000);
  assert.ok(growth("compile") > 5);
});

for (const [what, step] of [
  ["which policy decides about a packet", "lookUp"],
  ["which rules are a stranger's", "stranger"],
] as const)
  test(`${what} costs no more among ten times as many rules`, () => {
    assert.ok(growth(step) < 1.5, `${growth(step)} times the steps`);
  });

for (const step of ["load", "compile", "install", "reload", "why"] as const)
  test(`${step} of ten times as many rules costs ten times as much, and no more`, () => {
    assert.ok(growth(step) < 10.5, `${growth(step)} times the steps`);
  });

test("the kernel gets a command for each policy, and for a reload that changes one rule as many among few rules as among many", () => {
  for (const { kernelPolicies, installed } of works.values()) assert.equal(installed, kernelPolicies);
  assert.equal(works.get(MANY)?.reloaded, works.get(FEW)?.reloaded);
});
