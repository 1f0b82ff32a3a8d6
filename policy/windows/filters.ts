/**
 * Filters of Windows as filters of ours: the arrow says whether it is mirrored, the left side is the source.
 */
import { formatRange, parseAddress, prefixRange } from "../../isakmp/address.ts";
import { err, ok, type Result } from "../../isakmp/result.ts";
import type { Code } from "./diagnostics.ts";
import type { WindowsFilter } from "./store.ts";
import type { WindowsAddress } from "./values.ts";

export interface FilterFault {
  readonly code: Code;
  readonly what: string;
}

/** The text of a filter in our configuration, such as `me <-> 10.0.0.0/8:445 tcp`. Errors are findings. */
export function ourFilter(filter: WindowsFilter): Result<string, FilterFault> {
  const [left, right] = ourSides(filter);
  if (!left.ok) return left;
  if (!right.ok) return right;
  if (left.value === "me" && right.value === "me")
    return err({ code: "E_FILTER", what: "both sides are me; a host's traffic with itself needs no protection" });
  const families = [familyOf(filter.source), familyOf(filter.destination)].filter((family) => family !== undefined);
  if (new Set(families).size > 1) return err({ code: "E_FILTER", what: "one side is IPv4 and the other IPv6" });
  const arrow = filter.mirrored ? "<->" : "->";
  const ends = `${withPort(left.value, filter.sourcePort)} ${arrow} ${withPort(right.value, filter.destinationPort)}`;
  const protocol = ourProtocol(filter.protocol, families[0]);
  return ok(protocol === "" ? ends : `${ends} ${protocol}`);
}

/** The two sides without ports, source first. */
export const ourSides = (filter: WindowsFilter): readonly [Result<string, FilterFault>, Result<string, FilterFault>] => [
  ourSide(filter.source, filter.sourceMask),
  ourSide(filter.destination, filter.destinationMask),
];

function ourSide(side: WindowsAddress, mask: number | null): Result<string, FilterFault> {
  switch (side.kind) {
    case "me":
      return mask === null || mask === 32 ? ok("me") : err({ code: "E_BAD_MASK", what: `me with a mask of /${mask}` });
    case "any":
      return mask === null || mask === 0 ? ok("any") : err({ code: "E_BAD_MASK", what: `any with a mask of /${mask}` });
    case "server":
      return side.server === "wins" ? err({ code: "E_WINS", what: "the filter is for WINS servers" }) : ok(side.server);
    case "range":
      return ok(`${side.first}-${side.last}`);
    case "name":
      return mask === null || mask === 32
        ? ok(side.name)
        : err({ code: "E_BAD_MASK", what: `the name ${side.name} with a mask of /${mask}` });
    case "address":
      return side.length !== null && mask !== null && side.length !== mask
        ? err({ code: "E_BAD_MASK", what: `${side.address}/${side.length} with a mask of /${mask}` })
        : subnet(side.address, side.length ?? mask);
  }
}

function subnet(text: string, length: number | null): Result<string, FilterFault> {
  const address = parseAddress(text);
  if (!address) return err({ code: "E_FILTER", what: `${text} is no address` });
  const bits = address.family === 4 ? 32 : 128;
  if (length !== null && length > bits) return err({ code: "E_BAD_MASK", what: `a mask of /${length} on ${text}` });
  if (length === null || length === bits)
    return address.value === 0n ? err({ code: "E_FILTER", what: `${text} is no host; write any, or a mask of 0` }) : ok(text);
  return ok(formatRange(prefixRange(address.family, (address.value >> BigInt(bits - length)) << BigInt(bits - length), length)));
}

const withPort = (side: string, port: number): string => (port === 0 ? side : side.includes(":") ? `[${side}]:${port}` : `${side}:${port}`);

function familyOf(side: WindowsAddress): 4 | 6 | undefined {
  const text = side.kind === "address" ? side.address : side.kind === "range" ? side.first : undefined;
  return text === undefined ? undefined : parseAddress(text)?.family;
}

/** ICMP has another number on IPv6. */
function ourProtocol(protocol: number, family: 4 | 6 | undefined): string {
  if (protocol === 1) return family === 6 ? "icmpv6" : "icmp";
  return PROTOCOLS.get(protocol) ?? (protocol === 0 ? "" : String(protocol));
}

const PROTOCOLS: ReadonlyMap<number, string> = new Map([
  [6, "tcp"],
  [17, "udp"],
  [58, "icmpv6"],
]);
