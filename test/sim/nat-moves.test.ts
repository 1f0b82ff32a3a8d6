/** A peer behind a NAT that gets another address, of another filter of the same rule: what the server sends goes to where it is now. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { configuration, policyOf, towards } from "./policies.ts";
import { bringUp, childrenOf, ikesOf, packet } from "./setting.ts";
import { story } from "./world.ts";

const [CLIENT, SERVER, OUTER, OTHER] = ["10.0.0.5", "192.0.2.2", "198.51.100.1", "203.0.113.1"];

for (const action of ["respond", "request", "require"])
  for (const filters of [
    ["me <-> 198.51.100.0/24", "me <-> 203.0.113.0/24"],
    ["me <-> 198.51.100.0/24 tcp", "me <-> 203.0.113.0/24"],
    ["me <-> 198.51.100.0-203.0.113.255"],
    ["me <-> any"],
  ])
    test(
      `${action}, ${filters.join(" and ")}: after a move the server reaches its peer again without waiting for a renewal`,
      story(
        {
          hosts: [
            {
              name: "A",
              addresses: [CLIENT],
              policy: policyOf(towards(SERVER, { filters: `["me <-> ${SERVER}${filters[0]?.includes("tcp") ? " tcp" : ""}"]` })),
            },
            {
              name: "B",
              addresses: [SERVER],
              policy: policyOf(configuration([{ action: `"${action}"`, filters: JSON.stringify(filters) }])),
            },
          ],
          nats: [{ outer: OUTER, inside: [CLIENT] }],
        },
        (world) => {
          const [a, b] = [world.host("A"), world.host("B")];
          bringUp(world);
          world.nats[0]?.rebind(OTHER);
          world.ping(a, packet(CLIENT, SERVER));
          world.run(8000);
          assert.match(ikesOf(world, "B")[0]?.remote ?? "", /^203\.0\.113\.1:/);
          assert.equal(world.ping(b, packet(SERVER, OTHER)), "protected");
          assert.equal(world.ping(a, packet(CLIENT, SERVER)), "protected");
          world.run(15_000);
          assert.equal(childrenOf(world, "B").length, 1);
          // And is renewed there.
          world.run(300_000);
          assert.equal(world.ping(b, packet(SERVER, OTHER)), "protected");
        },
      ),
    );

for (const action of ["respond", "request", "require"])
  test(
    `${action}: what no filter of the rule is about at the new address ends there, and what another rule blocks stays blocked`,
    story(
      {
        hosts: [
          { name: "A", addresses: [CLIENT], policy: policyOf(towards(SERVER, { filters: `["me <-> ${SERVER}:80 tcp"]` })) },
          {
            ...{ name: "B", addresses: [SERVER] },
            policy: policyOf(
              configuration([
                { action: `"${action}"`, filters: '["me:80 <-> 198.51.100.0/24 tcp", "me:443 <-> 203.0.113.0/24 tcp"]' },
                { name: '"shut"', action: '"block"', filters: '["me:80 <-> 203.0.113.0/24 tcp"]', auth: "", start: "" },
              ]),
            ),
          },
        ],
        nats: [{ outer: OUTER, inside: [CLIENT] }],
      },
      (world) => {
        const [a, b] = [world.host("A"), world.host("B")];
        const answer = { source: SERVER, destination: OTHER, protocol: 6, sourcePort: 80, destinationPort: 40_000 };
        bringUp(world);
        world.nats[0]?.rebind(OTHER);
        world.ping(a, packet(CLIENT, SERVER));
        world.run(8000);
        assert.equal(b.xfrm.outbound(answer).kind, "blocked");
        assert.equal(childrenOf(world, "B").length, 0);
      },
    ),
  );
