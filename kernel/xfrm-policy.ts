/**
 * The text of `ip -s xfrm policy list` as policies. Those of sockets, of interfaces (`dev`, if_id), of GRE keys, of another type than main, and of protocols
 * that it only knows by a name which we don't are passed over: none of them is ours, and each stands beside ours of the same addresses.
 */
import type { KernelListing, KernelPolicy, KernelSelector, KernelTemplate, PolicyDirection } from "../ike/kernel-contract.ts";
import { canonicalAddress } from "../isakmp/address.ts";
import { protocolNumber } from "./ip-protocols.ts";
import { isOurIndex } from "./xfrm-args.ts";

/** Reads the whole output. Lines that it does not know take their policy out of the result; `onUnread` is told of each such one of ours. */
export function parsePolicies(lines: readonly string[], onUnread: () => void = () => {}): KernelListing["policies"] {
  const policies: KernelListing["policies"][number][] = [];
  let current: Draft | undefined;
  const finish = (): void => {
    if (current?.alien) return;
    if (current?.usable && current.direction)
      policies.push({
        direction: current.direction,
        selector: current.selector,
        action: current.action,
        priority: current.priority,
        templates: current.templates,
        ours: current.ours,
      });
    else if (current?.ours) onUnread();
  };
  for (const line of lines) {
    if (!/^\s/.test(line)) {
      finish();
      current = startPolicy(line);
    } else if (current) addLine(current, line.trim());
  }
  finish();
  return policies;
}

interface Draft {
  readonly selector: KernelSelector;
  direction: PolicyDirection | undefined;
  action: KernelPolicy["action"];
  priority: number;
  readonly templates: KernelTemplate[];
  ours: boolean;
  usable: boolean;
  /** Of a kind that we never make. */
  alien: boolean;
}

function startPolicy(line: string): Draft {
  const selector = parseSelector(line);
  return {
    selector: selector ?? ANY,
    direction: undefined,
    action: "allow",
    priority: 0,
    templates: [],
    ours: false,
    usable: selector !== undefined,
    alien: / (?:dev|key) /.test(line),
  };
}

/** The words of a policy of ours, and what `-s` tells besides. */
const WORDS: ReadonlySet<string | undefined> = new Set(["src", "dst", "proto", "sport", "dport", "type", "code", "uid"]);

/**
 * `src 192.0.2.1/32 dst 192.0.2.2/32 proto tcp sport 80 dport 443`; ICMP has type and code where others have ports. undefined: it is not that, or
 * something narrows it that we never ask for.
 */
export function parseSelector(line: string): KernelSelector | undefined {
  const words = line.trim().split(/\s+/);
  if (words.some((word, i) => i % 2 === 0 && !WORDS.has(word))) return undefined;
  const after = (word: string): string | undefined => words[words.indexOf(word) + 1 || words.length];
  const [source, destination] = [prefix(after("src")), prefix(after("dst"))];
  const protocol = protocolNumber(after("proto"));
  if (!source || !destination || protocol === undefined) return undefined;
  return {
    source: source.address,
    sourceLength: source.length,
    destination: destination.address,
    destinationLength: destination.length,
    protocol,
    sourcePort: Number(after("sport") ?? after("type") ?? 0),
    destinationPort: Number(after("dport") ?? after("code") ?? 0),
  };
}

const ANY: KernelSelector = {
  source: "::",
  sourceLength: 0,
  destination: "::",
  destinationLength: 0,
  protocol: 0,
  sourcePort: 0,
  destinationPort: 0,
};

function addLine(draft: Draft, line: string): void {
  const policy = /^dir (in|out|fwd)\b(?: action (\w+))?(?: index (\d+))?.*? priority (\d+)/.exec(line);
  const ends = /^tmpl src (\S+) dst (\S+)/.exec(line);
  const template = /^proto (esp|ah) (?:spi \S+ )?reqid (\d+)(?:\(\S+\))? mode (transport|tunnel)/.exec(line);
  const last = draft.templates.at(-1);
  if (policy) {
    draft.direction = policy[1] as PolicyDirection;
    draft.action = policy[2] === "block" ? "block" : "allow";
    draft.ours = policy[3] !== undefined && isOurIndex(Number(policy[3]));
    draft.priority = Number(policy[4]);
    draft.alien ||= / ptype (?!main\b)/.test(line);
  } else if (ends) draft.templates.push({ ...EMPTY, source: end(ends[1]), destination: end(ends[2]) });
  else if (template && last)
    draft.templates[draft.templates.length - 1] = {
      ...last,
      protocol: template[1] as KernelTemplate["protocol"],
      reqid: Number(template[2]),
      mode: template[3] as KernelTemplate["mode"],
    };
  else if (line.startsWith("level use") && last) draft.templates[draft.templates.length - 1] = { ...last, level: "use" };
  else if (!TOLD.test(line)) draft.usable = false;
}

/** What `-s` tells besides. */
const TOLD =
  /^(?:level required|level use|enc-mask f+ auth-mask f+ comp-mask f+$|lifetime |limit: |expire (?:add|use): |\d+\(bytes\)|add )/;

const EMPTY = { source: null, destination: null, protocol: "esp", reqid: 0, mode: "transport", level: "required" } as const;

/** An address of zeros stands for the packet's own. */
const end = (text: string | undefined): string | null =>
  text === undefined || text === "0.0.0.0" || text === "::" ? null : (canonicalAddress(text) ?? null);

function prefix(text: string | undefined): { readonly address: string; readonly length: number } | undefined {
  const [place = "", length] = (text ?? "").split("/");
  const address = canonicalAddress(place);
  return address === undefined
    ? undefined
    : { address, length: length === undefined ? (address.includes(":") ? 128 : 32) : Number(length) };
}
