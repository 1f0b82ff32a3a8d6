/** No NAT between us and strongSwan: what rules force, leave alone and turn off (`npm run nat`). */
import assert from "node:assert/strict";
import { after, before } from "node:test";
import { IN_UDP, Lab, nats, says } from "./lab.ts";
import { ADDRESS, type HostName, PLAIN } from "./network.ts";
import { ends, type Mainmode, type Party, rule } from "./parties.ts";

const lab = new Lab("plain");
const [AUTO, FORCE, OFF] = PLAIN;

before(() => lab.open());
after(() => lab.end());

/** We on `open` with a rule for each word; strongSwan has an address for each. */
async function parties(force: boolean): Promise<readonly [Mainmode, Party]> {
  const words = { [AUTO]: "auto", [FORCE]: "force", [OFF]: "off" };
  return Promise.all([
    lab.mainmode(
      "open",
      Object.entries(words).map(([address, word]) =>
        rule(word, { action: '"require"', start: '"never"', filters: `["me <-> ${address}"]`, "nat-traversal": `"${word}"` }),
      ),
    ),
    lab.strongswan(
      "plain",
      Object.entries(words).map(([address, word]) => ({ local: address, remote: ADDRESS.open, force, children: [ends(word)] })),
    ),
  ]);
}

async function bare(host: HostName, far: string): Promise<void> {
  const states = (await lab.states(host)).filter((text) => text.includes(far));
  assert.ok(states.length >= 2 && states.every((text) => !text.includes("encap")), states.join());
}

async function inUdp(host: HostName, far: string): Promise<void> {
  const states = (await lab.states(host)).filter((text) => text.includes(far));
  assert.ok(states.length >= 2 && states.every((text) => text.includes("encap type espinudp")), states.join());
}

const floated = (far: string) => lab.packets(`host ${far} and udp port 4500`);
const esp = (far: string) => lab.packets(`host ${far} and ip proto 50`);

lab.story("we begin: bare packets without a NAT; in UDP where the rule forces it; nothing announced where it is off", async () => {
  const [ours, theirs] = await parties(false);
  for (const word of ["auto", "force"]) assert.equal(await ours.initiate(word), undefined);
  await lab.pings(["open", ADDRESS.open], ["plain", FORCE]);
  await inUdp("open", FORCE);
  await inUdp("plain", FORCE);
  await bare("open", AUTO);
  assert.deepEqual(await floated(AUTO), []);
  assert.deepEqual(await esp(FORCE), []);
  says(theirs, /received NAT-T \(RFC 3947\) vendor ID/);
  const { length } = theirs.log();
  assert.equal(await ours.initiate("off"), undefined);
  assert.doesNotMatch(theirs.log().slice(length), /NAT/);
  await bare("open", OFF);
  assert.deepEqual(await floated(OFF), []);
  assert.deepEqual(await nats(ours), ["none", "none", "none"]);
  for (const host of ["open", "plain"] as const) await lab.stop(host);
});

lab.story("strongSwan begins, and our rule forces, or is off", async () => {
  const [ours, theirs] = await parties(false);
  for (const word of ["auto", "force", "off"]) assert.equal(await theirs.initiate(word), undefined);
  await lab.pings(["plain", FORCE], ["open", ADDRESS.open]);
  await inUdp("open", FORCE);
  await bare("open", AUTO);
  await bare("open", OFF);
  assert.equal((await nats(ours)).length, 3);
  for (const host of ["open", "plain"] as const) await lab.stop(host);
});

lab.story("strongSwan forces: in UDP, unless our rule is off", async () => {
  const [, theirs] = await parties(true);
  const before = (await lab.packets(IN_UDP)).length;
  for (const word of ["auto", "off"]) assert.equal(await theirs.initiate(word), undefined);
  await lab.pings(["plain", AUTO], ["open", ADDRESS.open]);
  assert.ok((await lab.packets(IN_UDP)).length > before);
  await inUdp("open", AUTO);
  await bare("open", OFF);
  for (const host of ["open", "plain"] as const) await lab.stop(host);
});
