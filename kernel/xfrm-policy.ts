/**
 * The text of `ip -s xfrm policy list` as policies. Those of sockets, of interfaces (`dev`, if_id), marks, GRE keys, users, security contexts, of another type than
 * main, and of protocols that it only knows by a name which we don't are passed over: none of them is ours, and each stands beside ours of the same addresses.
 * Invariant: whatever one policy says, the others are read.
 */
import type { KernelListing, KernelSelector, KernelTemplate, ListedPolicy, PolicyDirection } from "../ike/kernel-contract.ts";
import { canonicalAddress } from "../isakmp/address.ts";
import { protocolNumber } from "./ip-protocols.ts";
import { isOurIndex } from "./xfrm-args.ts";

/**
 * Reads the whole output. Of a policy with a word that none of ours has only the key, action and priority are told (`saysMore`); `onUnread` is told of
 * each that has our number, and whose key can't be read.
 */
export function parsePolicies(lines: readonly string[], onUnread: () => void = () => {}): KernelListing["policies"] {
  const policies: ListedPolicy[] = [];
  let current: Draft | undefined;
  const finish = (): void => {
    if (!current || current.isAlien) return;
    const { selector, direction, hasOurNumber } = current;
    if (selector && direction) policies.push(finished(current, selector, direction));
    else if (hasOurNumber) onUnread();
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
  /** undefined: it can't be read, or something narrows it that we never ask for. */
  readonly selector: KernelSelector | undefined;
  direction: PolicyDirection | undefined;
  action: ListedPolicy["action"];
  priority: number;
  readonly templates: KernelTemplate[];
  hasOurNumber: boolean;
  /** Something in it is none of the words of ours. */
  saysMore: boolean;
  /** Of a kind that we never make, and that stands beside ours. */
  isAlien: boolean;
}

const startPolicy = (line: string): Draft => ({
  selector: parseSelector(line),
  direction: undefined,
  action: "allow",
  priority: 0,
  templates: [],
  hasOurNumber: false,
  saysMore: false,
  isAlien: / (?:dev|key) | uid (?!0\b)/.test(line),
});

function finished(draft: Draft, selector: KernelSelector, direction: PolicyDirection): ListedPolicy {
  const { action, priority, templates, hasOurNumber, saysMore } = draft;
  return saysMore
    ? { direction, selector, action, priority, templates: [], ours: false, saysMore }
    : { direction, selector, action, priority, templates, ours: hasOurNumber };
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

function addLine(draft: Draft, line: string): void {
  const direction = /^dir (in|out|fwd)\b/.exec(line)?.[1];
  const ends = /^tmpl src (\S+) dst (\S+)$/.exec(line);
  const template = TEMPLATE.exec(line);
  const last = draft.templates.length - 1;
  const known = draft.templates[last];
  if (direction) addDirection(draft, direction as PolicyDirection, line);
  else if (ends) draft.templates.push({ ...EMPTY, source: end(ends[1]), destination: end(ends[2]) });
  else if (template && known)
    draft.templates[last] = {
      ...known,
      protocol: template[1] as KernelTemplate["protocol"],
      reqid: Number(template[2]),
      mode: template[3] as KernelTemplate["mode"],
    };
  else if (/^level use(?: share any)?$/.test(line) && known) draft.templates[last] = { ...known, level: "use" };
  else if (BESIDE.test(line)) draft.isAlien = true;
  else if (!TOLD.test(line)) draft.saysMore = true;
}

/** `dir out action allow index 9 priority 7 ptype main share any flag  (0x00000000)`: without statistics without the words that are as always. */
function addDirection(draft: Draft, direction: PolicyDirection, line: string): void {
  const after = (word: string): string | undefined => new RegExp(` ${word} (\\w+)`).exec(line)?.[1];
  draft.direction = direction;
  draft.action = after("action") === "block" ? "block" : "allow";
  draft.priority = Number(after("priority") ?? 0);
  draft.hasOurNumber = isOurIndex(Number(after("index")));
  draft.isAlien ||= (after("ptype") ?? "main") !== "main";
  draft.saysMore ||= !DIRECTION.test(line);
}

const DIRECTION =
  /^dir (?:in|out|fwd)(?: action (?:allow|block))?(?: index \d+)? priority \d+(?: ptype main)?(?: share any)?(?: flag +\(0x0+\))?$/;

/** A template of ours names no SPI, and is in force for packets of every kind. */
const TEMPLATE = /^proto (esp|ah) (?:spi 0x0+(?:\(0\))? )?reqid (\d+)(?:\(\S+\))? mode (transport|tunnel)$/;

/** Part of the key, so that such a policy leaves ours in its place. */
const BESIDE = /^(?:mark 0x|if_id |security context )/;

/** What `-s` tells besides: no end of time or volume, and how much it was used. */
const TOLD = new RegExp(
  [
    "^(?:level required(?: share any)?|enc-mask f+ auth-mask f+ comp-mask f+",
    "lifetime (?:config|current):|limit: soft \\(INF\\)\\((bytes|packets)\\), hard \\(INF\\)\\(\\1\\)",
    "expire (?:add|use): soft 0\\(sec\\), hard 0\\(sec\\)",
    "\\d+\\(bytes\\), \\d+\\(packets\\)|add .* use .*)$",
  ].join("|"),
);

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
