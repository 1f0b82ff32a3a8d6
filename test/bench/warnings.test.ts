/**
 * What it costs to find out which rules catch the fragments of others, which bring back what others send, which take all traffic of others and which shut SSH, in
 * steps as steps.ts counts them: ten times as many rules may cost ten times as much.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ran as ranIn } from "./steps.ts";

/** Nothing of ours is loaded before. */
const { parseConfiguration } = await import("../../policy/config.ts");

/** The files that ask it; the rest of reading has its own tests. */
const ASKING =
  /\/policy\/(?:warnings|fragments|side-index|reach|rivals|prefix-index|lock-out|walls|meeting-pairs|overlaps|crossing|demands|ways|holes)\.[jt]s$/;

/** Steps in these files since the last call. */
const ran = (): number => ranIn((url) => ASKING.test(url));

const five = (filter: (n: number) => string): string => JSON.stringify([0, 1, 2, 3, 4].map(filter));
const block = (k: number, filter: (n: number) => string): string => `[[rule]]\nname = "r${k}"\nfilters = ${five(filter)}\naction = "block"`;
const tunnel = (k: number, filter: (n: number) => string): string =>
  `[[rule]]\nname = "r${k}"\nfilters = ${five(filter)}\naction = "require"\nauth = [{ method = "psk", secret = "throwaway" }]
mode = "tunnel"\ntunnel = { local = "198.51.100.1", remote = "203.0.113.9" }`;
const net = (first: number, k: number): string => `${first}.${k >> 8}.${k & 255}.0/24`;

const POLICIES: (readonly [what: string, ruleOf: (k: number) => string])[] = [
  ["blocks of ports of networks", (k) => block(k, (n) => `${net(10, k)} <-> ${net(172 + n, k)}:${1000 + n} tcp`)],
  [
    "blocks of ports, of which others catch the fragments",
    (k) => block(k, (n) => (k % 2 === 0 ? `${net(10, k)} <-> ${net(172 + n, k)}:99 tcp` : `${net(172 + n, k - 1)} <-> ${net(10, k - 1)}`)),
  ],
  [
    "blocks of ports beside blocks of others from the same network",
    (k) => block(k, (n) => (k % 2 === 0 ? `192.0.2.0/24 <-> ${net(10 + n, k)}:99 tcp` : `192.0.2.0/24 <-> ${net(10 + n, k)}`)),
  ],
  [
    "blocks of ports beside blocks of others to one network",
    (k) => block(k, (n) => (k % 2 === 0 ? `${net(10 + n, k)} <-> 192.0.2.0/24:99 tcp` : `${net(10 + n, k)} <-> 192.0.2.0/24`)),
  ],
  [
    "blocks of ports of one network beside blocks for parts of the other",
    (k) => block(k, (n) => (k % 2 === 0 ? `10.9.0.0/16:${5 * k + n + 1} <-> 20.0.0.0/8 tcp` : `10.9.0.0/16 <-> ${net(20 + n, k)}`)),
  ],
  [
    "permits and blocks of ranges that are no networks",
    (k) =>
      block(k, (n) => `10.${k >> 8}.${k & 255}.0/2${n} <-> ${20 + n}.${k >> 8}.${k & 255}.6-${20 + n}.${k >> 8}.${k & 255}.9`).replace(
        "block",
        k % 2 === 0 ? "block" : "permit",
      ),
  ],
  ["blocks that shut SSH together", (k) => block(k, (n) => `me <-> ${(k & 127) + 1}.${k >> 7}.${n * 2}.0/24`)],
  ["tunnels to one peer for one direction only", (k) => tunnel(k, (n) => `${net(10, k)} -> ${net(172 + n, k)}`)],
  [
    "tunnels to one peer, each for one direction of two",
    (k) => tunnel(k, (n) => `${net(10, k >> 1)} ${k % 2 === 0 ? "->" : "<-"} ${net(172 + n, k >> 1)}`),
  ],
];

const protect = (k: number, filter: (n: number) => string, more: string): string =>
  `[[rule]]\nname = "r${k}"\nfilters = ${five(filter)}\naction = "require"\nauth = [{ method = "psk", secret = "throwaway" }]\n${more}`;
POLICIES.push(
  [
    "rules that demand encryption beside rules that don't",
    (k) =>
      protect(
        k,
        (n) => `me:${n + 1} <-> ${net(10, k)} tcp`,
        k % 2 === 0 ? "require-encryption = true" : 'quick-mode = { proposals = ["esp:null-sha256"] }',
      ),
  ],
  ["rules that each demand a peer", (k) => protect(k, (n) => `me <-> ${net(10 + n, k)}`, `remote-ids = ["fqdn:p${k}.example.test"]`)],
);

/** Steps that it takes of reading a file of `rules` rules. */
function stepsOf(ruleOf: (k: number) => string, rules: number): number {
  const text = Array.from({ length: rules }, (_, k) => ruleOf(k)).join("\n");
  ran();
  const parsed = parseConfiguration(text, "bench.toml", () => ({ ok: false, error: "no files here" }));
  const steps = ran();
  assert.ok(parsed.ok, parsed.ok ? "" : parsed.error[0]?.message);
  return steps;
}

for (const [what, ruleOf] of POLICIES)
  test(`ten times as many ${what} cost ten times as much, and no more`, () => {
    const growth = stepsOf(ruleOf, 1000) / stepsOf(ruleOf, 100);
    // Of so few steps V8 leaves out more than a tenth where it compiles a function anew meanwhile.
    assert.ok(growth > 5 && growth < 14, `${growth} times the steps`);
  });
