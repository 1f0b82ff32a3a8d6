import assert from "node:assert/strict";
import { test } from "node:test";
import type { LogRecord } from "../../daemon/log.ts";
import { NAMES_OWNER, Names } from "../../daemon/names.ts";
import { dhcpServerIn, dhcpServerInMessage, dnsServersIn, gatewaysIn4, gatewaysIn6 } from "../../daemon/system-addresses.ts";
import { parseConfiguration } from "../../policy/config.ts";
import type { Policy } from "../../policy/types.ts";
import { type JournalRecord, playJournal } from "../../sa-store/journal-record.ts";
import { until } from "./fakes.ts";

const policy = (...filters: readonly string[]): Policy => {
  const text = `[[rule]]\nname = "r"\naction = "block"\nfilters = ${JSON.stringify(filters)}\n`;
  const parsed = parseConfiguration(text, "F", () => ({ ok: false, error: "none" }));
  assert.ok(parsed.ok, "it can be read");
  return parsed.value.policy;
};
const remotes = ({ rules }: Policy): readonly string[] =>
  rules.flatMap(({ filters }) => filters.map(({ remote }) => (remote.kind === "range" ? String(remote.range.first & 0xffn) : remote.kind)));

function setUp(answers: Record<string, readonly string[] | undefined>) {
  const records: LogRecord[] = [];
  let changes = 0;
  const names = new Names({
    log: (record) => records.push(record),
    onChange: () => changes++,
    againMs: 20,
    find: async (name) => {
      const answer = answers[name];
      if (!answer) throw new Error("no such name");
      return answer;
    },
  });
  return { names, records, changes: () => changes };
}

test("a policy without names is left as it is, and nobody is asked", async () => {
  const { names, records } = setUp({});
  const plain = policy("me <-> 192.0.2.1");
  await names.follow(plain);
  assert.equal(names.apply(plain), plain);
  assert.equal(records.length, 0);
  names.close();
});

test("every address of a name counts; what it stands for is asked again, and a change is told", async () => {
  const answers: Record<string, readonly string[]> = { "a.example.test": ["192.0.2.7", "192.0.2.5"] };
  const { names, changes } = setUp(answers);
  const named = policy("me <-> a.example.test");
  await names.follow(named);
  assert.deepEqual(remotes(names.apply(named)), ["5", "7"]);
  answers["a.example.test"] = ["192.0.2.9"];
  await until(() => changes() > 0, "a change");
  assert.deepEqual(remotes(names.apply(named)), ["9"]);
  names.close();
});

test("a name that can't be resolved stands for nothing; one that could before keeps its addresses; each is said once", async () => {
  const answers: Record<string, readonly string[] | undefined> = { "a.example.test": ["192.0.2.5"] };
  const { names, records } = setUp(answers);
  const named = policy("me <-> a.example.test", "me <-> b.example.test");
  await names.follow(named);
  assert.deepEqual(remotes(names.apply(named)), ["5", "name"]);
  answers["a.example.test"] = undefined;
  await names.lookNow();
  await names.lookNow();
  assert.deepEqual(remotes(names.apply(named)), ["5", "name"]);
  const warned = records.filter(({ level }) => level === "warning").map(({ text }) => text);
  assert.deepEqual(warned, [
    "b.example.test stands for no address; its filters are about nothing",
    "a.example.test stands for no address now, and keeps those that it had",
  ]);
  names.close();
});

test("a name that takes its time keeps no other one waiting, at the beginning and later, and is told of when it comes", async () => {
  const answers: Record<string, readonly string[]> = { "a.example.test": ["192.0.2.5"], "slow.example.test": ["192.0.2.6"] };
  let answerSlow = (): void => {};
  let changes = 0;
  const names = new Names({
    log: () => {},
    onChange: () => changes++,
    patienceMs: 20,
    find: (name) =>
      new Promise((resolve) => {
        const answer = (): void => resolve(answers[name] ?? []);
        if (name === "slow.example.test") answerSlow = answer;
        else answer();
      }),
  });
  const named = policy("me <-> slow.example.test", "me <-> a.example.test");
  await names.follow(named);
  assert.deepEqual([remotes(names.apply(named)), changes], [["name", "5"], 0]);
  answerSlow();
  await until(() => changes === 1, "the slow answer");
  assert.deepEqual(remotes(names.apply(named)), ["6", "5"]);
  answers["a.example.test"] = ["192.0.2.9"];
  await names.lookNow();
  assert.deepEqual([remotes(names.apply(named)), changes], [["6", "9"], 2]);
  names.close();
  answerSlow();
});

/** Names whose answers come when the test says so: `answer(name, n)` gives the answer to the n-th look for it. */
function held(patienceMs: number) {
  const waiting = new Map<string, ((addresses: readonly string[]) => void)[]>();
  let changes = 0;
  const records: LogRecord[] = [];
  const names = new Names({
    log: (record) => records.push(record),
    onChange: () => changes++,
    patienceMs,
    find: (name) => new Promise((resolve) => waiting.set(name, [...(waiting.get(name) ?? []), resolve])),
  });
  const answer = (name: string, look: number, addresses: readonly string[]) => waiting.get(name)?.[look]?.(addresses);
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  return { names, answer, turn, changes: () => changes, warnings: () => records.filter(({ level }) => level === "warning").length };
}

test("what an older look for a name brings late does not replace a newer one's answer", async () => {
  const { names, answer, turn, changes, warnings } = held(5);
  const named = policy("me <-> a.example.test");
  await names.follow(named);
  const now = names.lookNow();
  answer("a.example.test", 1, ["192.0.2.2"]);
  await now;
  assert.deepEqual([remotes(names.apply(named)), changes()], [["2"], 1]);
  answer("a.example.test", 0, ["192.0.2.1"]);
  await turn();
  assert.deepEqual([remotes(names.apply(named)), changes()], [["2"], 1]);

  // A look that found nothing has no say about what an older one brings; and nothing that is old is told of.
  const [third, fourth] = [names.lookNow(), names.lookNow()];
  answer("a.example.test", 3, ["192.0.2.4"]);
  await turn();
  answer("a.example.test", 2, []);
  await Promise.all([third, fourth]);
  assert.deepEqual([remotes(names.apply(named)), warnings()], [["4"], 0]);
  const [fifth, sixth] = [names.lookNow(), names.lookNow()];
  answer("a.example.test", 5, []);
  await turn();
  answer("a.example.test", 4, ["192.0.2.5"]);
  await Promise.all([fifth, sixth]);
  assert.deepEqual(remotes(names.apply(named)), ["5"]);
  names.close();
});

test("at a beginning nobody waits for more than what this host can tell itself, and each answer is told of", async () => {
  const { names, answer, turn, changes } = held(1000);
  const named = policy("me <-> a.example.test", "me <-> b.example.test", "me <-> dns");
  let isBegun = false;
  const beginning = names.begin(named).finally(() => (isBegun = true));
  await turn();
  assert.equal(isBegun, false);
  answer("dns", 0, ["192.0.2.53"]);
  const { settled } = await beginning;
  assert.deepEqual(remotes(names.apply(named)), ["name", "name", "53"]);
  const before = changes();
  answer("a.example.test", 0, ["192.0.2.1"]);
  await turn();
  assert.deepEqual([remotes(names.apply(named)), changes() - before], [["1", "name", "53"], 1]);
  answer("b.example.test", 0, ["192.0.2.2"]);
  await settled;
  assert.deepEqual([remotes(names.apply(named)), changes() - before], [["1", "2", "53"], 2]);
  names.close();
});

test("what names stood for in the last run counts until something better is known", async () => {
  const records: JournalRecord[] = [];
  const run = (answers: Record<string, readonly string[]>): Names =>
    new Names({
      log: () => {},
      onChange: () => {},
      find: async (name) => answers[name] ?? [],
      earlier: playJournal(records).get(NAMES_OWNER),
      save: (more) => records.push(...more),
    });
  const named = policy("me <-> a.example.test", "me <-> b.example.test");
  const first = run({ "a.example.test": ["192.0.2.5"], "b.example.test": ["192.0.2.6"] });
  await first.follow(named);
  first.close();
  const second = run({ "b.example.test": ["192.0.2.7"] });
  await second.follow(named);
  assert.deepEqual(remotes(second.apply(named)), ["5", "7"]);
  await second.follow(policy("me <-> b.example.test"));
  second.close();
  const third = run({});
  await third.follow(named);
  assert.deepEqual(remotes(third.apply(named)), ["name", "7"]);
  third.close();
});

test("servers are found in the files of the system", () => {
  assert.deepEqual(
    dnsServersIn("search x\nnameserver 127.0.0.53\nnameserver 192.0.2.53\n nameserver fe80::1%eth0\nnameserver nonsense\n"),
    ["192.0.2.53", "fe80::1"],
  );
  const routes = `Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask
eth0\t00000000\tFE0200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0
`;
  assert.deepEqual(gatewaysIn4(routes), ["192.0.2.254"]);
  const zero = "0".repeat(32);
  assert.deepEqual(
    gatewaysIn6(
      `${zero} 00 ${zero} 00 20010db8${"0".repeat(23)}1 00000400 00000001 00000000 00000003 eth0\n${zero} 00 ${zero} 00 ${zero} 0 0 0 0 lo\n`,
    ),
    ["2001:db8::1"],
  );
  assert.deepEqual(dhcpServerIn("ADDRESS=192.0.2.7\nSERVER_ADDRESS=192.0.2.1\n"), ["192.0.2.1"]);
  assert.deepEqual(
    dhcpServerIn("lease {\n  option dhcp-server-identifier 192.0.2.2;\n}\nlease {\n  option dhcp-server-identifier 192.0.2.3;\n}\n"),
    ["192.0.2.3"],
  );
});

test("the DHCP server is found in the lease of dhcpcd, which is the message itself; what is cut short or something else holds none", () => {
  const header = new Uint8Array(236);
  const options = [0x63, 0x82, 0x53, 0x63, 53, 1, 5, 0, 54, 4, 192, 0, 2, 9, 51, 4, 0, 0, 14, 16, 255];
  const lease = Uint8Array.of(...header, ...options);
  assert.deepEqual(dhcpServerInMessage(lease), ["192.0.2.9"]);
  for (let length = 0; length < lease.length; length++)
    assert.deepEqual(dhcpServerInMessage(lease.subarray(0, length)), length >= 250 ? ["192.0.2.9"] : []);
  assert.deepEqual(dhcpServerInMessage(Uint8Array.of(...header, 1, 2, 3, 4, ...options.slice(4))), []);
  assert.deepEqual(dhcpServerInMessage(Uint8Array.of(...header, ...options.slice(0, 4), 255, ...options.slice(8))), []);
});
