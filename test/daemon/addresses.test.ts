import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import {
  addressesEvent,
  awaitsSocket,
  isBell,
  type LocalAddresses,
  nextLookMs,
  ofUpLinks,
  parseAddressList,
  readAddresses,
  sortAddresses,
  watchAddresses,
} from "../../daemon/addresses.ts";
import { until } from "./fakes.ts";

const found = (...addresses: readonly string[]) => addresses.map((address) => ({ address, isTentative: false, broadcasts: [] }));

const LO = ["127.0.0.1", "::1"];
const HOST = found(...LO, "192.0.2.7", "2001:DB8::7", "fe80::1", "198.51.100.1", "192.0.2.7");

test("every unicast address is local and served, but loopback and link-local ones", () => {
  const all = ["192.0.2.7", "198.51.100.1", "2001:db8::7"];
  assert.deepEqual(sortAddresses(HOST, null), { local: all, served: all, onLink: ["fe80::1"], broadcasts: [] });
});

test("loopback is served where there is nothing else", () => {
  assert.deepEqual(sortAddresses(found(...LO, "fe80::1"), null), { local: LO, served: LO, onLink: ["fe80::1"], broadcasts: [] });
  assert.deepEqual(sortAddresses([], null), { local: [], served: [], onLink: [], broadcasts: [] });
});

test("configured addresses restrict what is served and not what rules about this host protect", () => {
  assert.deepEqual(sortAddresses(HOST, ["192.0.2.7"]), {
    local: ["192.0.2.7", "198.51.100.1", "2001:db8::7"],
    served: ["192.0.2.7"],
    onLink: ["fe80::1"],
    broadcasts: [],
  });
});

test("a tentative address is local, so that its policies stand before it may be used, and gets its sockets then", () => {
  const list = [...found("192.0.2.7"), { address: "2001:DB8::7", isTentative: true, broadcasts: [] }];
  const both = ["192.0.2.7", "2001:db8::7"];
  assert.deepEqual(sortAddresses(list, null), { local: both, served: ["192.0.2.7"], onLink: [], broadcasts: [] });
  assert.deepEqual(sortAddresses(list, ["2001:db8::7"]).served, ["2001:db8::7"]);
  for (const [address, awaits] of [
    ["2001:db8::7", true],
    ["192.0.2.7", false],
    ["192.0.2.8", false],
  ] as const)
    assert.equal(awaitsSocket(sortAddresses(list, null), address), awaits, address);
});

test("a configured address counts even before the system has it, and loopback where it is wanted", () => {
  const both = ["127.0.0.2", "203.0.113.1"];
  assert.deepEqual(sortAddresses(found(...LO), both), { local: both, served: both, onLink: [], broadcasts: [] });
});

/** As iproute2 6.1 prints it. */
const LIST = `1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever preferred_lft forever
1: lo    inet 203.0.113.9/32 scope global lo\\       valid_lft forever preferred_lft forever
1: lo    inet6 ::1/128 scope host \\       valid_lft forever preferred_lft forever
2: eth0    inet 192.0.2.7/24 brd 192.0.2.255 scope global eth0\\       valid_lft forever preferred_lft forever
2: eth0    inet6 2001:db8::7/64 scope global tentative \\       valid_lft forever preferred_lft forever
3: tun0    inet 10.0.0.1 peer 10.0.0.2/32 scope global tun0\\       valid_lft forever preferred_lft forever
`;

test("addresses are read whatever state their interface is in; of a point-to-point link our end", () => {
  const list = parseAddressList(LIST);
  assert.deepEqual(
    list.map(({ address }) => address),
    ["127.0.0.1", "203.0.113.9", "::1", "192.0.2.7", "2001:db8::7", "10.0.0.1"],
  );
  assert.deepEqual(
    list.flatMap(({ address, isTentative }) => (isTentative ? [address] : [])),
    ["2001:db8::7"],
  );
  assert.equal(
    parseAddressList(LIST.replace("tentative", "tentative optimistic")).some(({ isTentative }) => isTentative),
    false,
  );
  assert.deepEqual(parseAddressList(""), []);
});

test("broadcast addresses are those that the kernel has: what is told, and the last one of a network of more than two", () => {
  for (const [line, expected] of [
    ["inet 192.0.2.7/24 brd 192.0.2.255 scope global eth0", ["192.0.2.255"]],
    ["inet 192.0.2.7/24 scope global eth0", ["192.0.2.255"]],
    ["inet 192.0.2.7/24 brd 192.0.2.127 scope global eth0", ["192.0.2.127", "192.0.2.255"]],
    ["inet 192.0.2.7/24 brd 255.255.255.255 scope global eth0", ["192.0.2.255"]],
    ["inet 192.0.2.7/24 metric 100 brd 192.0.2.255 scope global dynamic eth0", ["192.0.2.255"]],
    ["inet 10.1.2.3/22 scope global eth0", ["10.1.3.255"]],
    ["inet 10.1.2.4/30 scope global eth0", ["10.1.2.7"]],
    ["inet 10.1.2.4/31 scope global eth0", []],
    ["inet 10.1.2.4/32 scope global eth0", []],
    ["inet 10.0.0.1 peer 10.0.0.2/32 scope global tun0", []],
    ["inet 10.0.0.1 peer 10.9.0.2/24 scope global tun0", ["10.9.0.255"]],
    ["inet 127.0.0.1/8 scope host lo", []],
    ["inet 192.0.2.255/24 brd 192.0.2.255 scope global eth0", []],
    ["inet6 2001:db8::7/64 scope global", []],
  ] as const)
    assert.deepEqual(
      sortAddresses(parseAddressList(`2: eth0    ${line}\\       valid_lft forever preferred_lft forever`), null).broadcasts,
      expected,
      line,
    );
});

test("of a link that is down addresses are local, and broadcast addresses are none", () => {
  const [one, other] = [
    "2: eth0    inet 192.0.2.7/23 brd 192.0.3.255 scope global eth0\n",
    "3: eth1    inet 192.0.2.9/25 brd 192.0.2.127 scope global eth1\n",
  ];
  const { local, broadcasts } = sortAddresses(ofUpLinks(parseAddressList(`${one}${other}`), one), null);
  assert.deepEqual([local, broadcasts], [["192.0.2.7", "192.0.2.9"], ["192.0.3.255"]]);
});

test("this host's addresses are read with and without ip", async () => {
  assert.ok((await readAddresses(null)).local.length > 0);
  const without = await readAddresses(null, { ip: "/nowhere/ip" });
  assert.ok(without.local.length > 0);
  // A look that fails is made again.
  assert.equal(without.nextLookMs, 5000);
});

test("addresses that were known stay where a look fails, and where it ends while the loop is busy for longer than it may take", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "ip-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const ip = (name: string, script: string): string => {
    writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    return join(folder, name);
  };
  const known = sortAddresses(found("192.0.2.7", "fe80::1"), null);
  for (const script of ["exit 1", "echo '2: eth0    inet 192.0.2.8/24 scope global eth0'; exec sleep 60"]) {
    const kept = await readAddresses(null, { ip: ip("fails", script), known, patienceMs: 500 });
    assert.ok(kept.local.includes("192.0.2.7") && kept.served.includes("192.0.2.7") && kept.onLink.includes("fe80::1"), script);
    assert.deepEqual([kept.local.includes("192.0.2.8"), kept.nextLookMs], [false, 5000]);
  }
  const looking = readAddresses(null, { ip: ip("works", "echo '2: eth0    inet 192.0.2.8/24 scope global eth0'"), known, patienceMs: 500 });
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1500);
  assert.deepEqual((await looking).local, ["192.0.2.8"]);
});

test("that no address is left is a warning", () => {
  assert.deepEqual(
    [addressesEvent([]), addressesEvent(["192.0.2.7"])].map(({ level, text }) => [level, text]),
    [
      ["warning", "local addresses are now none"],
      ["info", "local addresses are now 192.0.2.7"],
    ],
  );
});

test("lines about addresses and links ring, others do not", () => {
  assert.equal(isBell("2: eth0    inet 192.0.2.7/24 brd 192.0.2.255 scope global eth0\\       valid_lft forever"), true);
  assert.equal(isBell("Deleted 2: eth0    inet6 2001:db8::7/64 scope global \\       valid_lft forever"), true);
  assert.equal(isBell("5: veth0: <BROADCAST,MULTICAST> mtu 1500"), true);
  // As iproute2 6.1 prints it: a router's advertisement is told when the addresses by it are there, and before they may be used.
  assert.equal(isBell("prefix 2001:db8:7::/64dev eth0 onlink autoconf valid 3600 preferred 3600 "), true);
  assert.equal(isBell("    link/ether 02:00:00:00:00:01"), false);
  assert.equal(isBell(""), false);
});

const temporary = (state: string, preferred: string): string =>
  `2: eth0    inet6 2001:db8:7::a0f1/64 scope global temporary ${state}dynamic \\       valid_lft 604800sec preferred_lft ${preferred}\n`;

test("the list is read often while a temporary address nears its end, since the kernel tells of the next one only when it may be used", () => {
  for (const [text, due] of [
    ["", undefined],
    [LIST, undefined],
    [temporary("", "86400sec"), 86_370_000],
    [temporary("", "86400sec") + temporary("", "100sec"), 70_000],
    [temporary("", "31sec"), 1000],
    [temporary("", "30sec"), 250],
    [temporary("", "1sec"), 250],
    [temporary("deprecated ", "0sec"), undefined],
    [temporary("", "forever"), undefined],
    // No timer of Node's is longer than 2^31 ms.
    [temporary("", "4000000000sec"), 86_400_000],
    [LIST.replaceAll("forever", "3sec"), undefined],
  ] as const)
    assert.equal(nextLookMs(text), due, text);
});

test("a look that is due comes by itself, again while nothing has changed, and calls when something has", async () => {
  const state = (local: string, nextLookMs?: number): LocalAddresses => ({
    ...{ local: [local], served: [local], onLink: [], broadcasts: [] },
    ...(nextLookMs === undefined ? {} : { nextLookMs }),
  });
  let [calls, looks] = [0, 0];
  const watch = watchAddresses({ onChange: () => calls++, command: ["/bin/sh", "-c", "exec sleep 60"], gatherMs: 1 });
  const read = async (): Promise<LocalAddresses> => state(++looks < 3 ? "192.0.2.7" : "192.0.2.8", 5);
  watch.followUp(state("192.0.2.7", 3_600_000), read);
  watch.followUp(state("192.0.2.7", 5), read);
  await until(() => calls === 1, "the call");
  assert.equal(looks, 3);
  const pause = () => new Promise((resolve) => setTimeout(resolve, 50));
  // Nobody has said when the next one is due.
  await pause();
  assert.deepEqual([calls, looks], [1, 3]);
  watch.followUp(state("192.0.2.7", 20), read);
  watch.followUp(state("192.0.2.7"), read);
  await pause();
  assert.deepEqual([calls, looks], [1, 3]);
  // One that was asked for before the end calls nobody after it.
  let answer: (now: LocalAddresses) => void = () => {};
  watch.followUp(
    state("192.0.2.7", 1),
    () =>
      new Promise((resolve) => {
        answer = resolve;
        looks++;
      }),
  );
  await until(() => looks === 4, "the last look");
  watch.close();
  answer(state("192.0.2.9"));
  await pause();
  assert.equal(calls, 1);
});

test("a change is told at once, and many that follow it once more", async () => {
  let calls = 0;
  // They are all there before the first of them is looked at.
  const line = "2: eth0 inet 192.0.2.7/24 scope global eth0\\n";
  const script = `printf '${line.repeat(8)}'; exec sleep 60`;
  const watch = watchAddresses({ onChange: () => calls++, command: ["/bin/sh", "-c", script], gatherMs: 50 });
  await until(() => calls === 1, "the first call");
  await until(() => calls === 2, "the second call");
  await new Promise((resolve) => setTimeout(resolve, 150));
  watch.close();
  assert.equal(calls, 2);
});

test("a monitor that ends or can't be run is started again, and the list read meanwhile", async () => {
  for (const command of [["/bin/sh", "-c", "exit 3"] as const, ["/nowhere/ip"] as const]) {
    let calls = 0;
    const watch = watchAddresses({ onChange: () => calls++, command, againMs: 5 });
    await until(() => calls >= 3, "three calls");
    watch.close();
    const before = calls;
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(calls, before);
  }
});
