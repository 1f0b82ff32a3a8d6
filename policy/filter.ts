/**
 * Filters as text: `me <-> 10.1.0.0/16:445 tcp` (interface.md §2). The result has the local side first, whichever side `me` stood on.
 *
 *   filter := side arrow side [protocol]        side := place [":" port] | "[" IPv6 place "]" [":" port]
 *   arrow  := "<->" (mirrored) | "->" | "<-"    place := "me" | "any" | ADDRESS | ADDRESS "/" LENGTH | FIRST "-" LAST | NAME
 *   NAME   := "dns" | "dhcp" | "gateway" | a host name with a dot
 */
import { type Family, formatRange, parseRange } from "../isakmp/address.ts";
import { IP_PROTOCOL } from "../isakmp/numbers.ts";
import { isNamed, nameOf } from "../isakmp/registry.ts";
import { err, ok, type Result } from "../isakmp/result.ts";
import type { Filter, Side } from "./types.ts";

/** Reads a filter. Errors say what to write instead. */
export function parseFilter(text: string): Result<Filter, string> {
  const [, leftText, arrow, rightText, protocolText, rest] =
    /^\s*(\S+)\s*?(<->|->|<-)\s*(\S+)(?:\s+(\S+))?(?:\s+(.*\S))?\s*$/s.exec(spaced(text)) ?? [];
  if (leftText === undefined || rightText === undefined)
    return err(`${quote(text)} is no filter; write "me <-> 192.0.2.2" or "me <-> 10.1.0.0/16:445 tcp"`);
  if (rest !== undefined) return err(`${quote(text)}: ${quote(rest)} after the protocol is too much`);
  const [left, right] = [parseEnd(leftText), parseEnd(rightText)];
  if (!left.ok) return left;
  if (!right.ok) return right;
  const protocol = parseProtocol(protocolText);
  if (!protocol.ok) return protocol;
  const isTurned = right.value.side.kind === "me";
  const [local, remote] = isTurned ? [right.value, left.value] : [left.value, right.value];
  const direction = arrow === "<->" ? "both" : (arrow === "->") === isTurned ? "in" : "out";
  const wrong = contradiction(local, remote, protocol.value);
  if (wrong !== undefined) return err(`${quote(text)}: ${wrong}`);
  const [localPort, remotePort] = [local.port, remote.port];
  return ok({ text, local: local.side, remote: remote.side, direction, protocol: protocol.value, localPort, remotePort });
}

/** Reads the name or number of an IP protocol; nothing and `any` are 0. */
export function parseProtocol(text: string | undefined): Result<number, string> {
  const name = (text ?? "any").toLowerCase();
  const known = Object.entries(IP_PROTOCOL).find(([candidate]) => candidate === name);
  if (known) return ok(known[1]);
  if (/^\d{1,3}$/.test(name) && Number(name) <= 255) return ok(Number(name));
  return err(`unknown protocol ${quote(text ?? "")}; known are ${Object.keys(IP_PROTOCOL).join(", ")}, and numbers up to 255`);
}

/** The text that `parseProtocol` reads. */
export const formatProtocol = (protocol: number): string =>
  isNamed(IP_PROTOCOL, protocol) ? nameOf(IP_PROTOCOL, protocol) : String(protocol);

/** Whether a protocol has ports: TCP, UDP and SCTP. */
export const hasPorts = (protocol: number): boolean =>
  protocol === IP_PROTOCOL.tcp || protocol === IP_PROTOCOL.udp || protocol === IP_PROTOCOL.sctp;

/** The family that a side is limited to, or undefined where it is of both. */
export const familyOf = (side: Side): Family | undefined => (side.kind === "range" ? side.range.family : undefined);

interface End {
  readonly side: Side;
  readonly port: number;
}

const quote = (text: string): string => JSON.stringify(text);

/** Arrows with blanks round them, so that `a<->b` and a range `a - b` read like their spaced and unspaced twins. */
const spaced = (text: string): string =>
  text.replace(/\s*(<->|->|<-(?!>))\s*/g, " $1 ").replace(/(?<=[0-9a-fA-F:])\s+-\s+(?=[0-9a-fA-F:])/g, "-");

function parseEnd(text: string): Result<End, string> {
  const { place, port: portText } = splitPort(text);
  const side = parseSide(place);
  if (!side.ok) return side;
  if (portText === undefined) return ok({ side: side.value, port: 0 });
  if (/^\d{1,5}$/.test(portText) && Number(portText) >= 1 && Number(portText) <= 65535)
    return ok({ side: side.value, port: Number(portText) });
  return err(`${quote(text)}: ${quote(portText)} is no port; one port from 1 to 65535 is possible, or none for all of them`);
}

/** A side without its port, and the port as it is written. An IPv6 address with a port needs brackets; one without may have them. */
export function splitPort(text: string): { readonly place: string; readonly port: string | undefined } {
  const [, bracketed, after] = /^\[([^\]]*)\](?::(.*))?$/.exec(text) ?? [];
  if (bracketed !== undefined) return { place: bracketed, port: after };
  const colons = text.split(":").length - 1;
  if (colons !== 1) return { place: text, port: undefined };
  const at = text.indexOf(":");
  return { place: text.slice(0, at), port: text.slice(at + 1) };
}

/** Whose addresses a side means, in words. */
export function sideText(side: Side): string {
  if (side.kind === "range") return formatRange(side.range);
  if (side.kind === "me") return "an address of this host";
  return side.kind === "any" ? "any" : side.name;
}

function parseSide(place: string): Result<Side, string> {
  const word = place.toLowerCase();
  if (word === "me" || word === "any") return ok({ kind: word });
  const range = parseRange(place);
  if (range) return ok({ kind: "range", range });
  if (isDynamic(word) || HOST_NAME.test(word)) return ok({ kind: "name", name: word });
  const hint = /^[^/]*:[^/]*\/\d+:\d+$/.test(place) ? `; write [${place.replace(/:(\d+)$/, "]:$1")} for a port` : "";
  return err(`${quote(place)} is not me, any, an address, a subnet (10.1.0.0/16), a range (10.1.0.1-10.1.0.9) or a host name${hint}`);
}

/** At least two labels, the last of them no number: neither a slip of the pen nor a broken address is a name. */
const HOST_NAME = /^(?=.{1,253}$)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+(?=[a-z0-9-]*[a-z])[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/** Sets of addresses that follow this host's surroundings. */
export const DYNAMIC_SETS = ["dns", "dhcp", "gateway"] as const;
export type DynamicSet = (typeof DYNAMIC_SETS)[number];
/** Whether a name is one of them, and no host. */
export const isDynamic = (name: string): name is DynamicSet => DYNAMIC_SETS.some((set) => set === name);

function contradiction(local: End, remote: End, protocol: number): string | undefined {
  if (local.side.kind === "name" && remote.side.kind === "name") return "both sides are names; write me for one of them";
  if (remote.side.kind === "me") return "both sides are me; traffic of this host with itself is never protected";
  const [localFamily, remoteFamily] = [familyOf(local.side), familyOf(remote.side)];
  if (localFamily && remoteFamily && localFamily !== remoteFamily) return "one side is IPv4 and the other IPv6";
  if ((local.port || remote.port) && !hasPorts(protocol)) return `a port needs a protocol that has ports; add tcp, udp or sctp at the end`;
  const family = localFamily ?? remoteFamily;
  if (protocol === IP_PROTOCOL.icmp && family === 6) return "icmp of IPv6 is called icmpv6";
  if (protocol === IP_PROTOCOL.icmpv6 && family === 4) return "icmpv6 between IPv4 addresses does not exist; write icmp";
  return undefined;
}
