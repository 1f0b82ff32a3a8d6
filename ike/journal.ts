/**
 * The journal's records of what one input changed. They are made when the input was handled and stand before all its effects: a key is
 * written down before the kernel hears it, an SA before the message that makes the peer use it.
 */
import { ownerOf } from "../sa-store/changes.ts";
import type { ChildSa } from "../sa-store/child-sa.ts";
import type { IkeSa } from "../sa-store/ike-sa.ts";
import type { JournalRecord, JournalValue } from "../sa-store/journal-record.ts";
import { type Core, hex } from "./core.ts";
import type { Secret } from "./crypto/secret.ts";
import { childSuiteName, ikeSuiteName } from "./crypto/suite.ts";
import type { Effect } from "./effect.ts";
import { identityRecord, selectorRecord } from "./identity-record.ts";
import { policyRecords } from "./policy-records.ts";
import { proofRecord } from "./proof-record.ts";

/** Owners of the journal besides SAs. */
export const REQID = "reqid";

/** The part of a child that changes, and the parts of an IKE SA that name a used message id; the value of the latter counts its Quick Modes. */
export const NOW = "now";
export const USED_ID = "id ";

/** The effects of the input that was just handled; where a journal is kept, what changed is written down before anything is done about it. */
export function journalled(core: Core, kept: boolean): readonly Effect[] {
  const { changes } = core.store;
  core.policies.freeUnused(core);
  const records = kept ? recordsOf(core) : [];
  if (!kept) core.policies.takeChangedReqids();
  const ids = changes.messageIds;
  changes.clear();
  // A request that waits for the kernel: its id is no use to anybody before the answer goes out, and is written with what comes of it.
  if (records.length > 0 && records.every(namesUsedId) && !core.effects.some(({ type }) => type === "send")) {
    changes.messageIds = ids;
    return core.effects;
  }
  return records.length === 0 ? core.effects : [{ type: "journal", records }, ...core.effects];
}

const namesUsedId = ({ part }: JournalRecord): boolean => part?.startsWith(USED_ID) === true;

/** What the input has changed, as records; empty where nothing has. */
function recordsOf(core: Core): readonly JournalRecord[] {
  const { changes } = core.store;
  const records: JournalRecord[] = [];
  for (const owner of changes.gone) records.push({ owner, part: null, value: null, secret: null });
  for (const ike of changes.ikes) if (core.store.ikes.get(ike.id) === ike) records.push(ikeRecord(core, ike));
  for (const [ike, id] of changes.messageIds) {
    if (core.store.ikes.get(ike.id) !== ike) continue;
    records.push({ owner: ownerOf.ike(ike.id), part: `${USED_ID}${id}`, value: ike.quickModes, secret: null });
  }
  for (const child of changes.children) {
    if (core.store.children.get(child.id) !== child) continue;
    records.push(childRecord(child));
    // Of a pair that is half made a start takes nothing over.
    if (child.outbound === "installed" || child.state === "draining") records.push(nowRecord(child));
  }
  for (const child of changes.touched)
    if (!changes.children.has(child) && core.store.children.get(child.id) === child) records.push(nowRecord(child));
  for (const [key, reqid] of core.policies.takeChangedReqids())
    records.push({ owner: `${REQID} ${key}`, part: reqid === null ? null : "", value: reqid, secret: null });
  for (const [owner, value] of changes.came) records.push({ owner, part: "", value, secret: null });
  for (const effect of core.effects) if (effect.type === "kernel") records.push(...policyRecords(core, effect.commands));
  return records;
}

function ikeRecord(core: Core, ike: IkeSa): JournalRecord {
  const { sa, path, role, received, flight } = ike;
  const value = {
    role,
    path: { local: { ...path.local }, remote: { ...path.remote } },
    cookieI: hex(sa.cookieI),
    cookieR: hex(sa.cookieR),
    rule: sa.rule.name,
    proof: proofRecord(core.crypto, sa.proof, core.policy, [sa.cookieI, sa.cookieR]),
    suite: ikeSuiteName(sa.suite),
    lastBlock: hex(sa.lastBlock),
    ownId: identityRecord(sa.ownId),
    peerId: identityRecord(sa.peerId),
    lifetimeSeconds: sa.lifetimeSeconds,
    peer: { ...sa.peer },
    nat: sa.nat && { ...sa.nat },
    replaced: ike.state === "replaced",
    sequence: ike.sequence,
    establishedAt: ike.establishedAt,
    expiresAt: ike.expiresAt,
    // The responder's last message: an initiator that did not get it repeats the one before.
    received: received && flight ? hex(received) : null,
    flight: received && flight ? hex(flight) : null,
  } satisfies JournalValue;
  return { owner: ownerOf.ike(ike.id), part: "", value, secret: joined([sa.keys.d, sa.keys.a, sa.keys.cipher]) };
}

/** What a child is as long as it lives. */
function childRecord(child: ChildSa): JournalRecord {
  const { spec, protections } = child;
  const value = {
    rule: spec.rule.name,
    mode: spec.rule.mode,
    selector: selectorRecord(spec.selector),
    local: spec.local,
    remote: spec.remote,
    reqid: spec.reqid,
    role: child.role,
    turn: child.turn,
    suite: childSuiteName(protections.map(({ suite }) => suite)),
    spis: protections.map(({ suite, spiIn, spiOut }) => ({ protocol: suite.protocol, spiIn, spiOut })),
    group: child.group,
    peerId: identityRecord(child.peerId),
    who: child.who,
    kin: child.kin,
    cluster: child.cluster,
    wanted: child.wanted,
    lifetimeSeconds: child.lifetimeSeconds,
    lifetimeKilobytes: child.lifetimeKilobytes,
    installedAt: child.installedAt,
    rekeys: child.rekeys,
  } satisfies JournalValue;
  return { owner: ownerOf.child(child.id), part: "", value, secret: null };
}

/** What changes in its life; `store.touch` says that it did. */
function nowRecord(child: ChildSa): JournalRecord {
  const value = {
    ike: child.ike,
    draining: child.state === "draining",
    outbound: child.outbound === "installed",
    encap: child.encap && { ...child.encap },
    confirmedAt: child.use.confirmedAt,
  } satisfies JournalValue;
  return { owner: ownerOf.child(child.id), part: NOW, value, secret: null };
}

/** Secrets one after the other, each with its length in octets before it (one octet). */
function joined(secrets: readonly Secret[]): Uint8Array {
  const out = new Uint8Array(secrets.reduce((length, secret) => length + 1 + secret.length, 0));
  let at = 0;
  for (const secret of secrets) {
    out[at++] = secret.length;
    secret.use((octets) => out.set(octets, at));
    at += secret.length;
  }
  return out;
}
