/**
 * A start after a restart: what the journal says is compared with what the kernel has. In both: it goes on as if nothing had happened.
 * In the kernel only: inbound SAs stay until they expire, since a peer may still send on them; outbound ones go where another pair does
 * their work. In the journal only: forgotten.
 */
import { acceptsProof } from "../auth/proof.ts";
import { fromHex } from "../isakmp/hex.ts";
import { parseChildSuite, parseIkeSuite } from "../policy/proposal.ts";
import { negotiates, ruleCoveringSelectors, ruleNamed } from "../policy/select.ts";
import type { Rule } from "../policy/types.ts";
import { ownerOf } from "../sa-store/changes.ts";
import type { ChildSa, Protection } from "../sa-store/child-sa.ts";
import type { IkeSa, Role } from "../sa-store/ike-sa.ts";
import { destroyImage, type JournalImage, type JournalPart } from "../sa-store/journal-record.ts";
import { LEAST_QUICK_MODE, logClosed, tellDelete } from "./children.ts";
import { type Core, count, log } from "./core.ts";
import { Secret } from "./crypto/secret.ts";
import { noPlaceFor } from "./end-taken.ts";
import { identityOfRecord, selectorOfRecord } from "./identity-record.ts";
import { saKeys } from "./install.ts";
import { NOW, policyOwner, REQID, USED_ID } from "./journal.ts";
import { BYPASS_PRIORITY, isOurReqid, type KernelListing, type SaKey } from "./kernel-contract.ts";
import { flowOfChild, flowOfGuard, guardLostFlows, type LostFlow } from "./lost-flows.ts";
import { isManual } from "./manual.ts";
import { armChildKeepalive, armKeepalive } from "./nat-path.ts";
import { proofOfRecord } from "./proof-record.ts";
import { armChild, NONE } from "./rekey.ts";
import { armRenewal } from "./renewal.ts";
import { DRAIN, LINGER } from "./retransmit.ts";
import { restoreSpoke } from "./spoke.ts";
import { upkeep } from "./standing.ts";
import { restoreEnds } from "./tunnel-ends.ts";
import { specKey } from "./wishes.ts";

export interface Restore {
  readonly image: JournalImage;
  readonly kernel: KernelListing;
}

/** Before the policies are brought up to date: reqids and policies of the earlier run are ours. */
export function restorePolicies(core: Core, { image, kernel }: Restore): void {
  const reqids = owners(image, `${REQID} `).flatMap(([key, part]) => (typeof part.value === "number" ? [[key, part.value] as const] : []));
  // Also what a run without a journal left: one that lets clear text through must not outlive the daemon that would have closed it.
  const ours = kernel.policies.flatMap(({ ours, ...policy }) =>
    (ours && policy.priority !== BYPASS_PRIORITY) ||
    policy.templates.some(({ reqid }) => isOurReqid(reqid)) ||
    image.has(policyOwner(policy))
      ? [policy]
      : [],
  );
  core.policies.restore(reqids, ours);
  restoreEnds(core, ours);
}

/** After the policies: SAs. */
export function restoreSas(core: Core, { image, kernel }: Restore): void {
  const sas = new Map(kernel.sas.filter(({ reqid }) => isOurReqid(reqid)).map((sa) => [saText(sa), sa]));
  for (const [id, part] of owners(image, "ike ")) restoreIke(core, Number(id), part, image.get(`ike ${id}`) ?? new Map());
  const lost: LostFlow[] = [];
  for (const [id, part] of owners(image, "child ")) {
    const fields = { ...fieldsOf(part.value), ...fieldsOf(image.get(`child ${id}`)?.get(NOW)?.value) };
    if (!restoreChild(core, Number(id), fields, sas)) lost.push(...flowOfChild(core, fields, sendsYet(sas, fields)));
  }
  for (const [id, part] of owners(image, "guard ")) {
    core.store.skipIds(Number(id));
    // It is stood anew, as the present rules have it.
    core.store.changes.gone.add(ownerOf.guard(Number(id)));
    lost.push(...flowOfGuard(fieldsOf(part.value)));
  }
  guardLostFlows(core, lost);
  restoreSpoke(core, owners(image, "spoke "));
  for (const sa of sas.values()) if (!isManual(core, sa)) leaveOrRemove(core, sa);
  core.policies.dropUnwanted(core);
  const { ikes, children } = core.store;
  if (image.size + sas.size > 0)
    log(
      core,
      "svc.restored",
      "notice",
      `taken over from the last run: ${ikes.size} IKE SAs, ${children.size} child SAs; ${sas.size} kernel SAs are left to expire`,
    );
}

/** Whether all of that came to its end or a bug broke it off: wipes the image's keys, and no policy is held for the earlier run any longer. */
export function endRestore(core: Core, { image }: Restore): void {
  destroyImage(image);
  core.policies.endRestore();
}

const owners = (image: JournalImage, prefix: string): readonly (readonly [string, JournalPart])[] =>
  [...image].flatMap(([owner, parts]) => {
    const part = owner.startsWith(prefix) ? parts.get("") : undefined;
    return part ? [[owner.slice(prefix.length), part] as const] : [];
  });

const saText = ({ protocol, spi, destination }: Pick<SaKey, "protocol" | "spi" | "destination">): string =>
  `${protocol} ${spi} ${destination}`;

type Fields = Readonly<Record<string, unknown>>;
const fieldsOf = (value: unknown): Fields => (typeof value === "object" && value !== null ? (value as Fields) : {});
const octets = (value: unknown): Uint8Array | undefined => (typeof value === "string" ? fromHex(value) : undefined);

/** The rule by its name, as the present policy has it. */
const ruleCalled = (core: Core, name: unknown): Rule | undefined => (typeof name === "string" ? ruleNamed(core.policy, name) : undefined);

function restoreIke(core: Core, id: number, { value, secret }: JournalPart, parts: ReadonlyMap<string, JournalPart>): void {
  core.store.skipIds(id);
  const ike = readIke(core, id, fieldsOf(value), secret);
  if (!ike) return count(core, "IKE SA of the last run not taken over");
  for (const [part, { value: quickModes }] of parts) {
    if (!part.startsWith(USED_ID)) continue;
    ike.usedMessageIds.add(Number(part.slice(USED_ID.length)));
    ike.quickModes = Math.max(ike.quickModes, Number(quickModes));
  }
  core.store.putIke(ike);
  core.timers.set(`ike ${id}`, "expire", ike.expiresAt);
  if (ike.state === "established") armRenewal(core, ike);
  else core.timers.set(`ike ${id}`, "close", core.now + DRAIN);
  armKeepalive(core, ike);
  if (ike.flight) core.timers.set(`ike ${id}`, "linger", ike.establishedAt + LINGER);
}

/** Undefined where it has expired, or where its rule would not take its proof today. */
function readIke(core: Core, id: number, f: Fields, secret: Uint8Array | null): IkeSa | undefined {
  const [cookieI, cookieR, lastBlock] = [f["cookieI"], f["cookieR"], f["lastBlock"]].map(octets);
  const [ownId, peerId] = [f["ownId"], f["peerId"]].map(identityOfRecord);
  const rule = ruleCalled(core, f["rule"]);
  const proof = cookieI && cookieR ? proofOfRecord(core.crypto, f["proof"], core.policy, [cookieI, cookieR]) : undefined;
  const suite = parseIkeSuite(String(f["suite"]));
  const [establishedAt, expiresAt] = [Number(f["establishedAt"]), Number(f["expiresAt"])];
  const [d, a, cipher] = secret ? splitSecrets(secret) : [];
  const refuse = (): undefined => {
    for (const key of [d, a, cipher]) key?.destroy();
  };
  if (!cookieI || !cookieR || !lastBlock || !ownId || !peerId || !rule || !proof || !suite.ok || !d || !a || !cipher) return refuse();
  if (!(expiresAt > core.now) || !acceptsProof(rule, proof, peerId)) return refuse();
  const path = f["path"] as IkeSa["path"];
  const fresh = core.now - establishedAt < LINGER;
  return {
    phase: "established",
    id,
    role: f["role"] as Role,
    path,
    sa: {
      kind: "established",
      path,
      cookieI,
      cookieR,
      rule,
      proof,
      suite: suite.value,
      // SKEYID_e has done its work: the cipher has its key.
      keys: { d, a, e: new Secret(new Uint8Array(0)), cipher },
      lastBlock,
      ownId,
      peerId,
      lifetimeSeconds: Number(f["lifetimeSeconds"]),
      peer: f["peer"] as IkeSa["sa"]["peer"],
      nat: (f["nat"] as IkeSa["sa"]["nat"] | undefined) ?? null,
      initialContact: false,
      warning: null,
    },
    establishedAt,
    expiresAt,
    usedMessageIds: new Set(),
    exchanges: new Map(),
    children: new Set(),
    lastProbe: null,
    quickModes: 0,
    state: f["replaced"] === true ? "replaced" : "established",
    heardAt: core.now,
    probe: null,
    // Questions come once a second at most, and their numbers only go up (RFC 3706 §6.1).
    sequence: (Number(f["sequence"]) + Math.ceil((core.now - establishedAt) / 1000) + 1) % 2 ** 32,
    askedAt: 0,
    silent: false,
    received: (fresh && octets(f["received"])) || null,
    flight: (fresh && octets(f["flight"])) || null,
    tries: 0,
    fragmented: false,
  };
}

/** Secrets as `journal.ts` joins them: each with its length before it. Copies. */
function splitSecrets(all: Uint8Array): readonly Secret[] {
  const secrets: Secret[] = [];
  for (let at = 0; at < all.length; at += 1 + (all[at] as number))
    secrets.push(new Secret(all.slice(at + 1, at + 1 + (all[at] as number))));
  return secrets;
}

/** A child whose SAs the kernel has in both directions, and whose rule is there. Takes them out of `sas`. Whether it is taken over. */
function restoreChild(core: Core, id: number, f: Fields, sas: Map<string, KernelListing["sas"][number]>): boolean {
  core.store.skipIds(id);
  const child = f["outbound"] === true || f["draining"] === true ? readChild(core, id, f) : undefined;
  const inbound = child ? saKeys(child.spec, child.protections, "in") : [];
  const outbound = child?.outbound === "installed" ? saKeys(child.spec, child.protections, "out") : [];
  if (!child || ![...inbound, ...outbound].every((sa) => sas.has(saText(sa)))) {
    count(core, "child SA of the last run not taken over");
    return false;
  }
  const ended = isStillAbout(core, child, f["mode"]) ? noPlaceFor(core, child) : "its rule is about something else now";
  if (ended !== undefined) {
    const carrier = child.ike === null ? undefined : core.store.ikes.get(child.ike);
    if (carrier?.phase === "established") tellDelete(core, carrier, child, true);
    count(core, "child SA of the last run that the present policy has no place for");
    logClosed(core, child, ended);
    return false;
  }
  for (const [direction, keys] of [
    ["in", inbound],
    ["out", outbound],
  ] as const) {
    const [first] = keys;
    const found = first && sas.get(saText(first));
    if (found) child.use[direction] = found.counters;
  }
  for (const sa of [...inbound, ...outbound]) sas.delete(saText(sa));
  for (const { spiIn } of child.protections) core.store.reserveSpi(spiIn);
  core.store.putChild(child);
  const ike = child.ike === null ? undefined : core.store.ikes.get(child.ike);
  if (ike?.phase === "established") ike.children.add(id);
  else child.ike = null;
  armChild(core, child);
  if (child.ike === null) armChildKeepalive(core, child);
  if (child.outbound === "installed") upkeep(core, core.policies.take(child));
  return true;
}

/** Whether the kernel has the outbound SAs of a child that the journal knows. */
function sendsYet(sas: ReadonlyMap<string, unknown>, f: Fields): boolean {
  const spis = spisOf(f);
  return (
    spis.length > 0 && spis.every(({ protocol, spiOut }) => sas.has(saText({ protocol, spi: spiOut, destination: String(f["remote"]) })))
  );
}

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

function readChild(core: Core, id: number, f: Fields): ChildSa | undefined {
  const rule = ruleCalled(core, f["rule"]);
  const selector = selectorOfRecord(f["selector"]);
  const suite = parseChildSuite(String(f["suite"]));
  const spis = spisOf(f);
  const peerId = identityOfRecord(f["peerId"]);
  if (!rule || !selector || !suite.ok || !peerId) return undefined;
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

/** An SA of ours that no journal knows. Its SPI is taken; an outbound one must not keep a newer pair from being used. */
function leaveOrRemove(core: Core, sa: KernelListing["sas"][number]): void {
  const { source, destination, protocol, spi } = sa;
  const key: SaKey = { source, destination, protocol, spi };
  if (core.addresses.includes(destination)) {
    core.store.reserveSpi(spi);
    return core.leftovers.add(key, source);
  }
  const replaced = core.store
    .childrenBetween(sa.source, sa.destination)
    .some((child) => child.spec.reqid === sa.reqid && child.outbound === "installed");
  if (replaced) upkeep(core, [{ do: "remove-sa", sa: key }]);
  else core.leftovers.add(key, destination);
}
