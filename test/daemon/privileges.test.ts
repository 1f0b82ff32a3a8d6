import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { capabilitySets, dropPrivileges } from "../../daemon/privileges.ts";
import { err, ok } from "../../isakmp/result.ts";

const [SETPCAP, BIND, ADMIN, RAW] = [1n << 8n, 1n << 10n, 1n << 12n, 1n << 13n];
const status = (permitted: bigint, bounding = permitted, ambient = 0n): string =>
  `Name:\tnode\nCapInh:\t0\nCapPrm:\t${permitted.toString(16).padStart(16, "0")}\nCapEff:\t0\nCapBnd:\t${bounding.toString(16)}\nCapAmb:\t${ambient.toString(16)}\n`;

/** What the system was asked for. */
function asked(permitted: bigint, uid: number, { fails = false, ambient = 0n } = {}) {
  const calls: string[] = [];
  const done = fails ? err({ call: "prctl", errno: 1, code: "EPERM" }) : ok(0);
  const note = (text: string) => {
    calls.push(text);
    return done;
  };
  const native = {
    prctl: (...all: readonly number[]) => note(`prctl ${all.join(" ")}`),
    setCapabilities: (bits: bigint) => note(`capset ${bits.toString(16)}`),
  };
  return { calls, ...dropPrivileges(native, status(permitted, permitted, ambient), uid) };
}

test("root keeps CAP_NET_ADMIN and CAP_NET_BIND_SERVICE, and nothing can come back", () => {
  const { calls, failures } = asked(SETPCAP | BIND | ADMIN | RAW, 0);
  assert.deepEqual(calls, ["prctl 24 8 0", "prctl 24 13 0", "capset 1400", "prctl 38 1 0"]);
  assert.deepEqual(failures, []);
});

test("another user's daemon hands its two capabilities on to `ip`, and asks for nothing that it may not", () => {
  assert.deepEqual(asked(BIND | ADMIN | RAW, 998).calls, ["capset 1400", "prctl 47 2 10", "prctl 47 2 12", "prctl 38 1 0"]);
});

test("what was not granted is not asked for", () => {
  assert.deepEqual(asked(ADMIN, 998).calls, ["capset 1000", "prctl 47 2 12", "prctl 38 1 0"]);
});

test("where a unit gave just that to a user, nothing is asked for that its filter of system calls would refuse", () => {
  assert.deepEqual(asked(BIND | ADMIN, 998, { ambient: BIND | ADMIN }).calls, ["prctl 38 1 0"]);
  assert.ok(asked(BIND | ADMIN | RAW, 998, { ambient: BIND | ADMIN }).calls.includes("capset 1400"));
  assert.ok(asked(BIND | ADMIN, 998, { ambient: BIND }).calls.includes("capset 1400"));
});

test("what can't be given up is told", () => {
  assert.deepEqual(asked(BIND, 0, { fails: true }).failures, ["capset: EPERM", "no new privileges: EPERM"]);
  const silent = { prctl: () => ok(0), setCapabilities: () => ok(0) };
  assert.equal(dropPrivileges(silent, "", 0).failures.length, 1);
});

test("a process that has dropped its privileges shows so, and so does what it starts", () => {
  const script = fileURLToPath(new URL("dropped.js", import.meta.url));
  const { stdout, stderr } = spawnSync(process.execPath, [script], { encoding: "utf8" });
  const { before, own, child, dumpable, limits } = JSON.parse(stdout || assert.fail(stderr)) as Printed;
  const kept = (capabilitySets(before)?.permitted ?? 0n) & (BIND | ADMIN);
  assert.equal(capabilitySets(own)?.permitted, kept);
  assert.match(own, /^NoNewPrivs:\s*1$/m);
  // Whatever a program that root starts would have: the bounding set is all that there is.
  assert.equal(capabilitySets(child)?.permitted, kept);
  assert.match(child, /^NoNewPrivs:\s*1$/m);
  // Its memory is nobody's, also after its rights have changed: no core file, no ptrace(2) by its own user.
  assert.deepEqual(dumpable, { ok: true, value: 0 });
  assert.match(limits, /^Max core file size\s+0\s+0\s/m);
});

interface Printed {
  readonly before: string;
  readonly own: string;
  readonly child: string;
  readonly dumpable: unknown;
  readonly limits: string;
}
