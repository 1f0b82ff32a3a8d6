/**
 * The daemon as a service: a process of its own with a notify socket and a control socket of ours in systemd's place. Its kernel is in memory.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import koffi from "koffi";
import { ask, type Status } from "../../cli/client.ts";
import { AF_UNIX, loadNative, type Native, unixAddress } from "../../daemon/native.ts";
import { until } from "./fakes.ts";
import { configuration, freePort, scratch } from "./pair.ts";

const ENDING = import.meta.url.endsWith(".ts") ? ".ts" : ".js";
const moduleAt = (path: string): string => JSON.stringify(fileURLToPath(new URL(`../../${path}${ENDING}`, import.meta.url)));

const recv = koffi.load(null).func("long recv(int fd, _Out_ uint8_t *bytes, size_t size, int flags)");
const MSG_DONTWAIT = 0x40;

/** A notify socket, and what came to it so far; looked at each time it is asked. */
async function notifySocket(t: TestContext, path: string): Promise<() => readonly string[]> {
  const loaded = await loadNative();
  assert.ok(loaded.ok);
  const native: Native = loaded.value;
  const socket = native.socket(AF_UNIX);
  const address = unixAddress(path);
  assert.ok(socket.ok && address && native.bind(socket.value, address).ok);
  t.after(() => native.close(socket.value));
  const heard: string[] = [];
  const octets = new Uint8Array(4096);
  return () => {
    for (;;) {
      const length = Number(recv(socket.value, octets, octets.length, MSG_DONTWAIT));
      if (length <= 0) return heard;
      heard.push(new TextDecoder().decode(octets.subarray(0, length)));
    }
  };
}

interface Service {
  readonly child: ChildProcess;
  readonly heard: () => readonly string[];
  readonly control: string;
  /** The configuration file. */
  readonly config: string;
}

/** Starts a daemon as systemd would. SIGUSR2 stands for a loop that hangs for good. */
async function startService(t: TestContext, environment: NodeJS.ProcessEnv = {}, listening?: number): Promise<Service> {
  const folder = scratch(t);
  const [control, config] = [join(folder, "control.sock"), join(folder, "mainmode.toml")];
  const [port, natPort] = [await freePort(["127.0.0.6"]), await freePort(["127.0.0.6"])];
  writeFileSync(config, configuration("127.0.0.6", "127.0.0.7", port, natPort), { mode: 0o600 });
  const heard = await notifySocket(t, join(folder, "notify"));
  const script = `
    import { runDaemon } from ${moduleAt("daemon/main")};
    import { memoryKernel } from ${moduleAt("kernel/memory")};
    process.on("SIGUSR2", () => { for (;;); });
    if (process.env.LISTEN_FDS) process.env.LISTEN_PID = String(process.pid);
    process.exit(await runDaemon({ configFile: ${JSON.stringify(config)}, logFormat: "text", controlPath: ${JSON.stringify(environment["CONTROL"] ?? control)} },
      { kernel: memoryKernel({}) }));
  `;
  const env = { ...process.env, NOTIFY_SOCKET: join(folder, "notify"), ...environment };
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
    env,
    stdio: ["ignore", "ignore", "inherit", ...(listening === undefined ? [] : [listening])],
  });
  t.after(() => child.kill("SIGKILL"));
  await until(() => child.exitCode !== null || heard().some((text) => text.startsWith("READY=1")), "readiness");
  assert.equal(child.exitCode, null);
  return { child, heard, control, config };
}

const first = (heard: readonly string[]): readonly string[] => heard.map((text) => text.split("\n", 1)[0] ?? "");

test("a service says that it is ready, that it reloads and is ready again, and that it stops", async (t) => {
  const { child, heard, config } = await startService(t);
  writeFileSync(config, readFileSync(config, "utf8").replace('name = "test"', 'name = "renamed"'));
  child.kill("SIGHUP");
  await until(() => first(heard()).lastIndexOf("READY=1") > 0, "the end of the reload");
  assert.match(heard().find((text) => text.startsWith("RELOADING=1")) ?? "", /\nMONOTONIC_USEC=\d+$/);
  child.kill("SIGTERM");
  const [exit] = await once(child, "exit");
  assert.equal(exit, 0);
  assert.deepEqual(first(heard()), ["READY=1", "RELOADING=1", 'STATUS=policy "renamed", 2 sockets', "READY=1", "STOPPING=1"]);
  assert.match(heard()[0] ?? "", /\nSTATUS=policy "test", 2 sockets$/);
});

test("the watchdog hears of the event loop: while it turns, and no more once it hangs", async (t) => {
  const { child, heard } = await startService(t, { WATCHDOG_USEC: "40000" });
  const signs = (): number => heard().filter((text) => text === "WATCHDOG=1").length;
  await until(() => signs() >= 3, "three signs of life");
  child.kill("SIGUSR2");
  // What was on its way may still come; then silence, of ten times the interval.
  let [before, quiet] = [signs(), 0];
  for (let i = 0; i < 200 && quiet < 10; i++) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    const now = signs();
    quiet = now === before ? quiet + 1 : 0;
    before = now;
  }
  assert.equal(quiet, 10, "signs of life of a loop that hangs");
});

test("commands wait at a socket that the service manager holds, and it stays when the daemon goes", async (t) => {
  const path = join(scratch(t), "held.sock");
  const { fd, close } = await listeningAt(path);
  t.after(close);
  let found: Status | undefined;
  // Nobody accepts yet.
  const early = ask({ path, request: { command: "status" }, onStatus: (status) => (found = status) });
  const { child } = await startService(t, { LISTEN_FDS: "1", LISTEN_FDNAMES: "control", CONTROL: path }, fd);
  const end = await early;
  assert.deepEqual([end.exit, found?.ikeSas.length], [0, 0]);
  child.kill("SIGTERM");
  await once(child, "exit");
  assert.equal(existsSync(path), true);
});

const libc = koffi.load(null);
const [AF_UNIX_STREAM, BACKLOG] = [1, 8];

/** A socket that listens and that nobody accepts from, as systemd holds one. */
async function listeningAt(path: string): Promise<{ readonly fd: number; readonly close: () => void }> {
  const loaded = await loadNative();
  const address = unixAddress(path);
  assert.ok(loaded.ok && address);
  const fd = Number(libc.func("int socket(int family, int type, int protocol)")(AF_UNIX, AF_UNIX_STREAM, 0));
  assert.ok(loaded.value.bind(fd, address).ok);
  assert.equal(libc.func("int listen(int fd, int backlog)")(fd, BACKLOG), 0);
  return { fd, close: () => loaded.value.close(fd) };
}
