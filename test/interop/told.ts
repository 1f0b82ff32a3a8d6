/**
 * Judges, on the host, what mainmode told of a guest: its log, a trace of the whole run and the trace's key files, against what was on the
 * wire. Every message is in the trace, every cookie, message id and SPI of an event was sent, the keys open everything, and no secret is
 * anywhere else.
 */
import { existsSync, readFileSync } from "node:fs";
import type { TraceDocument } from "../../daemon/control-protocol.ts";
import { toHex } from "../../isakmp/hex.ts";
import { decodeHeader } from "../../isakmp/message.ts";
import { EXCHANGE } from "../../isakmp/numbers.ts";
import { decodePcap, isakmpOf } from "../../isakmp/pcap.ts";
import { dissectWith } from "../captures/tshark.ts";
import { charonKeys } from "./charon-keys.ts";
import { OTHER_SECRET, SECRET } from "./party.ts";
import { isGuess, type Placed } from "./scenario.ts";
import type { Shell } from "./shell.ts";
import { secretsShown } from "./stats-check.ts";
import { KEY_LOG } from "./strongswan.ts";

/** Files in the directory of a mainmode that told everything. */
export const TOLD = {
  /** The log, one JSON object a line. */
  events: "events.jsonl",
  /** `trace --json`. */
  trace: "trace.jsonl",
  /** `trace --pcap` and `--decrypted`. */
  pcap: "trace.pcap",
  decrypted: "decrypted.pcap",
  /** The folder of `trace --keys`. */
  keys: "keys",
  /** What its commands said. */
  said: "said.txt",
} as const;

/** A record of the log: the fields of docs/monitoring.md. */
export type EventRecord = Readonly<Record<string, unknown>> & { readonly event: string };

const jsonLines = <T>(file: string): readonly T[] =>
  readFileSync(file, "utf8")
    .split("\n")
    .flatMap((line) => (line.startsWith("{") ? [JSON.parse(line) as T] : []));

/** What a scenario's messages say, as they were on the wire. */
export interface Wire {
  /** `out` or `in` and the message in hexadecimal; a message that came in pieces is not among them. */
  readonly messages: readonly string[];
  /** Both cookies, 16 hex digits each, joined by a blank. */
  readonly cookies: ReadonlySet<string>;
  readonly messageIds: ReadonlySet<string>;
  /** Of ESP and AH, as `0x` and 8 hex digits. */
  readonly spis: ReadonlySet<string>;
}

/** What mainmode told of one scenario, against the wire; what is wrong. */
export async function judgeTold(run: Shell, directory: string, scenario: Placed): Promise<readonly string[]> {
  const own = `${directory}/us`;
  const wire = await readWire(run, `${directory}/${scenario.name}.pcap`, scenario);
  const peer = scenario.theirs.host;
  const trace = jsonLines<TraceDocument>(`${own}/${TOLD.trace}`).filter((entry) => entry.peer === peer);
  const cookies = new Set([...wire.cookies].map((both) => both.slice(0, 16)));
  const events = jsonLines<EventRecord>(`${own}/${TOLD.events}`).filter(
    ({ rule, peer: who, initiatorCookie }) => rule === scenario.name || isAt(who, peer) || cookies.has(String(initiatorCookie)),
  );
  return [...traceDiffers(trace, wire, scenario), ...eventsDiffer(events, wire, scenario)];
}

const isAt = (endpoint: unknown, host: string): boolean =>
  typeof endpoint === "string" && (endpoint === host || endpoint.startsWith(`${host}:`) || endpoint.startsWith(`[${host}]:`));

async function readWire(run: Shell, file: string, { us }: Placed): Promise<Wire> {
  const found = { messages: [] as string[], cookies: new Set<string>(), messageIds: new Set<string>() };
  for (const datagram of decodePcap(readFileSync(file)).datagrams) {
    const bytes = isakmpOf(datagram);
    const header = bytes && decodeHeader(bytes);
    if (!bytes || !header?.ok) continue;
    const { initiatorCookie, responderCookie, messageId, exchange } = header.value;
    found.cookies.add(`${toHex(initiatorCookie)} ${toHex(responderCookie)}`);
    if (exchange === EXCHANGE["Quick Mode"]) found.messageIds.add(messageId.toString(16).padStart(8, "0"));
    if (datagram.complete) found.messages.push(`${datagram.source.address === us.host ? "out" : "in"} ${toHex(bytes)}`);
  }
  const { stdout } = await run(["tcpdump", "-n", "-r", file]);
  const spis = new Set([...stdout.matchAll(/\b(?:ESP|AH)\(spi=0x([0-9a-f]{8})/g)].map(([, spi]) => `0x${spi}`));
  return { ...found, spis };
}

/** Every message on the wire is in the trace, and none else; what was said before a refusal is there, too. */
export function traceDiffers(trace: readonly TraceDocument[], wire: Wire, scenario: Placed): readonly string[] {
  const wrong: string[] = [];
  const messages = trace.flatMap((entry) => (entry.kind === "message" && !entry.assembled ? [entry] : []));
  const traced = messages.map(({ way, bytes }) => `${way} ${bytes}`);
  const missing = wire.messages.filter((message) => !traced.includes(message) && !(scenario.narrow && message.startsWith("in ")));
  if (missing.length > 0) wrong.push(`trace: ${missing.length} messages of the wire are missing, such as ${missing[0]?.slice(0, 80)}`);
  const invented = traced.filter((message) => !wire.messages.includes(message));
  if (invented.length > 0) wrong.push(`trace: ${invented.length} messages were not on the wire, such as ${invented[0]?.slice(0, 80)}`);
  if (traced.length === 0) wrong.push("trace: no message");
  const sealed = messages.filter(({ bytes }) => (Number.parseInt(bytes.slice(38, 40), 16) & 1) === 1);
  const closed = sealed.filter(({ plain }) => plain === null);
  // A repeat is known by its octets, and not opened again; under another key nothing opens.
  if (closed.length > 0 && scenario.differs !== "psk" && closed.length === sealed.length)
    wrong.push(`trace: none of ${closed.length} encrypted messages is shown decrypted`);
  const notes = trace.flatMap((entry) => (entry.kind === "note" ? [entry.text] : []));
  const decided = scenario.role === "responder" && scenario.differs?.startsWith("phase");
  if (decided && !notes.some((text) => / refused: /.test(text))) wrong.push(`trace: no word of what was refused: ${notes.join(" | ")}`);
  if (!trace.some((entry) => entry.kind === "event")) wrong.push("trace: no event");
  return wrong;
}

/** The records of a scenario: those that have to be there, with the Windows ids of theirs; and all that they name was on the wire. */
export function eventsDiffer(events: readonly EventRecord[], wire: Wire, scenario: Placed): readonly string[] {
  const of = (name: string): readonly EventRecord[] => events.filter(({ event }) => event === name);
  const wrong = !scenario.differs ? successDiffers(of, wire, scenario) : isGuess(scenario) ? [] : refusalDiffers(events, wire);
  const strange = events.filter(({ initiatorCookie: ours, responderCookie: theirs = ZERO }) => {
    const known = typeof ours !== "string" || wire.cookies.has(`${ours} ${theirs}`);
    return !known;
  });
  if (strange.length > 0) wrong.push(`events: cookies that were not on the wire: ${JSON.stringify(strange[0])}`);
  return wrong;
}

const ZERO = "0".repeat(16);

function successDiffers(of: (name: string) => readonly EventRecord[], wire: Wire, scenario: Placed): string[] {
  const wrong: string[] = [];
  const { certificates, flows, role } = scenario;
  const byCertificate = certificates !== null && !certificates.fallback;
  const want = (name: string, least: number, fields: Readonly<Record<string, unknown>>): readonly EventRecord[] => {
    const found = of(name).filter((record) => Object.entries(fields).every(([key, value]) => record[key] === value));
    if (found.length < least)
      wrong.push(
        `events: ${found.length} of ${name} with ${JSON.stringify(fields)}, not ${least}: ${JSON.stringify(of(name).slice(0, 2))}`,
      );
    return found;
  };
  const [ike] = want("ike.established", 1, { role, winEventId: byCertificate ? 4651 : 4650, winEventIdXp: 541 });
  if (ike && !wire.cookies.has(`${ike["initiatorCookie"]} ${ike["responderCookie"]}`))
    wrong.push(`events: the cookies of ike.established were not on the wire: ${JSON.stringify(ike)}`);
  for (const child of want("child.established", flows, { winEventId: 5451, winEventIdXp: 541 })) {
    if (!wire.messageIds.has(String(child["messageId"]))) wrong.push(`events: message id ${child["messageId"]} was not on the wire`);
    for (const spi of spisOf(child)) if (!wire.spis.has(spi)) wrong.push(`events: SPI ${spi} was not on the wire, but ${[...wire.spis]}`);
  }
  want("child.closed", flows, { winEventId: 5452, winEventIdXp: 542 });
  want("ike.closed", 1, { winEventId: 4655, winEventIdXp: 543 });
  return wrong;
}

const spisOf = (record: EventRecord): readonly string[] =>
  ["spiIn", "spiOut"].flatMap((field) => [...String(record[field]).matchAll(/0x[0-9a-f]{8}/g)].map(([spi]) => spi));

const FAILURES = new Set<unknown>([4652, 4653, 4654]);
const XP_FAILURES = new Set<unknown>([544, 545, 546, 547]);

function refusalDiffers(events: readonly EventRecord[], wire: Wire): string[] {
  const failed = events.filter(({ event }) => event === "ike.failed" || event === "child.failed");
  const whole = failed.filter(
    ({ winEventId, winEventIdXp, failurePoint, reason, hint, initiatorCookie }) =>
      FAILURES.has(winEventId) &&
      XP_FAILURES.has(winEventIdXp) &&
      (failurePoint === "me" || failurePoint === "peer") &&
      [reason, hint].every((text) => typeof text === "string" && text !== "") &&
      [...wire.cookies].some((both) => both.startsWith(String(initiatorCookie))),
  );
  return whole.length > 0 ? [] : [`events: no failure with Windows ids, point, reason, hint and cookies: ${JSON.stringify(failed)}`];
}

/** Keys that the trace told, and secrets, for a guest as a whole. */
export async function judgeKeys(run: Shell, directory: string, placed: readonly Placed[]): Promise<readonly string[]> {
  const own = `${directory}/us`;
  const lines = (name: string): readonly string[] => readFileSync(`${own}/${TOLD.keys}/${name}`, "utf8").split("\n").filter(Boolean);
  const ike = lines("ikev1_decryption_table").map((line) => line.split(","));
  const esp = lines("esp_sa");
  const wrong = esp.filter((line) => line.startsWith("#")).map((line) => `a key for which Wireshark has no name: ${line}`);
  const log = `${directory}/theirs/${KEY_LOG}`;
  if (existsSync(log)) {
    const theirs = charonKeys(readFileSync(log, "utf8"));
    const both = ike.filter(([cookie = ""]) => theirs.has(cookie));
    const differing = both.filter(([cookie = "", key]) => theirs.get(cookie) !== key).map(([cookie = ""]) => cookie);
    const mismatched = placed.filter(({ differs }) => differs === "psk").length;
    if (both.length === 0 || differing.length > mismatched) wrong.push(`keys of IKE that charon has otherwise, or none: ${differing}`);
  }
  wrong.push(...(await espDiffers(run, directory)));
  const keys = [
    ...ike.map(([, key = ""]) => key),
    ...esp.flatMap((line) => [...line.matchAll(/"0x([0-9a-f]{16,})"/g)].map(([, key = ""]) => key)),
  ];
  const shown = [TOLD.events, TOLD.trace, TOLD.said].map((name) => readFileSync(`${own}/${name}`, "utf8")).join("\n");
  return [...wrong, ...secretsShown(shown, [SECRET, OTHER_SECRET], keys.map((key) => `0x${key}`).join(" "))];
}

/** tshark opens every packet of ESP with the key file of the trace, finds its check value good, and a ping in it. */
async function espDiffers(run: Shell, directory: string): Promise<readonly string[]> {
  const file = `${directory}/esp.pcap`;
  await run(["tcpdump", "-r", `${directory}/wire.pcap`, "-w", file, "ip proto 50 or ip6 proto 50 or ip proto 51 or ip6 proto 51"]);
  const packets = (await dissectWith(file, `${directory}/us/${TOLD.keys}`)).filter(({ protocols }) => protocols.includes("esp"));
  const bad = packets.filter(
    ({ protocols, fields }) =>
      !protocols.some((name) => name === "tcp" || name.startsWith("icmp")) ||
      fields.some(({ name, show }) => name === "esp.icv_bad" && show === "1"),
  );
  const none = packets.length === 0 ? ["no packet of ESP to open"] : [];
  return bad.length === 0
    ? none
    : [`tshark can't open ${bad.length} of ${packets.length} ESP packets: ${bad[0]?.number}: ${bad[0]?.protocols}`];
}
