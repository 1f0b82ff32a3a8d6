/**
 * What many rules cost: reading them, computing the kernel's policies, having them installed, a reload, and looking packets up, for a few and for many rules, so that
 * growth shows.
 */
import { systemRandom } from "../daemon/random.ts";
import { opensslCrypto } from "../ike/crypto/openssl.ts";
import { createEngine } from "../ike/engine.ts";
import type { Input } from "../ike/input.ts";
import { memoryXfrm } from "../kernel/memory.ts";
import { compile } from "../policy/compile.ts";
import { destroyPolicy, parseConfiguration } from "../policy/config.ts";
import { indexPolicies } from "../policy/decide.ts";
import type { Policy } from "../policy/types.ts";
import { explain } from "../policy/why.ts";

/** CPU time in milliseconds, of one look-up in microseconds. Each rule has five filters. */
export interface PolicyCost {
  readonly rules: number;
  readonly kernelPolicies: number;
  readonly loadMs: number;
  readonly compileMs: number;
  /** Until all of it stands in a kernel in memory, from a core that had nothing; and after a reload in which one rule is another. */
  readonly installMs: number;
  readonly reloadMs: number;
  readonly whyMs: number;
  readonly lookUpMicroseconds: number;
}

const FILTERS = 5;
const LOOK_UPS = 10_000;
const ADDRESSES = ["192.0.2.1", "192.0.2.5"];

/** What there is to do with a policy; `lookUp` is many look-ups. */
export type PolicyStep = "load" | "compile" | "lookUp" | "why" | "install" | "reload";

/** Carries out a step, and notes what it costs. */
export type PolicyMeter = <T>(step: PolicyStep, run: () => T) => T;

/** What stands, and how many commands the kernel got for it and for the reload. */
export interface PolicyWork {
  readonly kernelPolicies: number;
  readonly installed: number;
  readonly reloaded: number;
}

/** Measures one policy of `rules` rules. */
export function measurePolicy(rules: number): PolicyCost {
  const cost = new Map<PolicyStep, number>();
  const { kernelPolicies } = walkPolicy(rules, (step, run) => {
    const [milliseconds, value] = timed(run);
    cost.set(step, milliseconds);
    return value;
  });
  const of = (step: PolicyStep): number => cost.get(step) ?? 0;
  return {
    rules,
    kernelPolicies,
    loadMs: of("load"),
    compileMs: of("compile"),
    installMs: of("install"),
    reloadMs: of("reload"),
    whyMs: of("why"),
    lookUpMicroseconds: (of("lookUp") * 1000) / LOOK_UPS,
  };
}

/** Every step once, with a policy of `rules` rules. */
export function walkPolicy(rules: number, meter: PolicyMeter): PolicyWork {
  const policy = meter("load", () => policyOfRules(rules, ""));
  const compiled = meter("compile", () => compile(policy, ADDRESSES));
  const index = indexPolicies(compiled);
  const packet = (k: number) => ({
    source: "192.0.2.1",
    destination: `10.0.${k % 256}.9`,
    protocol: 6,
    sourcePort: 5,
    destinationPort: 1001,
  });
  meter("lookUp", () => {
    for (let k = 0; k < LOOK_UPS; k++) index.decide(packet(k), "out");
  });
  meter("why", () => explain(policy, ADDRESSES, packet(7)));
  const followed = walkFollowing(policy, policyOfRules(rules, "another"), meter);
  destroyPolicy(policy);
  return { kernelPolicies: compiled.length, ...followed };
}

/** The policy of `rules` rules, of which the last one has a key that ends in `ending`. */
export function policyOfRules(rules: number, ending: string): Policy {
  const texts = Array.from({ length: rules }, (_, r) => ruleText(r, r === rules - 1 ? ending : ""));
  const parsed = parseConfiguration(texts.join("\n"), "bench.toml", () => ({ ok: false, error: "no files here" }));
  if (!parsed.ok) throw new Error(parsed.error[0]?.message);
  return parsed.value.policy;
}

/** What the core and a kernel in memory have to do for one policy, and then for another. */
function walkFollowing(first: Policy, second: Policy, meter: PolicyMeter): Pick<PolicyWork, "installed" | "reloaded"> {
  const engine = createEngine({ crypto: opensslCrypto, random: systemRandom, port: 500 });
  const xfrm = memoryXfrm();
  let commands = 0;
  const follow = (input: Input): number => {
    const before = commands;
    for (const inputs = [input]; inputs.length > 0; ) {
      const effects = engine.handle(inputs.shift() as Input, 0);
      for (const effect of effects) {
        if (effect.type !== "kernel") continue;
        commands += effect.commands.length;
        inputs.push({ type: "kernel-done", id: effect.id, outcome: xfrm.apply(effect.commands) });
      }
    }
    return commands - before;
  };
  follow({ type: "addresses", addresses: ADDRESSES });
  const installed = meter("install", () => follow({ type: "policy", policy: first }));
  const stands = xfrm.policies.size;
  const reloaded = meter("reload", () => follow({ type: "policy", policy: second }));
  if (stands === 0 || xfrm.policies.size !== stands) throw new Error(`${stands} policies, and ${xfrm.policies.size} after the reload`);
  destroyPolicy(second);
  return { installed, reloaded };
}

function ruleText(r: number, ending: string): string {
  const filters = Array.from({ length: FILTERS }, (_, f) => `"me <-> 10.${r >> 8}.${r & 255}.${f * 8}/29:${1000 + f} tcp"`);
  return `[[rule]]\nname = "r${r}"\naction = "require"\nfilters = [${filters.join(", ")}]\nauth = [{ method = "psk", secret = "throwaway ${r}${ending}" }]`;
}

function timed<T>(run: () => T): readonly [number, T] {
  const before = process.cpuUsage();
  const value = run();
  const { user, system } = process.cpuUsage(before);
  return [(user + system) / 1000, value];
}
