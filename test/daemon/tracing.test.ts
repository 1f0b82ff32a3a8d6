import assert from "node:assert/strict";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { ask } from "../../cli/client.ts";
import { entryLines } from "../../cli/trace-text.ts";
import type { Answer } from "../../daemon/control.ts";
import type { FailureDocument, Reply, TraceDocument } from "../../daemon/control-protocol.ts";
import { parseRequest } from "../../daemon/control-request.ts";
import { createTalks } from "../../daemon/talks.ts";
import { createTap, type Tap } from "../../daemon/tap.ts";
import { type MessageEntry, type TapEntry, traceDocument } from "../../daemon/trace-entry.ts";
import { createTracing } from "../../daemon/tracing.ts";
import { opensslCrypto } from "../../ike/crypto/openssl.ts";
import { Secret } from "../../ike/crypto/secret.ts";
import { ENCRYPTIONS } from "../../ike/crypto/suite.ts";
import { open, seal } from "../../ike/envelope.ts";
import { cut } from "../../ike/fragments.ts";
import { decodeHeader } from "../../isakmp/message.ts";
import { payload } from "../../isakmp/payloads.ts";
import { until } from "./fakes.ts";
import { type Pair, PSK, startHost, startPair } from "./pair.ts";

/** Follows a daemon until the test ends. */
async function follow(t: TestContext, { daemon, records }: Pair["a"], peer?: string): Promise<TraceDocument[]> {
  const entries: TraceDocument[] = [];
  const over = new AbortController();
  t.after(() => over.abort());
  const before = records.length;
  const request = { command: "trace", keys: false, ...(peer === undefined ? {} : { peer }) } as const;
  const onOther = (reply: { readonly type: string; readonly entry?: TraceDocument }) => void (reply.entry && entries.push(reply.entry));
  ask({ path: daemon.controlPath, request, patienceSeconds: null, enough: over.signal, onOther }).catch(() => {});
  await until(() => records.slice(before).some(({ text }) => text.includes("traces")), "the trace to begin");
  return entries;
}

const initiate = (path: string, wait = 5) => ask({ path, request: { command: "initiate", rule: "peer", wait } });
const messages = (entries: readonly TraceDocument[]) => entries.filter((entry) => entry.kind === "message");
const text = (entries: readonly TraceDocument[]): string => entries.flatMap(entryLines).join("\n");

test("a trace shows every message before and after decryption, the decisions between them, and no key", async (t) => {
  const { a, b } = await startPair(t);
  const [initiator, responder] = [await follow(t, a), await follow(t, b)];
  assert.equal((await initiate(a.daemon.controlPath)).exit, 0);
  await until(() => messages(responder).length === 9 && messages(initiator).length === 9, "nine messages at both ends");
  await until(() => text(responder).includes("* child.established: "), "the responder to be done");
  const said = text(responder);
  for (const line of [
    /- rules for 127\.0\.0\.2: peer/,
    /- proposal 1 transform 1 taken: aes128-sha256-ecp256/,
    /Identity Protection, cookies [0-9a-f]{16} [0-9a-f]{16}, message 00000000, ENCRYPTION, \d+ octets\n +\d+ encrypted octets [0-9a-f]{32}\.\.\.\n +decrypted:\n +ID: ID_IPV4_ADDR 127\.0\.0\.2/,
    /\* ike\.established: /,
    /- 127\.0\.0\.3 <-> 127\.0\.0\.2 is covered by rule peer/,
    /- proposal 1 transform 1 taken: esp:aes128-sha1/,
    /- kernel: xfrm state add .* <key> /,
    /\* child\.established: /,
  ])
    assert.match(said, line);
  assert.match(text(initiator), /- the peer took aes128-sha256-ecp256/);
  assert.match(text(initiator), /- the peer took esp:aes128-sha1/);
  // Both ends read the same plaintext out of the same octets.
  const plains = (entries: readonly TraceDocument[]) => messages(entries).map(({ bytes, plain }) => `${bytes} ${plain}`);
  assert.deepEqual(plains(initiator), plains(responder));
  assert.equal(messages(initiator).filter(({ plain }) => plain !== null).length, 5);
  for (const entries of [initiator, responder]) {
    assert.ok(!JSON.stringify(entries).includes(PSK));
    assert.ok(entries.every(({ kind }) => kind !== "ike-key" && kind !== "esp-key"));
  }
});

test("a daemon that has its SAs already is traced from then on, decrypted", async (t) => {
  const { a, b } = await startPair(t);
  assert.equal((await initiate(a.daemon.controlPath)).exit, 0);
  const entries = await follow(t, b);
  await ask({ path: a.daemon.controlPath, request: { command: "terminate", target: { kind: "all" } } });
  await until(() => messages(entries).length >= 2, "the deletes");
  assert.match(text(entries), /Informational, .* ENCRYPTION[\s\S]*decrypted:\n +HASH: [\s\S]*\n +D: /);
});

test("a refused proposal is explained with the rule's own, in the trace and after the failure", async (t) => {
  const { a, b, folder, port } = await startPair(t);
  await b.daemon.stop(1000);
  const other = await startHost(
    t,
    `[daemon]\naddresses = ["127.0.0.3"]\nport = ${port}\nnat-port = ${port + 1}\n[policy]\nallow-weak = true\n[[rule]]\nname = "peer"\nfilters = ["127.0.0.3 <-> 127.0.0.2"]\naction = "require"\nauth = [{ method = "psk", secret = "${PSK}" }]\nmain-mode = { proposals = ["aes128-sha256-modp1024"] }\n`,
    join(folder, "other.sock"),
  );
  const entries = await follow(t, other, "127.0.0.2");
  assert.notEqual((await initiate(a.daemon.controlPath, 2)).exit, 0);
  assert.match(text(entries), /- proposal 1 transform 1 refused: .*group ecp256 offered, modp1024 configured/);
  const failure = await lastFailure(other.daemon.controlPath, "127.0.0.2");
  assert.equal(failure?.reason, "no-proposal-chosen");
  assert.equal(failure?.failurePoint, "me");
  assert.match(text(failure?.entries ?? []), /proposal 1 transform 1 refused: /);
  assert.equal(await lastFailure(other.daemon.controlPath, "192.0.2.77"), undefined);
});

async function lastFailure(path: string, peer?: string): Promise<FailureDocument | undefined> {
  let found: FailureDocument | undefined;
  const request = { command: "last-failure", ...(peer === undefined ? {} : { peer }) } as const;
  const onOther = (reply: { readonly type: string; readonly failure?: FailureDocument }): void => {
    found = reply.failure;
  };
  const end = await ask({ path, request, onOther });
  assert.equal(end.exit, found ? 0 : 1);
  return found;
}

test("the last messages of a negotiation with another key are kept, and say that they decrypt to nothing", async (t) => {
  const { a, b } = await startPair(t, "another secret that no output may hold");
  assert.equal((await initiate(a.daemon.controlPath, 2)).exit, 1);
  const failure = await lastFailure(b.daemon.controlPath);
  assert.equal(failure?.peer, "127.0.0.2");
  assert.equal(failure?.rule, "peer");
  assert.ok(messages(failure?.entries ?? []).length >= 5);
  assert.match(text(failure?.entries ?? []), /decrypts to no payloads, the keys of both ends differ/);
  assert.ok(!JSON.stringify(failure).includes("secret that no output"));
});

function fakeClient(uid: number | null = 0) {
  const replies: Reply[] = [];
  const state = { backlog: 0, leave: () => {} };
  const answer: Answer = {
    client: uid === null ? undefined : { uid, gid: 5, pid: 7, groups: [990] },
    send: (reply) => void replies.push(reply),
    backlog: () => state.backlog,
    onGone: (act) => {
      state.leave = act;
    },
  };
  return { answer, replies, state };
}

const PATH = { local: { address: "192.0.2.1", port: 500 }, remote: { address: "192.0.2.2", port: 500 } };

/** An input that the core answers with nothing. */
function pass(tap: Tap, remote = PATH.remote.address, bytes = new Uint8Array(40).fill(7)): void {
  tap.begin({ type: "datagram", path: { ...PATH, remote: { address: remote, port: 500 } }, bytes });
  tap.end([]);
}

test("a client that does not read loses entries, hears how many, and costs nothing once it is gone", () => {
  const tap = createTap(opensslCrypto, 4500);
  const tracing = createTracing(tap, createTalks(), () => {}, 0);
  const { answer, replies, state } = fakeClient();
  tracing.answer({ command: "trace", keys: false }, answer);
  pass(tap);
  state.backlog = 2 << 20;
  pass(tap);
  pass(tap);
  state.backlog = 0;
  pass(tap);
  assert.deepEqual(
    replies.map(({ type }) => type),
    ["trace", "lost", "trace"],
  );
  assert.deepEqual(replies[1], { type: "lost", count: 2 });
  state.leave();
  pass(tap);
  assert.equal(replies.length, 3);
});

test("keys are for root and the daemon's own user: others, and those whom the system does not name, are refused", () => {
  const tap = createTap(opensslCrypto, 4500);
  const tracing = createTracing(tap, createTalks(), () => {}, 990);
  const asked = (uid: number | null) => {
    const { answer, replies } = fakeClient(uid);
    tracing.answer({ command: "trace", keys: true }, answer);
    return replies.map((reply) => (reply.type === "end" ? reply.exit : reply.type));
  };
  assert.deepEqual([asked(1000), asked(null), asked(0), asked(990)], [[77], [77], [], []]);
});

test("a trace of one peer shows nothing of the others", () => {
  const tap = createTap(opensslCrypto, 4500);
  const heard: TapEntry[] = [];
  tap.listen({ peer: "192.0.2.9", take: (entry) => heard.push(entry), takeKey: null, strangers: true });
  pass(tap);
  pass(tap, "192.0.2.9");
  assert.deepEqual(
    heard.map(({ peer }) => peer),
    ["192.0.2.9"],
  );
});

test("first messages that came to nothing, as in a flood, are for a trace only, and push out nothing that is remembered", () => {
  const tap = createTap(opensslCrypto, 4500);
  const [traced, talks]: [TapEntry[], TapEntry[]] = [[], []];
  tap.listen({ peer: null, take: (entry) => traced.push(entry), takeKey: null, strangers: true });
  tap.listen({ peer: null, take: (entry) => talks.push(entry), takeKey: null, strangers: false });
  const first = Uint8Array.from({ length: 40 }, (_, i) => (i < 8 ? 7 : 0));
  tap.begin({ type: "datagram", path: PATH, bytes: first });
  tap.end([]);
  assert.deepEqual([traced.length, talks.length], [1, 0]);
  tap.begin({ type: "datagram", path: PATH, bytes: first });
  tap.end([{ type: "send", path: PATH, bytes: first }]);
  assert.deepEqual([traced.length, talks.length], [3, 2]);
  tap.begin({ type: "datagram", path: PATH, bytes: first.map((octet, i) => (i === 8 ? 1 : octet)) });
  tap.end([]);
  assert.deepEqual([traced.length, talks.length], [4, 3]);
});

test("fragments are shown, and the message that they come to is shown decrypted, both ways", async () => {
  const tap = createTap(opensslCrypto, 4500);
  const heard: TapEntry[] = [];
  tap.listen({ peer: null, take: (entry) => heard.push(entry), takeKey: null, strangers: true });
  const path = { local: PATH.local, remote: PATH.remote };
  const cipher = ENCRYPTIONS.find(({ name }) => name === "aes128") as (typeof ENCRYPTIONS)[number];
  const chain = () => ({ cipher, key: new Secret(new Uint8Array(16).fill(1)), iv: new Uint8Array(16) });
  const to = { initiatorCookie: new Uint8Array(8).fill(9), responderCookie: new Uint8Array(8).fill(8), exchange: 2, messageId: 0 };
  const { bytes } = seal(tap.crypto, chain(), to, [payload("nonce", { data: new Uint8Array(1500).fill(5) })]);
  const header = decodeHeader(bytes);
  assert.ok(header.ok);
  const pieces = cut(bytes, header.value, 4) ?? [];
  assert.equal(pieces.length, 4);
  tap.begin({ type: "tick" });
  tap.end(pieces.map((piece) => ({ type: "send", path, bytes: piece })));
  for (const [i, piece] of pieces.entries()) {
    tap.begin({ type: "datagram", path, bytes: piece });
    if (i === 3) open(tap.crypto, chain(), header.value, Uint8Array.from(bytes));
    tap.end([]);
  }
  const shown = heard.map((entry) => (entry.kind === "message" ? `${entry.way}${entry.assembled ? " whole" : ""}` : entry.kind));
  assert.deepEqual(shown, ["out whole", "out", "out", "out", "out", "in", "in", "in", "in", "in whole"]);
  const wholes = heard.filter((entry) => entry.kind === "message" && entry.assembled).map(traceDocument);
  for (const whole of wholes)
    assert.match(entryLines(whole).join("\n"), /put together from fragments[\s\S]*decrypted:\n +NONCE: 1500 octets/);
});

test("one message can't make the tap write down more than a few decisions", () => {
  const tap = createTap(opensslCrypto, 4500);
  const heard: TapEntry[] = [];
  tap.listen({ peer: null, take: (entry) => heard.push(entry), takeKey: null, strangers: true });
  let made = 0;
  tap.begin({ type: "datagram", path: PATH, bytes: new Uint8Array(40) });
  for (let i = 0; i < 1000; i++)
    tap.note(() => {
      made++;
      return "x".repeat(5000);
    });
  tap.end([]);
  assert.equal(made, 32);
  assert.ok(heard.every((entry) => entry.kind !== "note" || entry.text.length <= 1024));
});

const message = (cookie: number, peer: string, octets = 1000): MessageEntry => ({
  kind: "message",
  at: cookie,
  peer,
  cookie: cookie.toString(16).padStart(16, "0"),
  way: "in",
  ...PATH,
  bytes: new Uint8Array(octets),
  plain: null,
  marked: false,
  assembled: false,
});
const failed = (cookie: number, peer: string): TapEntry => {
  const { at, cookie: text } = message(cookie, peer);
  return { kind: "event", at, peer, cookie: text, event: "ike.failed", level: "warning", text: "no", reason: "no-proposal-chosen" };
};

test("what is kept of negotiations is bounded in number and octets, for all together and for each peer", () => {
  const talks = createTalks();
  for (let i = 1; i <= 5000; i++) {
    talks.take(message(i, `10.0.${i >> 8}.${i & 255}`));
    talks.take(failed(i, `10.0.${i >> 8}.${i & 255}`));
  }
  assert.ok(talks.list().length <= 512);
  assert.ok(talks.failures().length <= 256);
  for (let i = 1; i <= 50; i++) talks.take(failed(10_000 + i, "192.0.2.1"));
  assert.deepEqual(
    talks.failures("192.0.2.1").map(({ cookie }) => Number.parseInt(cookie, 16)),
    [10_050, 10_049, 10_048, 10_047],
  );
  const big = createTalks();
  for (let i = 0; i < 300; i++) big.take(message(1, "192.0.2.1", 60_000));
  const size = big.list()[0]?.entries.reduce((sum, entry) => sum + (entry.kind === "message" ? entry.bytes.length : 0), 0) ?? 0;
  assert.ok(size <= 1 << 17, `${size} octets`);
  for (let i = 0; i < 300; i++) big.take(message(i, "192.0.2.1", 60_000));
  assert.ok(big.list().length < 80);
});

test("strangers don't wash away the failures of peers that have a rule", () => {
  const talks = createTalks();
  talks.take(message(1, "192.0.2.1"));
  talks.take({ ...failed(1, "192.0.2.1"), rule: "hr" } as TapEntry);
  for (let i = 2; i <= 2000; i++) talks.take(failed(i, `10.0.${i >> 8}.${i & 255}`));
  assert.deepEqual(
    talks.failures("192.0.2.1").map(({ rule }) => rule),
    ["hr"],
  );
  assert.equal(talks.failures().length, 256);
});

test("requests with other members than theirs are refused", () => {
  for (const line of [
    '{"command":"trace"}',
    '{"command":"trace","keys":1}',
    '{"command":"trace","keys":true,"x":1}',
    '{"command":"last-failure","peer":""}',
  ])
    assert.equal(parseRequest(line).ok, false, line);
  assert.deepEqual(parseRequest('{"command":"trace","keys":false,"peer":"2001:DB8::0:1"}'), {
    ok: true,
    value: { command: "trace", keys: false, peer: "2001:db8::1" },
  });
});
