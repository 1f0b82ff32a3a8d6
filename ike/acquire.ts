/**
 * Traffic that asks for protection, through the kernel or since a start finds that there was some.
 */
import { type PacketSelector, selectorKey, turned } from "../policy/packet-selector.ts";
import { formatSelector, hasNoPeer, isReachable } from "../policy/selector.ts";
import { betweenHosts } from "./commands.ts";
import { type Core, count } from "./core.ts";
import { askNobody } from "./fronts.ts";
import { isOurReqid, type KernelListing } from "./kernel-contract.ts";
import { type Acquire, holdForAddress } from "./others.ts";
import { isHeldOff } from "./retry.ts";
import { wishFor } from "./wishes.ts";

/** A packet waits for protection: the rule that its policy's reqid names decides. */
export function onAcquire(core: Core, event: Acquire): void {
  const standing = core.policies.byReqid(event.reqid);
  if (!standing) return count(core, "acquire of an unknown reqid");
  const { rule, selector: covering } = standing;
  if (rule.start === "never") return count(core, "acquire for a rule that never starts");
  const [local, remote] = rule.tunnel ? [rule.tunnel.local ?? event.source, rule.tunnel.remote] : [event.source, event.destination];
  const selector = rule.tunnel ? covering : betweenHosts(covering, local, remote);
  if (!selector) return count(core, `acquire outside ${formatSelector(covering)}`);
  const spec = { rule, selector, local, remote, reqid: event.reqid };
  const isToNobody = hasNoPeer(remote) || core.addresses.includes(remote) || core.broadcasts.includes(remote);
  // Loopback and link-local sources are ours, and never among our addresses.
  const mayBeOurs = rule.tunnel || core.addresses.includes(local) || (isToNobody && !isReachable(local));
  if (!mayBeOurs) return holdForAddress(core, rule, event);
  if (isToNobody) return askNobody(core, spec);
  if (!isHeldOff(core, spec)) wishFor(core, spec, [], null);
}

type Listed = KernelListing["sas"][number];

/**
 * Inbound SAs that no journal explains, of policies that have other reqids now: the kernel refuses what peers send on them, and peers find that out by their
 * own questions at best. Where a rule decides about that traffic that asks its peers, a new pair is negotiated at once, on which they send as soon as it is
 * there. The old SAs are not let in instead: nothing says what their peers had proved, or by which key.
 */
export function askAnew(core: Core, inbound: readonly Listed[], { policies }: KernelListing): void {
  const wanted = outwardOf(policies);
  const pairs = new Map(inbound.map((sa) => [`${sa.reqid} ${sa.source} ${sa.destination}`, sa]));
  for (const { reqid, source: remote, destination: local } of pairs.values())
    for (const { selector, isTunnel } of wanted.get(reqid)?.values() ?? []) {
      const hosts = { ...one("source", local), ...one("destination", remote) };
      const [template] = core.policies.byPackets().covering(isTunnel ? selector : { ...selector, ...hosts }, "out")?.templates ?? [];
      const rule = template && core.policies.byReqid(template.reqid)?.rule;
      if (rule && (rule.tunnel?.remote ?? remote) === remote)
        onAcquire(core, { reqid: template.reqid, source: local, destination: remote });
    }
}

/** All services of a rule share a reqid for what comes in, and which of them an SA was for is not listed: of a rule with more the rest waits for traffic. */
const MOST_SERVICES = 8;

interface Outward {
  readonly selector: PacketSelector;
  readonly isTunnel: boolean;
}

/** What policies are for that let packets of a reqid's SAs in, each once and as we send it; in transport mode the hosts are those of the SA. */
function outwardOf(policies: KernelListing["policies"]): ReadonlyMap<number, ReadonlyMap<string, Outward>> {
  const wanted = new Map<number, Map<string, Outward>>();
  for (const { direction, selector: inward, templates } of policies) {
    const [template] = templates;
    if (direction !== "in" || !template || !isOurReqid(template.reqid)) continue;
    const selector = turned(inward);
    const isTunnel = templates.some(({ mode }) => mode === "tunnel");
    const { protocol, sourcePort, destinationPort } = selector;
    const known = wanted.get(template.reqid) ?? new Map<string, Outward>();
    if (known.size >= MOST_SERVICES) continue;
    known.set(isTunnel ? selectorKey(selector) : `${protocol} ${sourcePort} ${destinationPort}`, { selector, isTunnel });
    wanted.set(template.reqid, known);
  }
  return wanted;
}

const one = <End extends "source" | "destination">(end: End, address: string) =>
  ({ [end]: address, [`${end}Length`]: address.includes(":") ? 128 : 32 }) as Pick<PacketSelector, End | `${End}Length`>;
