/** What a peer has proved outlives the rule that asked for it where another rule of the new policy takes the same proof, and ends where none does. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Secret } from "../../ike/crypto/secret.ts";
import type { AuthEntry, Policy, PskEntry } from "../../policy/types.ts";
import { kerberos, x509 } from "./credentials.ts";
import { METHODS } from "./methods.ts";
import { configuration, policyOf } from "./policies.ts";
import { A, B, childrenOf, ikesOf, packet, said } from "./setting.ts";
import { story, type World, type WorldOptions } from "./world.ts";

const key = (text: string): PskEntry => ({ ...METHODS.psk[0][0], secret: new Secret(new TextEncoder().encode(text)) }) as PskEntry;

/** Two rules about one peer, one for each port. */
const two = (peer: string, web: AuthEntry, names: AuthEntry): Policy => {
  const base = policyOf(
    configuration([
      { name: '"web"', filters: `["me:80 <-> ${peer}:80 tcp"]`, action: '"require"', start: '"never"' },
      { name: '"names"', filters: `["me:53 <-> ${peer}:53 udp"]`, action: '"require"', start: '"never"' },
    ]),
  );
  return { ...base, rules: base.rules.map((rule) => ({ ...rule, auth: [rule.name === "web" ? web : names] })) };
};

const destroyKeys = ({ rules }: Policy, name: string): void => {
  for (const rule of rules) for (const entry of rule.name === name ? rule.auth : []) if (entry.method === "psk") entry.secret.destroy();
};

function up(world: World, rule: string): void {
  world.host("A").initiate(rule);
  world.run(2000);
}

const ROWS: readonly (readonly [method: string, ours: () => AuthEntry, theirs: () => AuthEntry, changed: () => AuthEntry])[] = [
  ["a pre-shared key", () => key("one throwaway key"), () => key("one throwaway key"), () => key("another throwaway key")],
  ["a certificate", () => x509("A", "p256"), () => x509("B", "p256"), () => x509("A", "p256", { remoteId: { type: "fqdn", name: "c" } })],
  ["a ticket", () => kerberos("A"), () => kerberos("B"), () => kerberos("A", { peerPrincipal: "host/c.example.test" })],
];

for (const [method, ours, theirs, changed] of ROWS) {
  const options = (): { readonly before: Policy; readonly world: WorldOptions } => {
    const before = two(B, ours(), ours());
    const hosts = [
      { name: "A", addresses: [A], policy: before },
      { name: "B", addresses: [B], policy: two(A, theirs(), theirs()) },
    ];
    return { before, world: { hosts } };
  };
  for (const journal of [false, true])
    test(`a rule gets another proof than ${method}: the rule beside it, which keeps that, goes on under the IKE SA that both had${journal ? ", over a restart, too" : ""}`, () => {
      const { before, world: setting } = options();
      story(setting, (world) => {
        const a = world.host("A");
        if (journal) a.keepJournal();
        up(world, "web");
        up(world, "names");
        const [sa] = ikesOf(world, "A");
        assert.ok(sa && ikesOf(world, "A").length === 1 && childrenOf(world, "A").length === 2);
        const after: Policy = {
          ...before,
          rules: before.rules.map((rule) => (rule.name === "web" ? { ...rule, auth: [changed()] } : rule)),
        };
        a.policy = after;
        a.input({ type: "policy", policy: after });
        destroyKeys(before, "web");
        world.run(5000);
        if (journal) a.crash();
        assert.deepEqual(
          ikesOf(world, "A").map(({ initiatorCookie }) => initiatorCookie),
          [sa.initiatorCookie],
        );
        assert.deepEqual(
          childrenOf(world, "A").map(({ rule }) => rule),
          ["names"],
        );
        // Long enough for a new pair under it.
        const pair = childrenOf(world, "A")[0]?.id;
        for (let i = 0; i < 40; i++) {
          assert.equal(world.ping(a, { ...packet(A, B), protocol: 17, sourcePort: 53, destinationPort: 53 }), "protected");
          world.run(10_000);
        }
        assert.notEqual(childrenOf(world, "A")[0]?.id, pair);
        assert.deepEqual(said(a, "error"), []);
      })();
    });
}

test("a rule loses its key while a peer proves that it has the same one of another rule: the peer comes in by that one", () => {
  const rules = policyOf(
    configuration([
      { name: '"one"', filters: `["me <-> ${A}"]`, action: '"respond"' },
      { name: '"all"', filters: '["me <-> 192.0.2.0/24"]', action: '"respond"' },
    ]),
  );
  const before = { ...rules, rules: rules.rules.map((rule) => ({ ...rule, auth: [key("one throwaway key")] })) };
  const begins = policyOf(configuration([{ name: '"peer"', filters: `["me <-> ${B}"]`, action: '"require"', start: '"never"' }]));
  const hosts = [
    {
      name: "A",
      addresses: [A],
      policy: { ...begins, rules: begins.rules.map((rule) => ({ ...rule, auth: [key("one throwaway key")] })) },
    },
    { name: "B", addresses: [B], policy: before },
  ];
  story({ hosts }, (world) => {
    world.host("A").initiate();
    // Made here, as one is wiped here.
    const after = { ...before, rules: before.rules.map((rule) => (rule.name === "all" ? { ...rule, auth: [key("another one")] } : rule)) };
    world.runUntil("message 4", () => world.sent.some(({ label }) => label === "MM4"));
    world.host("B").input({ type: "policy", policy: after });
    destroyKeys(before, "all");
    world.run(2000);
    assert.deepEqual(
      ikesOf(world, "B").map(({ rule, state }) => `${rule} ${state}`),
      ["one established"],
    );
    assert.deepEqual(said(world.host("B"), "error"), []);
  })();
});
