/**
 * The package in a fresh Debian 13: installed by apt, which finds what it depends on, then booted with systemd as process 1 in a guest whose
 * kernel has ESP. inside.sh does there what administrators do; here its facts are judged.
 */
import assert from "node:assert/strict";
import { copyFileSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { readLedger, secretsIn } from "../secrets-scan.ts";
import { buildDeb, must, ROOT, run, workFolder } from "./shell.ts";

const fresh = join(ROOT, ".lab/debian13");
const root = join(ROOT, ".lab/debian13-installed");
const records = join(ROOT, ".lab/debian13-records");
const facts = new Map<string, string>();
const BOOT_SECONDS = 420;

after(() => rmSync(root, { recursive: true, force: true }));

/** With its dependencies from Debian. */
function install(): void {
  cpSync("/etc/resolv.conf", join(root, "etc/resolv.conf"), { dereference: true });
  const env = { DEBIAN_FRONTEND: "noninteractive" };
  must("chroot", [root, "apt-get", "update"], { env });
  must("chroot", [root, "apt-get", "install", "--yes", "--no-install-recommends", "/mainmode.deb"], { env });
}

const SERVICE = `[Unit]
After=multi-user.target
[Service]
ExecStart=/inside.sh
[Install]
WantedBy=graphical.target
`;

/** Debian 13's guest kernel corrupts its page tables when a process that used io_uring ends, and Node uses it. */
const NO_IO_URING = "sysctl.kernel.io_uring_disabled=2";

/** Boots it, lets inside.sh run, and reads what it found. */
function boot(): void {
  const modules = join(root, "usr/lib/modules");
  mkdirSync(modules, { recursive: true });
  for (const version of readdirSync("/usr/lib/uml/modules"))
    cpSync(join("/usr/lib/uml/modules", version), join(modules, version), { recursive: true });
  copyFileSync(join(ROOT, "test/packages/inside.sh"), join(root, "inside.sh"));
  addLedger();
  writeFileSync(join(root, "etc/systemd/system/inside.service"), SERVICE);
  must("chroot", [root, "systemctl", "enable", "inside.service"]);
  const kernel = ["mem=1G", "rootfstype=hostfs", `rootflags=${root}`, "rw", "init=/lib/systemd/systemd", "selinux=0", "quiet", NO_IO_URING];
  const { text } = run(
    "timeout",
    ["--kill-after=5", String(BOOT_SECONDS), "linux.uml", ...kernel, "con=null", "con0=null,fd:1", "con1=null"],
    {
      env: { TMPDIR: memoryFolder() },
      seconds: BOOT_SECONDS + 10,
    },
  );
  const read = (name: string): string => (existsSync(join(root, name)) ? readFileSync(join(root, name), "utf8") : "");
  for (const line of read("result").split("\n")) {
    const [name = "", value = ""] = line.split("\t");
    if (name) facts.set(name, value.replace(/\|$/, ""));
  }
  // For whoever wonders why.
  mkdirSync(records, { recursive: true });
  for (const name of ["result", "result.err", "result.journal", "result.peer"]) writeFileSync(join(records, name), read(name));
  assert.ok(
    facts.has("end"),
    `the guest did not come to its end\n${[...facts].join("\n")}\n${read("result.err")}\n${read("result.journal")}\n${text.slice(-2000)}`,
  );
}

/** Besides the package: what writes down the secrets that its daemon holds, by the package's own modules. */
function addLedger(): void {
  mkdirSync(join(root, "ledger/test"), { recursive: true });
  writeFileSync(join(root, "ledger/package.json"), '{ "type": "module" }');
  copyFileSync(join(ROOT, "dist/test/secrets-ledger.js"), join(root, "ledger/test/secrets-ledger.js"));
  for (const folder of ["ike", "isakmp"]) symlinkSync(`/usr/lib/mainmode/dist/${folder}`, join(root, "ledger", folder));
}

/** The guest's memory is a file that it maps executable. */
function memoryFolder(): string {
  const probe = "/dev/shm/mainmode-probe";
  const { status } = run("sh", ["-c", `printf '#!/bin/sh\n' >${probe} && chmod +x ${probe} && ${probe}; s=$?; rm -f ${probe}; exit $s`]);
  return status === 0 ? "/dev/shm" : "/tmp";
}

// Here, since it runs at once: what it needs stands above.
before(() => {
  rmSync(root, { recursive: true, force: true });
  must("cp", ["-a", fresh, root]);
  const folder = workFolder();
  copyFileSync(buildDeb(folder), join(root, "mainmode.deb"));
  copyFileSync(buildDeb(folder, "--version", "99.0-1"), join(root, "newer.deb"));
  install();
  boot();
});

function told(expected: Readonly<Record<string, string | RegExp>>): void {
  for (const [name, value] of Object.entries(expected))
    if (typeof value === "string") assert.equal(facts.get(name), value, name);
    else assert.match(facts.get(name) ?? "", value, name);
}

/** All pings came back, and there were some. The last one may have been under way when ping was told to end: it does not wait for it. */
function nothingLost(...names: readonly string[]): void {
  for (const name of names) {
    const [, sent = "", unanswered = ""] = /^(\d+) sent, unanswered:((?: \d+)*)$/.exec(facts.get(name) ?? "") ?? [];
    assert.ok(Number(sent) > 10, `${name}: ${facts.get(name)}`);
    assert.deepEqual(
      unanswered.split(" ").filter((number) => number !== "" && number !== sent),
      [],
      name,
    );
  }
}

test("once installed the service runs, with a user of its own, two capabilities and a filter of system calls", () => {
  told({
    "installed.active": "active",
    "installed.enabled": "enabled",
    "installed.socket": "disabled",
    "installed.status": /^policy "default"/,
    "installed.warnings": "/etc/mainmode/mainmode.toml:1:1: there is no [[rule]]; nothing will be protected",
  });
  const [uids = "", , effective, bounding, noNewPrivileges, seccomp] = (facts.get("installed.process") ?? "").split("|");
  assert.equal(new Set(uids.split(/\s+/)).size, 1);
  assert.notEqual(uids.split(/\s+/)[0], "0");
  // CAP_NET_BIND_SERVICE is number 10, CAP_NET_ADMIN 12.
  assert.deepEqual([effective, bounding, noNewPrivileges, seccomp], ["0000000000001400", "0000000000001400", "1", "2"]);
});

test("its files are for root and the daemon", () => {
  assert.deepEqual((facts.get("installed.folder") ?? "").split("|"), [
    "drwxr-x--- root:mainmode",
    "-rw-r----- root:mainmode",
    "drwxr-xr-x mainmode:mainmode",
    "srw-rw---- mainmode:mainmode",
    "-rw------- mainmode:mainmode",
    "drwx------ mainmode:mainmode",
  ]);
  told({ "installed.nobody": "77" });
});

test("Debian 13's own systemd finds nothing wrong with the units, and an exposure of at most 2.0", () => {
  told({ "installed.verify": "", "installed.security": /Overall exposure level for mainmode\.service: (1\.\d|2\.0) OK/ });
});

test("a key that is a systemd credential works, and sockets wait in the descriptor store", () => {
  told({ "restart.exit": "0", "initiate.exit": "0", "initiate.spis": /spiOut/, "initiate.descriptors": /^[1-9]/ });
  nothingLost("initiate.ping");
});

test("an upgrade under traffic costs no packet and no SA, and keeps the configuration", () => {
  nothingLost("upgrade.ping");
  told({ "upgrade.version": "99.0-1", "upgrade.process": "", "upgrade.same": "yes", "upgrade.conffile": "1" });
});

test("neither does a restart, nor a daemon that hangs and is replaced by the watchdog", () => {
  nothingLost("restart.ping", "watchdog.ping");
  told({ "restart.same": "yes", "watchdog.same": "yes", "watchdog.restarts": "1" });
});

test("a reload says whether the configuration was right, and a wrong one changes nothing", () => {
  told({ "reload.exit": "0", "reload.faulty": "1", "reload.same": "yes", "reload.active": "active" });
});

test("a stop is a full one: the kernel is empty, the peer knows, no key is left", () => {
  told({ "stop.exit": "0", "stop.result": "success", "stop.kernel": "0 0", "stop.peer": "0", "stop.journal": "journal 0 600" });
});

test("with the socket unit a command starts the daemon, and waits through a restart", () => {
  told({ "socket.status": "0", "socket.active": /^activ/, "socket.while": "failed:", "socket.mode": "srw-rw---- mainmode" });
});

test("no secret that the daemon held is in the journal, nor was said by a command", () => {
  const texts = ["result", "result.err", "result.export", "result.peer"].map((name) => readFileSync(join(root, name), "utf8"));
  const secrets = readLedger(join(root, "secrets"));
  assert.ok(secrets.size > 5 && texts.every((text, i) => i === 1 || text !== ""), `${secrets.size} secrets`);
  assert.deepEqual(secretsIn(texts, secrets), []);
});

test("the journal has records with their Windows event ids, and no key", () => {
  told({ "journal.fields": /^[1-9]/, "journal.secret": "0", "completion.bash": "peer" });
});

test("removed it stops fully and keeps the configuration; purged nothing is left", () => {
  told({ "remove.exit": "0", "remove.active": "inactive|inactive", "remove.kernel": "0 0", "remove.kept": "mainmode.toml" });
  told({ "purge.exit": "0", "purge.left": "", end: "" });
});
