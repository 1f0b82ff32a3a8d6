/** Two hosts with strongSwan behind one router, we are the server in the open (`npm run nat`). */
import assert from "node:assert/strict";
import { after, before } from "node:test";
import { eventually } from "../interop/shell.ts";
import { IKE_OR_UDP, Lab, nats, says, saysNothing } from "./lab.ts";
import { ADDRESS, BEHIND, OUTER } from "./network.ts";
import { ends, type Mainmode, type Party, rule } from "./parties.ts";

const lab = new Lab("inward");
const parties: { ours?: Mainmode; alice?: Party; bob?: Party } = {};
const ours = (): Mainmode => parties.ours as Mainmode;
const client = (name: "alice" | "bob"): Party => parties[name] as Party;

const [ALICE, BOB, OPEN, BEHIND_OPEN] = [
  ["alice", ADDRESS.alice],
  ["bob", ADDRESS.bob],
  ["open", ADDRESS.open],
  ["open", BEHIND.open],
] as const;

const serving = (name: string, near: string, keys: Readonly<Record<string, string>> = {}): string =>
  rule(name, {
    action: '"respond"',
    mode: '"tunnel"',
    tunnel: `{ remote = "${OUTER.nat}" }`,
    filters: `["${near} <-> 10.0.0.0/24"]`,
    ...keys,
  });
const tunnel = (name: string, near: string, far = "10.9.0.0/24") => ({ name, mode: "tunnel", local: `${near}/32`, remote: far }) as const;

before(async () => {
  await lab.open();
  [parties.ours, parties.alice, parties.bob] = await Promise.all([
    lab.mainmode("open", [
      rule("transport", { action: '"respond"', filters: `["me <-> ${OUTER.nat}"]` }),
      serving("tunnel", "10.9.0.0/24"),
      serving("ah", "10.9.1.0/24", { "quick-mode": '{ proposals = ["ah:sha256"], pfs = "none" }' }),
      serving("more", "10.9.2.0/24"),
    ]),
    lab.strongswan("alice", [
      {
        remote: ADDRESS.open,
        children: [
          ends(),
          tunnel("tunnel", ADDRESS.alice),
          { ...tunnel("ah", ADDRESS.alice, "10.9.1.0/24"), protocol: "ah" },
          tunnel("more", ADDRESS.alice, "10.9.2.0/24"),
        ],
      },
    ]),
    lab.strongswan("bob", [{ remote: ADDRESS.open, children: [ends(), tunnel("tunnel", ADDRESS.bob), tunnel("stolen", ADDRESS.alice)] }]),
  ]);
});
after(() => lab.end());

async function bothTunnels(): Promise<void> {
  await lab.pings(ALICE, BEHIND_OPEN);
  await lab.pings(BOB, BEHIND_OPEN);
  await lab.pings(BEHIND_OPEN, ALICE);
  await lab.pings(BEHIND_OPEN, BOB);
}

const remotes = async (): Promise<readonly string[]> => (await ours().status()).ikeSas.map(({ remote }) => remote);
const policies = async (): Promise<string> => (await lab.run(["ip", "-n", "open", "xfrm", "policy"])).stdout;

lab.story("two clients with inner addresses of their own behind one NAT work side by side in tunnel mode", async () => {
  assert.equal(await client("alice").initiate("tunnel"), undefined);
  assert.equal(await client("bob").initiate("tunnel"), undefined);
  await bothTunnels();
  assert.deepEqual(await nats(ours()), ["remote", "remote"]);
  for (const host of ["alice", "bob", "open"] as const) await lab.encapsulated(host);
});

lab.story("a client that names its neighbour's inner address is refused, and the neighbour's policy stays as it is", async () => {
  const before = await policies();
  assert.notEqual(await client("bob").initiate("stolen"), undefined);
  says(ours(), /10\.9\.0\.0\/24 <-> 10\.0\.0\.5 belongs to ip:10\.0\.0\.5 at 198\.51\.100\.1 already: give each host behind a NAT/);
  assert.equal(await policies(), before);
  await bothTunnels();
});

lab.story("in transport mode the first client keeps its SA, and the second with the same selectors is refused", async () => {
  assert.equal(await client("alice").initiate("transport"), undefined);
  await lab.pings(ALICE, OPEN);
  const before = await policies();
  assert.notEqual(await client("bob").initiate("transport"), undefined);
  says(ours(), /192\.0\.2\.2 <-> 198\.51\.100\.1 belongs to ip:10\.0\.0\.5 at 198\.51\.100\.1 already/);
  assert.equal(await policies(), before);
  await lab.pings(ALICE, OPEN);
});

lab.story("AH is refused behind a NAT", async () => {
  assert.notEqual(await client("alice").initiate("ah"), undefined);
  says(ours(), /AH can't pass the NAT that was found between us/);
  assert.equal((await ours().status()).childSas.filter(({ rule }) => rule === "ah").length, 0);
});

lab.story("forged, damaged and repeated packets from another port of the same NAT move nothing", async () => {
  const [before, statesBefore] = [await remotes(), await portsOf()];
  const { ikeSas, childSas } = await ours().status();
  const noise = Buffer.alloc(64, 0x5a);
  const spis = childSas.flatMap(({ protections }) => protections.map(({ spiIn }) => Buffer.from(spiIn.slice(2), "hex")));
  const esp = spis.map((spi) => Buffer.concat([spi, Buffer.from("00010000", "hex"), noise]));
  const ike = ikeSas.map(({ initiatorCookie, responderCookie }) => {
    const cookies = Buffer.from(`${initiatorCookie}${responderCookie}`.replace(/0x/g, ""), "hex");
    assert.equal(cookies.length, 16);
    return Buffer.concat([Buffer.alloc(4), cookies, Buffer.from("08100501deadbeef0000005c", "hex"), noise]);
  });
  const genuine = (await lab.datagrams(`src host ${OUTER.nat} and udp port 4500 and udp[4:2] > 40`)).slice(-12);
  const damaged = genuine.map((one) => Buffer.concat([one.subarray(0, -1), Buffer.of((one.at(-1) ?? 0) ^ 1)]));
  assert.ok(esp.length >= 3 && ike.length >= 2 && genuine.length === 12);
  await lab.forge([...esp, ...ike, ...damaged, ...genuine, Buffer.of(0xff)], ADDRESS.open);
  // They did arrive, and were seen through.
  assert.ok(await eventually(5, async () => (await lab.dropped("open", "XfrmInStateProtoError")) >= 3), "damaged ones");
  assert.ok((await lab.dropped("open", "XfrmInStateSeqError")) >= 3, "repeated ones");
  assert.ok(await eventually(5, () => /Informational message dropped/.test(ours().log())), "messages of IKE");
  await bothTunnels();
  assert.deepEqual(await remotes(), before);
  assert.deepEqual(await portsOf(), statesBefore);
  saysNothing(ours(), /"peer\.moved"/);
});

/** SPIs and ports of our kernel's SAs. */
const portsOf = async (): Promise<readonly string[]> =>
  (await lab.states("open")).map((text) => `${/spi 0x\w+/.exec(text)?.[0]} ${/sport \d+ dport \d+/.exec(text)?.[0]}`).sort();

lab.story("their mapping changes: an ESP packet that proves itself to the kernel moves the SA", async () => {
  const before = await remotes();
  await lab.rebind();
  await bothTunnels();
  says(ours(), /"peer\.moved"/);
  const now = await remotes();
  assert.deepEqual(
    now.filter((remote) => before.includes(remote)),
    [],
  );
});

lab.story("their mapping changes: an authenticated message of IKE moves the SA and those under it", async () => {
  const before = await remotes();
  await lab.rebind();
  assert.equal(await client("alice").initiate("more"), undefined);
  const now = await remotes();
  assert.equal(now.filter((remote) => !before.includes(remote)).length, 1, `${before.join()} became ${now.join()}`);
  // We speak first: only the new mapping leads there.
  await lab.pings(BEHIND_OPEN, ALICE);
  await lab.pings(["open", BEHIND.third], ALICE);
});

lab.story("nothing was on the wire but IKE and ESP in UDP", async () => {
  assert.deepEqual(await lab.packets(`not (${IKE_OR_UDP})`), []);
});
