/**
 * A filter of ours, by its text, as one of Windows.
 */
import { canonicalAddress } from "../../isakmp/address.ts";
import { err, ok, type Result } from "../../isakmp/result.ts";
import { parseProtocol } from "../filter.ts";
import type { Place } from "./diagnostics.ts";
import type { WindowsFilter } from "./store.ts";
import { readValue, type WindowsAddress } from "./values.ts";

/** Reads `me <-> 10.0.0.0/8:445 tcp`. The error says what Windows can't express. */
export function windowsFilter(text: string, at: Place): Result<WindowsFilter, string> {
  const [, left = "", arrow = "", right = "", protocolText] = /^\s*(\S+)\s*(<->|->|<-)\s*(\S+)(?:\s+(\S+))?\s*$/.exec(text) ?? [];
  if (arrow === "") return err(`${JSON.stringify(text)} is no filter`);
  const [a, b] = [readEnd(left), readEnd(right)];
  const protocol = parseProtocol(protocolText);
  if (!a || !b || !protocol.ok) return err(`${JSON.stringify(text)} can't be said in Windows' terms`);
  const [source, destination] = arrow === "<-" ? [b, a] : [a, b];
  return ok({
    line: at.line,
    column: at.column,
    source: source.address,
    destination: destination.address,
    sourceMask: source.mask,
    destinationMask: destination.mask,
    // Windows has one name for ICMP of both families; that of IPv6 alone has its number where no address tells them apart.
    protocol: protocol.value === 58 && [a, b].some(({ address }) => isSix(address)) ? 1 : protocol.value,
    sourcePort: source.port,
    destinationPort: destination.port,
    mirrored: arrow === "<->",
    description: "",
  });
}

const isSix = (side: WindowsAddress): boolean =>
  (side.kind === "address" ? side.address : side.kind === "range" ? side.first : "").includes(":");

interface End {
  readonly address: WindowsAddress;
  readonly mask: number | null;
  readonly port: number;
}

function readEnd(text: string): End | undefined {
  const [, bracketed, bracketPort] = /^\[([^\]]*)\](?::(\d+))?$/.exec(text) ?? [];
  const single = bracketed === undefined && text.split(":").length === 2;
  const place = bracketed ?? (single ? text.slice(0, text.indexOf(":")) : text);
  const port = Number(bracketPort ?? (single ? text.slice(text.indexOf(":") + 1) : "0"));
  const [address = "", length] = place.split("/", 2);
  if (length !== undefined && canonicalAddress(address) !== undefined && /^\d+$/.test(length))
    return { address: { kind: "address", address: canonicalAddress(address) as string, length: null }, mask: Number(length), port };
  const read = readValue("address", place);
  return read.ok && read.value.kind === "address" ? { address: read.value.address, mask: null, port } : undefined;
}
