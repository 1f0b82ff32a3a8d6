/** libreswan behind a router, told to speak the drafts of NAT traversal and not the RFC; we are the server in the open (`npm run nat`). */
import assert from "node:assert/strict";
import { after, before } from "node:test";
import { IKE_OR_UDP, Lab, nats } from "./lab.ts";
import { ADDRESS, BEHIND, OUTER } from "./network.ts";
import { type Mainmode, type Party, rule } from "./parties.ts";

const lab = new Lab("drafts");
const parties: { ours?: Mainmode; theirs?: Party } = {};
const ours = (): Mainmode => parties.ours as Mainmode;
const theirs = (): Party => parties.theirs as Party;

const [ALICE, OPEN, BEHIND_OPEN] = [
  ["alice", ADDRESS.alice],
  ["open", ADDRESS.open],
  ["open", BEHIND.open],
] as const;
const DRAFTS = { "nat-ikev1-method": "drafts" };

before(async () => {
  await lab.open();
  [parties.ours, parties.theirs] = await Promise.all([
    lab.mainmode("open", [
      rule("transport", { action: '"respond"', filters: `["me <-> ${OUTER.nat}"]` }),
      rule("tunnel", {
        action: '"respond"',
        mode: '"tunnel"',
        tunnel: `{ remote = "${OUTER.nat}" }`,
        filters: '["10.9.0.0/24 <-> 10.0.0.0/24"]',
      }),
    ]),
    lab.libreswan(
      "alice",
      [ADDRESS.alice, ADDRESS.open],
      [
        { name: "transport", keys: { ...DRAFTS, type: "transport" } },
        { name: "tunnel", keys: { ...DRAFTS, type: "tunnel", leftsubnet: `${ADDRESS.alice}/32`, rightsubnet: "10.9.0.0/24" } },
      ],
    ),
  ]);
});
after(() => lab.end());

lab.story("libreswan behind NAT speaks a draft: tunnel mode, pings in both directions", async () => {
  assert.equal(await theirs().initiate("tunnel"), undefined);
  await lab.pings(ALICE, BEHIND_OPEN);
  await lab.pings(BEHIND_OPEN, ALICE);
  assert.deepEqual(await nats(ours()), ["remote"]);
  for (const host of ["alice", "open"] as const) await lab.encapsulated(host);
});

lab.story("the same in transport mode", async () => {
  assert.equal(await theirs().initiate("transport"), undefined);
  await lab.pings(ALICE, OPEN);
  for (const host of ["alice", "open"] as const) await lab.encapsulated(host);
});

/** Where the type of what follows the nonce stands in messages 3 and 4: behind a header, a public value of modp2048 and its own. */
const AFTER_NONCE = 28 + 4 + 256;
const [NAT_D, NAT_D_DRAFT] = [20, 130];

lab.story("NAT-D had the number of the drafts, and nothing was on the wire but IKE and ESP in UDP", async () => {
  const types = (await lab.datagrams("udp port 500")).map((octets) => octets[AFTER_NONCE]);
  assert.equal(types.filter((type) => type === NAT_D_DRAFT).length >= 2, true, types.join());
  assert.equal(types.includes(NAT_D), false);
  assert.deepEqual(await lab.packets(`not (${IKE_OR_UDP})`), []);
});
