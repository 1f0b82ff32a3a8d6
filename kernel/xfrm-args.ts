/**
 * A KernelCommand as one line of `ip -batch`: the only place that knows the words of `ip xfrm`.
 * Invariant: keys appear as hex in `commandLine` only, in octets that the caller wipes; `describeCommand` shows `<key>` in their place.
 * Words are those that iproute2 6.1 to 6.15 share; nothing is written that would change one of the kernel's defaults.
 */
import type { Secret } from "../ike/crypto/secret.ts";
import type { KernelCommand, KernelPolicy, KernelSa, KernelSelector, KernelTemplate, SaKey } from "../ike/kernel-contract.ts";
import { hex32 } from "../isakmp/hex.ts";

/**
 * The line for `ip -batch`, ASCII, ending in a line feed. It may hold keys: fill it with zeros once it was carried out.
 * Throws where a field holds what can't be part of a word (a bug: it would become another command).
 */
export function commandLine(command: KernelCommand): Uint8Array {
  const words = wordsOf(command);
  const line = new Uint8Array(words.reduce((length, word) => length + octetsOf(word) + 1, 0));
  let at = 0;
  for (const word of words) {
    at = typeof word === "string" ? putText(line, at, word) : putKey(line, at, word);
    line[at++] = SPACE;
  }
  line[at - 1] = LINE_FEED;
  return line;
}

/** The same line for people, without its line feed and with `<key>` for every key. */
export const describeCommand = (command: KernelCommand): string =>
  wordsOf(command)
    .map((word) => (typeof word === "string" ? word : word.length === 0 ? EMPTY : "<key>"))
    .join(" ");

/** `esp 0xc5704d9e 192.0.2.1`: the kernel's own key of an SA, and the key of `Kernel.counters()`. */
export const saName = (sa: Pick<SaKey, "protocol" | "spi" | "destination">): string =>
  `${sa.protocol} ${formatSpi(sa.spi)} ${sa.destination}`;

/** An SPI as `ip` prints it: 0x and eight hex digits. */
export const formatSpi = (spi: number): string => `0x${hex32(spi)}`;

/** `out 192.0.2.1/32 192.0.2.2/32 6 0 80`: the kernel's own key of a policy, which leaves its priority out. */
export const policyName = (policy: Pick<KernelPolicy, "direction" | "selector">): string => {
  const { source, sourceLength, destination, destinationLength, protocol, sourcePort, destinationPort } = policy.selector;
  return `${policy.direction} ${source}/${sourceLength} ${destination}/${destinationLength} ${protocol} ${sourcePort} ${destinationPort}`;
};

/**
 * The number that we ask for a policy, by which a later run knows that it is ours: the kernel keeps it, and counts its own up from 1. The last three bits are
 * the direction, as the kernel wants it. Where another policy has the number the kernel gives one of its own: with ten thousand policies that happens once or twice.
 */
export function policyIndex(policy: Pick<KernelPolicy, "direction" | "selector">): number {
  let hash = 0x811c9dc5;
  for (const letter of policyName(policy)) hash = Math.imul(hash ^ letter.charCodeAt(0), 0x01000193);
  return (INDEX_BASE + ((hash >>> 4) % 2 ** 25) * 8 + DIRECTIONS.indexOf(policy.direction)) >>> 0;
}

/** Whether a policy has a number that only we ask for. */
export const isOurIndex = (index: number): boolean => index >= INDEX_BASE && index < INDEX_BASE + 2 ** 28;

const INDEX_BASE = 0xd0000000;
/** By the kernel's numbers. */
const DIRECTIONS: readonly KernelPolicy["direction"][] = ["in", "out", "fwd"];

type Word = string | Secret;

const [SPACE, LINE_FEED] = [0x20, 0x0a];
/** What `ip` reads as an empty argument: the key of NULL encryption. */
const EMPTY = '""';
/** ICMP, ICMPv6 and Mobility Header keep type and code where others keep ports, and `ip` refuses "sport" for them. */
const TYPE_AND_CODE: readonly number[] = [1, 58, 135];

/** A word in which nothing ends the word, the line or the command: no blank, quote, `#`, backslash or control character. */
const WORD = /^(?:[A-Za-z0-9.:/()_-]+|"")$/;

function wordsOf(command: KernelCommand): readonly Word[] {
  const words = unchecked(command);
  const bad = words.find((word) => typeof word === "string" && !WORD.test(word));
  if (bad !== undefined) throw new Error(`${command.do}: ${JSON.stringify(bad)} can't be a word of an ip command`);
  return words;
}

function unchecked(command: KernelCommand): readonly Word[] {
  switch (command.do) {
    case "add-sa":
      return putSa("add", command.sa);
    case "update-sa":
      return putSa("update", command.sa);
    case "remove-sa":
      return ["xfrm", "state", "delete", ...saId(command.sa)];
    case "read-sa":
      return ["xfrm", "state", "get", ...saId(command.sa)];
    case "add-policy":
      return ["xfrm", "policy", "add", ...policy(command.policy)];
    case "update-policy":
      return ["xfrm", "policy", "update", ...policy(command.policy)];
    case "remove-policy":
      return ["xfrm", "policy", "delete", ...selector(command.policy.selector), "dir", command.policy.direction];
  }
}

const saId = (sa: SaKey): readonly string[] => ["src", sa.source, "dst", sa.destination, "proto", sa.protocol, "spi", formatSpi(sa.spi)];

function putSa(verb: "add" | "update", sa: KernelSa): readonly Word[] {
  const flags = [...(hasPaddedAh(sa) ? ["align4"] : []), ...(sa.selector === "both-families" ? ["af-unspec"] : [])];
  return [
    ...["xfrm", "state", verb, ...saId(sa), "reqid", number(sa.reqid), "mode", sa.mode, "replay-window", number(sa.replayWindow)],
    ...(sa.integrity ? ["auth-trunc", sa.integrity.name, sa.integrity.key, number(sa.integrity.truncateBits)] : []),
    ...(sa.encryption ? ["enc", sa.encryption.name, sa.encryption.key] : []),
    ...(sa.aead ? ["aead", sa.aead.name, sa.aead.key, number(sa.aead.icvBits)] : []),
    ...LIMITS.flatMap(([word, name]) => limit(word, sa.limits[name])),
    ...(flags.length > 0 ? ["flag", ...flags] : []),
    ...(sa.encap ? ["encap", "espinudp", number(sa.encap.sourcePort), number(sa.encap.destinationPort), "0.0.0.0"] : []),
    ...(sa.selector && sa.selector !== "both-families" ? ["sel", ...selector(sa.selector)] : []),
  ];
}

/**
 * AH fills its ICV up to 4 octets on IPv4, to 8 on IPv6 (RFC 4302 §3.3.3.2.1). Linux takes 8 on both, unless it is told: a peer that keeps to the RFC would
 * drop every packet where that makes a difference, as it does with HMAC-SHA-256 and longer.
 */
const hasPaddedAh = ({ protocol, source }: KernelSa): boolean => protocol === "ah" && !source.includes(":");

const LIMITS = [
  ["time-soft", "softSeconds"],
  ["time-hard", "hardSeconds"],
  ["packet-soft", "softPackets"],
  ["packet-hard", "hardPackets"],
  ["byte-soft", "softOctets"],
  ["byte-hard", "hardOctets"],
] as const;

const limit = (word: string, value: number | null): readonly string[] => (value === null ? [] : ["limit", word, number(value)]);

function policy(p: KernelPolicy): readonly string[] {
  return [
    ...[...selector(p.selector), "dir", p.direction, "index", number(policyIndex(p))],
    ...(p.action === "block" ? ["action", "block"] : []),
    ...["priority", number(p.priority), ...p.templates.flatMap(template)],
  ];
}

/** Templates stand in the order of the processing: the first is the innermost (ESP before AH in a bundle). */
const template = (t: KernelTemplate): readonly string[] => [
  "tmpl",
  ...(t.source === null ? [] : ["src", t.source]),
  ...(t.destination === null ? [] : ["dst", t.destination]),
  ...["proto", t.protocol, "reqid", number(t.reqid), "mode", t.mode],
  ...(t.level === "use" ? ["level", "use"] : []),
];

function selector(s: KernelSelector): readonly string[] {
  const [first, second] = TYPE_AND_CODE.includes(s.protocol) ? ["type", "code"] : ["sport", "dport"];
  return [
    ...["src", `${s.source}/${number(s.sourceLength)}`, "dst", `${s.destination}/${number(s.destinationLength)}`],
    ...(s.protocol === 0 ? [] : ["proto", number(s.protocol)]),
    ...(s.sourcePort === 0 ? [] : [first as string, number(s.sourcePort)]),
    ...(s.destinationPort === 0 ? [] : [second as string, number(s.destinationPort)]),
  ];
}

/** Digits only. A negative, broken or huge number is a bug: `ip` would read it as something else. */
function number(value: number): string {
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`${value} can't be a number of an ip command`);
  return String(value);
}

const octetsOf = (word: Word): number => (typeof word === "string" ? word.length : 2 + 2 * word.length);

function putText(line: Uint8Array, at: number, text: string): number {
  for (let i = 0; i < text.length; i++) line[at + i] = text.charCodeAt(i);
  return at + text.length;
}

const hexDigit = (nibble: number): number => nibble + (nibble < 10 ? 0x30 : 0x57);

/** "0x" and the octets in hex, without a string on the way. No octets are `""`, as "0x" would be refused. A destroyed secret throws. */
const putKey = (line: Uint8Array, at: number, secret: Secret): number =>
  secret.use((octets) => {
    let next = putText(line, at, octets.length === 0 ? EMPTY : "0x");
    for (const octet of octets) {
      line[next++] = hexDigit(octet >> 4);
      line[next++] = hexDigit(octet & 15);
    }
    return next;
  });
