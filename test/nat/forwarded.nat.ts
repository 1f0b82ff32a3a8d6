/** The responder is behind a router that forwards ports 500 and 4500: first it is us, then strongSwan; who begins is in the open or behind a NAT. */
import assert from "node:assert/strict";
import { after, before } from "node:test";
import { type End, IKE_OR_UDP, Lab, nats } from "./lab.ts";
import { ADDRESS, BEHIND, OUTER } from "./network.ts";
import { ends, type Party, rule } from "./parties.ts";

const lab = new Lab("forwarded");
const HIDDEN: End = ["hidden", BEHIND.hidden];

before(() => lab.open());
after(() => lab.end());

const serving = (name: string, peer: string, far: string): readonly string[] => [
  rule(`${name}-transport`, { action: '"respond"', filters: `["me <-> ${peer}"]` }),
  rule(`${name}-tunnel`, {
    action: '"respond"',
    mode: '"tunnel"',
    tunnel: `{ remote = "${peer}" }`,
    filters: `["10.8.0.0/24 <-> ${far}"]`,
  }),
];

/** strongSwan on a host begins, we are hidden. */
async function theyReach(host: "open" | "alice", nat: string): Promise<void> {
  const ours = await lab.mainmode("hidden", [...serving("open", ADDRESS.open, ADDRESS.open), ...serving("nat", OUTER.nat, "10.0.0.0/24")]);
  const theirs: Party = await lab.strongswan(host, [
    {
      remote: OUTER.forward,
      children: [ends(), { name: "tunnel", mode: "tunnel", local: `${ADDRESS[host]}/32`, remote: "10.8.0.0/24" }],
    },
  ]);
  assert.equal(await theirs.initiate("tunnel"), undefined);
  await lab.pings([host, ADDRESS[host]], HIDDEN);
  await lab.pings(HIDDEN, [host, ADDRESS[host]]);
  assert.equal(await theirs.initiate("transport"), undefined);
  await lab.pings([host, ADDRESS[host]], ["hidden", OUTER.forward]);
  assert.deepEqual(await nats(ours), [nat]);
  for (const one of [host, "hidden"] as const) await lab.encapsulated(one);
  await lab.stop(host);
  await lab.stop("hidden");
}

/** We on a host begin, strongSwan is hidden. */
async function weReach(host: "open" | "alice", nat: string): Promise<void> {
  const ours = await lab.mainmode(host, [
    rule("transport", { action: '"require"', start: '"never"', filters: `["me <-> ${OUTER.forward}"]` }),
    rule("tunnel", {
      action: '"require"',
      start: '"never"',
      mode: '"tunnel"',
      tunnel: `{ remote = "${OUTER.forward}" }`,
      filters: '["me <-> 10.8.0.0/24"]',
    }),
  ]);
  await lab.strongswan("hidden", [
    {
      remote: "%any",
      children: [ends(), { name: "tunnel", mode: "tunnel", local: "10.8.0.0/24", remote: `${ADDRESS[host]}/32` }],
    },
  ]);
  assert.equal(await ours.initiate("tunnel"), undefined);
  await lab.pings([host, ADDRESS[host]], HIDDEN);
  await lab.pings(HIDDEN, [host, ADDRESS[host]]);
  assert.equal(await ours.initiate("transport"), undefined);
  await lab.pings([host, ADDRESS[host]], ["hidden", OUTER.forward]);
  assert.deepEqual(await nats(ours), [nat]);
  for (const one of [host, "hidden"] as const) await lab.encapsulated(one);
  await lab.stop(host);
  await lab.stop("hidden");
}

lab.story("we respond behind a port forward: transport and tunnel mode", () => theyReach("open", "local"));
lab.story("both behind NAT, we respond: transport and tunnel mode", () => theyReach("alice", "both"));
lab.story("strongSwan responds behind a port forward: transport and tunnel mode", () => weReach("open", "remote"));
lab.story("both behind NAT, strongSwan responds: transport and tunnel mode", () => weReach("alice", "both"));

lab.story("nothing was on the wire but IKE and ESP in UDP", async () => {
  assert.deepEqual(await lab.packets(`not (${IKE_OR_UDP})`), []);
});
