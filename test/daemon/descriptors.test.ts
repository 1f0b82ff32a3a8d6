/** Sockets in systemd's descriptor store, with a notify socket of our own in its place. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { descriptorStore } from "../../daemon/descriptors.ts";
import { AF_INET, AF_UNIX, inetAddress, loadNative, type Native, unixAddress } from "../../daemon/native.ts";
import { openSocket } from "../../daemon/udp-socket.ts";
import { freePort, scratch } from "./pair.ts";

const LOOPBACK = "127.0.0.1";
/** Built files end otherwise than sources. */
const ENDING = import.meta.url.endsWith(".ts") ? ".ts" : ".js";
const moduleAt = (name: string): string => JSON.stringify(fileURLToPath(new URL(`../../daemon/${name}${ENDING}`, import.meta.url)));

async function native(): Promise<Native> {
  const loaded = await loadNative();
  assert.ok(loaded.ok);
  return loaded.value;
}

const must = <T>(result: { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: unknown }): T => {
  assert.ok(result.ok, JSON.stringify(result));
  return result.value;
};

test("a socket that was left in the store stays open without us, and ends with the store", async (t) => {
  const calls = await native();
  const path = join(scratch(t), "notify");
  const store = must(calls.socket(AF_UNIX));
  must(calls.bind(store, unixAddress(path) as Uint8Array));
  const port = await freePort([LOOPBACK]);
  const opened = must(await openSocket(LOOPBACK, port, false, calls, descriptorStore({ NOTIFY_SOCKET: path }, calls)));
  await new Promise<void>((resolve) => opened.socket.close(resolve));
  const address = inetAddress(Uint8Array.of(127, 0, 0, 1), port);
  const again = must(calls.socket(AF_INET));
  const refused = calls.bind(again, address);
  assert.equal(!refused.ok && refused.error.code, "EADDRINUSE", "the descriptor is on its way to systemd");
  calls.close(store);
  must(calls.bind(again, address));
  calls.close(again);
});

test("the store hears names without colons, and what is to be forgotten", async () => {
  const told: (readonly [string, number | undefined])[] = [];
  const recorder = {
    socket: () => ({ ok: true, value: 9 }),
    close: () => {},
    sendTo: (_fd: number, octets: Uint8Array) => told.push([new TextDecoder().decode(octets), undefined]),
    sendDescriptor: (_fd: number, octets: Uint8Array, _to: Uint8Array, fd: number) => told.push([new TextDecoder().decode(octets), fd]),
  } as unknown as Native;
  const store = descriptorStore({ NOTIFY_SOCKET: "/run/notify" }, recorder);
  store.keep("2001:db8::1", 4500, 21);
  store.forget("192.0.2.1", 500);
  assert.deepEqual(told, [
    ["FDSTORE=1\nFDNAME=mainmode-2001_db8__1-4500", 21],
    ["FDSTOREREMOVE=1\nFDNAME=mainmode-192.0.2.1-500", undefined],
  ]);
});

test("what systemd gives to another process, or what is no socket of ours, is not taken", async () => {
  const calls = await native();
  const env = { LISTEN_PID: "1", LISTEN_FDS: "1", LISTEN_FDNAMES: "mainmode-127.0.0.1-500" };
  assert.equal(descriptorStore(env, calls).take(LOOPBACK, 500), undefined);
  for (const LISTEN_FDS of ["0", "-1", "x", "99999", ""])
    assert.equal(descriptorStore({ ...env, LISTEN_PID: String(process.pid), LISTEN_FDS }, calls).take(LOOPBACK, 500), undefined);
});

test("a process that is given a socket by name serves on it", async () => {
  const here = createSocket("udp4");
  here.bind(0, LOOPBACK);
  await once(here, "listening");
  const { port } = here.address();
  const fd = (here as unknown as { _handle: { fd: number } })._handle.fd;
  const script = `
    import { descriptorStore } from ${moduleAt("descriptors")};
    import { loadNative } from ${moduleAt("native")};
    import { openSocket } from ${moduleAt("udp-socket")};
    const calls = (await loadNative()).value;
    const store = descriptorStore({ ...process.env, LISTEN_PID: String(process.pid) }, calls);
    const opened = await openSocket("127.0.0.1", ${port}, false, calls, store);
    opened.value.socket.on("message", (octets) => { process.stdout.write(octets); process.exit(0); });
    process.stdout.write("ready ");
  `;
  const env = { ...process.env, LISTEN_FDS: "1", LISTEN_FDNAMES: `mainmode-${LOOPBACK}-${port}` };
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], { env, stdio: ["ignore", "pipe", "inherit", fd] });
  let said = "";
  child.stdout?.on("data", (chunk: Buffer) => {
    said += chunk.toString();
    // Whoever has the descriptor shares the socket: the sender must not be it.
    if (said === "ready ") {
      here.close();
      const from = createSocket("udp4");
      from.send("taken over", port, LOOPBACK, () => from.close());
    }
  });
  await once(child, "close");
  assert.equal(said, "ready taken over");
});
