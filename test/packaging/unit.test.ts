/** The units that packages install: what they promise, and what they must not say. systemd's own judgement is test/packages/. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { ENVIRONMENT, V8_OPTIONS } from "../../daemon/runtime-options.ts";
import { scratch } from "../daemon/pair.ts";

const ROOT =
  ["../..", "../../.."]
    .map((up) => join(dirname(fileURLToPath(import.meta.url)), up))
    .find((path) => existsSync(join(path, "package.json"))) ?? ".";
const at = (name: string): string => join(ROOT, "packaging", name);

/** Every value of each key, over all sections. */
function unit(name: string): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, string[]>();
  for (const line of readFileSync(at(name), "utf8").split("\n")) {
    const [, key = "", value = ""] = /^(\w+)=(.*)$/.exec(line) ?? [];
    if (key) found.set(key, [...(found.get(key) ?? []), value]);
  }
  return found;
}

test("the service tells when it is ready and alive, and keeps what a restart needs", () => {
  const service = unit("mainmode.service");
  for (const [key, value] of Object.entries({
    Type: "notify",
    NotifyAccess: "main",
    User: "mainmode",
    RuntimeDirectory: "mainmode",
    StateDirectory: "mainmode",
    RuntimeDirectoryPreserve: "yes",
    ProtectSystem: "strict",
    RestrictAddressFamilies: "AF_UNIX AF_INET AF_INET6 AF_NETLINK",
    KillMode: "mixed",
  }))
    assert.deepEqual(service.get(key), [value], key);
  assert.ok(Number(service.get("WatchdogSec")?.[0]) > 0);
  assert.ok(Number(service.get("FileDescriptorStoreMax")?.[0]) > 0);
  const [start = ""] = service.get("ExecStart") ?? [];
  assert.match(start, /node .* \S+main\.js daemon -c \S+$/);
  assert.ok(start.includes(` ${V8_OPTIONS.join(" ")} /`), start);
  for (const [name, value] of Object.entries(ENVIRONMENT)) assert.ok(service.get("Environment")?.includes(`${name}=${value}`), name);
});

test("containers run the daemon as the service does", () => {
  for (const name of ["containers/Containerfile", "containers/compose.yaml"])
    assert.ok(readFileSync(at(name), "utf8").includes(V8_OPTIONS.map((option) => `"${option}", `).join("")), name);
  for (const [name, value] of Object.entries(ENVIRONMENT))
    assert.ok(readFileSync(at("containers/Containerfile"), "utf8").includes(`ENV ${name}=${value}\n`), name);
});

test("the service has two capabilities and no more, and lets V8 compile", () => {
  const service = unit("mainmode.service");
  const two = ["CAP_NET_ADMIN CAP_NET_BIND_SERVICE"];
  assert.deepEqual([service.get("AmbientCapabilities"), service.get("CapabilityBoundingSet")], [two, two]);
  assert.equal(service.has("MemoryDenyWriteExecute"), false);
});

test("the socket listens where commands look, for the group alone", () => {
  const socket = unit("mainmode.socket");
  assert.deepEqual(socket.get("ListenStream"), ["/run/mainmode/control.sock"]);
  assert.deepEqual([socket.get("SocketMode"), socket.get("SocketGroup")], [["0660"], ["mainmode"]]);
  assert.deepEqual(socket.get("FileDescriptorName"), ["control"]);
});

/** Runs the stop script with a systemctl that knows `jobs`, and a mainmode that ends with `exit`: what mainmode was told, and how it ended. */
function stop(
  folder: string,
  jobs: string,
  { exit = 0, mainPid = String(process.pid), systemctl = 0, waits = false } = {},
): { readonly told: string; readonly status: number | null } {
  const program = (name: string, text: string): void => {
    writeFileSync(join(folder, name), `#!/bin/sh\n${text}\n`);
    chmodSync(join(folder, name), 0o755);
  };
  writeFileSync(join(folder, "told"), "");
  writeFileSync(join(folder, "jobs"), jobs);
  program("systemctl", `[ "$*" = "list-jobs --no-legend --plain -- mainmode.service" ] || exit 9\ncat ${folder}/jobs\nexit ${systemctl}`);
  program("mainmode", `echo "$*" >${folder}/told\n${waits ? "exec sleep 60" : ""}\nexit ${exit}`);
  const env = { PATH: `${folder}:/usr/bin:/bin`, MAINPID: mainPid };
  const { status } = spawnSync(at("stop"), ["mainmode.service"], { env, stdio: ["ignore", "ignore", "inherit"] });
  return { told: readFileSync(join(folder, "told"), "utf8").trim(), status };
}

test("stopping is a full stop, unless the queued job is a restart", (t) => {
  const folder = scratch(t);
  const table: readonly (readonly [string, string])[] = [
    ["17 mainmode.service restart running\n", "shutdown --keep"],
    ["17 mainmode.service try-restart running\n", "shutdown --keep"],
    ["17 mainmode.service stop running\n", "shutdown"],
    ["", "shutdown"],
  ];
  for (const [jobs, told] of table) assert.deepEqual(stop(folder, jobs), { told, status: 0 }, jobs);
});

test("a daemon that has ended by itself or is not reached makes no failure of the service", (t) => {
  const folder = scratch(t);
  assert.deepEqual(stop(folder, "", { mainPid: "" }), { told: "", status: 0 });
  assert.deepEqual(stop(folder, "17 mainmode.service stop running\n", { exit: 69 }), { told: "shutdown", status: 0 });
  assert.equal(stop(folder, "17 mainmode.service stop running\n", { exit: 1 }).status, 1);
});

test("a stop that systemd's own socket would answer only afterwards ends with the daemon", (t) => {
  // The daemon has just ended, and its command waits where nobody listens.
  const { pid = 0 } = spawnSync("true");
  assert.deepEqual(stop(scratch(t), "17 mainmode.service stop running\n", { mainPid: String(pid), waits: true }), {
    told: "shutdown",
    status: 0,
  });
});

test("where systemd tells nothing the script does nothing: the signal that follows hands over", (t) => {
  assert.deepEqual(stop(scratch(t), "", { systemctl: 1 }), { told: "", status: 0 });
});
