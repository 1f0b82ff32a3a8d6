/**
 * The text of `ip xfrm monitor acquire expire`, `policy` and `nokeys` as kernel events. A record starts at a line that begins with no blank.
 * Invariant: whatever is unknown, incomplete or not ours to read is counted and passed over; one line and one record are all that is kept.
 */
import type { KernelEvent, PolicyDirection, SaProtocol } from "../ike/kernel-contract.ts";
import { canonicalAddress } from "../isakmp/address.ts";
import { protocolNumber } from "./ip-protocols.ts";
import { lineReader } from "./lines.ts";
import { parseSelector } from "./xfrm-policy.ts";

export interface XfrmMonitor {
  /** Takes the next octets, fills them with zeros, and returns the events that they complete. */
  push(chunk: Uint8Array): readonly KernelEvent[];
  /** Records that gave no event: other objects, other protocols, broken ones. */
  readonly ignored: number;
}

/** A parser at the start of the monitor's output. */
export function xfrmMonitor(): XfrmMonitor {
  const lines = lineReader();
  let record: Reading | undefined;
  let ignored = 0;
  /** An event is complete before its record is, so that no event waits for the next one. */
  const take = (line: string): KernelEvent | undefined => {
    if (!/^[ \t]/.test(line)) {
      if (record) ignored++;
      record = undefined;
      if (line === "") return undefined;
      const first = line.replace(/^\[nsid [^\]]*\]/, "");
      if (/^Flushed policy\b/.test(first)) return { type: "policy-gone", policy: null };
      record = begin(first);
      if (!record) ignored++;
      return undefined;
    }
    const event = record?.read(line.trim());
    if (event) record = undefined;
    return event;
  };
  return {
    push: (chunk) =>
      lines
        .push(chunk)
        .map(take)
        .filter((event) => event !== undefined),
    get ignored() {
      return ignored;
    },
  };
}

/** A record of which more lines are awaited. */
interface Reading {
  /** Takes a line without its indentation; the event once the record has told enough. */
  read(line: string): KernelEvent | undefined;
}

function begin(line: string): Reading | undefined {
  const acquired = /^acquire proto (esp|ah) /.exec(`${line} `);
  if (acquired) return acquire(acquired[1] as SaProtocol);
  const moved = /^Mapping change \S+:\d+ -> (\S+):(\d+)/.exec(line);
  if (moved) return mapping(canonicalAddress(moved[1] ?? ""), Number(moved[2]));
  const deleted = /^Deleted (src \S+\/\d.*)/.exec(line);
  if (deleted) return removal(deleted[1] ?? "");
  const updated = /^Updated (src \S+\/\d.*)/.exec(line);
  if (updated) return change(updated[1] ?? "");
  const expired = /^Expired src (\S+) dst (\S+)/.exec(line);
  const [source, destination] = [canonicalAddress(expired?.[1] ?? ""), canonicalAddress(expired?.[2] ?? "")];
  return source && destination ? expire(source, destination) : undefined;
}

/** The packet stands in `sel`; the reqid in that template whose protocol has no SA, which in a bundle need not be the first. */
function acquire(protocol: SaProtocol): Reading {
  let packet: ReturnType<typeof packetOf>;
  return {
    read(line) {
      if (line.startsWith("sel ")) packet = packetOf(line);
      const template = /^proto (\w+) .*\breqid (\d+)/.exec(line);
      if (!packet || template?.[1] !== protocol) return undefined;
      return { type: "acquire", protocol, reqid: Number(template[2]), ...packet };
    },
  };
}

function expire(source: string, destination: string): Reading {
  let named: { protocol: SaProtocol; spi: number; reqid: number } | undefined;
  return {
    read(line) {
      const id = /^proto (esp|ah) spi (0x[0-9a-f]{1,8})\b.* reqid (\d+)/.exec(line);
      if (id) named = { protocol: id[1] as SaProtocol, spi: Number(id[2]), reqid: Number(id[3]) };
      const hard = /^hard ([01])$/.exec(line);
      if (!named || !hard) return undefined;
      const { protocol, spi, reqid } = named;
      return { type: "expire", hard: hard[1] === "1", sa: { source, destination, protocol, spi }, reqid };
    },
  };
}

/** A policy: an SA has addresses without a length. A policy that we can't read is none of ours. */
function removal(line: string): Reading | undefined {
  const selector = parseSelector(line);
  if (!selector) return undefined;
  return {
    read(line) {
      const direction = /^dir (in|out|fwd)\b/.exec(line)?.[1] as PolicyDirection | undefined;
      return direction && { type: "policy-gone", policy: { direction, selector } };
    },
  };
}

/** The same of one that was changed. Its templates follow; where its record ends, only the next one tells. */
function change(line: string): Reading | undefined {
  const selector = parseSelector(line);
  if (!selector) return undefined;
  return {
    read(line) {
      const [, direction, action, priority] = /^dir (in|out|fwd)\b(?: action (\w+))?(?:.*? priority (\d+))?/.exec(line) ?? [];
      if (!direction || / ptype (?!main\b)/.test(line)) return undefined;
      // Whatever it is now.
      if (priority === undefined) return { type: "policy-gone", policy: { direction: direction as PolicyDirection, selector } };
      const policy = {
        direction: direction as PolicyDirection,
        selector,
        action: action === "block" ? action : "allow",
        priority: Number(priority),
      } as const;
      return { type: "policy-changed", policy };
    },
  };
}

/** `dst 192.0.2.1  reqid 0x6d6d0001 protocol esp  SPI 0xc0000001`; the kernel tells it once the packet's integrity is proved. */
function mapping(address: string | undefined, port: number): Reading | undefined {
  if (address === undefined || !(port > 0 && port < 65536)) return undefined;
  return {
    read(line) {
      const named = /^dst (\S+) .*\bprotocol (esp|ah) +SPI 0x([0-9a-f]{1,8})\b/.exec(line);
      const destination = canonicalAddress(named?.[1] ?? "");
      if (!named || !destination) return undefined;
      const sa = { destination, protocol: named[2] as SaProtocol, spi: Number.parseInt(named[3] ?? "", 16) };
      return { type: "mapping", sa, from: { address, port } };
    },
  };
}

/** `sel src A/32 dst B/32 proto tcp sport 0 dport 80 dev eth0`; undefined where an address or a protocol makes no sense. */
export function packetOf(line: string) {
  const words = line.split(/ +/);
  const after = (word: string): string | undefined => (words.includes(word) ? words[words.indexOf(word) + 1] : undefined);
  const source = canonicalAddress((after("src") ?? "").replace(/\/\d+$/, ""));
  const destination = canonicalAddress((after("dst") ?? "").replace(/\/\d+$/, ""));
  const ipProtocol = protocolNumber(after("proto"));
  if (!source || !destination || ipProtocol === undefined) return undefined;
  return { source, destination, ipProtocol, sourcePort: portOf(after("sport")), destinationPort: portOf(after("dport")) };
}

const portOf = (word: string | undefined): number => (word !== undefined && /^\d{1,5}$/.test(word) ? Number(word) & 0xffff : 0);
