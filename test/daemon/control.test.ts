import assert from "node:assert/strict";
import { existsSync, statSync, writeFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import fc from "fast-check";
import { type Answer, type Control, type ControlOptions, serveControl, UNHEARD } from "../../daemon/control.ts";
import { mayControl, peerCredentials } from "../../daemon/control-peer.ts";
import type { Reply, Request } from "../../daemon/control-protocol.ts";
import { parseRequest } from "../../daemon/control-request.ts";
import { loadNative } from "../../daemon/native.ts";
import { until } from "./fakes.ts";
import { scratch } from "./pair.ts";

const loaded = await loadNative();
const native = loaded.ok ? loaded.value : undefined;

interface Served {
  readonly path: string;
  readonly control: Control;
  readonly requests: Request[];
  readonly refused: string[];
}

async function serve(
  t: TestContext,
  answer: (request: Request, answer: Answer) => void,
  more: Partial<ControlOptions> = {},
): Promise<Served> {
  const path = join(scratch(t), "control.sock");
  const [requests, refused]: [Request[], string[]] = [[], []];
  const onRequest = (request: Request, to: Answer): void => {
    requests.push(request);
    answer(request, to);
  };
  const served = await serveControl({ path, native, onRequest, onRefused: (why) => refused.push(why), ...more });
  assert.ok(served.ok, served.ok ? "" : served.error);
  t.after(() => served.value.close());
  return { path, control: served.value, requests, refused };
}

const done: (request: Request, answer: Answer) => void = (_request, answer) => answer.send({ type: "end", exit: 0, text: "done" });

/** A client that writes what it likes, and everything it was told until the end of the connection. */
function client(t: TestContext, path: string, first: string | Buffer = ""): { socket: Socket; text: () => string; closed: Promise<void> } {
  const socket = connect({ path, allowHalfOpen: true });
  let text = "";
  socket.on("data", (chunk) => {
    text += chunk;
  });
  socket.on("error", () => {});
  if (first.length > 0) socket.write(first);
  t.after(() => socket.destroy());
  const closed = new Promise<void>((resolve) => {
    socket.on("end", () => {
      socket.end();
      resolve();
    });
    socket.on("close", () => resolve());
  });
  return { socket, text: () => text, closed };
}

const replies = (text: string): Reply[] =>
  text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));

const STATUS = `${JSON.stringify({ command: "status" })}\n`;

test("a request is answered by lines and one end, and the connection serves another", async (t) => {
  const { path, requests } = await serve(t, (_request, answer) => {
    answer.send({ type: "line", text: "one" });
    answer.send({ type: "end", exit: 1, text: "two" });
    answer.send({ type: "line", text: "after the end" });
  });
  const { socket, text } = client(t, path, STATUS);
  await until(() => replies(text()).length === 2, "the answer");
  socket.write(STATUS);
  await until(() => replies(text()).length === 4, "the second answer");
  assert.deepEqual(replies(text()).slice(0, 2), [
    { type: "line", text: "one" },
    { type: "end", exit: 1, text: "two" },
  ]);
  assert.equal(requests.length, 2);
});

test("a request may come in pieces, and characters of several octets survive the cut", async (t) => {
  const { path, requests } = await serve(t, done);
  const line = Buffer.from(`${JSON.stringify({ command: "initiate", rule: "bücher", wait: 3 })}\n`);
  const { socket, text } = client(t, path);
  for (const octet of line) {
    socket.write(Buffer.of(octet));
    await new Promise((resolve) => setImmediate(resolve));
  }
  await until(() => text() !== "", "the answer");
  assert.deepEqual(requests, [{ command: "initiate", rule: "bücher", wait: 3 }]);
});

test("rules to add may be long, in pieces of any size, and the next request is short again", async (t) => {
  const { path, requests, refused } = await serve(t, done);
  const add = `${'[[rule]] # "é"\n'.repeat(40_000)}end`;
  const line = Buffer.from(`${JSON.stringify({ command: "rule", add })}\n`);
  const { socket, text, closed } = client(t, path);
  for (let at = 0; at < line.length; at += at < 9000 ? 7 : 70_000)
    await new Promise((resolve) => socket.write(line.subarray(at, at + (at < 9000 ? 7 : 70_000)), resolve));
  await until(() => text() !== "", "the answer");
  assert.ok(requests[0]?.command === "rule" && "add" in requests[0] && requests[0].add === add);
  socket.write(`${"x".repeat(9000)}\n`);
  await closed;
  assert.match(refused.join(), /more than 8192 octets/);
});

test("a client that ends its side after the request still gets the answer", async (t) => {
  const waiting: Answer[] = [];
  const { path } = await serve(t, (_request, answer) => waiting.push(answer));
  const { socket, text, closed } = client(t, path, STATUS);
  socket.end();
  await until(() => waiting.length === 1, "the request");
  waiting[0]?.send({ type: "end", exit: 0, text: "late" });
  let ended = false;
  void closed.then(() => {
    ended = true;
  });
  await until(() => ended, "the server's end of the connection");
  assert.deepEqual(replies(text()), [{ type: "end", exit: 0, text: "late" }]);
});

test("a client that goes away does not disturb the answer it had asked for", async (t) => {
  const waiting: Answer[] = [];
  const { path, control } = await serve(t, (_request, answer) => waiting.push(answer));
  const { socket } = client(t, path, STATUS);
  await until(() => waiting.length === 1, "the request");
  socket.destroy();
  for (let i = 0; i < 100; i++) waiting[0]?.send({ type: "line", text: "x".repeat(1000) });
  waiting[0]?.send({ type: "end", exit: 0 });
  await until(() => control.clients === 0, "the end of the connection");
  const next = client(t, path, STATUS);
  await until(() => waiting.length === 2, "the next client");
  next.socket.destroy();
});

for (const [what, line, complaint] of [
  ["no JSON", "status\n", /no JSON/],
  ["a JSON text that is no object", "[1]\n", /no JSON object/],
  ["an unknown command", '{"command":"explode"}\n', /unknown command "explode"/],
  ["a member of Object's own", '{"command":"constructor"}\n', /unknown command/],
  ["missing members", '{"command":"initiate"}\n', /wrong members/],
  ["members of the wrong type", '{"command":"terminate","target":{"kind":"ike","id":"1"}}\n', /wrong members/],
  ["further members", '{"command":"status","keep":true}\n', /wrong members/],
  ["octets that are no text", Buffer.from([0xff, 0xfe, 0x00, 0x0a]), /no JSON/],
  ["a line without end", "x".repeat(100_000), /more than 8192 octets/],
  ["a long line", `"${"x".repeat(9000)}"\n`, /more than 8192 octets/],
  ["a long line that is about another command", `{"command":"initiate","add":"${"x".repeat(9000)}"}\n`, /more than 8192 octets/],
  ["rules without end", `{"command":"rule","add":"${"x".repeat(3 << 20)}`, /more than 2105344 octets/],
  ["two requests at once", STATUS + STATUS, /while another one is under way/],
] as const) {
  test(`${what} is refused with a usage error and the connection closed`, async (t) => {
    const { path, control, refused } = await serve(t, () => {});
    const { text, closed } = client(t, path, line);
    await closed;
    const end = replies(text()).at(-1);
    assert.ok(end?.type === "end");
    assert.equal(end.exit, 2);
    assert.match(end.text ?? "", complaint);
    assert.equal(refused.length, 1);
    await until(() => control.clients === 0, "the end of the connection");
  });
}

test("any octets at all leave the server ready for the next client", async (t) => {
  const { path } = await serve(t, done);
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 300 }), async (octets) => {
      const { socket } = client(t, path, Buffer.from(octets));
      await new Promise((resolve) => socket.once("connect", resolve));
      socket.end();
    }),
    { numRuns: 50 },
  );
  const { text } = client(t, path, STATUS);
  await until(() => text() !== "", "an answer");
});

test("only so many clients are served, and room comes back when they go", async (t) => {
  const { path, control } = await serve(t, done);
  const idle = Array.from({ length: 32 }, () => client(t, path));
  await until(() => control.clients === 32, "the clients");
  const late = client(t, path, STATUS);
  await late.closed;
  assert.deepEqual(
    replies(late.text()).map((reply) => reply.type === "end" && reply.exit),
    [1],
  );
  for (const { socket } of idle) socket.destroy();
  late.socket.destroy();
  await until(() => control.clients === 0, "room");
  const next = client(t, path, STATUS);
  await until(() => next.text() !== "", "an answer");
});

test("a client that says nothing is sent away, one that waits for its answer is not", async (t) => {
  const waiting: Answer[] = [];
  const { path } = await serve(t, (_request, answer) => waiting.push(answer), { patienceMs: 30 });
  const waiter = client(t, path, STATUS);
  await until(() => waiting.length === 1, "the request");
  await client(t, path).closed;
  await client(t, path, '{"comm').closed;
  waiting[0]?.send({ type: "end", exit: 0 });
  await until(() => waiter.text() !== "", "the answer");
});

test("the socket is for its owner and group only", async (t) => {
  const { path } = await serve(t, done);
  assert.equal(statSync(path).mode & 0o777, 0o660);
});

test("the file of a daemon that died is replaced, one that somebody answers at is not", async (t) => {
  const folder = scratch(t);
  const path = join(folder, "control.sock");
  const dead = createServer().listen(path);
  await new Promise((resolve) => dead.once("listening", resolve));
  const second = await serveControl({ path, native, onRequest: done });
  assert.ok(!second.ok && /another daemon answers/.test(second.error));
  // Closing removes the file; a crash leaves it. A hard link is as good as a crash.
  const { linkSync } = await import("node:fs");
  linkSync(path, `${path}.kept`);
  await new Promise((resolve) => dead.close(resolve));
  const third = await serveControl({ path: `${path}.kept`, native, onRequest: done });
  assert.ok(third.ok);
  await third.value.close();
  assert.equal(existsSync(`${path}.kept`), false);
});

test("a file that is no socket is left alone", async (t) => {
  const path = join(scratch(t), "precious");
  writeFileSync(path, "data");
  const served = await serveControl({ path, native, onRequest: done });
  assert.ok(!served.ok && /no socket/.test(served.error));
  assert.equal(statSync(path).size, 4);
});

test("a path that can't be listened at is an error in words", async (t) => {
  const served = await serveControl({ path: join(scratch(t), "missing", "control.sock"), native, onRequest: done });
  assert.ok(!served.ok && /control socket/.test(served.error));
});

test("closing lets an answer under way go out and removes the file", async (t) => {
  const { path, control } = await serve(t, () => {});
  const waiting: Answer[] = [];
  const folder = scratch(t);
  const other = await serveControl({ path: join(folder, "c.sock"), native, onRequest: (_request, answer) => waiting.push(answer) });
  assert.ok(other.ok);
  const { text } = client(t, join(folder, "c.sock"), STATUS);
  await until(() => waiting.length === 1, "the request");
  waiting[0]?.send({ type: "end", exit: 0, text: "bye" });
  await other.value.close();
  assert.deepEqual(replies(text()), [{ type: "end", exit: 0, text: "bye" }]);
  assert.equal(existsSync(join(folder, "c.sock")), false);
  assert.equal(existsSync(path), true);
  assert.equal(control.clients, 0);
});

test("closing waits for an answer under way, and tells who has not been heard that nothing was done", async (t) => {
  const path = join(scratch(t), "c.sock");
  const waiting: Answer[] = [];
  const served = await serveControl({ path, native, onRequest: (_request, answer) => waiting.push(answer) });
  assert.ok(served.ok);
  const [heard, silent] = [client(t, path, STATUS), client(t, path)];
  await until(() => waiting.length === 1 && served.value.clients === 2, "both clients");
  const closed = served.value.close();
  silent.socket.write(STATUS);
  await silent.closed;
  waiting[0]?.send({ type: "end", exit: 0, text: "late, but there" });
  await closed;
  assert.equal(waiting.length, 1);
  assert.deepEqual(replies(heard.text()), [{ type: "end", exit: 0, text: "late, but there" }]);
  assert.deepEqual(replies(silent.text()), [UNHEARD]);
});

test("closing does not wait for a subscription, nor for ever", async (t) => {
  const path = join(scratch(t), "c.sock");
  let asked = 0;
  const served = await serveControl({ path, native, onRequest: () => asked++ });
  assert.ok(served.ok);
  const subscribed = client(t, path, `${JSON.stringify({ command: "subscribe", recent: 0, snapshots: 0 })}\n`);
  client(t, path, STATUS);
  await until(() => asked === 2, "both requests");
  const closed = served.value.close();
  await subscribed.closed;
  assert.equal(served.value.clients > 0, true);
  await closed;
});

test("the client's credentials are the kernel's word", async (t) => {
  const seen: Answer["client"][] = [];
  const { path } = await serve(t, (request, answer) => {
    seen.push(answer.client);
    done(request, answer);
  });
  const { text } = client(t, path, STATUS);
  await until(() => text() !== "", "the answer");
  // Without koffi nothing is known, and the file's mode alone decides.
  const [who] = seen;
  assert.deepEqual(who && [who.pid, who.uid, who.gid], native && [process.pid, process.getuid?.(), process.getgid?.()]);
  const { socket } = client(t, path);
  assert.equal(peerCredentials(socket, undefined), undefined);
});

test("root, our own user and the socket's group may control the daemon", () => {
  const stranger = { pid: 1, uid: 1001, gid: 1001, groups: [27, 1001] };
  assert.equal(mayControl(stranger, 1000, 500), false);
  assert.equal(mayControl(stranger, 1000, undefined), false);
  assert.equal(mayControl({ ...stranger, uid: 0 }, 1000, 500), true);
  assert.equal(mayControl({ ...stranger, uid: 1000 }, 1000, 500), true);
  assert.equal(mayControl({ ...stranger, gid: 500 }, 1000, 500), true);
  assert.equal(mayControl({ ...stranger, groups: [27, 500] }, 1000, 500), true);
});

test("every request that the command line can make is read back as it was", () => {
  const name = fc.string({ minLength: 1, maxLength: 50 });
  const request = fc.oneof<fc.Arbitrary<Request>[]>(
    fc.record({ command: fc.constant("initiate" as const), rule: name, wait: fc.integer({ min: 0, max: 86_400 }) }),
    fc.record({ command: fc.constant("initiate" as const), rule: name, peer: name, wait: fc.integer({ min: 0, max: 86_400 }) }),
    fc.record({ command: fc.constant("terminate" as const), target: fc.record({ kind: fc.constantFrom("ike", "child"), id: fc.nat() }) }),
    fc.record({ command: fc.constant("terminate" as const), target: fc.record({ kind: fc.constant("rule" as const), rule: name }) }),
    fc.constant({ command: "terminate", target: { kind: "all" } } as const),
    fc.constant({ command: "status" } as const),
    fc.constant({ command: "policy" } as const),
    fc.record({
      command: fc.constant("why" as const),
      src: name,
      dst: name,
      protocol: fc.nat(255),
      sport: fc.nat(65_535),
      dport: fc.nat(65_535),
    }),
    fc.record({ command: fc.constant("shutdown" as const), keep: fc.boolean() }),
  );
  fc.assert(
    fc.property(request, (each) =>
      assert.deepEqual(parseRequest(JSON.stringify(each)), { ok: true, value: JSON.parse(JSON.stringify(each)) }),
    ),
  );
});

test("no JSON value at all makes the reader of requests throw", () => {
  fc.assert(
    fc.property(fc.json(), (text) => {
      parseRequest(text);
    }),
  );
});
