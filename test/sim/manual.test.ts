/** Stories of SAs with keys from the file. */
import assert from "node:assert/strict";
import test from "node:test";
import { describeCommand } from "../../kernel/xfrm-args.ts";
import type { Policy } from "../../policy/types.ts";
import { explain } from "../../policy/why.ts";
import type { Host } from "./host.ts";
import { policyOf } from "./policies.ts";
import { A, assertTraffic, B, ikesOf, packet, pair, said } from "./setting.ts";
import { story, type World, type WorldOptions } from "./world.ts";

const [ONE, OTHER] = ["11".repeat(36), "22".repeat(36)];

/** Both ends of one pair: what one sends with, the other receives with. */
const manual = (side: "A" | "B", more: Readonly<Record<string, string>> = {}): string => {
  const [local, remote] = side === "A" ? [A, B] : [B, A];
  const [keyIn, keyOut] = side === "A" ? [ONE, OTHER] : [OTHER, ONE];
  const [spiIn, spiOut] = side === "A" ? ["0x1001", "0x1002"] : ["0x1002", "0x1001"];
  const keys = {
    ...{ name: '"printer"', filters: `["me <-> ${remote}:80 tcp", "me:80 <-> ${remote} tcp"]`, local: `"${local}"`, remote: `"${remote}"` },
    ...{ protection: '"esp:aes128-sha1"', "spi-in": spiIn, "spi-out": spiOut },
    ...{ "key-in": `"0x${keyIn}"`, "key-out": `"0x${keyOut}"` },
    ...more,
  };
  return `[[sa]]\n${Object.entries(keys)
    .map(([key, value]) => `${key} = ${value}`)
    .join("\n")}\n`;
};

const scene = (options: WorldOptions, tell: (world: World) => void): (() => void) =>
  story(options, (world) => {
    world.run(10);
    tell(world);
  });

test(
  "a manual pair protects its filters at once and for ever, and nothing is negotiated",
  scene(pair(manual("A"), manual("B")), (world) => {
    assert.equal(world.ping(world.host("A"), packet(A, B)), "protected");
    assert.equal(world.ping(world.host("B"), { ...packet(B, A), sourcePort: 80, destinationPort: 40000 }), "protected");
    assert.equal(world.ping(world.host("A"), { ...packet(A, B), destinationPort: 22 }), "clear");
    world.run(24 * 3_600_000);
    assert.equal(world.ping(world.host("A"), packet(A, B)), "protected");
    assert.deepEqual([world.sent.length, ikesOf(world, "A").length], [0, 0]);
    for (const { sa } of world.host("A").xfrm.states.values()) assert.deepEqual([sa.replayWindow, sa.limits.hardSeconds], [0, null]);
  }),
);

test("what leaves from or comes for another address than the own end of a manual SA is dropped, and why says so", () => {
  const other = "192.0.2.7";
  const policy = policyOf(manual("A", { filters: `["me <-> ${B}"]` }));
  const [a, b] = [
    { name: "A", addresses: [A, other], policy },
    { name: "B", addresses: [B], policy: policyOf(manual("B", { filters: `["${B} <-> any"]` })) },
  ];
  scene({ hosts: [a, b] }, (world) => {
    for (const [source, ping, verdict] of [
      [A, "protected", "protect"],
      // Nobody answers what the kernel asks for.
      [other, "acquire", "drop"],
    ] as const) {
      assert.equal(world.ping(world.host("A"), packet(source, B)), ping);
      const said = explain(policy, [A, other], packet(source, B));
      assert.deepEqual([said.verdict, said.answer.verdict, said.rule], [verdict, verdict, "sa printer"]);
    }
    assert.equal(world.ping(world.host("B"), packet(B, other)), "refused");
    const { says } = explain(policy, [A, other], packet(B, other));
    assert.equal(
      says,
      `rule sa printer (require) drops it: in transport mode the SA protects packets of ${A} alone; write that as the filter's local side, and others are no matter of it`,
    );
  })();
});

// Read before the world begins, which counts the keys that are made in it.
const [AGAIN, CHANGED] = [policyOf(`${manual("A")}# the same again\n`), policyOf(manual("A", { "spi-in": "0x2001" }))];
test(
  "a reload keeps a manual pair that is what it was, exchanges one that changed, and takes away one that is gone",
  scene(pair(manual("A"), manual("B")), (world) => {
    const a = world.host("A");
    const before = [...a.xfrm.states.values()];
    a.input({ type: "policy", policy: AGAIN });
    world.run(10);
    assert.deepEqual([...a.xfrm.states.values()], before);
    a.input({ type: "policy", policy: CHANGED });
    world.run(10);
    assert.deepEqual(
      [...a.xfrm.states.values()].map(({ sa }) => sa.spi).sort((x, y) => x - y),
      [0x1002, 0x2001],
    );
    a.input({ type: "policy", policy: policyOf("") });
    world.run(10);
    assert.deepEqual([a.xfrm.states.size, a.xfrm.policies.size], [0, 0]);
  }),
);

test(
  "a manual pair that an earlier run has left is made anew, and does not stay after the stop",
  scene(pair(manual("A"), manual("B")), (world) => {
    world.host("A").journal = [];
    world.host("A").crash();
    world.run(10);
    assert.equal(world.host("A").xfrm.states.size, 2);
    assert.equal(world.ping(world.host("A"), packet(A, B)), "protected");
  }),
);

test(
  "an SPI that somebody else has: said with the name of the pair, and nothing of it is left",
  story(pair(manual("A"), manual("B")), (world) => {
    const a = world.host("A");
    a.refuse = (command) => (command.do === "add-sa" && command.sa.spi === 0x1002 ? "exists" : undefined);
    world.run(10);
    assert.equal(a.xfrm.states.size, 0);
    assert.ok(said(a, "error").some((text) => text.includes("manual SA printer")));
    // Its policies stand: what should be protected does not go in clear.
    assert.equal(world.ping(a, packet(A, B)), "acquire");
  }),
);

// The same SPIs with other keys, the same pair under another name, and another pair; the kernel's answer to what was there before is late.
const REKEYED = { "key-in": `"0x${"55".repeat(36)}"`, "key-out": `"0x${"66".repeat(36)}"` };
const LATER: readonly (readonly [what: string, text: string, spis: readonly number[]])[] = [
  ["has other keys", manual("A", REKEYED), [0x1001, 0x1002]],
  ["has other SPIs", manual("A", { "spi-in": "0x2001", "spi-out": "0x2002" }), [0x2001, 0x2002]],
  ["has another name", manual("A", { name: '"press"' }), [0x1001, 0x1002]],
  ["is gone", "", []],
];
for (const [what, text, spis] of LATER)
  for (const refused of [true, false]) {
    const [policy, other, kept] = [policyOf(text), policyOf(manual("A", { "spi-in": "0x3001" })), policyOf(text)];
    test(
      `a manual pair ${what} by a reload, before the kernel has ${refused ? "refused" : "granted"} what it was: the kernel has what the new file says, and no more`,
      story({ ...pair(manual("A"), manual("B")), kernelDelays: [50] }, (world) => {
        const a = world.host("A");
        const removed: number[] = [];
        // Somebody else has an SPI of the first pair, for a while.
        let others = refused ? 0x1002 : 0;
        a.refuse = (command) => {
          if (command.do === "remove-sa") removed.push(command.sa.spi);
          if (command.do !== "add-sa" || command.sa.spi !== others) return undefined;
          others = 0;
          return "exists";
        };
        world.run(10);
        a.input({ type: "policy", policy });
        world.run(1000);
        assert.deepEqual(
          [...a.xfrm.states.values()].map(({ sa }) => sa.spi).sort((x, y) => x - y),
          spis,
        );
        assert.ok(!refused || !removed.includes(0x1002), "what somebody else has stays");
        assert.deepEqual(said(a, "error"), []);
        for (const next of [other, kept]) {
          a.input({ type: "policy", policy: next });
          world.run(1000);
        }
        assert.deepEqual(
          [...a.xfrm.states.values()].map(({ sa }) => sa.spi).sort((x, y) => x - y),
          spis,
        );
      }),
    );
  }

test(
  "a full stop before the kernel has answered about a pair leaves nothing of it",
  story({ ...pair(manual("A"), manual("B")), kernelDelays: [50] }, (world) => {
    const a = world.host("A");
    world.run(10);
    a.command({ name: "shutdown", keep: false, policies: "remove" });
    world.run(2000);
    assert.deepEqual([a.stopped, a.xfrm.states.size, a.xfrm.policies.size], [true, 0, 0]);
  }),
);

test(
  "a tunnel with keys from the file",
  scene(
    pair(
      manual("A", { mode: '"tunnel"', filters: '["10.1.0.0/16 <-> 10.2.0.0/16"]' }),
      manual("B", { mode: '"tunnel"', filters: '["10.2.0.0/16 <-> 10.1.0.0/16"]' }),
    ),
    (world) => {
      assert.equal(world.ping(world.host("A"), packet("10.1.0.1", "10.2.0.1")), "protected");
      assert.equal(world.host("A").xfrm.policies.size, 3);
    },
  ),
);

const [V6, V6_TOO] = ["fd01::/16", "fd02::/16"];
const [NET, NET_TOO] = ["10.1.0.0/16", "10.2.0.0/16"];
const SIX = { local: '"2001:db8::1"', remote: '"2001:db8::2"' };
// What the kernel is told of the families inside, in each direction.
for (const [what, filters, ends, words] of [
  ["IPv4 in IPv4", [`${NET} <-> ${NET_TOO}`], {}, ["", ""]],
  ["IPv6 in IPv6", [`${V6} <-> ${V6_TOO}`], SIX, ["", ""]],
  ["IPv6 in IPv4", [`${V6} <-> ${V6_TOO}`], {}, ["sel src ::/0 dst ::/0", "sel src ::/0 dst ::/0"]],
  ["IPv4 in IPv6", [`${NET} <-> ${NET_TOO}`], SIX, ["sel src 0.0.0.0/0 dst 0.0.0.0/0", "sel src 0.0.0.0/0 dst 0.0.0.0/0"]],
  ["both in IPv4", [`${NET} <-> ${NET_TOO}`, `${V6} <-> ${V6_TOO}`], {}, ["flag af-unspec", "flag af-unspec"]],
  ["any in IPv6", ["any <-> any"], SIX, ["flag af-unspec", "flag af-unspec"]],
] as const)
  test(`a tunnel with keys from the file, ${what}: the kernel is told which families it carries`, () => {
    const policy = policyOf(manual("A", { mode: '"tunnel"', filters: JSON.stringify(filters), ...ends }));
    scene({ hosts: [{ name: "A", addresses: [A, "2001:db8::1"], policy }] }, (world) => {
      const a = world.host("A");
      const said = [...a.xfrm.states.values()].map(
        ({ sa }) => / (?:flag|sel) .*/.exec(describeCommand({ do: "add-sa", sa }))?.[0].trim() ?? "",
      );
      assert.deepEqual(said, words);
      world.run(1000);
      for (const filter of filters)
        assert.equal(
          a.xfrm.outbound(filter.startsWith("fd") ? packet("fd01::1", "fd02::1") : packet("10.1.0.1", "10.2.0.1")).kind,
          "protected",
        );
    })();
  });

test(
  "beside a manual pair rules negotiate as ever",
  scene(pair(manual("A", { filters: `["me <-> 192.0.2.77"]`, remote: '"192.0.2.77"' }) + policyText(B), policyText(A)), (world) => {
    world.host("A").initiate();
    world.run(1000);
    assertTraffic(world);
  }),
);

function policyText(peer: string): string {
  return `[[rule]]\nname = "peer"\nfilters = ["me <-> ${peer}"]\naction = "require"\nauth = [{ method = "psk", secret = "a key for these stories" }]\n`;
}

const PSK = '[{ method = "psk", secret = "a key for these stories" }]';
const ruled = (action: string, filter: string): string =>
  `[[rule]]\nname = "peer"\nfilters = ["${filter}"]\naction = "${action}"\nauth = ${PSK}\n[policy.quick-mode]\nlifetime = "5m"\n`;
const children = (world: World, name: string) =>
  world
    .host(name)
    .engine.view(world.now)
    .childSas.filter(({ state }) => state !== "draining");

/** B, which has a child with A, is given another policy. */
function reloadedBeside(world: World, policy: Policy): readonly [a: Host, b: Host] {
  const [a, b] = [world.host("A"), world.host("B")];
  a.initiate();
  world.run(2000);
  assert.equal(children(world, "B").length, 1);
  b.input({ type: "policy", policy });
  world.run(3000);
  return [a, b];
}

for (const action of ["respond", "request", "require"])
  for (const [filters, stays] of [
    ['["me <-> 192.0.2.1"]', false],
    ['["me -> 192.0.2.1"]', true],
    ['["me:80 <-> 192.0.2.1 tcp"]', true],
  ] as const) {
    const begun = ruled(action, "me <-> 192.0.2.0/24");
    const [more, gone] = [policyOf(begun + manual("B", { filters })), policyOf(begun)];
    test(
      `a manual pair for ${filters} that a reload adds beside ${action}: its child ${stays ? "stays, and is renewed" : "ends, and is made no more"}`,
      scene(pair(policyText(B), begun), (world) => {
        const [a, b] = reloadedBeside(world, more);
        assert.equal(children(world, "B").length, stays ? 1 : 0, said(b).at(-2));
        if (!stays) assert.equal(children(world, "A").length, 0);
        // Two lives of a child that is used.
        for (let i = 0; i < 30; i++) {
          world.ping(a, { ...packet(A, B), destinationPort: 22 });
          world.run(20_000);
        }
        assert.equal(children(world, "B").length, stays ? 1 : 0);
        if (!stays)
          assert.ok(
            said(b, "notice", "info", "warning").some((text) => text.includes("rule sa printer comes first for all of that traffic")),
          );
        b.input({ type: "policy", policy: gone });
        world.run(3000);
        a.initiate();
        world.run(2000);
        assertTraffic(world);
      }),
    );
  }

for (const action of ["respond", "request"]) {
  const begun = ruled(action, "me <-> 192.0.2.1");
  const more = policyOf(begun + manual("B", { filters: '["192.0.2.2 <-> 192.0.2.1"]' }));
  test(
    `a manual pair for just the packets of ${action} has them: a child of that ends`,
    scene(pair(policyText(B), begun), (world) => {
      const [a] = reloadedBeside(world, more);
      assert.equal(children(world, "B").length, 0);
      a.initiate();
      world.run(2000);
      assert.equal(children(world, "B").length, 0);
    }),
  );
}

const ONE_WAY = ruled("respond", "me <-> 192.0.2.1");
const [BESIDE, ALONE] = [ONE_WAY + manual("B", { filters: '["192.0.2.2 -> 192.0.2.1"]' }), ONE_WAY];
const WITHOUT = policyOf(ALONE);
test(
  "where a manual pair for one way goes, the child beside it has that way, too",
  scene(pair(policyText(B), BESIDE), (world) => {
    const b = world.host("B");
    world.host("A").initiate();
    world.run(2000);
    assert.equal(children(world, "B").length, 1);
    const spis = (): readonly number[] => {
      const sent = b.xfrm.outbound(packet(B, A));
      return sent.kind === "protected" ? sent.through.map(({ spi }) => spi) : [];
    };
    assert.deepEqual(spis(), [0x1001]);
    b.input({ type: "policy", policy: WITHOUT });
    world.run(3000);
    assert.equal(children(world, "B").length, 1);
    assert.equal(spis().length, 1);
    assert.notDeepEqual(spis(), [0x1001]);
    assertTraffic(world);
  }),
);

const NEW_KEYS = { "key-in": `"0x${"33".repeat(36)}"`, "key-out": `"0x${"44".repeat(36)}"` };
const AH = { protection: '"ah:sha1"', "key-in": `"0x${"11".repeat(20)}"`, "key-out": `"0x${"22".repeat(20)}"` };
for (const journal of [true, false])
  for (const [what, text, left] of [
    ["its keys and SPIs", manual("A", { "spi-in": "0x2001", "spi-out": "0x2002", ...NEW_KEYS }), ["esp 8193", "esp 8194"]],
    ["its protocol", manual("A", AH), ["ah 4097", "ah 4098"]],
    ["nothing of it", "", []],
  ] as const) {
    const [after, before] = [policyOf(text), policyOf(manual("A"))];
    test(
      `a start where the file has another pair than the kernel (${what}), ${journal ? "with" : "without"} a journal: what the pair was goes at once`,
      scene(pair(manual("A"), manual("B")), (world) => {
        const a = world.host("A");
        if (journal) a.keepJournal();
        world.run(10);
        const sas = (): readonly string[] => [...a.xfrm.states.values()].map(({ sa }) => `${sa.protocol} ${sa.spi}`).sort();
        a.policy = after;
        if (!journal) a.journal = [];
        a.crash();
        world.run(10);
        assert.deepEqual(sas(), left);
        a.input({ type: "policy", policy: before });
        world.run(10);
        assert.deepEqual(sas(), ["esp 4097", "esp 4098"]);
        assert.deepEqual(said(a, "error"), []);
        assert.equal(world.ping(a, packet(A, B)), "protected");
      }),
    );
  }
