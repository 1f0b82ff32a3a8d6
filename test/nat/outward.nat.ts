/** We are behind a router that masquerades, strongSwan is a server in the open (`npm run nat`). */
import assert from "node:assert/strict";
import { after, before } from "node:test";
import { eventually } from "../interop/shell.ts";
import { IKE_OR_UDP, IN_UDP, Lab, nats, says, saysNothing } from "./lab.ts";
import { ADDRESS, BEHIND, OUTER } from "./network.ts";
import { ends, type Mainmode, type Party, rule } from "./parties.ts";

const lab = new Lab("outward");
const parties: { ours?: Mainmode; theirs?: Party } = {};
const us = (): Mainmode => parties.ours as Mainmode;
const them = (): Party => parties.theirs as Party;

const [ALICE, OPEN, BEHIND_OPEN] = [
  ["alice", ADDRESS.alice],
  ["open", ADDRESS.open],
  ["open", BEHIND.open],
] as const;

const tunnel = (name: string, far: string, quick?: string): string =>
  rule(name, {
    action: '"require"',
    start: '"never"',
    mode: '"tunnel"',
    tunnel: `{ remote = "${ADDRESS.open}" }`,
    filters: `["me <-> ${far}"]`,
    ...(quick && { "quick-mode": `{ proposals = [${quick}], pfs = "none" }` }),
  });
const theirTunnel = (name: string, near: string) => ({ name, mode: "tunnel", local: near, remote: `${ADDRESS.alice}/32` }) as const;

before(async () => {
  await lab.open();
  [parties.ours, parties.theirs] = await Promise.all([
    lab.mainmode("alice", [
      rule("transport", { action: '"require"', start: '"never"', filters: `["me <-> ${ADDRESS.open}"]` }),
      tunnel("tunnel", "10.9.0.0/24"),
      tunnel("ah", "10.9.1.0/24", '"ah:sha256"'),
      tunnel("ah-or-esp", "10.9.2.0/24", '"ah:sha256", "esp:aes128-sha256"'),
    ]),
    lab.strongswan("open", [
      {
        remote: "%any",
        children: [ends(), theirTunnel("tunnel", "10.9.0.0/24"), theirTunnel("ah", "10.9.1.0/24"), theirTunnel("esp", "10.9.2.0/24")],
      },
    ]),
  ]);
});
after(() => lab.end());

lab.story("an initiator behind NAT: transport mode with original addresses, each ping in UDP", async () => {
  assert.equal(await us().initiate("transport"), undefined);
  await lab.pings(ALICE, OPEN);
  await lab.pings(OPEN, ["alice", OUTER.nat]);
  assert.deepEqual(await nats(us()), ["local"]);
  await lab.encapsulated("alice");
  await lab.encapsulated("open");
  says(them(), /parsed QUICK_MODE request \d+ \[ HASH SA No ID ID NAT-OA NAT-OA \]/);
});

lab.story("TCP's checksums cover addresses that the NAT changes, and still hold in transport mode", async () => {
  assert.equal((await lab.tcp("alice", "open", ADDRESS.open)).stdout.trim(), "20000");
});

lab.story("an initiator behind NAT: tunnel mode, pings in both directions", async () => {
  assert.equal(await us().initiate("tunnel"), undefined);
  await lab.pings(ALICE, BEHIND_OPEN);
  await lab.pings(BEHIND_OPEN, ALICE);
});

lab.story("AH is not offered through a NAT: alone it is an error that says why, and with ESP beside it ESP is taken", async () => {
  assert.match((await us().initiate("ah")) ?? "it stands", /rule ah offers AH only, which can't pass the NAT/);
  assert.equal(await us().initiate("ah-or-esp"), undefined);
  await lab.pings(ALICE, ["open", BEHIND.third]);
  saysNothing(them(), /received proposals: AH/);
});

lab.story("keepalives leave every 20 s from our side alone, and hold a mapping that 25 s of silence would end", async () => {
  const keepalives = (from: string) => lab.packets(`src host ${from} and udp port 4500 and udp[4:2] = 9 and udp[8] = 0xff`);
  const before = (await keepalives(OUTER.nat)).length;
  const pinged = (await lab.packets(IN_UDP)).length;
  assert.ok(await eventually(70, async () => (await keepalives(OUTER.nat)).length >= before + 2), "two more keepalives");
  await new Promise((resolve) => setTimeout(resolve, 10_000));
  assert.equal((await lab.packets(IN_UDP)).length, pinged, "nothing else held the mapping");
  assert.deepEqual(await keepalives(ADDRESS.open), []);
  // The server speaks first, and only the old mapping leads to us.
  await lab.pings(BEHIND_OPEN, ALICE);
  const ports = new Set((await keepalives(OUTER.nat)).map((line) => /198\.51\.100\.1\.(\d+) >/.exec(line)?.[1]));
  assert.equal(ports.size, 1, `keepalives came from ${[...ports].join()}`);
});

lab.story("our mapping changes, and strongSwan follows", async () => {
  await lab.rebind();
  await lab.pings(ALICE, OPEN);
  await lab.pings(ALICE, BEHIND_OPEN);
  await lab.pings(BEHIND_OPEN, ALICE);
});

lab.story("nothing was on the wire but IKE and ESP in UDP", async () => {
  assert.deepEqual(await lab.packets(`not (${IKE_OR_UDP})`), []);
});
