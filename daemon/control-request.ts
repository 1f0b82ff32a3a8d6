/**
 * Reads what a client of the control socket wrote. Clients may be hostile: only the shapes of `Request` get through, with no further members.
 */
import { canonicalAddress } from "../isakmp/address.ts";
import { err, ok, type Result } from "../isakmp/result.ts";
import type { Request } from "./control-protocol.ts";

type Target = Extract<Request, { command: "terminate" }>["target"];
type Members = Readonly<Record<string, unknown>>;

/** A request from one line of JSON, or what is wrong with it. */
export function parseRequest(line: string): Result<Request, string> {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return err("the request is no JSON");
  }
  if (!isObject(value)) return err("the request is no JSON object");
  const read = typeof value["command"] === "string" ? READERS.get(value["command"]) : undefined;
  if (!read) return err(`unknown command ${JSON.stringify(value["command"])?.slice(0, 80) ?? "(none)"}`);
  const request = read(value);
  return request ? ok(request) : err(`wrong members for the command ${value["command"]}`);
}

const READERS: ReadonlyMap<string, (members: Members) => Request | undefined> = new Map([
  ["initiate", readInitiate],
  ["terminate", readTerminate],
  ["status", (members) => (has(members, ["command"]) ? { command: "status" } : undefined)],
  ["reload", (members) => (has(members, ["command"]) ? { command: "reload" } : undefined)],
  ["rule", readRule],
  ["export", readExport],
  ["shutdown", readShutdown],
  ["why", readWhy],
  ["stats", readStats],
  ["subscribe", readSubscribe],
  ["trace", readTrace],
  ["last-failure", readLastFailure],
  ["report", (members) => (has(members, ["command"]) ? { command: "report" } : undefined)],
  ["policy", (members) => (has(members, ["command"]) ? { command: "policy" } : undefined)],
]);

function readInitiate(members: Members): Request | undefined {
  const { rule, peer, wait } = members;
  if (!has(members, ["command", "rule", "wait"], ["peer"]) || !isName(rule) || !isWait(wait)) return undefined;
  if (peer === undefined) return { command: "initiate", rule, wait };
  return isName(peer) ? { command: "initiate", rule, peer, wait } : undefined;
}

function readTerminate(members: Members): Request | undefined {
  const target = has(members, ["command", "target"]) && isObject(members["target"]) ? readTarget(members["target"]) : undefined;
  return target && { command: "terminate", target };
}

function readTarget(members: Members): Target | undefined {
  const { kind, rule, id } = members;
  if (kind === "all") return has(members, ["kind"]) ? { kind } : undefined;
  if (kind === "rule") return has(members, ["kind", "rule"]) && isName(rule) ? { kind, rule } : undefined;
  if (kind !== "ike" && kind !== "child") return undefined;
  return has(members, ["kind", "id"]) && typeof id === "number" && Number.isSafeInteger(id) && id >= 0 ? { kind, id } : undefined;
}

function readShutdown(members: Members): Request | undefined {
  const { keep } = members;
  return has(members, ["command", "keep"]) && typeof keep === "boolean" ? { command: "shutdown", keep } : undefined;
}

function readExport(members: Members): Request | undefined {
  const { mirror, peer } = members;
  if (!has(members, ["command"], ["mirror", "peer"])) return undefined;
  if (mirror === undefined) return peer === undefined ? { command: "export" } : undefined;
  if (!isName(mirror)) return undefined;
  if (peer === undefined) return { command: "export", mirror };
  return isName(peer) ? { command: "export", mirror, peer } : undefined;
}

function readRule(members: Members): Request | undefined {
  const { add, delete: name } = members;
  if (has(members, ["command", "add"]) && typeof add === "string") return { command: "rule", add };
  return has(members, ["command", "delete"]) && isName(name) ? { command: "rule", delete: name } : undefined;
}

function readWhy(members: Members): Request | undefined {
  const { src, dst, protocol, sport, dport } = members;
  if (!has(members, ["command", "src", "dst", "protocol", "sport", "dport"]) || !isName(src) || !isName(dst)) return undefined;
  if (!isUpTo(protocol, 255) || !isUpTo(sport, 65_535) || !isUpTo(dport, 65_535)) return undefined;
  return { command: "why", src, dst, protocol, sport, dport };
}

function readStats(members: Members): Request | undefined {
  const { form } = members;
  if (!has(members, ["command", "form"]) || (form !== "document" && form !== "prometheus")) return undefined;
  return { command: "stats", form };
}

/** Snapshots an hour apart at most: whoever wants fewer asks for `status`. */
function readSubscribe(members: Members): Request | undefined {
  const { recent, snapshots } = members;
  if (!has(members, ["command", "recent", "snapshots"]) || !isUpTo(recent, 200) || typeof snapshots !== "number") return undefined;
  return snapshots === 0 || (snapshots >= 0.2 && snapshots <= 3600) ? { command: "subscribe", recent, snapshots } : undefined;
}

function readTrace(members: Members): Request | undefined {
  const { peer, keys } = members;
  if (!has(members, ["command", "keys"], ["peer"]) || typeof keys !== "boolean") return undefined;
  if (peer === undefined) return { command: "trace", keys };
  return isName(peer) ? { command: "trace", peer: canonicalAddress(peer) ?? peer, keys } : undefined;
}

function readLastFailure(members: Members): Request | undefined {
  const { peer } = members;
  if (!has(members, ["command"], ["peer"])) return undefined;
  if (peer === undefined) return { command: "last-failure" };
  return isName(peer) ? { command: "last-failure", peer: canonicalAddress(peer) ?? peer } : undefined;
}

const isUpTo = (value: unknown, most: number): value is number =>
  typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= most;

const isObject = (value: unknown): value is Members => typeof value === "object" && value !== null && !Array.isArray(value);

const isName = (value: unknown): value is string => typeof value === "string" && value.length > 0 && value.length <= 1024;

/** Seconds, a day at most. */
const isWait = (value: unknown): value is number => typeof value === "number" && value >= 0 && value <= 86_400;

/** Whether the members are the required ones and perhaps some of the others. */
const has = (members: Members, required: readonly string[], others: readonly string[] = []): boolean =>
  required.every((name) => name in members) && Object.keys(members).every((name) => required.includes(name) || others.includes(name));
