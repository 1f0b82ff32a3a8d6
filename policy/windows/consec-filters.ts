/**
 * Endpoints and ports of a connection security rule as filters of ours. Endpoint 1 is this host's side, unless one of its addresses (`--local`) is
 * found on the other one only: then the rule was written for the peer, and is turned.
 */
import { includesAddress, parseRange } from "../../isakmp/address.ts";
import { fieldOf, type Values } from "./consec-store.ts";
import type { PortRange } from "./consec-values.ts";
import type { Code, Findings, Place } from "./diagnostics.ts";
import { ourFilter } from "./filters.ts";
import type { WindowsAddress } from "./values.ts";

/** What a rule is about: its filters, and its tunnel's ends. */
export interface ConsecTraffic {
  readonly filters: readonly string[];
  /** null: transport mode. An end that is null is any. */
  readonly tunnel: { readonly local: string | null; readonly remote: string | null } | null;
  /** Sides as they are for this host. */
  readonly local: readonly WindowsAddress[];
  readonly remote: readonly WindowsAddress[];
}

/** Ranges of ports are written out up to this size, and rules up to this many filters. */
const WIDEST = 32;
const MOST = 2048;

/** The traffic of a rule; what can't be said in our filters is reported, and no filter at all is, too. */
export function trafficOf(
  rule: Place & { readonly name: string; readonly values: Values },
  ours: readonly string[],
  findings: Findings,
): ConsecTraffic {
  const { values } = rule;
  const sides = (field: "endpoint1" | "endpoint2") => fieldOf(values, field, "sides");
  const ports = (field: "port1" | "port2") => fieldOf(values, field, "ports");
  for (const given of [sides("endpoint1"), sides("endpoint2"), ports("port1"), ports("port2")])
    for (const what of given?.lost ?? []) findings.say("E_FILTER", given ?? rule, `rule ${JSON.stringify(rule.name)}: ${what}`);
  const tunnelled = fieldOf(values, "mode", "words")?.words[0] === "tunnel";
  const ends = [fieldOf(values, "end1", "end")?.end ?? null, fieldOf(values, "end2", "end")?.end ?? null] as const;
  const [one, two] = [sides("endpoint1")?.sides ?? [], sides("endpoint2")?.sides ?? []];
  const turned = tunnelled ? has(ends[1], ours) && !has(ends[0], ours) : within(two, ours) && !within(one, ours) && one.length > 0;
  const numbers = [ports("port1")?.ports ?? [], ports("port2")?.ports ?? []] as const;
  const [local, remote] = turned ? [two, one] : [one, two];
  const [localPorts, remotePorts] = turned ? [numbers[1], numbers[0]] : numbers;
  const tunnel = tunnelled ? (turned ? { local: ends[1], remote: ends[0] } : { local: ends[0], remote: ends[1] }) : null;
  const empty = (field: "endpoint1" | "endpoint2" | "port1" | "port2") => {
    const given = values.get(field)?.value;
    return (
      (given?.kind === "sides" && given.sides.length === 0 && given.lost.length > 0) ||
      (given?.kind === "ports" && given.ports.length === 0 && given.lost.length > 0)
    );
  };
  const nothing = (["endpoint1", "endpoint2", "port1", "port2"] as const).some(empty);
  const protocol = fieldOf(values, "protocol", "number")?.number ?? 0;
  const combined = nothing ? [] : combine({ local, remote, localPorts, remotePorts, protocol, tunnelled }, rule, findings);
  if (combined.length === 0)
    findings.say("E_FILTER", rule, `no filter of rule ${JSON.stringify(rule.name)} could be taken over; it is a comment`);
  return { filters: combined, tunnel, local, remote };
}

const has = (end: string | null, ours: readonly string[]): boolean => end !== null && ours.includes(end);

/** Whether one of our addresses is among the sides. */
const within = (sides: readonly WindowsAddress[], ours: readonly string[]): boolean =>
  sides.some((side) => {
    const range = rangeOf(side);
    return range !== undefined && ours.some((address) => includesAddress(range, address));
  });

/** The addresses of a side that is an address, subnet or range. */
export function rangeOf(side: WindowsAddress): ReturnType<typeof parseRange> {
  if (side.kind === "range") return parseRange(`${side.first}-${side.last}`);
  return side.kind === "address" ? parseRange(side.length === null ? side.address : `${side.address}/${side.length}`) : undefined;
}

interface Parts {
  readonly local: readonly WindowsAddress[];
  readonly remote: readonly WindowsAddress[];
  readonly localPorts: readonly PortRange[];
  readonly remotePorts: readonly PortRange[];
  readonly protocol: number;
  readonly tunnelled: boolean;
}

/** Every pair of sides with every pair of ports. */
function combine(parts: Parts, rule: Place & { readonly name: string }, findings: Findings): readonly string[] {
  const refuse = (code: Code, what: string): readonly string[] => {
    findings.say(code, rule, `rule ${JSON.stringify(rule.name)}: ${what}`);
    return [];
  };
  const [near, far] = [portsOf(parts.localPorts), portsOf(parts.remotePorts)];
  if (!near || !far) return refuse("E_FILTER", `a range of more than ${WIDEST} ports; filters have single ports here`);
  const locals: readonly WindowsAddress[] = parts.local.length > 0 ? parts.local : [{ kind: parts.tunnelled ? "any" : "me" }];
  const remotes: readonly WindowsAddress[] = parts.remote.length > 0 ? parts.remote : [{ kind: "any" }];
  if (locals.length * remotes.length * near.length * far.length > MOST) return refuse("E_LIMIT", `more than ${MOST} filters`);
  const filters = new Set<string>();
  let fault: { readonly code: Code; readonly what: string } | undefined;
  for (const source of locals)
    for (const destination of remotes)
      for (const sourcePort of near)
        for (const destinationPort of far) {
          const text = filterText(source, destination, sourcePort, destinationPort, parts.protocol);
          if (text.ok) filters.add(text.value);
          // Families are mixed in lists, and only equal ones go together.
          else fault ??= text.error;
        }
  return filters.size === 0 && fault ? refuse(fault.code, fault.what) : [...filters];
}

function portsOf(ranges: readonly PortRange[]): readonly number[] | undefined {
  if (ranges.some(({ first, last }) => last - first >= WIDEST)) return undefined;
  const ports = ranges.flatMap(({ first, last }) => Array.from({ length: last - first + 1 }, (_, i) => first + i));
  return ports.length > 0 ? ports : [0];
}

/** Servers on our side and everybody on the other: it is the servers that are far away. */
function filterText(source: WindowsAddress, destination: WindowsAddress, sourcePort: number, destinationPort: number, protocol: number) {
  const server = source.kind === "server" && destination.kind === "any";
  const place = { line: 0, column: 0, sourceMask: null, destinationMask: null, mirrored: true, description: "" };
  return ourFilter({
    ...place,
    source: server ? { kind: "me" } : source,
    destination: server ? source : destination,
    sourcePort: server ? destinationPort : sourcePort,
    destinationPort: server ? sourcePort : destinationPort,
    protocol,
  });
}
