/**
 * What many tunnels beside many blocks cost, many walls beside many holes, and many tunnels whose ends routes tell, in steps as steps.ts counts
 * them: ten times as many rules may cost ten times as much.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Input } from "../../ike/input.ts";
import { ran } from "./steps.ts";

/** Nothing of ours is loaded before. */
const { parseConfiguration } = await import("../../policy/config.ts");
const { compile, decisions } = await import("../../policy/compile.ts");
const { reachOf, wallsOf } = await import("../../policy/walls.ts");
const { createEngine } = await import("../../ike/engine.ts");
const { opensslCrypto } = await import("../../ike/crypto/openssl.ts");
const { memoryXfrm } = await import("../../kernel/memory.ts");

type RuleOf = (k: number) => string;
const net = (first: number, k: number): string => `${first}.${k >> 8}.${k & 255}.0/24`;
const rule = (name: string, filter: string): string => `[[rule]]\nname = "${name}"\nfilters = ["${filter}"]\n`;
const block = (k: number, filter: string): string => `${rule(`b${k}`, filter)}action = "block"`;
const permit = (k: number, filter: string): string => `${rule(`p${k}`, filter)}action = "permit"`;
const required = (k: number, filter: string): string =>
  `${rule(`t${k}`, filter)}action = "require"\nauth = [{ method = "psk", secret = "throwaway" }]`;
const tunnel = (k: number, filter: string): string =>
  `${required(k, filter)}\nmode = "tunnel"\ntunnel = { local = "192.0.2.1", remote = "192.0.2.9" }`;

const answering = (name: string, k: number, filter: string): string =>
  tunnel(k, filter)
    .replace(`name = "t${k}"`, `name = "${name}${k}"`)
    .replace('"require"', '"respond"')
    .replace("192.0.2.9", `203.${k >> 8}.${k & 255}.9`);

/** Half of the rules are of one kind, half of another. */
const POLICIES: readonly (readonly [what: string, one: RuleOf, other: RuleOf])[] = [
  ["tunnels beside blocks of others", (k) => tunnel(k, `${net(10, k)} <-> ${net(11, k)}`), (k) => block(k, `any <-> ${net(172, k)}`)],
  [
    "tunnels within blocks",
    (k) => tunnel(k, `${net(10, k)} <-> ${net(11, k)}`),
    (k) => block(k, `10.0.0.0/8 <-> 11.${k >> 7}.${(k & 127) * 2}.0/23`),
  ],
  [
    "tunnels of hosts beside blocks",
    (k) => tunnel(k, `10.1.${k >> 8}.${k & 255} <-> ${net(11, k)}`),
    (k) => block(k, `any <-> ${net(172, k)}`),
  ],
  [
    "permits of services of everybody beside blocks",
    (k) => permit(k, `${net(10, k)} <-> any:53 udp`),
    (k) => block(k, k === 0 ? "any <-> any" : `any <-> ${net(172, k)}`),
  ],
  [
    "tunnels for everything beside blocks",
    (k) => tunnel(k, `${net(10, k)} <-> any`),
    (k) => block(k, k === 0 ? "any <-> any" : `any <-> ${net(172, k)}`),
  ],
  [
    "tunnels that only respond beside those for parts of their networks to other peers",
    (k) => answering("w", k, `${net(10, k)} <-> 11.${k >> 8}.${k & 255}.0/24`),
    (k) => answering("n", k + 1, `${net(10, k)} <-> 11.${k >> 8}.${k & 255}.64/26`),
  ],
  [
    "walls and holes of the same addresses",
    (k) => permit(k, `10.${k >> 8}.${k & 255}.1:22 <-> 192.0.2.0/24 tcp`),
    (k) => block(k, `10.${k >> 8}.${k & 255}.1 <-> any`),
  ],
  [
    "walls and holes of others",
    (k) => permit(k, `10.${k >> 8}.${k & 255}.2:22 <-> any tcp`),
    (k) => block(k, `10.${k >> 8}.${k & 255}.1 <-> any`),
  ],
];

const ADDRESSES = ["192.0.2.1", "192.0.2.5"];
const SSH = { protocol: 6, localPort: 22, remotePort: 0 };

/** Steps that it takes to compile a policy of `rules` rules, and to find its walls. */
function stepsOf(one: RuleOf, other: RuleOf, rules: number): readonly [compile: number, walls: number] {
  const text = Array.from({ length: rules / 2 }, (_, k) => `${one(k)}\n${other(k)}`).join("\n");
  const parsed = parseConfiguration(text, "bench.toml", () => ({ ok: false, error: "no files here" }));
  if (!parsed.ok) throw new Error(parsed.error[0]?.message);
  ran();
  const compiled = compile(parsed.value.policy, ADDRESSES);
  const steps = ran();
  assert.ok(compiled.length >= rules);
  const reach = decisions(parsed.value.policy, ADDRESSES).map(reachOf);
  ran();
  wallsOf(reach, [SSH], true, () => true);
  return [steps, ran()];
}

/** Steps for each kernel policy of permits beside blocks. `sizes`: how many sizes their networks are of, on either side. */
function stepsPerPolicy(sizes: number): number {
  const size = (k: number): number => 32 - (k % sizes);
  const filter = (k: number): string => `10.${k >> 8}.${k & 255}.0/${size(k)} <-> 20.${k & 255}.${k >> 8}.0/${size(k * 7 + (k >> 4))}`;
  const text = Array.from({ length: 1000 }, (_, k) => `${permit(k, filter(2 * k))}\n${block(k, filter(2 * k + 1))}`).join("\n");
  const parsed = parseConfiguration(text, "bench.toml", () => ({ ok: false, error: "no files here" }));
  if (!parsed.ok) throw new Error(parsed.error[0]?.message);
  ran();
  const { length } = decisions(parsed.value.policy, ADDRESSES);
  return ran() / length;
}

test("permits beside blocks cost no more for networks of many sizes than for those of few", () => {
  const [few, many] = [stepsPerPolicy(2), stepsPerPolicy(9)];
  assert.ok(many < 2 * few, `${many} steps instead of ${few}`);
});

for (const [what, one, other] of POLICIES)
  test(`ten times as many ${what} cost ten times as much, and no more`, () => {
    const [few, many] = [stepsOf(one, other, 100), stepsOf(one, other, 1000)];
    for (const [i, step] of (["compile", "find the walls"] as const).entries()) {
      const growth = (many[i] ?? Number.NaN) / (few[i] ?? Number.NaN);
      // A tree of ten times as many is three levels deeper.
      assert.ok(growth > 5 && growth < 12, `${growth} times the steps to ${step}`);
    }
  });

const roaming = (k: number): string =>
  `${required(k, `${net(10, k)} <-> ${net(11, k)}`)}\nmode = "tunnel"\ntunnel = { remote = "203.${k >> 8}.${k & 255}.9" }`;

/** Steps until every tunnel of `rules` rules that leave their own end to the route has it: at a start where routes come late or are there, and when all move. */
function stepsToEnds(rules: number, late: boolean): readonly [start: number, change: number] {
  const text = Array.from({ length: rules }, (_, k) => roaming(k)).join("\n");
  const parsed = parseConfiguration(text, "bench.toml", () => ({ ok: false, error: "no files here" }));
  if (!parsed.ok) throw new Error(parsed.error[0]?.message);
  const engine = createEngine({ crypto: opensslCrypto, random: (n) => new Uint8Array(n).fill(7), port: 500 });
  const xfrm = memoryXfrm();
  const follow = (input: Input, local: string | undefined, now = 0): void => {
    const queue = [input];
    for (const next of queue)
      for (const effect of engine.handle(next, now))
        if (effect.type === "kernel") queue.push({ type: "kernel-done", id: effect.id, outcome: xfrm.apply(effect.commands) });
        else if (effect.type === "route") queue.push({ type: "route-done", id: effect.id, local });
  };
  const ends = (): readonly (string | null | undefined)[] =>
    [...xfrm.policies.values()].filter(({ direction }) => direction === "out").map(({ templates }) => templates[0]?.source);
  follow({ type: "addresses", addresses: ADDRESSES }, "192.0.2.1");
  ran();
  follow({ type: "policy", policy: parsed.value.policy }, late ? undefined : "192.0.2.1");
  for (let wake = engine.nextWake(); wake !== undefined; wake = engine.nextWake()) follow({ type: "tick" }, "192.0.2.1", wake);
  const start = ran();
  assert.deepEqual(ends(), Array(rules).fill("192.0.2.1"));
  ran();
  follow({ type: "routes" }, "192.0.2.5");
  const change = ran();
  assert.deepEqual(ends(), Array(rules).fill("192.0.2.5"));
  return [start, change];
}

for (const late of [false, true])
  test(`four times as many tunnels that leave their own end to the route${late ? ", which comes late," : ""} cost four times as much`, () => {
    const [few, many] = [stepsToEnds(100, late), stepsToEnds(400, late)];
    for (const [i, what] of (["start", "route change"] as const).entries()) {
      const growth = (many[i] ?? Number.NaN) / (few[i] ?? Number.NaN);
      assert.ok(growth > 3 && growth < 4.4, `${growth} times the steps at a ${what}`);
    }
  });
