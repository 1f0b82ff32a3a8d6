/**
 * Child SAs of the last run at a start: taken over where the kernel has both directions and the present rules have a place for them. What a start
 * ends, ends as after a reload: the peer is told, and the kernel forgets both directions. Invariant: nothing that a start has not taken over is found
 * by a policy that comes later.
 */
import { acceptsProof } from "../auth/proof.ts";
import { parseChildSuite } from "../policy/proposal.ts";
import { negotiates, ruleCoveringSelectors } from "../policy/select.ts";
import { PLAIN_TRAFFIC } from "../policy/traffic-keys.ts";
import type { Rule } from "../policy/types.ts";
import { ownerOf } from "../sa-store/changes.ts";
import type { ChildSa, Protection } from "../sa-store/child-sa.ts";
import type { IkeSa, Role } from "../sa-store/ike-sa.ts";
import { carrierFor, LEAST_QUICK_MODE, logClosed, tellDelete } from "./children.ts";
import { type Core, count, whoIs } from "./core.ts";
import { childSuiteName, protocolSuiteName } from "./crypto/suite.ts";
import { noPlaceFor } from "./end-taken.ts";
import { identityOfRecord, selectorOfRecord } from "./identity-record.ts";
import { saKeys } from "./install.ts";
import { type KernelListing, type SaKey, saText } from "./kernel-contract.ts";
import { armChildKeepalive } from "./nat-path.ts";
import { armChild, NONE, succeed } from "./rekey.ts";
import { serves } from "./renewal.ts";
import { type Parting, partWithChild } from "./restore-ike.ts";
import { type Fields, ruleCalled } from "./restore-record.ts";
import { upkeep } from "./standing.ts";
import { specKey, wishFor } from "./wishes.ts";

/** The kernel's SAs of the last run that nobody has taken over or ended yet, by `saText`, and the IKE SAs that nobody goes on with. */
export interface LastRun {
  readonly sas: Map<string, KernelListing["sas"][number]>;
  readonly partings: ReadonlyMap<number, Parting>;
  /** What goes out of the kernel once guards stand for the flows. */
  readonly ended: SaKey[][];
  /** What we had answered when the run ended: the peer may send on it already, and takes us to have it. */
  readonly answered: ChildSa[];
}

/** Takes a child over, and its SAs out of `sas`; false where it ends here, or was no whole one. */
export function restoreChild(core: Core, id: number, f: Fields, last: LastRun): boolean {
  core.store.skipIds(id);
  const child = readChild(core, id, f);
  const whole = f["outbound"] === true || f["draining"] === true;
  const inbound = child ? saKeys(child.spec, child.protections, "in") : [];
  const outbound = child?.outbound === "installed" ? saKeys(child.spec, child.protections, "out") : [];
  const why = child && whyEnded(core, child, f, last);
  const isThere = whole && [...inbound, ...outbound].every((sa) => last.sas.has(saText(sa)));
  if (!child || why !== undefined || !isThere) {
    core.store.changes.gone.add(ownerOf.child(id));
    count(core, "child SA of the last run not taken over");
    if (child && why !== undefined) endChild(core, child, why, whole, [...inbound, ...outbound], last);
    else if (child?.role === "responder" && !whole && inbound.every((sa) => last.sas.has(saText(sa)))) last.answered.push(child);
    return false;
  }
  for (const [direction, keys] of [
    ["in", inbound],
    ["out", outbound],
  ] as const) {
    const [first] = keys;
    const found = first && last.sas.get(saText(first));
    if (found) child.use[direction] = found.counters;
  }
  for (const sa of [...inbound, ...outbound]) last.sas.delete(saText(sa));
  for (const { spiIn } of child.protections) core.store.reserveSpi(spiIn);
  core.store.putChild(child);
  // The journal has it as it is.
  core.store.changes.children.delete(child);
  const ike = child.ike === null ? undefined : core.store.ikes.get(child.ike);
  if (ike?.phase === "established") ike.children.add(id);
  else if (child.ike !== null) {
    child.ike = null;
    core.store.touch(child);
  }
  armChild(core, child);
  if (child.ike === null) armChildKeepalive(core, child);
  if (child.outbound === "installed") upkeep(core, core.policies.take(child));
  return true;
}

/**
 * Quick Modes that we had answered are made anew, whoever begins by rule: message 3 comes to nothing here, or went to the run before, and what we send would be
 * held until the initiator finds that out. Where nothing is left of the IKE SA the peer finds it out at once.
 */
export function answerAnew(core: Core, answered: readonly ChildSa[]): void {
  for (const { key, spec, who } of answered) {
    const there = core.store.byPeer(spec.local, spec.remote).filter((entry): entry is IkeSa => entry.phase === "established");
    // Of several hosts behind one NAT it may be any.
    if (!there.some((ike) => serves(ike, spec.rule, core.now)) || there.some((ike) => whoIs(ike) !== who)) continue;
    const old = core.store.byKey(key).findLast(({ state, outbound }) => state === "installed" && outbound === "installed");
    if (old) succeed(core, old);
    else wishFor(core, spec, [], null);
  }
}

/** `whole`: the peer may be using it, and is told. */
function endChild(
  core: Core,
  child: ChildSa,
  why: string,
  whole: boolean,
  sas: readonly SaKey[],
  { sas: there, partings, ended }: LastRun,
): void {
  const present = sas.filter((sa) => there.delete(saText(sa)));
  ended.push(present);
  if (!whole || present.length === 0) return;
  const parting = child.ike === null ? undefined : partings.get(child.ike);
  const carrier = parting ? undefined : carrierFor(core, child);
  if (parting) partWithChild(core, parting, child);
  else if (carrier) tellDelete(core, carrier, child, true);
  logClosed(core, child, why);
}

/** Why the present policy does not go on with a child; undefined where it does. A reload would end it for the same. */
function whyEnded(core: Core, child: ChildSa, f: Fields, { sas, partings }: LastRun): string | undefined {
  const { rule } = child.spec;
  if (!ruleCalled(core, f["rule"])) return "its rule is gone";
  if (!isStillAbout(core, child, f["mode"]) || !comesIn(core, child, sas)) return "its rule is about something else now";
  if (!isOffered(child)) return `its rule does not offer ${childSuiteName(child.protections.map(({ suite }) => suite))} any more`;
  const { pfs } = rule.quickMode;
  if (pfs !== null && (pfs === "main-mode" ? child.group === null : child.group !== pfs.name))
    return "its rule wants another PFS group now";
  const carrier = child.ike === null ? undefined : core.store.ikes.get(child.ike);
  const proved = carrier?.phase === "established" ? carrier.sa : undefined;
  if ((child.ike !== null && partings.has(child.ike)) || (proved && !acceptsProof(rule, proved.proof, proved.peerId)))
    return "its rule does not take what the peer has proved any more";
  return noPlaceFor(core, child);
}

/** Whether what the peer sends is what policies of the rule demand, as they are now. Of SAs that are there. */
const comesIn = (core: Core, { spec, protections }: ChildSa, sas: LastRun["sas"]): boolean => {
  const demanded = core.policies.inboundReqid(spec);
  return saKeys(spec, protections, "in").every((sa) => (sas.get(saText(sa))?.reqid ?? demanded) === demanded);
};

/** Whether its rule would make such SAs today. */
const isOffered = ({ spec: { rule }, protections }: ChildSa): boolean => {
  const names = (suites: Rule["quickMode"]["proposals"][number]): string => suites.map(protocolSuiteName).sort().join();
  const own = names(protections.map(({ suite }) => suite));
  return rule.quickMode.proposals.some((suites) => names(suites) === own);
};

type Spis = readonly { readonly protocol: SaKey["protocol"]; readonly spiIn: number; readonly spiOut: number }[];
const spisOf = (f: Fields): Spis => (Array.isArray(f["spis"]) ? (f["spis"] as Spis) : []);

/**
 * Whether a rule is still for what its child carries. It may have been written anew under its name, and the child would stand in front of what
 * the new rules say about its packets, and be renewed for ever. Which of our addresses there are may be another question at this moment.
 */
function isStillAbout(core: Core, { spec, encap }: ChildSa, mode: unknown): boolean {
  const { rule, selector, local, remote } = spec;
  const { tunnel } = rule;
  if (!negotiates(rule) || (mode !== undefined && mode !== rule.mode)) return false;
  if (tunnel && encap === null && tunnel.remote !== remote) return false;
  const here = tunnel?.local === null ? { ...rule, tunnel: { ...tunnel, local } } : rule;
  const covered = (addresses: readonly string[]): boolean => ruleCoveringSelectors([here], addresses, selector, rule.mode).ok;
  // The whole list only where it matters: hosts with thousands of addresses have as many children.
  return covered([local]) || covered([...core.addresses, local]);
}

/** What a record says; undefined where it can't be read. */
function readChild(core: Core, id: number, f: Fields): ChildSa | undefined {
  const rule = ruleCalled(core, f["rule"]) ?? goneRule(String(f["rule"]), f["mode"] === "tunnel" ? "tunnel" : "transport");
  const selector = selectorOfRecord(f["selector"]);
  const suite = parseChildSuite(String(f["suite"]));
  const spis = spisOf(f);
  const peerId = identityOfRecord(f["peerId"]);
  if (!selector || !suite.ok || !peerId) return undefined;
  const protections = suite.value.flatMap((part): readonly Protection[] => {
    const found = spis.find(({ protocol }) => protocol === part.protocol);
    return found ? [{ suite: part, spiIn: found.spiIn, spiOut: found.spiOut }] : [];
  });
  const spec = { rule, selector, local: String(f["local"]), remote: String(f["remote"]), reqid: Number(f["reqid"]) };
  const draining = f["draining"] === true;
  return {
    id,
    key: specKey(spec),
    spec,
    role: f["role"] as Role,
    turn: f["turn"] as Role,
    protections,
    group: (f["group"] as string | null) ?? null,
    lifetimeSeconds: Number(f["lifetimeSeconds"]),
    lifetimeKilobytes: (f["lifetimeKilobytes"] as number | null) ?? null,
    installedAt: Number(f["installedAt"]),
    rekeys: Number(f["rekeys"]),
    peerId,
    who: String(f["who"] ?? ""),
    kin: f["kin"] === true,
    encap: (f["encap"] as ChildSa["encap"] | undefined) ?? null,
    cluster: f["cluster"] === true,
    wanted: f["wanted"] === true,
    use: { ...unused(core), confirmedAt: Number(f["confirmedAt"]) },
    ike: (f["ike"] as number | null) ?? null,
    state: draining ? "draining" : "installed",
    outbound: draining ? "none" : "installed",
    timers: undefined,
  };
}

const unused = (core: Core): ChildSa["use"] => ({
  askedAt: core.now,
  in: NONE,
  out: NONE,
  rate: 0,
  quickMode: LEAST_QUICK_MODE,
  tooFast: false,
  warned: false,
  oneWay: false,
  sending: false,
  relievedAt: core.now,
  confirmedAt: core.now,
  movedAt: core.now,
  heardAt: core.now,
});

/** Stands for a rule that the policy has not any more, until its child has ended. */
const goneRule = (name: string, mode: Rule["mode"]): Rule => ({
  ...PLAIN_TRAFFIC,
  ...{ name, action: "block", filters: [], auth: [], mode, tunnel: null, peer: null, start: "never", dpdSeconds: null },
  mainMode: { proposals: [], lifetimeSeconds: 0, quickModes: 0, masterPfs: false },
  quickMode: { proposals: [], lifetimeSeconds: 0, volumeOctets: null, pfs: null },
});
