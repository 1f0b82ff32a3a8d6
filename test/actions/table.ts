/**
 * What each action does to packets, as a table: our rule, whom we talk with, and what has to be on the wire at each stage.
 */

/**
 * The other host: `ike` negotiates with our key, `asker` demands protection itself, `mute` speaks no IKE at all. Two fail to prove themselves, since
 * they have another key: `stranger` when it is asked, and `caller`, which begins itself and would hear and send clear text all the while.
 */
export type Peer = "ike" | "asker" | "mute" | "stranger" | "caller";

/** What is on the wire in one direction. `shut`: nothing in clear, whatever else; `any`: the stage is not judged. */
export type Seen = "clear" | "esp" | "ah" | "nothing" | "shut" | "any";

/** One stage: what the host that pings sends, what comes back, and whether it hears answers (null: not judged). */
export type Stage = readonly [there: Seen, back: Seen, answered: boolean | null];

export interface Case {
  readonly name: string;
  /** Keys of our rule besides name, filters and auth, in TOML. */
  readonly rule: string;
  /** Between our address and the peer's. */
  readonly arrow: "<->" | "->" | "<-";
  readonly peer: Peer;
  /** Whose packet is the very first, before anything was negotiated. */
  readonly opener: "us" | "theirs";
  readonly first: Stage;
  /** We ping, once every negotiation is over; then the peer pings us. */
  readonly later: Stage;
  readonly inward: Stage;
}

const CLEAR: Stage = ["clear", "clear", true];
const ESP: Stage = ["esp", "esp", true];
const AH: Stage = ["ah", "ah", true];
/** Nothing leaves. */
const SILENT: Stage = ["nothing", "nothing", false];
/** Packets come in clear, and get no answer. */
const UNHEARD: Stage = ["clear", "nothing", false];
/** Negotiation may be quicker than the last ping. */
const SHUT: Stage = ["shut", "shut", null];
const ANY: Stage = ["any", "any", null];
/** Packets leave in clear; the answers are on the wire, and not let in. */
const DEAF: Stage = ["clear", "clear", false];

/** Clear text comes; by the time of the answer an SA may be there. */
const ANSWERED: Stage = ["clear", "shut", null];

const plain = (rule: string, peer: Peer, ...[first, later, inward]: readonly [Stage, Stage, Stage]): Case => ({
  name: `${rule.replace(/ = /g, "=").replaceAll("\n", ", ")}, ${peer}`,
  rule,
  arrow: "<->",
  peer,
  opener: "us",
  first,
  later,
  inward,
});
const oneWay = (arrow: Case["arrow"], ...[rule, peer, first, later, inward]: readonly [string, Peer, Stage, Stage, Stage]): Case => {
  const whole = plain(rule, peer, first, later, inward);
  return { ...whole, arrow, name: `${whole.name}, ${arrow}` };
};
/** The peer's packet is the first. */
const opened = (rule: string, peer: Peer, ...stages: readonly [Stage, Stage, Stage]): Case => {
  const whole = plain(rule, peer, ...stages);
  return { ...whole, opener: "theirs", name: `${whole.name} first` };
};

const PERMIT = 'action = "permit"';
const BLOCK = 'action = "block"';
const RESPOND = 'action = "respond"';
const REQUEST = 'action = "request"\nfallback-after = "2s"\nfallback-for = "10m"';
/** For a peer that answers, however busy the machine is. */
const PATIENT_REQUEST = REQUEST.replace("2s", "60s");
const REQUIRE = 'action = "require"';
const BOUNDARY = `${REQUIRE}\ninbound-clear = true`;
const DISCOVERY = `${REQUIRE}\ndiscovery = true`;
/** Windows' boundary mode of negotiation discovery. */
const REQUEST_DISCOVERY = `${REQUEST}\ndiscovery = true`;

/** Each is tried on IPv4 and on IPv6. */
export const CASES: readonly Case[] = [
  plain(PERMIT, "ike", CLEAR, CLEAR, CLEAR),
  plain(PERMIT, "mute", CLEAR, CLEAR, CLEAR),
  plain(PERMIT, "stranger", CLEAR, CLEAR, CLEAR),
  plain(BLOCK, "ike", SILENT, SILENT, UNHEARD),
  plain(BLOCK, "mute", SILENT, SILENT, UNHEARD),
  plain(BLOCK, "stranger", SILENT, SILENT, UNHEARD),
  oneWay("<-", BLOCK, "mute", DEAF, DEAF, UNHEARD),
  plain(RESPOND, "ike", CLEAR, CLEAR, CLEAR),
  plain(RESPOND, "mute", CLEAR, CLEAR, CLEAR),
  // It refuses our clear text at first; once it has asked, everything is protected.
  plain(RESPOND, "asker", ANY, ESP, ESP),
  plain(RESPOND, "stranger", CLEAR, CLEAR, CLEAR),
  plain(PATIENT_REQUEST, "ike", SHUT, ESP, ESP),
  plain(REQUEST, "mute", SILENT, CLEAR, CLEAR),
  plain(PATIENT_REQUEST, "stranger", SILENT, SILENT, UNHEARD),
  plain(`${REQUEST}\ninbound-clear = false`, "mute", SILENT, CLEAR, CLEAR),
  plain(REQUIRE, "ike", SHUT, ESP, ESP),
  plain(REQUIRE, "asker", SHUT, ESP, ESP),
  plain(REQUIRE, "mute", SILENT, SILENT, UNHEARD),
  plain(REQUIRE, "stranger", SILENT, SILENT, UNHEARD),
  plain(`${REQUIRE}\nquick-mode = { proposals = ["ah:sha256"] }`, "ike", SHUT, AH, AH),
  plain(`${REQUIRE}\nquick-mode = { proposals = ["ah:sha1+esp:aes128-sha1"] }`, "ike", SHUT, AH, AH),
  oneWay("->", REQUIRE, "mute", SILENT, SILENT, UNHEARD),
  oneWay("<-", REQUIRE, "mute", DEAF, DEAF, UNHEARD),
  oneWay("->", REQUIRE, "ike", SHUT, ESP, ESP),
  plain(BOUNDARY, "ike", SHUT, ESP, ESP),
  plain(BOUNDARY, "mute", SILENT, SILENT, UNHEARD),
  plain(BOUNDARY, "stranger", SILENT, SILENT, UNHEARD),
  plain(DISCOVERY, "ike", ANY, ESP, ESP),
  plain(DISCOVERY, "mute", DEAF, DEAF, UNHEARD),
  plain(DISCOVERY, "stranger", DEAF, DEAF, UNHEARD),
  plain(`${DISCOVERY}\ninbound-clear = true`, "mute", CLEAR, CLEAR, CLEAR),
  plain(`${DISCOVERY}\ninbound-clear = true`, "ike", ANY, ESP, ESP),
  plain(`${DISCOVERY}\ninbound-clear = true`, "stranger", CLEAR, CLEAR, CLEAR),
  plain(REQUEST_DISCOVERY, "mute", CLEAR, CLEAR, CLEAR),
  plain(REQUEST_DISCOVERY, "ike", ANY, ESP, ESP),
  plain(REQUEST_DISCOVERY, "stranger", CLEAR, CLEAR, CLEAR),

  opened(PERMIT, "ike", CLEAR, CLEAR, CLEAR),
  opened(PERMIT, "mute", CLEAR, CLEAR, CLEAR),
  opened(PERMIT, "caller", CLEAR, CLEAR, CLEAR),
  opened(BLOCK, "ike", UNHEARD, SILENT, UNHEARD),
  opened(BLOCK, "mute", UNHEARD, SILENT, UNHEARD),
  opened(BLOCK, "caller", UNHEARD, SILENT, UNHEARD),
  opened(RESPOND, "ike", CLEAR, CLEAR, CLEAR),
  opened(RESPOND, "asker", SHUT, ESP, ESP),
  opened(RESPOND, "mute", CLEAR, CLEAR, CLEAR),
  opened(RESPOND, "caller", CLEAR, CLEAR, CLEAR),
  opened(PATIENT_REQUEST, "ike", ANSWERED, ESP, ESP),
  opened(PATIENT_REQUEST, "asker", SHUT, ESP, ESP),
  opened(REQUEST, "mute", UNHEARD, CLEAR, CLEAR),
  opened(REQUEST, "caller", UNHEARD, SILENT, UNHEARD),
  opened(REQUIRE, "ike", UNHEARD, ESP, ESP),
  opened(REQUIRE, "asker", SHUT, ESP, ESP),
  opened(REQUIRE, "mute", UNHEARD, SILENT, UNHEARD),
  opened(REQUIRE, "caller", UNHEARD, SILENT, UNHEARD),
  opened(BOUNDARY, "ike", ANSWERED, ESP, ESP),
  opened(BOUNDARY, "mute", UNHEARD, SILENT, UNHEARD),
  opened(BOUNDARY, "caller", UNHEARD, SILENT, UNHEARD),
  opened(DISCOVERY, "ike", UNHEARD, ESP, ESP),
  opened(DISCOVERY, "mute", UNHEARD, DEAF, UNHEARD),
  opened(DISCOVERY, "caller", UNHEARD, DEAF, UNHEARD),
  opened(REQUEST_DISCOVERY, "ike", CLEAR, ESP, ESP),
  opened(REQUEST_DISCOVERY, "mute", CLEAR, CLEAR, CLEAR),
  opened(REQUEST_DISCOVERY, "caller", CLEAR, CLEAR, CLEAR),
];
