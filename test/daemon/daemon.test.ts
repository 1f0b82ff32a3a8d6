import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ask, type Status } from "../../cli/client.ts";
import { startDaemon } from "../../daemon/daemon.ts";
import type { LogRecord } from "../../daemon/log.ts";
import { systemRandom } from "../../daemon/random.ts";
import { opensslCrypto } from "../../ike/crypto/openssl.ts";
import { liveSecrets } from "../../ike/crypto/secret.ts";
import { ok } from "../../isakmp/result.ts";
import { memoryKernel } from "../../kernel/memory.ts";
import { parseConfiguration } from "../../policy/config.ts";
import { until } from "./fakes.ts";
import { configuration, freePort, type Host, PSK, scratch, startHost, startPair } from "./pair.ts";

async function status(host: Host): Promise<Status> {
  let found: Status | undefined;
  await ask({ path: host.daemon.controlPath, request: { command: "status" }, onStatus: (document) => (found = document) });
  assert.ok(found);
  return found;
}

const initiate = (host: Host, wait = 20) => {
  const lines: string[] = [];
  return {
    lines,
    end: ask({ path: host.daemon.controlPath, request: { command: "initiate", rule: "peer", wait }, onLine: (line) => lines.push(line) }),
  };
};

test("a control socket where the user may not write is not permitted, 77; one that can't be there is a failure, 1", async (t) => {
  const [folder, port] = [scratch(t), await freePort(["127.0.0.2"])];
  const text = configuration("127.0.0.2", "127.0.0.3", port, await freePort(["127.0.0.2"]));
  const parts = { crypto: opensslCrypto, random: systemRandom, log: () => {}, native: undefined };
  const startAt = async (controlPath: string) => {
    const parsed = parseConfiguration(text, "test.toml", () => ok(undefined));
    assert.ok(parsed.ok);
    const started = await startDaemon({ ...parts, configuration: parsed.value, kernel: memoryKernel({}), controlPath });
    assert.ok(!started.ok);
    return started.error;
  };
  // Nobody, root included, may make a folder there.
  const forbidden = await startAt("/sys/mainmode/control.sock");
  const elsewhere = await startAt(join(folder, "x".repeat(200), "control.sock"));
  assert.deepEqual([elsewhere.exit, elsewhere.reason], [1, "control-socket"]);
  assert.deepEqual([forbidden.exit, forbidden.reason], [77, "not-permitted"]);
  assert.ok(forbidden.hint && elsewhere.hint);
});

test("an address of ours without a socket is the reason that a command gets, not a silent peer", async (t) => {
  const [folder, port] = [scratch(t), await freePort(["127.0.0.2"])];
  const text = configuration("192.0.2.77", "127.0.0.3", port, await freePort(["127.0.0.2"])).replace(
    'addresses = ["192.0.2.77"]',
    'addresses = ["127.0.0.2", "192.0.2.77"]',
  );
  const host = await startHost(t, text, join(folder, "a.sock"));
  const { exit, reason, text: what } = await initiate(host, 1).end;
  assert.deepEqual({ exit, reason }, { exit: 1, reason: "not-sent" });
  assert.match(what ?? "", /from 192\.0\.2\.77: no socket/);
  const { peer, failurePoint, hint } =
    host.records.find(({ event, text }) => event === "svc.socket" && text.startsWith("nothing sent")) ?? {};
  assert.deepEqual([peer, failurePoint], [`127.0.0.3:${port}`, "me"]);
  assert.ok(hint);
});

test("a status that is asked while the daemon starts waits for what the last run left", async (t) => {
  const [folder, port] = [scratch(t), await freePort(["127.0.0.2"])];
  const text = configuration("127.0.0.2", "127.0.0.3", port, await freePort(["127.0.0.2"]));
  const parsed = parseConfiguration(text, "test.toml", () => ok(undefined));
  assert.ok(parsed.ok);
  let told = (): void => {};
  let isAsked = false;
  const telling = new Promise<void>((resolve) => {
    told = resolve;
  });
  const kernel = memoryKernel({});
  const slow = {
    ...kernel,
    list: async () => {
      isAsked = true;
      await telling;
      return kernel.list();
    },
  };
  const path = join(folder, "a.sock");
  const parts = { crypto: opensslCrypto, random: systemRandom, log: () => {}, native: undefined };
  const starting = startDaemon({ ...parts, configuration: parsed.value, kernel: slow, controlPath: path });
  await until(() => isAsked, "the start");
  let answered = false;
  const asking = ask({ path, request: { command: "terminate", target: { kind: "rule", rule: "peer" } } }).then((end) => {
    answered = true;
    return end;
  });
  // As much as a whole answer takes, and more.
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(answered, false);
  told();
  const started = await starting;
  assert.ok(started.ok);
  t.after(() => started.value.stop(1000));
  // Before, there was no such rule yet.
  assert.equal((await asking).reason, "nothing-there");
});

test("two daemons negotiate over UDP, show it, and leave nothing behind when they stop", async (t) => {
  const { a, b } = await startPair(t);
  const { lines, end } = initiate(a);
  assert.equal((await end).exit, 0);
  assert.ok(lines.length >= 3, lines.join("\n"));
  await until(() => b.records.some(({ event }) => event === "child.established"), "the peer's side");
  const [mine, theirs] = [await status(a), await status(b)];
  assert.deepEqual(
    [mine.ikeSas[0]?.state, mine.ikeSas[0]?.role, theirs.ikeSas[0]?.role, mine.childSas[0]?.state],
    ["established", "initiator", "responder", "installed"],
  );
  assert.equal(mine.childSas[0]?.protections[0]?.spiOut, theirs.childSas[0]?.protections[0]?.spiIn);
  assert.equal((await ask({ path: a.daemon.controlPath, request: { command: "terminate", target: { kind: "all" } } })).exit, 0);
  await until(() => b.records.some(({ event }) => event === "child.closed"), "the delete");
  const ended = await ask({ path: a.daemon.controlPath, request: { command: "shutdown", keep: false } });
  assert.equal(ended.exit, 0);
  assert.equal(await a.daemon.stopped, true);
  assert.equal(await b.daemon.stop(), true);
  for (const host of [a, b]) {
    const [added, deleted] = [/ (add|update) /, / delete /].map((pattern) => host.kernelLines.filter((line) => pattern.test(line)).length);
    assert.equal(added, deleted);
    assert.equal(existsSync(host.daemon.controlPath), false);
    assert.deepEqual(
      host.records.filter(({ event, level }) => event === "bug" || level === "error"),
      [],
    );
    assert.equal(host.records.at(-1)?.event, "svc.stopped");
  }
  assert.equal(liveSecrets(), 0);
});

test("no record, no step, no status and no kernel line shows a key", async (t) => {
  const { a, b } = await startPair(t);
  const { lines, end } = initiate(a);
  const last = await end;
  const shown = JSON.stringify([a.records, b.records, a.kernelLines, lines, last, await status(a), await status(b)]);
  for (const form of [PSK, Buffer.from(PSK).toString("hex"), Buffer.from(PSK).toString("base64")])
    assert.equal(shown.includes(form), false);
  // SPIs have 8 digits and cookies 16; the shortest key here has 32.
  assert.doesNotMatch(shown, /[0-9a-f]{32}/i);
});

test("a peer with another pre-shared key is named as the probable cause", async (t) => {
  const { a, b } = await startPair(t, "a different secret altogether");
  const { end } = initiate(a, 1);
  const { exit, text, reason } = await end;
  assert.equal(exit, 1);
  // The peer's refusal in clear names it, or its silence does: which of them comes first is the peer's choice.
  assert.match(`${text} ${reason}`, /psk|pre-shared|AUTHENTICATION-FAILED/i);
  assert.ok(b.records.some(({ reason: why }) => why?.includes("psk") || why === "undecryptable"));
});

test("stopping tells the peer", async (t) => {
  const { a, b } = await startPair(t);
  assert.equal((await initiate(a).end).exit, 0);
  assert.equal(await a.daemon.stop(), true);
  await until(() => b.records.some(({ event }) => event === "ike.closed"), "the peer to hear of it");
});

test("a kernel that never answers does not keep the daemon from ending", { timeout: 30_000 }, async (t) => {
  const port = await freePort(["127.0.0.2"]);
  const parsed = parseConfiguration(configuration("127.0.0.2", "127.0.0.3", port, port + 1), "test.toml", () => ok(undefined));
  assert.ok(parsed.ok);
  let stuck = false;
  const kernel = memoryKernel();
  const records: LogRecord[] = [];
  const started = await startDaemon({
    configuration: parsed.value,
    crypto: opensslCrypto,
    random: systemRandom,
    kernel: { ...kernel, run: (commands) => (stuck ? new Promise<never>(() => {}) : kernel.run(commands)) },
    log: (record) => records.push(record),
    native: undefined,
    controlPath: join(scratch(t), "control.sock"),
  });
  assert.ok(started.ok);
  stuck = true;
  assert.equal(await started.value.stop(20), false);
  assert.match(records.at(-1)?.text ?? "", /before the kernel had answered/);
});

test("without socket policies of its own the daemon lets IKE pass by kernel policies, and takes them out again", async (t) => {
  const port = await freePort(["127.0.0.2"]);
  const parsed = parseConfiguration(configuration("127.0.0.2", "127.0.0.3", port, port + 1), "test.toml", () => ok(undefined));
  assert.ok(parsed.ok);
  const lines: string[] = [];
  const started = await startDaemon({
    configuration: parsed.value,
    crypto: opensslCrypto,
    random: systemRandom,
    kernel: memoryKernel({ log: (line) => lines.push(line) }),
    log: () => {},
    native: undefined,
    controlPath: join(scratch(t), "control.sock"),
  });
  assert.ok(started.ok);
  assert.equal(lines.filter((line) => line.includes(`sport ${port} dir out `) && line.endsWith("priority 1")).length, 2);
  await started.value.stop();
  assert.equal(lines.filter((line) => / add /.test(line)).length, lines.filter((line) => / delete /.test(line)).length);
});

test("a second daemon at the same control socket does not start, and the first one lives on", async (t) => {
  const { a, folder, port } = await startPair(t);
  const parsed = parseConfiguration(configuration("127.0.0.4", "127.0.0.3", port, port + 1), "test.toml", () => ok(undefined));
  assert.ok(parsed.ok);
  const more = { crypto: opensslCrypto, random: systemRandom, kernel: memoryKernel(), log: () => {}, native: undefined };
  const second = await startDaemon({ ...more, configuration: parsed.value, controlPath: join(folder, "a.sock") });
  assert.ok(!second.ok);
  assert.equal(second.error.exit, 1);
  assert.match(second.error.text, /another daemon answers/);
  assert.equal((await status(a)).ikeSas.length, 0);
});

test("a daemon that gets none of its ports does not start and leaves no socket file", async (t) => {
  const { folder, a } = await startPair(t);
  const [taken] = a.daemon.endpoints;
  assert.ok(taken);
  const other = a.daemon.endpoints.find(({ role }) => role === "nat")?.port ?? 0;
  const path = join(folder, "late.sock");
  const text = configuration("127.0.0.2", "127.0.0.3", taken.port, other);
  await assert.rejects(startHost(t, text, path), /no UDP socket could be opened.*another IKE daemon/);
  assert.equal(existsSync(path), false);
});
