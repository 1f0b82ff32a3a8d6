/**
 * What many rules cost: reading them, computing the kernel's policies, and looking packets up, for a few and for many rules, so that
 * growth shows.
 */
import { compile } from "../policy/compile.ts";
import { destroyPolicy, parseConfiguration } from "../policy/config.ts";
import { indexPolicies } from "../policy/decide.ts";
import { explain } from "../policy/why.ts";

/** CPU time in milliseconds, of one look-up in microseconds. Each rule has five filters. */
export interface PolicyCost {
  readonly rules: number;
  readonly kernelPolicies: number;
  readonly loadMs: number;
  readonly compileMs: number;
  readonly whyMs: number;
  readonly lookUpMicroseconds: number;
}

const FILTERS = 5;
const LOOK_UPS = 10_000;
const ADDRESSES = ["192.0.2.1", "192.0.2.5"];

/** Measures one policy of `rules` rules. */
export function measurePolicy(rules: number): PolicyCost {
  const text = Array.from({ length: rules }, (_, r) => ruleText(r)).join("\n");
  const [loadMs, parsed] = timed(() => parseConfiguration(text, "bench.toml", () => ({ ok: false, error: "no files here" })));
  if (!parsed.ok) throw new Error(parsed.error[0]?.message);
  const { policy } = parsed.value;
  const [compileMs, compiled] = timed(() => compile(policy, ADDRESSES));
  const index = indexPolicies(compiled);
  const packet = (k: number) => ({
    source: "192.0.2.1",
    destination: `10.0.${k % 256}.9`,
    protocol: 6,
    sourcePort: 5,
    destinationPort: 1001,
  });
  const [lookUps] = timed(() => {
    for (let k = 0; k < LOOK_UPS; k++) index.decide(packet(k), "out");
  });
  const [whyMs] = timed(() => explain(policy, ADDRESSES, packet(7)));
  destroyPolicy(policy);
  return { rules, kernelPolicies: compiled.length, loadMs, compileMs, whyMs, lookUpMicroseconds: (lookUps * 1000) / LOOK_UPS };
}

function ruleText(r: number): string {
  const filters = Array.from({ length: FILTERS }, (_, f) => `"me <-> 10.${r >> 8}.${r & 255}.${f * 8}/29:${1000 + f} tcp"`);
  return `[[rule]]\nname = "r${r}"\naction = "require"\nfilters = [${filters.join(", ")}]\nauth = [{ method = "psk", secret = "throwaway ${r}" }]`;
}

function timed<T>(run: () => T): readonly [number, T] {
  const before = process.cpuUsage();
  const value = run();
  const { user, system } = process.cpuUsage(before);
  return [(user + system) / 1000, value];
}
