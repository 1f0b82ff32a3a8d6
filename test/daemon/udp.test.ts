import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { after, test } from "node:test";
import { socketHint } from "../../daemon/failures.ts";
import { loadNative, type Native } from "../../daemon/native.ts";
import { type Endpoint, Udp, type UdpOptions, type UdpProblem, withoutMarker } from "../../daemon/udp.ts";
import { openSocket } from "../../daemon/udp-socket.ts";
import type { Path } from "../../ike/input.ts";
import { until } from "./fakes.ts";

const loaded = await loadNative();
const native = loaded.ok ? loaded.value : undefined;
const hasIpv6 = Object.values(networkInterfaces()).some((list) => list?.some(({ address }) => address === "::1"));

const open: Udp[] = [];
after(() => {
  for (const udp of open) udp.close();
});

interface Host {
  readonly udp: Udp;
  readonly received: { readonly path: Path; readonly bytes: Uint8Array }[];
  readonly problems: UdpProblem[];
  /** The socket of a role on the first address. */
  end(role: "ike" | "nat"): Endpoint;
}

async function host(addresses: readonly string[], use: Native | undefined, more: Partial<UdpOptions> = {}): Promise<Host> {
  const received: Host["received"] = [];
  const problems: UdpProblem[] = [];
  const udp = new Udp({
    port: 0,
    natPort: 0,
    native: use,
    onDatagram: (path, bytes) => received.push({ path, bytes }),
    onProblem: (problem) => problems.push(problem),
    retryMs: 20,
    ...more,
  });
  open.push(udp);
  await udp.serve(addresses);
  const end = (role: "ike" | "nat"): Endpoint => {
    const found = udp.endpoints.find((each) => each.role === role && each.address === addresses[0]);
    assert.ok(found, `no ${role} socket on ${addresses[0]}`);
    return found;
  };
  return { udp, received, problems, end };
}

const message = Uint8Array.from({ length: 40 }, (_, i) => i + 1);
const path = (from: Endpoint, to: Endpoint): Path => ({ local: from, remote: to });

for (const [name, use] of [
  ["with system calls", native],
  ["with Node alone", undefined],
] as const) {
  test(`a message goes out from the socket of its path and arrives with both ends known, ${name}`, async () => {
    const [a, b] = [await host(["127.0.0.2", "127.0.0.3"], use), await host(["127.0.0.4"], use)];
    assert.equal(a.udp.endpoints.length, 4);
    a.udp.send(path(a.end("ike"), b.end("ike")), message);
    await until(() => b.received.length === 1, "the message");
    const [got] = b.received;
    assert.deepEqual(got?.bytes, message);
    assert.equal(got?.bytes instanceof Buffer, false);
    assert.deepEqual(got?.path, {
      local: { address: "127.0.0.4", port: b.end("ike").port },
      remote: { address: "127.0.0.2", port: a.end("ike").port },
    });
    assert.deepEqual([...a.problems, ...b.problems], []);
  });

  test(`the non-ESP marker is on the wire of the NAT port only and never reaches the core, ${name}`, async (t) => {
    const a = await host(["127.0.0.2"], use);
    const peer = createSocket("udp4");
    t.after(() => peer.close());
    peer.bind(0, "127.0.0.5");
    await once(peer, "listening");
    const wire: Buffer[] = [];
    peer.on("message", (bytes) => wire.push(bytes));
    const remote = { address: "127.0.0.5", port: peer.address().port };
    a.udp.send({ local: a.end("nat"), remote }, message);
    await until(() => wire.length === 1, "the marked message");
    a.udp.send({ local: a.end("ike"), remote }, message);
    await until(() => wire.length === 2, "the bare message");
    assert.deepEqual(
      wire.map((bytes) => bytes.toString("hex")),
      [`00000000${Buffer.from(message).toString("hex")}`, Buffer.from(message).toString("hex")],
    );
    const nat = a.end("nat");
    peer.send(Buffer.of(0xff), nat.port, nat.address);
    peer.send(Buffer.of(1, 2, 3, 4, 5), nat.port, nat.address);
    peer.send(wire[0] ?? Buffer.alloc(0), nat.port, nat.address);
    await until(() => a.received.length === 1, "the marked message back");
    assert.deepEqual(a.received[0]?.bytes, message);
  });

  test(`sockets follow the addresses, ${name}`, async () => {
    const a = await host(["127.0.0.2"], use);
    const kept = a.end("ike").port;
    await a.udp.serve(["127.0.0.2", "127.0.0.6"]);
    assert.equal(a.udp.endpoints.length, 4);
    assert.equal(a.end("ike").port, kept);
    await a.udp.serve(["127.0.0.6"]);
    assert.deepEqual(
      a.udp.endpoints.map(({ address }) => address),
      ["127.0.0.6", "127.0.0.6"],
    );
    a.udp.close();
    assert.deepEqual(a.udp.endpoints, []);
  });

  test(`an address that is not there yet is tried again until it goes from the list, ${name}`, async () => {
    // 192.0.2.0/24 is for documentation: no host has it.
    const a = await host(["192.0.2.200", "127.0.0.2"], use, { retryMs: 1 });
    assert.equal(a.udp.endpoints.length, 2);
    await until(() => a.problems.length === 2, "a complaint about each port");
    assert.deepEqual(
      [...new Set(a.problems.map(({ what, code, address }) => `${what} ${code} ${address}`))],
      ["open EADDRNOTAVAIL 192.0.2.200"],
    );
    await a.udp.serve(["127.0.0.2"]);
    assert.equal(a.udp.endpoints.length, 2);
  });

  test(`a port that somebody else has is said at once and taken as soon as it is free, ${name}`, async () => {
    const other = createSocket("udp4");
    other.bind(0, "127.0.0.2");
    await once(other, "listening");
    const a = await host(["127.0.0.2"], use, { port: other.address().port });
    assert.deepEqual(
      a.problems.map(({ code, port }) => [code, port]),
      [["EADDRINUSE", other.address().port]],
    );
    other.close();
    await until(() => a.udp.endpoints.length === 2, "the port");
  });

  test(`a socket that failed is tried at once when the addresses are looked at again, ${name}`, async () => {
    const other = createSocket("udp4");
    other.bind(0, "127.0.0.2");
    await once(other, "listening");
    const a = await host(["127.0.0.2"], use, { port: other.address().port, retryMs: 100_000 });
    assert.equal(a.udp.endpoints.length, 1);
    other.close();
    await once(other, "close");
    await a.udp.serve(["127.0.0.2"]);
    assert.equal(a.udp.endpoints.length, 2);
  });

  test(`sending from an address without a socket is a problem told, not thrown, ${name}`, async () => {
    const a = await host(["127.0.0.2"], use);
    a.udp.send({ local: { address: "127.0.0.7", port: 500 }, remote: { address: "127.0.0.8", port: 500 } }, message);
    assert.deepEqual(
      a.problems.map(({ what, code }) => `${what} ${code}`),
      ["send no-socket"],
    );
    a.udp.send({ local: a.end("ike"), remote: { address: "127.0.0.8", port: 70_000 } }, message);
    a.udp.send({ local: a.end("ike"), remote: { address: "127.0.0.8", port: 500 } }, new Uint8Array(70_000));
    await until(() => a.problems.length === 3, "the other two");
  });

  test(`IPv6 has sockets of its own, ${name}`, async () => {
    const loopback = hasIpv6 ? "::1" : "127.0.0.1";
    const [a, b] = [await host([loopback], use), await host([loopback], use)];
    a.udp.send(path(a.end("ike"), b.end("ike")), message);
    await until(() => b.received.length === 1, "the message");
    assert.equal(b.received[0]?.path.remote.address, loopback);
  });
}

test("a burst finds room: a receive buffer of 8 MiB, or what the system allows to one who may not ask for more", async () => {
  assert.ok(native, "koffi is here");
  const opened = await openSocket("127.0.0.2", 0, false, native);
  assert.ok(opened.ok && opened.value.fd !== null);
  const buffer = native.receiveBuffer(opened.value.fd);
  opened.value.socket.close();
  const may = (BigInt(`0x${/^CapEff:\s*(\S+)$/m.exec(readFileSync("/proc/self/status", "latin1"))?.[1]}`) >> 12n) & 1n;
  const allowed = Number(readFileSync("/proc/sys/net/core/rmem_max", "latin1"));
  // The kernel doubles what it is asked for (socket(7)).
  const wanted = 2 * (may ? 8 * 2 ** 20 : Math.min(8 * 2 ** 20, allowed));
  assert.equal(buffer.ok && buffer.value.size, wanted);
});

test("without koffi no socket claims to pass by IPsec", async () => {
  const a = await host(["127.0.0.2"], undefined);
  assert.deepEqual(
    a.udp.endpoints.map(({ bypass }) => bypass),
    [false, false],
  );
});

test("a closed set of sockets opens none that was still being tried", async () => {
  const a = await host([], native);
  const serving = a.udp.serve(["127.0.0.2"]);
  a.udp.close();
  await serving;
  assert.deepEqual(a.udp.endpoints, []);
});

test("only what follows four zero octets is a message on the NAT port", () => {
  assert.equal(withoutMarker("nat", Uint8Array.of(0xff)), undefined);
  assert.equal(withoutMarker("nat", Uint8Array.of(0, 0, 0, 0)), undefined);
  assert.equal(withoutMarker("nat", Uint8Array.of(0, 0, 0, 1, 5)), undefined);
  assert.deepEqual(withoutMarker("nat", Uint8Array.of(0, 0, 0, 0, 5)), Uint8Array.of(5));
  assert.equal(withoutMarker("ike", Uint8Array.of(0xff)), undefined);
  assert.deepEqual(withoutMarker("ike", Uint8Array.of(0, 0, 0, 0, 5)), Uint8Array.of(0, 0, 0, 0, 5));
});

test("what to try says of a message that can't be sent something else than of a socket that can't be opened", () => {
  assert.match(socketHint({ what: "send", code: "EACCES" }), /prohibits it/);
  assert.match(socketHint({ what: "open", code: "EACCES" }), /root/);
  assert.match(socketHint({ what: "send", code: "EPERM" }), /firewall/);
  assert.match(socketHint({ what: "send", code: "no-socket" }), /\[daemon\] addresses/);
  assert.match(socketHint({ what: "send", code: "E?" }), /addresses, routes and firewall/);
});
