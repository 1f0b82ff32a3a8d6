import assert from "node:assert/strict";
import type { NetworkInterfaceInfo } from "node:os";
import { test } from "node:test";
import { isAddressLine, readAddresses, sortAddresses, watchAddresses } from "../../daemon/addresses.ts";
import { until } from "./fakes.ts";

const info = (address: string, internal = false): NetworkInterfaceInfo =>
  ({ address, internal, family: address.includes(":") ? "IPv6" : "IPv4" }) as NetworkInterfaceInfo;

const HOST = {
  lo: [info("127.0.0.1", true), info("::1", true)],
  eth0: [info("192.0.2.7"), info("2001:db8::7"), info("fe80::1")],
  eth1: [info("198.51.100.1"), info("192.0.2.7")],
};

test("every unicast address is local and served, but loopback and link-local ones", () => {
  const all = ["192.0.2.7", "198.51.100.1", "2001:db8::7"];
  assert.deepEqual(sortAddresses(HOST, null), { local: all, served: all });
});

test("loopback is served where there is nothing else", () => {
  assert.deepEqual(sortAddresses({ lo: HOST.lo, eth0: [info("fe80::1")] }, null), {
    local: ["127.0.0.1", "::1"],
    served: ["127.0.0.1", "::1"],
  });
});

test("configured addresses restrict what is served and not what rules about this host protect", () => {
  assert.deepEqual(sortAddresses(HOST, ["192.0.2.7"]), {
    local: ["192.0.2.7", "198.51.100.1", "2001:db8::7"],
    served: ["192.0.2.7"],
  });
});

test("a configured address counts even before the system has it, and loopback where it is wanted", () => {
  const { local, served } = sortAddresses({ lo: HOST.lo }, ["127.0.0.2", "203.0.113.1"]);
  assert.deepEqual(served, ["127.0.0.2", "203.0.113.1"]);
  assert.deepEqual(local, ["127.0.0.2", "203.0.113.1"]);
});

test("this host has addresses that read as such", () => {
  assert.ok(readAddresses(null).local.length > 0);
});

test("lines about addresses ring, others do not", () => {
  assert.equal(isAddressLine("2: eth0    inet 192.0.2.7/24 brd 192.0.2.255 scope global eth0\\       valid_lft forever"), true);
  assert.equal(isAddressLine("Deleted 2: eth0    inet6 2001:db8::7/64 scope global \\       valid_lft forever"), true);
  assert.equal(isAddressLine("5: veth0: <BROADCAST,MULTICAST> mtu 1500"), false);
  assert.equal(isAddressLine(""), false);
});

test("many changes at once are one call", async () => {
  let calls = 0;
  const script = "for i in 1 2 3 4 5 6 7 8; do echo '2: eth0 inet 192.0.2.7/24 scope global eth0'; done; exec sleep 60";
  const watch = watchAddresses({ onChange: () => calls++, command: ["/bin/sh", "-c", script], quietMs: 50 });
  await until(() => calls > 0, "the call");
  await new Promise((resolve) => setTimeout(resolve, 100));
  watch.close();
  assert.equal(calls, 1);
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
