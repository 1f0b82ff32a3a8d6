import assert from "node:assert/strict";
import { test } from "node:test";
import { type OctetLedger, octetLedger } from "../../daemon/octets.ts";
import type { KernelSa } from "../../ike/kernel-contract.ts";
import { memoryKernel } from "../../kernel/memory.ts";
import { algorithms, espSa } from "../kernel/fixtures.ts";

const INBOUND = (): KernelSa => espSa({ source: "192.0.2.2", destination: "192.0.2.1", spi: 0x1001, replayWindow: 32 });
const key = ({ source, destination, protocol, spi }: KernelSa) => ({ source, destination, protocol, spi });

function setUp() {
  const bare = memoryKernel();
  return { bare, ledger: octetLedger(bare) };
}

const sum = (ledger: OctetLedger, dir: "in" | "out", what: "octets" | "packets" = "octets"): number =>
  ledger.totals().reduce((all, each) => all + (each.dir === dir && each.whole ? each[what] : 0), 0);

test("octets of an SA count when its counters are read, and stay when it is removed, with all that it carried up to then", async () => {
  const { bare, ledger } = setUp();
  const sa = espSa();
  await ledger.kernel.run([{ do: "add-sa", sa }]);
  bare.setCounters(sa, { octets: 100, packets: 2 });
  assert.equal(sum(ledger, "out"), 0);
  await ledger.kernel.counters();
  assert.equal(sum(ledger, "out"), 100);
  bare.setCounters(sa, { octets: 250, packets: 5 });
  await ledger.kernel.run([{ do: "remove-sa", sa: key(sa) }]);
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual([sum(ledger, "out"), sum(ledger, "out", "packets"), sum(ledger, "in")], [250, 5, 0]);
  assert.equal(bare.states.size, 0);
});

test("an SA that the kernel ended by itself keeps what was seen of it, and is not looked for again", async () => {
  const { bare, ledger } = setUp();
  ledger.kernel.listen(() => {});
  const sa = INBOUND();
  await ledger.kernel.run([{ do: "add-sa", sa }]);
  bare.setCounters(sa, { octets: 70, packets: 1 });
  await ledger.kernel.counters();
  for (const event of bare.expire(sa, true)) bare.inject(event);
  await ledger.kernel.run([{ do: "remove-sa", sa: key(sa) }]);
  assert.equal(sum(ledger, "in"), 70);
  assert.equal(ledger.gone().length, 1);
});

test("an SA that the kernel refused is none, and a counter that went back changes nothing", async () => {
  const { bare, ledger } = setUp();
  const sa = espSa();
  await ledger.kernel.run([{ do: "add-sa", sa }]);
  assert.equal((await ledger.kernel.run([{ do: "add-sa", sa }])).ok, false);
  bare.setCounters(sa, { octets: 100, packets: 2 });
  await ledger.kernel.counters();
  bare.setCounters(sa, { octets: 1, packets: 1 });
  await ledger.kernel.counters();
  assert.equal(sum(ledger, "out"), 100);
});

test("what is confidential, what is authenticated, and AH and ESP together, which is one flow", async () => {
  const { bare, ledger } = setUp();
  const ah = espSa({ protocol: "ah", spi: 0x2001, ...algorithms(null, null), integrity: espSa().integrity, encryption: null });
  const plain = espSa({ spi: 0x2002, encryption: espSa().encryption, integrity: null });
  await ledger.kernel.run([
    { do: "add-sa", sa: ah },
    { do: "add-sa", sa: plain },
  ]);
  for (const sa of [ah, plain]) bare.setCounters(sa, { octets: 10, packets: 1 });
  await ledger.kernel.counters();
  assert.deepEqual(
    ledger.totals().map(({ confidential, authenticated, whole }) => [confidential, authenticated, whole]),
    [
      [false, true, false],
      [true, false, true],
    ],
  );
  assert.equal(sum(ledger, "out"), 10);
});

test("an SA that ended between two runs keeps what the earlier run had seen of it, and no total goes back meanwhile", async () => {
  const { bare, ledger } = setUp();
  const kind = { dir: "in", mode: "transport", confidential: true, authenticated: true, whole: true } as const;
  // Of the 1700 that were seen 1000 are of SAs that were gone, 500 of one that is still there, and 200 of one that is not.
  const sa = INBOUND();
  await bare.run([{ do: "add-sa", sa }]);
  bare.setCounters(sa, { octets: 500, packets: 5 });
  ledger.restore([{ ...kind, octets: 1000, packets: 10 }], [{ ...kind, octets: 1700, packets: 17 }]);
  assert.deepEqual([sum(ledger, "in"), sum(ledger, "in", "packets")], [1700, 17]);
  const protection = { protocol: "esp", encryption: "aes128", integrity: "sha1", spiIn: "0x00001001", spiOut: "0x00009999" } as const;
  const status = { ikeSas: [], childSas: [{ mode: "transport", protections: [protection] }] } as never;
  ledger.learn(status, new Map());
  assert.equal(sum(ledger, "in"), 1700);
  ledger.learn(status, await ledger.kernel.counters());
  bare.setCounters(sa, { octets: 560, packets: 6 });
  ledger.learn(status, await ledger.kernel.counters());
  assert.deepEqual([sum(ledger, "in"), sum(ledger, "in", "packets")], [1760, 18]);
});

test("SAs of an earlier run are learnt from status, and their octets follow what that run wrote down", async () => {
  const { bare, ledger } = setUp();
  const sa = INBOUND();
  await bare.run([{ do: "add-sa", sa }]);
  bare.setCounters(sa, { octets: 500, packets: 5 });
  ledger.restore([{ dir: "in", mode: "transport", confidential: true, authenticated: true, whole: true, octets: 1000, packets: 10 }]);
  const protection = { protocol: "esp", encryption: "aes128", integrity: "sha1", spiIn: "0x00001001", spiOut: "0x00009999" } as const;
  const child = { mode: "transport", protections: [protection] } as const;
  const learn = async () => ledger.learn({ ikeSas: [], childSas: [child] } as never, await ledger.kernel.counters());
  await learn();
  await learn();
  assert.deepEqual([sum(ledger, "in"), sum(ledger, "in", "packets")], [1500, 15]);
});
