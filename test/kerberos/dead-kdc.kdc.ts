/** The provider where a KDC is silent, gone, or the process of the library hangs or dies: who waits, who does not, and what is said. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, afterEach, before, test } from "node:test";
import { kerberosProvider } from "../../auth/providers/gssapi.ts";
import { type LaneLimits, LIMITS } from "../../auth/providers/gssapi-lane.ts";
import type { Provider } from "../../auth/providers/run-job.ts";
import { freePort, type Realm, startRealm, until } from "../../demo/realm.ts";
import type { KerberosEntry } from "../../policy/types.ts";
import { endOf, entryOf, joined, must, refused, tokenOf } from "./entries.ts";

const NAMES = ["a", "b", ...Array.from({ length: 6 }, (_, i) => `peer${i}`)];
let silent: Realm;
let other: Realm;
let provider: Provider;
const keytabs = new Map<Realm, string>();

before(async () => {
  const ports = [await freePort(), await freePort()];
  silent = await startRealm({ name: "SILENT.TEST", port: ports[0] as number, others: { "OTHER.TEST": `kdc = 127.0.0.1:${ports[1]}` } });
  other = await startRealm({ name: "OTHER.TEST", port: ports[1] as number });
  process.env["KRB5_CONFIG"] = silent.config;
  process.env["KRB5RCACHEDIR"] = silent.folder;
  for (const realm of [silent, other]) keytabs.set(realm, realm.keytab("keytab", ...NAMES.map((name) => `host/${name}.example.test`)));
});

afterEach(async () => {
  silent.process.kill("SIGCONT");
  await provider.close();
});

after(() => Promise.all([silent.stop(), other.stop()]));

/** Long enough for a busy machine to start a process and get a ticket. */
const start = (limits: Partial<LaneLimits> = {}): void => {
  provider = kerberosProvider({ limits: { ...LIMITS, kdcDeadline: 3000, usableDeadline: 3000, ...limits } });
};
const name = (host: string, realm: Realm): string => `host/${host}.example.test@${realm.name}`;
const entry = (host: string, realm: Realm): KerberosEntry => entryOf(name(host, realm), keytabs.get(realm) ?? "");
const peers = NAMES.slice(2);

test("peers of a realm whose KDC is silent end with that reason; another realm, tickets that are there, and peers' tokens do not wait", async () => {
  start();
  const [a, b] = [entry("a", silent), entry("b", silent)];
  // Whoever has a ticket already needs no KDC.
  await joined(endOf(provider, a, b.principal), endOf(provider, b, null));
  silent.process.kill("SIGSTOP");
  const order: string[] = [];
  const stuck = peers.map(async (peer) => {
    const what = await refused(endOf(provider, a, name(peer, silent)).step(null), "kerberos-kdc-unreachable");
    order.push("stuck");
    return what;
  });
  const others = Array.from({ length: 5 }, async () => {
    const ends = [endOf(provider, entry("a", other), name("b", other)), endOf(provider, entry("b", other), null)] as const;
    await joined(...ends);
    order.push("other realm");
  });
  const again = Array.from({ length: 5 }, async () => {
    await joined(endOf(provider, a, b.principal), endOf(provider, b, null));
    order.push("has a ticket");
  });
  await Promise.all([...others, ...again]);
  assert.ok(!order.includes("stuck"), `somebody waited for the silent KDC: ${order.join(", ")}`);
  for (const [i, what] of (await Promise.all(stuck)).entries()) assert.match(what, new RegExp(`SILENT\\.TEST.*host/a.*${peers[i]}`));
});

test("when the KDC speaks again, the next negotiation works", async () => {
  start();
  const a = entry("a", silent);
  silent.process.kill("SIGSTOP");
  await refused(provider.run({ kind: "usable", entry: a }), "kerberos-kdc-unreachable");
  silent.process.kill("SIGCONT");
  await joined(endOf(provider, a, name("b", silent)), endOf(provider, entry("b", silent), null));
});

test("what a peer calls itself opens no process: one silent realm among many targets leaves threads for the others", async () => {
  start();
  const a = entry("a", other);
  silent.process.kill("SIGSTOP");
  const targets = Array.from({ length: 20 }, (_, i) => endOf(provider, a, `host/x${i}@SILENT.TEST`).step(null));
  await joined(endOf(provider, a, name("b", other)), endOf(provider, entry("b", other), null));
  for (const each of await Promise.all(targets)) assert.ok(!each.ok);
});

test("a silent KDC asked for names of many realms leaves threads for those who have their tickets", async () => {
  start();
  const [a, b] = [entry("a", silent), entry("b", silent)];
  await joined(endOf(provider, a, b.principal), endOf(provider, b, null));
  silent.process.kill("SIGSTOP");
  const order: string[] = [];
  const targets = Array.from({ length: 24 }, (_, i) => `host/x${i}@REALM${i % 6}.TEST`);
  const stuck = targets.map(async (target) => {
    await endOf(provider, a, target).step(null);
    order.push("stuck");
  });
  await joined(endOf(provider, a, b.principal), endOf(provider, b, null));
  assert.deepEqual(order, []);
  await Promise.all(stuck);
});

test("more calls than the queue holds are refused at once, the others still answered, and who needs no KDC is let through beside them", async () => {
  start({ queue: 3 });
  const [a, b] = [entry("a", silent), entry("b", silent)];
  await joined(endOf(provider, a, b.principal), endOf(provider, b, null));
  silent.process.kill("SIGSTOP");
  const asked = Promise.all(Array.from({ length: 12 }, (_, i) => endOf(provider, a, `host/x${i}@SILENT.TEST`).step(null)));
  await joined(endOf(provider, a, b.principal), endOf(provider, b, null));
  const reasons = (await asked).map((each) => (each.ok ? "ok" : each.error.reason));
  assert.equal(reasons.filter((reason) => reason === "provider-busy").length, 5);
  assert.equal(reasons.filter((reason) => reason === "kerberos-kdc-unreachable").length, 7);
});

test("a hundred peers that are begun with at once ask for our own ticket once, and all hear that the KDC is silent", async () => {
  start({ queue: 3 });
  silent.process.kill("SIGSTOP");
  const asked = await Promise.all(Array.from({ length: 100 }, () => provider.run({ kind: "usable", entry: entry("a", silent) })));
  assert.deepEqual([...new Set(asked.map((each) => (each.ok ? "ok" : each.error.reason)))], ["kerberos-kdc-unreachable"]);
  silent.process.kill("SIGCONT");
  await joined(endOf(provider, entry("a", silent), name("b", silent)), endOf(provider, entry("b", silent), null));
});

test("a process that a call never comes back from is replaced, and so is one that dies", async () => {
  start({ stuckAfter: 4000 });
  const a = entry("a", silent);
  silent.process.kill("SIGSTOP");
  await refused(provider.run({ kind: "usable", entry: a }), "kerberos-kdc-unreachable");
  const first = processes();
  assert.equal(first.length, 1);
  await until(() => !processes().includes(first[0] ?? 0), "the process was not replaced");
  silent.process.kill("SIGCONT");
  await must(provider.run({ kind: "usable", entry: a }), "usable");
  const [second = 0] = processes();
  assert.ok(second !== first[0] && second !== 0);

  const us = endOf(provider, a, name("b", silent));
  await tokenOf(us.step(null));
  process.kill(second, "SIGKILL");
  await until(() => !processes().includes(second), "it lives");
  assert.match(await refused(us.step(Uint8Array.of(0x60)), "provider-failed"), /ended|not there any more/);
  await refused(us.wrap(Uint8Array.of(1)), "provider-failed");
  await joined(endOf(provider, a, name("b", silent)), endOf(provider, entry("b", silent), null));
});

test("a process that is replaced takes nothing of another realm with it", async () => {
  start({ stuckAfter: 4000 });
  const [us, them] = [endOf(provider, entry("a", other), name("b", other)), endOf(provider, entry("b", other), null)];
  const answer = await tokenOf(them.step(await tokenOf(us.step(null))));
  const before = processes();
  silent.process.kill("SIGSTOP");
  await refused(provider.run({ kind: "usable", entry: entry("a", silent) }), "kerberos-kdc-unreachable");
  const own = processes().filter((pid) => !before.includes(pid));
  assert.equal(own.length, 1, "a process of its own");
  await until(() => !processes().includes(own[0] ?? 0), "the process was not replaced");
  assert.equal((await must(us.step(answer), "gss-stepped")).complete, true);
});

test("a machine without the library says so, at once and each time", async () => {
  provider = kerberosProvider({ library: "libgssapi_that_is_not_there.so.2" });
  for (let i = 0; i < 2; i++)
    assert.match(
      await refused(provider.run({ kind: "usable", entry: entry("a", other) }), "kerberos-library-missing"),
      /that_is_not_there/,
    );
});

test("nothing runs any more when the provider is closed", async () => {
  start();
  await joined(endOf(provider, entry("a", other), name("b", other)), endOf(provider, entry("b", other), null));
  assert.equal(processes().length, 2);
  await provider.close();
  assert.deepEqual(processes(), []);
});

/** Our children that speak to the library. */
function processes(): readonly number[] {
  const children = readFileSync(`/proc/self/task/${process.pid}/children`, "latin1")
    .trim()
    .split(" ")
    .filter((text) => text !== "")
    .map(Number);
  return children.filter((pid) => {
    try {
      return (
        readFileSync(`/proc/${pid}/cmdline`, "latin1").includes("gssapi-process") &&
        !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "latin1"))
      );
    } catch {
      return false;
    }
  });
}
