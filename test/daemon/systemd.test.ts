import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { fstatSync, openSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { AF_UNIX, inetAddress, inetOctets, loadNative, type Native, unixAddress } from "../../daemon/native.ts";
import { journalSender, serviceManager, watchdogMs } from "../../daemon/systemd.ts";
import { until } from "./fakes.ts";
import { scratch } from "./pair.ts";

/** System calls that only remember what was sent. */
function recorder(): { native: Native; sent: { readonly text: string; readonly address: string }[]; open: Set<number> } {
  const sent: { text: string; address: string }[] = [];
  const open = new Set<number>();
  const done = { ok: true, value: 0 } as const;
  const native: Native = {
    socket: (family) => {
      assert.equal(family, AF_UNIX);
      open.add(7);
      return { ok: true, value: 7 };
    },
    sendTo: (fd, bytes, address) => {
      assert.ok(open.has(fd));
      sent.push({ text: new TextDecoder().decode(bytes), address: new TextDecoder().decode(address.subarray(2)) });
      return done;
    },
    close: (fd) => void open.delete(fd),
    bind: () => done,
    connect: () => done,
    attachFilter: () => done,
    detachFilter: () => done,
    receiveBuffer: () => ({ ok: true, value: { used: 0, size: 1, drops: 0 } }),
    setOption: () => done,
    getOption: () => ({ ok: true, value: new Uint8Array(0) }),
    localEnd: () => ({ ok: true, value: new Uint8Array(0) }),
    sendDescriptor: () => done,
    prctl: () => done,
    setCapabilities: () => done,
    hideMemory: () => done,
  };
  return { native, sent, open };
}

test("readiness, status and the end are told to the socket that systemd names", () => {
  const { native, sent, open } = recorder();
  const manager = serviceManager({ NOTIFY_SOCKET: "/run/notify" }, native, () => true);
  manager.ready("two sockets");
  manager.status("a\nREADY=0");
  manager.stopping();
  manager.close();
  assert.deepEqual(
    sent.map(({ text }) => text),
    ["READY=1\nSTATUS=two sockets", "STATUS=a READY=0", "STOPPING=1\nSTATUS=stopping"],
  );
  assert.equal(sent[0]?.address, "/run/notify\0");
  assert.equal(open.size, 0);
});

test("an abstract name begins with a zero octet and has none at its end", () => {
  const { native, sent } = recorder();
  serviceManager({ NOTIFY_SOCKET: "@systemd/notify" }, native, () => true).ready("x");
  assert.equal(sent[0]?.address, "\0systemd/notify");
});

test("outside systemd, without koffi, or with a name that is none, nothing is sent and nothing fails", () => {
  const { native, sent } = recorder();
  for (const [env, use] of [
    [{}, native],
    [{ NOTIFY_SOCKET: "" }, native],
    [{ NOTIFY_SOCKET: "vsock:2:1234" }, native],
    [{ NOTIFY_SOCKET: `/${"x".repeat(200)}` }, native],
    [{ NOTIFY_SOCKET: "/run/notify" }, undefined],
  ] as const) {
    const manager = serviceManager(env, use, () => true);
    manager.ready("x");
    manager.stopping();
    manager.close();
  }
  assert.deepEqual(sent, []);
});

test("signs of life go out at half the watchdog's interval while the daemon lives", async () => {
  const { native, sent } = recorder();
  let alive = true;
  const manager = serviceManager({ NOTIFY_SOCKET: "/n", WATCHDOG_USEC: "20000" }, native, () => alive);
  const keep = setInterval(() => {}, 1000);
  await until(() => sent.length >= 2, "two signs of life");
  assert.deepEqual([...new Set(sent.map(({ text }) => text))], ["WATCHDOG=1"]);
  alive = false;
  const before = sent.length;
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(sent.length, before);
  manager.close();
  clearInterval(keep);
});

test("the watchdog counts only where it is meant for this process", () => {
  assert.equal(watchdogMs({}), undefined);
  assert.equal(watchdogMs({ WATCHDOG_USEC: "30000000" }), 30_000);
  assert.equal(watchdogMs({ WATCHDOG_USEC: "30000000", WATCHDOG_PID: "17" }, 17), 30_000);
  assert.equal(watchdogMs({ WATCHDOG_USEC: "30000000", WATCHDOG_PID: "18" }, 17), undefined);
  for (const bad of ["0", "-5", "x", ""]) assert.equal(watchdogMs({ WATCHDOG_USEC: bad }), undefined);
});

test("records go to the journal only where stderr is connected to it", () => {
  const { native, sent } = recorder();
  const fd = openSync("/dev/null", "r");
  const { dev, ino } = fstatSync(fd);
  assert.equal(journalSender({}, native, fd), undefined);
  assert.equal(journalSender({ JOURNAL_STREAM: "1:1" }, native, fd), undefined);
  assert.equal(journalSender({ JOURNAL_STREAM: `${dev}:${ino}` }, undefined, fd), undefined);
  const send = journalSender({ JOURNAL_STREAM: `${dev}:${ino}` }, native, fd, "/journal");
  assert.equal(
    send?.(
      new Map([
        ["MESSAGE", "a\nFORGED=1"],
        ["PRIORITY", "4"],
      ]),
    ),
    true,
  );
  assert.deepEqual(sent, [{ text: "MESSAGE=a FORGED=1\nPRIORITY=4\n", address: "/journal\0" }]);
});

test("a unix datagram really arrives, at a path and at an abstract name", async (t) => {
  const loaded = await loadNative();
  assert.ok(loaded.ok, loaded.ok ? "" : loaded.error);
  for (const name of [join(scratch(t), "notify"), `@mainmode-test-${process.pid}`]) {
    const address = unixAddress(name);
    assert.ok(address);
    const receiver = loaded.value.socket(AF_UNIX);
    assert.ok(receiver.ok);
    assert.ok(loaded.value.bind(receiver.value, address).ok);
    const manager = serviceManager({ NOTIFY_SOCKET: name }, loaded.value, () => true);
    manager.ready("hello");
    // The datagram waits in the socket; a child that inherits the descriptor reads it.
    const child = spawn("head", ["-c", "20"], { stdio: [receiver.value, "pipe", "inherit"] });
    let text = "";
    child.stdout?.on("data", (chunk) => {
      text += chunk;
    });
    await until(() => text !== "" || child.exitCode !== null, "the datagram");
    assert.equal(text, "READY=1\nSTATUS=hello");
    child.kill();
    manager.close();
    loaded.value.close(receiver.value);
  }
});

test("socket addresses are laid out as the system wants them", () => {
  assert.deepEqual([...inetAddress(Uint8Array.of(192, 0, 2, 1), 500)].slice(2, 8), [1, 244, 192, 0, 2, 1]);
  const v6 = Uint8Array.from({ length: 16 }, (_, i) => i);
  assert.deepEqual(inetOctets(inetAddress(v6, 4500)), v6);
  assert.deepEqual(inetOctets(inetAddress(Uint8Array.of(192, 0, 2, 1), 500)), Uint8Array.of(192, 0, 2, 1));
  assert.equal(inetOctets(Uint8Array.of(1, 0, 65, 66)), undefined);
  assert.equal(inetOctets(new Uint8Array(0)), undefined);
  assert.equal(unixAddress(""), undefined);
  assert.equal(unixAddress("x".repeat(108)), undefined);
});
