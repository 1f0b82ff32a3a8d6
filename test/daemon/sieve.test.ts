import assert from "node:assert/strict";
import { test } from "node:test";
import { loadNative } from "../../daemon/native.ts";
import { Sieve, sieveProgram } from "../../daemon/sieve.ts";
import { openSocket } from "../../daemon/udp-socket.ts";
import { ok } from "../../isakmp/result.ts";
import { until } from "./fakes.ts";

const FIRST = new Uint8Array(40).fill(7);
FIRST.fill(0, 8, 16);
const LATER = new Uint8Array(40).fill(7);

/** A sieve on a clock of its own. `pass`: so many first messages come in a quarter of a second, of which the kernel lets through what it was told to. */
function setUp() {
  const shares: number[] = [];
  const filters = new Map<number, number | null>();
  let [now, drops, used, due] = [0, 0, 0, undefined as (() => void) | undefined];
  const share = (program: Uint8Array): number => (new Uint32Array(program.slice(44, 48).buffer)[0] ?? 0) / 0xffffffff;
  const sieve = new Sieve({
    native: {
      attachFilter: (fd, program) => {
        filters.set(fd, share(program));
        return ok(0);
      },
      detachFilter: (fd) => {
        filters.set(fd, null);
        return ok(0);
      },
      receiveBuffer: () => ok({ used, size: 1000, drops }),
    },
    onChange: (one) => shares.push(one),
    now: () => now,
    later: (_ms, act) => {
      due = act;
    },
  });
  const pass = (came: number, fill = 0): void => {
    used = fill * 1000;
    const through = Math.round(came * (filters.get(5) ?? 1));
    drops += came - through;
    for (let i = 0; i < through; i++) sieve.see(FIRST);
    now += 250;
    const act = due;
    due = undefined;
    act?.();
  };
  const drop = (count: number): void => {
    drops += count;
  };
  return { sieve, shares, filters, pass, drop, isLooking: () => due !== undefined };
}

test("as long as few come, the kernel is told nothing", () => {
  const { sieve, shares, filters, pass, isLooking } = setUp();
  sieve.add(5, 0);
  for (let i = 0; i < 10; i++) pass(999);
  assert.deepEqual([shares, filters.get(5)], [[], null]);
  pass(0);
  assert.equal(isLooking(), false);
});

test("under a flood only so many come through on every socket, and everything again when it is over", () => {
  const { sieve, shares, filters, pass, isLooking } = setUp();
  sieve.add(5, 0);
  for (let i = 0; i < 8; i++) pass(25_000);
  assert.ok(Math.abs((filters.get(5) ?? 1) - 0.2) < 0.01, String(filters.get(5)));
  sieve.add(6, 4);
  assert.ok(Math.abs((filters.get(6) ?? 1) - 0.2) < 0.01);
  sieve.remove(6);
  pass(250_000);
  assert.ok(Math.abs((filters.get(5) ?? 1) - 0.02) < 0.005, String(filters.get(5)));
  for (let i = 0; i < 40; i++) pass(10);
  assert.deepEqual([filters.get(5), shares.length, shares.at(-1)], [null, 2, 1]);
  pass(0);
  pass(0);
  assert.equal(isLooking(), false);
});

test("where the buffers fill, fewer come through until they do not", () => {
  const { sieve, filters, pass } = setUp();
  sieve.add(5, 0);
  pass(800, 0.5);
  pass(800, 0.5);
  assert.ok((filters.get(5) ?? 1) < 0.4);
  const kept = filters.get(5) ?? 1;
  pass(800, 0.03);
  assert.equal(filters.get(5), kept);
  pass(800, 0);
  assert.ok((filters.get(5) ?? 1) > kept);
});

test("where other messages fill the buffers, first messages are not made to pay for them", () => {
  const { sieve, filters, pass } = setUp();
  sieve.add(5, 0);
  for (let i = 0; i < 20; i++) {
    for (let k = 0; k < 5000; k++) sieve.see(LATER);
    pass(50, 0.9);
  }
  assert.equal(filters.get(5), null);
  // A flood of both: first messages are thinned out as long as they are the greater part of what comes.
  for (let i = 0; i < 20; i++) {
    for (let k = 0; k < 100; k++) sieve.see(LATER);
    pass(5000, 0.9);
  }
  assert.ok((filters.get(5) ?? 1) < 0.1, String(filters.get(5)));
});

test("what the kernel dropped while nobody looked is no flood", () => {
  const { sieve, shares, pass, drop } = setUp();
  sieve.add(5, 0);
  drop(1_000_000);
  for (let i = 0; i < 3; i++) pass(10);
  assert.deepEqual(shares, []);
});

test("where no system calls can be made nothing is said to be done", () => {
  const shares: number[] = [];
  const sieve = new Sieve({ native: undefined, onChange: (share) => shares.push(share), later: () => assert.fail("it looks") });
  sieve.add(5, 0);
  for (let i = 0; i < 100_000; i++) sieve.see(FIRST);
  assert.deepEqual(shares, []);
});

test("messages of negotiations under way count for nothing", () => {
  const { sieve, filters, isLooking } = setUp();
  sieve.add(5, 0);
  for (let i = 0; i < 10_000; i++) sieve.see(LATER);
  assert.deepEqual([filters.get(5), isLooking()], [null, false]);
});

for (const marker of [0, 4])
  test(`the kernel drops first messages, lets all others through, and takes its program back (${marker} octets before the message)`, async (t) => {
    const native = await loadNative();
    assert.ok(native.ok, "koffi is here");
    const opened = await openSocket("127.0.0.1", 0, false, native.value);
    assert.ok(opened.ok && opened.value.fd !== null);
    const { socket, fd } = opened.value;
    const got: string[] = [];
    socket.on("message", (message) => got.push(message[marker + 8] === 0 ? "first" : "later"));
    t.after(() => socket.close());
    const send = (message: Uint8Array): void => socket.send([new Uint8Array(marker), message], socket.address().port, "127.0.0.1");
    assert.ok(native.value.attachFilter(fd, sieveProgram(marker, 0)).ok);
    for (let i = 0; i < 20; i++) send(FIRST);
    for (let i = 0; i < 5; i++) send(LATER);
    await until(() => got.length >= 5, "the others");
    assert.deepEqual(got, Array(5).fill("later"));
    assert.ok(native.value.attachFilter(fd, sieveProgram(marker, 0.5)).ok);
    for (let i = 0; i < 400; i++) send(FIRST);
    send(LATER);
    await until(() => got.filter((one) => one === "later").length >= 6, "the last one");
    const share = got.filter((one) => one === "first").length;
    assert.ok(share > 100 && share < 300, `${share} of 400`);
    assert.ok(native.value.detachFilter(fd).ok);
    const before = got.length;
    for (let i = 0; i < 20; i++) send(FIRST);
    await until(() => got.length >= before + 20, "all of them");
  });
