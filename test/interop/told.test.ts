/** The judge of what mainmode told, judged: everything right passes, and every single wrong is noticed. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { TraceDocument } from "../../daemon/control-protocol.ts";
import { type Placed, place } from "./scenario.ts";
import { scenarios } from "./scenarios.ts";
import { type EventRecord, eventsDiffer, traceDiffers, type Wire } from "./told.ts";

const named = (name: string): Placed => {
  const found = scenarios().find((one) => one.name === name);
  assert.ok(found, name);
  return place(found, 0);
};
const USUAL = named("strongswan-initiator-usual");
const REFUSED = named("strongswan-responder-no-phase1");

const [I, R] = ["a1".repeat(8), "b2".repeat(8)];
/** A header whose flags say that it is encrypted, or not. */
const message = (flags: string, body = "00"): string => `${I}${R}0810${"05"}${flags}${"00000007"}0000001d${body}`;
const WIRE: Wire = {
  messages: [`out ${message("00")}`, `in ${message("01")}`],
  cookies: new Set([`${I} ${"0".repeat(16)}`, `${I} ${R}`]),
  messageIds: new Set(["00000007"]),
  spis: new Set(["0x0000000a", "0x0000000b"]),
};

const entry = (way: "in" | "out", bytes: string, plain: string | null): TraceDocument => ({
  ...{ kind: "message", at: 0, peer: USUAL.theirs.host, cookie: I, way, bytes, plain, marked: false, assembled: false },
  local: { address: USUAL.us.host, port: 500 },
  remote: { address: USUAL.theirs.host, port: 500 },
});
const note = (text: string): TraceDocument => ({ kind: "note", at: 0, peer: USUAL.theirs.host, cookie: I, text });
const EVENT: TraceDocument = { kind: "event", at: 0, peer: USUAL.theirs.host, cookie: I, event: "ike.failed", level: "info", text: "" };
const TRACE = [entry("out", message("00"), null), note("proposal 1 refused: no"), entry("in", message("01"), "00"), EVENT];

test("a trace with every message of the wire, opened, and with its decisions, passes", () => {
  assert.deepEqual(traceDiffers(TRACE, WIRE, USUAL), []);
  assert.deepEqual(traceDiffers(TRACE, WIRE, REFUSED), []);
});

const WRONG_TRACES: Readonly<Record<string, readonly [readonly TraceDocument[], RegExp]>> = {
  "a message that is missing": [TRACE.slice(1), /1 messages of the wire are missing, such as out a1a1/],
  "a message that nobody sent": [[...TRACE, entry("out", message("00", "99"), null)], /1 messages were not on the wire/],
  "a message in the wrong direction": [TRACE.map((one) => (one.kind === "message" ? { ...one, way: "in" } : one)), /missing/],
  "messages that stay closed": [
    TRACE.map((one) => (one.kind === "message" ? { ...one, plain: null } : one)),
    /none of 1 encrypted messages/,
  ],
  "no word of a refusal": [TRACE.filter(({ kind }) => kind !== "note"), /no word of what was refused/],
  "no event": [TRACE.filter(({ kind }) => kind !== "event"), /no event/],
};
for (const [what, [trace, says]] of Object.entries(WRONG_TRACES))
  test(`in a trace, ${what} is noticed`, () => {
    assert.match(traceDiffers(trace, WIRE, REFUSED).join("\n"), says);
  });

const COOKIES = { initiatorCookie: I, responderCookie: R };
const RIGHT: readonly EventRecord[] = [
  { event: "ike.established", role: "initiator", winEventId: 4650, winEventIdXp: 541, ...COOKIES },
  {
    event: "child.established",
    winEventId: 5451,
    winEventIdXp: 541,
    messageId: "00000007",
    spiIn: "0x0000000a",
    spiOut: "0x0000000b",
    ...COOKIES,
  },
  { event: "child.closed", winEventId: 5452, winEventIdXp: 542 },
  { event: "ike.closed", winEventId: 4655, winEventIdXp: 543, ...COOKIES },
];
const changed = (name: string, fields: Readonly<Record<string, unknown>>): readonly EventRecord[] =>
  RIGHT.map((one) => (one.event === name ? { ...one, ...fields } : one));

test("records of an SA from its beginning to its end pass", () => {
  assert.deepEqual(eventsDiffer(RIGHT, WIRE, USUAL), []);
});

const WRONG_EVENTS: Readonly<Record<string, readonly [readonly EventRecord[], RegExp]>> = {
  "another Windows number": [changed("ike.established", { winEventId: 4651 }), /0 of ike.established with/],
  "the other role": [changed("ike.established", { role: "responder" }), /0 of ike.established with/],
  "cookies that nobody sent": [changed("ike.closed", { responderCookie: "c3".repeat(8) }), /cookies that were not on the wire/],
  "a message id that nobody sent": [changed("child.established", { messageId: "00000008" }), /message id 00000008 was not on the wire/],
  "an SPI that nobody sent": [changed("child.established", { spiOut: "0x0000000c" }), /SPI 0x0000000c was not on the wire/],
  "an end that is not told": [RIGHT.slice(0, 3), /0 of ike.closed/],
};
for (const [what, [events, says]] of Object.entries(WRONG_EVENTS))
  test(`in records, ${what}, is noticed`, () => {
    assert.match(eventsDiffer(events, WIRE, USUAL).join("\n"), says);
  });

const FAILED: EventRecord = {
  ...{
    event: "ike.failed",
    winEventId: 4653,
    winEventIdXp: 546,
    failurePoint: "me",
    reason: "no-proposal-chosen",
    hint: "give both ends one",
  },
  ...COOKIES,
};

test("a refusal has its Windows numbers, its point, reason and hint; without any of them it is noticed", () => {
  assert.deepEqual(eventsDiffer([FAILED], WIRE, REFUSED), []);
  for (const field of ["winEventId", "winEventIdXp", "failurePoint", "reason", "hint", "initiatorCookie"]) {
    const { [field]: _, ...rest } = FAILED;
    assert.match(eventsDiffer([rest as EventRecord], WIRE, REFUSED).join("\n"), /no failure with Windows ids/, field);
  }
});
