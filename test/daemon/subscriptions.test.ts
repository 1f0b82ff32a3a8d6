import assert from "node:assert/strict";
import { test } from "node:test";
import { ask, type Update } from "../../cli/client.ts";
import type { Answer } from "../../daemon/control.ts";
import type { Reply } from "../../daemon/control-protocol.ts";
import { parseRequest } from "../../daemon/control-request.ts";
import { createFeed } from "../../daemon/feed.ts";
import { serveSubscription } from "../../daemon/subscriptions.ts";
import { NO_STATS, NOTHING_LIVE, until } from "./fakes.ts";
import { startPair } from "./pair.ts";

function fakeClient() {
  const replies: Reply[] = [];
  const state = { backlog: 0, leave: () => {} };
  const answer: Answer = {
    client: undefined,
    send: (reply) => void replies.push(reply),
    backlog: () => state.backlog,
    onGone: (act) => {
      state.leave = act;
    },
  };
  return { answer, replies, state };
}

const SNAPSHOT = {
  time: "2026-01-01T00:00:00.000Z",
  status: { ikeSas: [], childSas: [], softSas: [], guards: [], refusedPolicies: [], policiesUnknown: null },
  live: NOTHING_LIVE,
  stats: NO_STATS,
};
const kinds = (replies: readonly Reply[]): readonly string[] => replies.map((reply) => (reply.type === "update" ? reply.kind : reply.type));

test("a subscriber gets the last records, then each as it happens, and nothing once it is gone", () => {
  const feed = createFeed();
  const { answer, replies, state } = fakeClient();
  for (const text of ["one", "two", "three"]) feed.publish({ event: "ike.started", level: "info", text });
  serveSubscription({ command: "subscribe", recent: 2, snapshots: 0 }, answer, { feed, snapshot: async () => SNAPSHOT });
  feed.publish({ event: "ike.failed", level: "warning", text: "four" });
  state.leave();
  feed.publish({ event: "ike.failed", level: "warning", text: "five" });
  assert.deepEqual(
    replies.map((reply) => (reply.type === "update" && reply.kind === "event" ? reply.text : "?")),
    ["two", "three", "four"],
  );
});

test("snapshots come at once and again, and stop with the client", async () => {
  const { answer, replies, state } = fakeClient();
  let taken = 0;
  const snapshot = async () => {
    taken++;
    return SNAPSHOT;
  };
  serveSubscription({ command: "subscribe", recent: 0, snapshots: 0.2 }, answer, { feed: createFeed(), snapshot });
  await until(() => replies.length >= 2, "two snapshots");
  state.leave();
  const before = taken;
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.equal(taken, before);
  assert.ok(kinds(replies).every((kind) => kind === "snapshot"));
});

test("a client that does not read loses records, is told how many, and costs no memory meanwhile", () => {
  const feed = createFeed();
  const { answer, replies, state } = fakeClient();
  serveSubscription({ command: "subscribe", recent: 0, snapshots: 0 }, answer, { feed, snapshot: async () => SNAPSHOT });
  state.backlog = 2_000_000;
  for (let i = 0; i < 5; i++) feed.publish({ event: "ike.started", level: "info", text: String(i) });
  assert.equal(replies.length, 0);
  state.backlog = 0;
  feed.publish({ event: "ike.started", level: "info", text: "last" });
  assert.deepEqual(kinds(replies), ["lost", "event"]);
  assert.deepEqual(replies[0], { type: "update", kind: "lost", count: 5 });
});

test("only sensible subscriptions get through", () => {
  const ok = (members: object) => parseRequest(JSON.stringify({ command: "subscribe", ...members })).ok;
  assert.ok(ok({ recent: 0, snapshots: 0 }) && ok({ recent: 200, snapshots: 0.5 }));
  for (const members of [{}, { recent: 1 }, { recent: 201, snapshots: 0 }, { recent: 0, snapshots: 0.01 }, { recent: 0, snapshots: "1" }])
    assert.equal(ok(members), false, JSON.stringify(members));
});

test("a negotiation is seen live by a subscriber of the real socket: events, and snapshots with both tables", async (t) => {
  const { a } = await startPair(t);
  const updates: Update[] = [];
  const request = { command: "subscribe", recent: 5, snapshots: 0.2 } as const;
  const ended = ask({ path: a.daemon.controlPath, request, patienceSeconds: null, onUpdate: (update) => updates.push(update) });
  const events = () => updates.flatMap((update) => (update.kind === "event" ? [update.event] : []));
  await until(() => events().includes("svc.started"), "what happened before");
  const end = await ask({ path: a.daemon.controlPath, request: { command: "initiate", rule: "peer", wait: 20 } });
  assert.equal(end.exit, 0);
  await until(() => events().includes("child.established"), "the child's event");
  await until(() => updates.some((u) => u.kind === "snapshot" && u.status.childSas[0]?.state === "installed"), "a snapshot with the child");
  assert.ok(events().indexOf("ike.started") < events().indexOf("ike.established"));
  // The daemon's end is the stream's end, and an error to whoever still listens.
  const failed = assert.rejects(ended, /went away/);
  await a.daemon.stop();
  await failed;
});
