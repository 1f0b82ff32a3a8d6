/** What comes in while a start still asks the kernel what the last run left. */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { Early } from "../../daemon/early.ts";
import { askedOf } from "../../daemon/kernel-listing.ts";
import type { Input } from "../../ike/input.ts";
import { type Acquire, REQID_BASE } from "../../ike/kernel-contract.ts";
import { decodeHeader } from "../../isakmp/message.ts";
import { ok } from "../../isakmp/result.ts";
import { memoryKernel } from "../../kernel/memory.ts";
import { parseConfiguration } from "../../policy/config.ts";
import { configuration, freePort, scratch, startConfigured, startHost } from "./pair.ts";

const acquire = (reqid: number, source: string, destination: string): Acquire => ({
  ...{ type: "acquire", protocol: "esp", reqid, source, destination },
  ...{ ipProtocol: 1, sourcePort: 0, destinationPort: 0 },
});

/** A socket at the peer's place, and a way to start a daemon on `us`: `act` happens while it waits for the kernel's listing, which tells of `asked`. */
async function setUp(t: TestContext, us: string, peer: string) {
  const [port, natPort] = [await freePort([us, peer]), await freePort([us, peer])];
  const folder = scratch(t);
  const listenAt = async (address: string) => {
    const socket = createSocket("udp4");
    const came: Buffer[] = [];
    socket.on("message", (message) => came.push(message));
    socket.bind(port, address);
    await once(socket, "listening");
    return { socket, came };
  };
  const start = async (act: (kernel: ReturnType<typeof memoryKernel>) => void, asked: readonly Acquire[] = []) => {
    const parsed = parseConfiguration(configuration(us, peer, port, natPort), "test.toml", () => ok(undefined));
    assert.ok(parsed.ok);
    const kernel = memoryKernel();
    const list = async () => {
      act(kernel);
      // As long as a kernel with some thousands of SAs takes.
      await new Promise((resolve) => setTimeout(resolve, 300));
      return { ...(await kernel.list()), asked };
    };
    return startConfigured(t, parsed.value, join(folder, "us"), { kernel: { ...kernel, list } });
  };
  /** The reqid that the rule's policies have, in every run that has no journal. */
  const reqidOfRule = async () => {
    const probe = await startHost(t, configuration(us, peer, port, natPort), join(folder, "probe"));
    await probe.daemon.stop();
    const out = probe.kernelLines.find((line) => line.includes(" dir out ") && line.includes(" reqid ")) ?? "";
    return Number(/ reqid (\d+)/.exec(out)?.[1]);
  };
  return { port, natPort, folder, listenAt, start, reqidOfRule };
}

const until = async (holds: () => boolean, what: string): Promise<void> => {
  for (let i = 0; i < 200 && !holds(); i++) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.ok(holds(), what);
};

test("message 1 that comes before the policy is in force is answered by message 2, and not refused", async (t) => {
  const [us, peer] = ["127.0.0.51", "127.0.0.52"];
  const { port, natPort, folder, listenAt, start } = await setUp(t, us, peer);
  const here = await listenAt(us);
  const host = await startHost(t, `${configuration(peer, us, port, natPort)}start = "now"\n`, join(folder, "peer"));
  await until(() => here.came.length > 0, "the peer's message 1");
  here.socket.close();
  await host.daemon.stop();
  const there = await listenAt(peer);
  t.after(() => there.socket.close());
  await start(() => there.socket.send(here.came[0] ?? "", port, us));
  await until(() => there.came.length > 0, "an answer");
  const header = decodeHeader(there.came[0] ?? Buffer.alloc(0));
  assert.equal(header.ok && header.value.exchange, 2);
});

test("a packet that asks for protection while a start asks the kernel what the last run left: Main Mode begins", async (t) => {
  const [us, peer] = ["127.0.0.53", "127.0.0.54"];
  const { listenAt, start, reqidOfRule } = await setUp(t, us, peer);
  const reqid = await reqidOfRule();
  const there = await listenAt(peer);
  t.after(() => there.socket.close());
  await start((kernel) => kernel.inject(acquire(reqid, us, peer)));
  await until(() => there.came.length > 0, "nothing was sent to the peer: the kernel does not ask again for 30 s");
});

test("what traffic asked for while no daemon ran is begun at a start, where the kernel still waits for it", async (t) => {
  const [us, peer] = ["127.0.0.55", "127.0.0.56"];
  const { listenAt, start, reqidOfRule } = await setUp(t, us, peer);
  const reqid = await reqidOfRule();
  const there = await listenAt(peer);
  t.after(() => there.socket.close());
  await start(() => {}, [acquire(reqid, us, peer)]);
  await until(() => there.came.length > 0, "nothing was sent to the peer");
});

test("of what traffic asked for each need of our reqids is taken once, and no more than some hundred", () => {
  const one = acquire(REQID_BASE, "192.0.2.1", "192.0.2.2");
  const others = acquire(9, "192.0.2.1", "192.0.2.2");
  assert.deepEqual(askedOf({ sas: [], policies: [], asked: [one, others, { ...one, destinationPort: 80 }] }).length, 1);
  const many = Array.from({ length: 1000 }, (_, i) => acquire(REQID_BASE, "192.0.2.1", `192.0.${i >> 8}.${i & 255}`));
  assert.equal(askedOf({ sas: [], policies: [], asked: many }).length, 256);
  assert.deepEqual(askedOf({ sas: [], policies: [] }), []);
});

const path = { local: { address: "192.0.2.1", port: 500 }, remote: { address: "192.0.2.2", port: 500 } };
const datagram = (length: number, cookie: number) => ({ type: "datagram", path, bytes: new Uint8Array(length).fill(cookie) }) as const;
const STRANGER = 0;
const KNOWN = 1;

function early() {
  const passed: Input[] = [];
  let dropped = 0;
  const one = new Early({ push: (input) => passed.push(input), onDropped: () => dropped++ });
  return { one, passed, dropped: () => dropped };
}

test("what comes early waits in its order, and what comes later is passed on at once", () => {
  const { one, passed, dropped } = early();
  const event = { type: "kernel-event", event: acquire(REQID_BASE, "192.0.2.1", "192.0.2.2") } as const;
  const inputs = [datagram(100, STRANGER), event, datagram(100, KNOWN), datagram(28, KNOWN)] as const;
  for (const input of inputs.slice(0, 3)) one.push(input);
  assert.deepEqual(passed, []);
  one.open();
  one.push(inputs[3]);
  assert.deepEqual([passed, dropped()], [inputs, 0]);
});

for (const [what, length, cookie, most] of [
  ["first messages of strangers", 100, STRANGER, 256],
  ["datagrams", 100, KNOWN, 512],
  ["octets", 65_000, KNOWN, 16],
] as const)
  test(`a flood of early ${what} makes ${most} wait; the newest are dropped and counted`, () => {
    const { one, passed, dropped } = early();
    for (let i = 0; i < 1000; i++) one.push(datagram(length, cookie));
    one.open();
    assert.deepEqual([passed.length, dropped()], [most, 1000 - most]);
  });

test("strangers leave room for who is known, and acquires beyond the bound are dropped; of other events beyond it any policy may be gone", () => {
  const { one, passed, dropped } = early();
  for (let i = 0; i < 600; i++) one.push(datagram(100, STRANGER));
  one.push(datagram(100, KNOWN));
  for (let i = 0; i < 4097; i++) one.push({ type: "kernel-event", event: acquire(REQID_BASE, "192.0.2.1", "192.0.2.2") });
  const gone = { type: "kernel-event", event: { type: "policy-gone", policy: null } } as const;
  one.open();
  assert.deepEqual([passed.length, dropped()], [257 + 4096, 345]);
  const second = early();
  for (let i = 0; i < 4097; i++) second.one.push({ type: "kernel-event", event: { type: "unknown-spis", packets: 1 } });
  second.one.open();
  assert.deepEqual([second.passed.length, second.passed.at(-1)], [4097, gone]);
});
