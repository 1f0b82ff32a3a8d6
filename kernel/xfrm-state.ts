/**
 * The text of `ip -s xfrm state` (list or get) as counters.
 * Invariant: keys that the text may hold are dropped as octets and never become strings; one line and one record are all that is kept.
 */
import type { Acquire, SaCounters, SaKey, SaProtocol } from "../ike/kernel-contract.ts";
import { canonicalAddress } from "../isakmp/address.ts";
import { lineReader } from "./lines.ts";
import { packetOf } from "./xfrm-monitor.ts";

export interface StateRecord {
  readonly sa: SaKey;
  readonly reqid: number;
  readonly counters: SaCounters;
  /** No time limit ends it. */
  readonly endless: boolean;
  /** The packet of a larval state (SPI 0): what the kernel waits for, on behalf of which traffic. */
  readonly asked?: Acquire;
}

export interface XfrmStates {
  /** Takes the next octets, fills them with zeros, and returns the records whose counters they complete. */
  push(chunk: Uint8Array): readonly StateRecord[];
}

/** A parser at the start of the output. SAs of other protocols than ESP and AH are passed over. */
export function xfrmStates(): XfrmStates {
  const lines = lineReader();
  let ends: { source: string; destination: string } | undefined;
  let id: { protocol: SaProtocol; spi: number; reqid: number } | undefined;
  let current = false;
  let endless = false;
  let packet: ReturnType<typeof packetOf>;
  const take = (line: string): StateRecord | undefined => {
    if (!line.startsWith("\t") && !line.startsWith(" ")) {
      ends = addresses(line);
      id = undefined;
      current = false;
      endless = false;
      packet = undefined;
      return undefined;
    }
    if (!ends) return undefined;
    id ??= identity(line);
    endless ||= ENDLESS.test(line);
    if (id?.spi === 0 && line.startsWith("\tsel ")) packet = packetOf(line.trim());
    const counters = current ? lifetime(line) : undefined;
    current = line.endsWith("lifetime current:");
    if (!id || !counters) return undefined;
    const { protocol, spi, reqid } = id;
    const asked = packet && ({ type: "acquire", protocol, reqid, ...packet } as const);
    return { sa: { ...ends, protocol, spi }, reqid, counters, endless, ...(asked ? { asked } : {}) };
  };
  return {
    push: (chunk) =>
      lines
        .push(chunk)
        .map(take)
        .filter((record) => record !== undefined),
  };
}

function addresses(line: string) {
  const match = /^src (\S+) dst (\S+)/.exec(line);
  const [source, destination] = [canonicalAddress(match?.[1] ?? ""), canonicalAddress(match?.[2] ?? "")];
  return source && destination ? { source, destination } : undefined;
}

/** `proto esp spi 0xc0000001(3221225473) reqid 9(0x00000009) mode transport` */
function identity(line: string) {
  const match = /^\s+proto (esp|ah) spi (0x[0-9a-f]{1,8})\b\S* reqid (\d+)/.exec(line);
  return match ? { protocol: match[1] as SaProtocol, spi: Number(match[2]), reqid: Number(match[3]) } : undefined;
}

/** `expire add: soft 0(sec), hard 0(sec)` */
const ENDLESS = /^\s+expire add: .* hard 0\(sec\)/;

/** `924(bytes), 3(packets)`. Beyond 2^53 octets the number is the nearest one that JavaScript has. */
function lifetime(line: string): SaCounters | undefined {
  const match = /^\s+(\d+)\(bytes\), (\d+)\(packets\)/.exec(line);
  return match ? { octets: Number(match[1]), packets: Number(match[2]) } : undefined;
}
