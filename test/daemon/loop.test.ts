import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { test } from "node:test";
import { listPolicies } from "../../daemon/kernel-listing.ts";
import { Loop, type LoopParts } from "../../daemon/loop.ts";
import type { Effect, ReplyLine, SaEvent } from "../../ike/effect.ts";
import type { Engine } from "../../ike/engine.ts";
import type { Input } from "../../ike/input.ts";
import { err, ok } from "../../isakmp/result.ts";
import { datagram, event, fakeEngine, fakeKernel, until } from "./fakes.ts";

const bytes = Uint8Array.of(1);
/** A header that bears a responder's cookie. */
const KNOWN = new Uint8Array(28).fill(1);
const send = (tag: number): Effect => ({
  type: "send",
  path: { local: { address: "a", port: 1 }, remote: { address: "b", port: 2 } },
  bytes: Uint8Array.of(tag),
});

function parts(engine: Engine, more: Partial<LoopParts> = {}) {
  const done: string[] = [];
  const log: SaEvent[] = [];
  const all: LoopParts = {
    engine,
    kernel: fakeKernel(),
    clock: () => performance.now(),
    send: ({ bytes: [tag] }) => done.push(`send ${tag}`),
    route: async () => "192.0.2.1",
    authenticate: async () => ok({ kind: "usable" }),
    reply: (id: number, line: ReplyLine, last: boolean) => done.push(`reply ${id} ${line.text} ${line.exit} ${last}`),
    log: (record) => {
      log.push(record);
      done.push(record.text);
    },
    stopped: () => done.push("stopped"),
    ...more,
  };
  return { all, done, log };
}

test("inputs are handled in the order of their coming, never inside each other", async () => {
  const order: number[] = [];
  let inside = false;
  const engine = fakeEngine((input) => {
    assert.equal(inside, false);
    inside = true;
    if (input.type === "datagram") order.push(input.bytes[0] ?? -1);
    if (order.length === 1) loop.push(datagram(Uint8Array.of(99)));
    inside = false;
    return [];
  });
  const loop = new Loop(parts(engine).all);
  for (let i = 0; i < 40; i++) loop.push(datagram(Uint8Array.of(i)));
  assert.deepEqual(order, []);
  await until(() => order.length === 41, "all inputs");
  assert.deepEqual(order, [...Array(40).keys(), 99]);
  loop.close();
});

test("after a stall what lies in the sockets is read before silence is judged", async (t) => {
  const [order, sockets] = [[] as string[], [createSocket("udp4"), createSocket("udp4")] as const];
  const [to, from] = sockets;
  t.after(() => {
    for (const socket of sockets) socket.close();
  });
  await new Promise<void>((resolve) => to.bind(0, "127.0.0.1", resolve));
  const engine = fakeEngine((input) => {
    order.push(input.type);
    if (input.type === "tick") engine.wake = undefined;
    return [];
  });
  const loop = new Loop(parts(engine).all);
  t.after(() => loop.close());
  to.on("message", () => loop.push(datagram(bytes)));
  engine.wake = performance.now() + 100;
  loop.push(datagram(bytes));
  await until(() => order.length === 1, "the timer's setting");
  for (let i = 0; i < 99; i++) from.send(bytes, to.address().port, "127.0.0.1");
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300);
  await until(() => order.includes("tick") && order.length > 100, "everything");
  assert.equal(order.indexOf("tick"), 100);
});

test("whoever has more to do than it gets done waits for the sockets once, and not before every tick", async (t) => {
  let ticks = 0;
  const engine = fakeEngine((input) => {
    if (input.type === "tick" && ++ticks === 100) engine.wake = undefined;
    return [];
  });
  const loop = new Loop(parts(engine).all);
  // In each turn something comes in.
  const feed = (): void => {
    loop.push(datagram(bytes));
    feeding = setImmediate(feed);
  };
  let feeding = setImmediate(feed);
  t.after(() => {
    clearImmediate(feeding);
    loop.close();
  });
  engine.wake = performance.now() - 1000;
  // With a quarter of a second before each this would take longer than anybody waits here.
  await until(() => ticks === 100, "all that is due");
});

test("where the kernel does not tell what policies it has, the core hears why", async () => {
  for (const [listPolicies, answer] of [
    [async () => ok([]), { policies: [] }],
    [async () => err("Dump terminated"), { policies: null, why: "Dump terminated" }],
    [undefined, { policies: null, why: "there is nobody to ask" }],
    [() => Promise.reject(new Error("a defect")), { policies: null, why: "the kernel port failed" }],
  ] as const) {
    const inputs: Input[] = [];
    const engine = fakeEngine((input) => {
      inputs.push(input);
      return input.type === "tick" ? [{ type: "look", id: 7 }] : [];
    });
    const loop = new Loop(parts(engine, listPolicies ? { listPolicies } : {}).all);
    loop.push({ type: "tick" });
    await until(() => inputs.length === 2, "the answer");
    assert.deepEqual(inputs[1], { type: "policies-found", id: 7, ...answer });
    loop.close();
  }
});

test("what the kernel has is asked of a port; its words come back where it fails or hangs", async (t) => {
  assert.deepEqual(await listPolicies({ listPolicies: async () => [] }), ok([]));
  assert.deepEqual(
    await listPolicies({ listPolicies: () => Promise.reject(new Error("policies: Dump terminated")) }),
    err("policies: Dump terminated"),
  );
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const slow = listPolicies({ listPolicies: () => new Promise(() => {}) });
  t.mock.timers.tick(10_000);
  assert.deepEqual(await slow, err("the kernel did not tell within 10 s"));
});

test("effects of one input are carried out in their order", async () => {
  const engine = fakeEngine(() => [
    send(1),
    { type: "event", event: event("two") },
    { type: "reply", id: 7, line: { text: "three" }, last: false },
    send(4),
    { type: "reply", id: 7, line: { text: "five", exit: 1 }, last: true },
    { type: "stopped" },
  ]);
  const { all, done } = parts(engine);
  const loop = new Loop(all);
  loop.push({ type: "tick" });
  await until(() => done.length === 6, "all effects");
  assert.deepEqual(done, ["send 1", "two", "reply 7 three undefined false", "send 4", "reply 7 five 1 true", "stopped"]);
  loop.close();
});

test("a job's outcome comes back as an input, also that of a runner that breaks; a dropped context has none", async () => {
  const context = "1";
  const engine = fakeEngine((input) =>
    input.type === "tick"
      ? [
          { type: "job", id: 21, job: { kind: "gss-drop", context } },
          { type: "job", id: 22, job: { kind: "gss-wrap", context, data: bytes } },
          { type: "job", id: 23, job: { kind: "gss-unwrap", context, data: bytes } },
        ]
      : [],
  );
  const authenticate: LoopParts["authenticate"] = async (job) => {
    if (job.kind === "gss-unwrap") throw new Error("broken");
    return ok({ kind: "gss-wrapped", data: bytes });
  };
  const loop = new Loop(parts(engine, { authenticate }).all);
  loop.push({ type: "tick" });
  const answers = () => engine.inputs.filter((input): input is Extract<Input, { type: "job-done" }> => input.type === "job-done");
  await until(() => answers().length === 2, "both outcomes");
  assert.deepEqual(
    answers().map(({ id, outcome }) => [id, outcome.ok ? outcome.value.kind : outcome.error.reason]),
    [
      [22, "gss-wrapped"],
      [23, "provider-failed"],
    ],
  );
  loop.close();
});

test("the kernel's and the router's answers come back as inputs with the id of the question", async () => {
  const engine = fakeEngine((input) =>
    input.type === "tick"
      ? [
          { type: "kernel", id: 11, commands: [] },
          { type: "route", id: 12, remote: "192.0.2.2" },
        ]
      : [],
  );
  const loop = new Loop(parts(engine).all);
  loop.push({ type: "tick" });
  await until(() => engine.inputs.length === 3, "both answers");
  const kernelDone: Input = { type: "kernel-done", id: 11, outcome: ok([]) };
  assert.deepEqual(
    engine.inputs.find((input) => input.type === "kernel-done"),
    kernelDone,
  );
  assert.deepEqual(
    engine.inputs.find((input) => input.type === "route-done"),
    { type: "route-done", id: 12, local: "192.0.2.1" },
  );
  loop.close();
});

test("a kernel port or router that breaks still answers the core", async () => {
  const engine = fakeEngine((input) =>
    input.type === "tick"
      ? [
          { type: "kernel", id: 1, commands: [{ do: "remove-sa", sa: { source: "a", destination: "b", protocol: "esp", spi: 1 } }] },
          { type: "route", id: 2, remote: "192.0.2.2" },
        ]
      : [],
  );
  const { all, log } = parts(engine, {
    kernel: {
      run: () => {
        throw new Error("kernel port broke");
      },
    },
    route: () => Promise.reject(new Error("router broke")),
  });
  const loop = new Loop(all);
  loop.push({ type: "tick" });
  await until(() => engine.inputs.length === 3, "both answers");
  const refusal = err({ index: 0, reason: "the kernel port failed", exists: false, command: "remove-sa" });
  assert.deepEqual(
    engine.inputs.find((input) => input.type === "kernel-done"),
    { type: "kernel-done", id: 1, outcome: refusal },
  );
  assert.deepEqual(
    engine.inputs.find((input) => input.type === "route-done"),
    { type: "route-done", id: 2, local: undefined },
  );
  assert.equal(log.filter((record) => record.event === "bug").length, 2);
  loop.close();
});

test("a throw in the core is logged with its stack, counted, and costs one input only", async () => {
  const engine = fakeEngine((input) => {
    if (input.type === "datagram") throw new Error("core broke");
    return [send(1)];
  });
  const { all, done, log } = parts(engine);
  const loop = new Loop(all);
  loop.push(datagram(bytes, "192.0.2.77"));
  loop.push({ type: "tick" });
  await until(() => done.includes("send 1"), "the input behind it");
  assert.equal(loop.counters.bugs, 1);
  assert.equal(loop.counters.handled, 2);
  assert.match(log[0]?.text ?? "", /a datagram of 1 octets from 192\.0\.2\.77: Error: core broke\n\s+at /);
  loop.close();
});

test("a command that breaks the core is answered", async () => {
  const engine = fakeEngine(() => {
    throw new Error("core broke");
  });
  const { all, done } = parts(engine);
  const loop = new Loop(all);
  loop.push({ type: "command", id: 5, command: { name: "shutdown", keep: false } });
  await until(() => done.length === 2, "the answer");
  assert.equal(done[1], "reply 5 the daemon met a bug and gave this command up 1 true");
  loop.close();
});

test("an effect that throws does not stop those behind it, nor does a log that can't be written", async () => {
  const engine = fakeEngine(() => [{ type: "event", event: event("x") }, { type: "stopped" }, send(2)]);
  const { all, done } = parts(engine, {
    stopped: () => {
      throw new Error("broke");
    },
    log: () => {
      throw new Error("disk full");
    },
  });
  const loop = new Loop(all);
  loop.push({ type: "tick" });
  await until(() => done.includes("send 2"), "the last effect");
  assert.equal(loop.counters.bugs, 2);
  loop.close();
});

test("when the core's next wake has come it gets a tick, and not before", async () => {
  const times: number[] = [];
  let clock = 1000;
  const engine = fakeEngine((input, now, self) => {
    if (input.type === "tick") {
      times.push(now);
      self.wake = undefined;
    } else self.wake = 1020;
    return [];
  });
  const loop = new Loop(parts(engine, { clock: () => clock }).all);
  loop.push(datagram(bytes));
  await until(() => engine.wake === 1020, "the datagram");
  clock = 1020;
  await until(() => times.length === 1, "the tick");
  assert.deepEqual(times, [1020]);
  loop.close();
});

test("a wake that comes nearer is kept, and one that moved away still comes", async () => {
  const clock = performance.now.bind(performance);
  const wakes = [2000, 20, 60];
  const due: number[] = [];
  const engine = fakeEngine((input, now, self) => {
    if (input.type === "datagram") self.wake = now + (wakes.shift() ?? 0);
    else if (self.wake !== undefined && self.wake <= now) {
      due.push(now - self.wake);
      self.wake = undefined;
    }
    return [];
  });
  const loop = new Loop(parts(engine, { clock }).all);
  for (let i = 0; i < 3; i++) {
    loop.push(datagram(bytes));
    await loop.settled();
  }
  await until(() => due.length === 1, "the last of three wakes");
  assert.ok((due[0] ?? 0) < 1000, `${due[0]} ms late`);
  loop.close();
});

test("a due timer that the core leaves due does not keep others from their turn", async () => {
  const engine = fakeEngine((input, _now, self) => {
    self.wake = 0;
    if (input.type === "tick") throw new Error("core broke");
    return [];
  });
  const loop = new Loop(parts(engine).all);
  loop.push(datagram(bytes));
  await until(() => engine.inputs.some(({ type }) => type === "tick"), "the first tick");
  await new Promise((resolve) => setTimeout(resolve, 100));
  const ticks = engine.inputs.filter(({ type }) => type === "tick").length;
  assert.equal(ticks, 1);
  loop.close();
});

test("sockets get their turn between batches of a long queue", async () => {
  const engine = fakeEngine();
  const loop = new Loop(parts(engine).all);
  for (let i = 0; i < 1000; i++) loop.push(datagram(bytes));
  const seen = await new Promise<number>((resolve) => setImmediate(() => setImmediate(() => resolve(engine.inputs.length))));
  assert.ok(seen > 0 && seen < 100, `${seen} handled in the first turns`);
  await until(() => engine.inputs.length === 1000, "all of them");
  loop.close();
});

test("a flood of datagrams and acquires is bounded, while answers and commands always get through", async () => {
  const engine = fakeEngine();
  const loop = new Loop(parts(engine).all);
  for (let i = 0; i < 6000; i++) loop.push(datagram(KNOWN));
  loop.push({ type: "route-done", id: 1, local: undefined });
  await until(() => engine.inputs.length === 4097, "the queue");
  assert.equal(loop.counters.dropped, 6000 - 4096);
  assert.equal(engine.inputs.at(-1)?.type, "route-done");
  loop.close();
});

test("first messages of strangers never fill the queue: those of negotiations under way still find room", async () => {
  const engine = fakeEngine();
  const loop = new Loop(parts(engine).all);
  const first = KNOWN.map((octet, i) => (i < 8 ? octet : 0));
  for (let i = 0; i < 3000; i++) loop.push(datagram(first));
  for (let i = 0; i < 100; i++) loop.push(datagram(KNOWN));
  await until(() => engine.inputs.length === 1124, "the queue");
  assert.equal(loop.counters.dropped, 3000 - 1024);
  loop.close();
});

test("a closed loop handles nothing more and keeps no timer", async () => {
  const engine = fakeEngine();
  engine.wake = performance.now() + 5;
  const loop = new Loop(parts(engine).all);
  loop.push(datagram(bytes));
  loop.close();
  loop.push(datagram(bytes));
  await new Promise((resolve) => setTimeout(resolve, 30));
  assert.equal(engine.inputs.length, 0);
});
