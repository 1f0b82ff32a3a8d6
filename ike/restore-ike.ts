/**
 * IKE SAs of the last run at a start: taken over where a rule takes what the peer has proved, as after a reload (`rehome.ts`). Of the others the peer
 * hears that they end, and what was made under them.
 */
import { acceptsProof } from "../auth/proof.ts";
import { EXCHANGE, PROTOCOL } from "../isakmp/numbers.ts";
import type { Payload } from "../isakmp/payloads.ts";
import { parseIkeSuite } from "../policy/proposal.ts";
import { rulesForPeer } from "../policy/select.ts";
import type { Rule } from "../policy/types.ts";
import { ownerOf } from "../sa-store/changes.ts";
import type { ChildSa } from "../sa-store/child-sa.ts";
import type { IkeSa, Role } from "../sa-store/ike-sa.ts";
import type { JournalPart } from "../sa-store/journal-record.ts";
import { type Core, count, hex, log, peerName, random32, send } from "./core.ts";
import { Secret } from "./crypto/secret.ts";
import { sayAgain } from "./farewell.ts";
import { identityOfRecord } from "./identity-record.ts";
import type { Path } from "./input.ts";
import { USED_ID } from "./journal.ts";
import { destroyKeys, type Established } from "./main-mode-states.ts";
import { armKeepalive } from "./nat-path.ts";
import { deleteChild, deleteIke } from "./notifies.ts";
import { chainOf } from "./phase2.ts";
import { type Cookies, proofOfRecord, proofWithEntry } from "./proof-record.ts";
import { sealHashed } from "./quick-mode.ts";
import { armRenewal, couldServe } from "./renewal.ts";
import { type Fields, fieldsOf, octets, ruleCalled } from "./restore-record.ts";
import { DRAIN, LINGER } from "./retransmit.ts";

/** An IKE SA that nothing goes on under: enough to tell its peer so. Its keys are the holder's to destroy. */
export interface Parting {
  readonly path: Path;
  readonly sa: Pick<Established, "cookieI" | "cookieR" | "suite" | "keys" | "lastBlock">;
  readonly usedMessageIds: Set<number>;
}

/** Takes an IKE SA over, or gives back what is left to say under it; undefined also where it has expired. */
export function restoreIke(
  core: Core,
  id: number,
  { value, secret }: JournalPart,
  parts: ReadonlyMap<string, JournalPart>,
): Parting | undefined {
  core.store.skipIds(id);
  const f = fieldsOf(value);
  const known = readCommon(core, f, secret);
  const home = known && homeOf(core, f, known);
  if (!known || !home) {
    core.store.changes.gone.add(ownerOf.ike(id));
    count(core, "IKE SA of the last run not taken over");
    return known && { path: known.path, sa: known, usedMessageIds: usedIds(parts) };
  }
  const { asWritten, ...place } = home;
  const ike = ikeOf(core, id, f, { ...known, ...place });
  for (const [part, { value: quickModes }] of parts)
    if (part.startsWith(USED_ID)) ike.quickModes = Math.max(ike.quickModes, Number(quickModes));
  for (const used of usedIds(parts)) ike.usedMessageIds.add(used);
  core.store.putIke(ike);
  if (asWritten) core.store.changes.ikes.delete(ike);
  core.timers.set(`ike ${id}`, "expire", ike.expiresAt);
  if (ike.state === "established") armRenewal(core, ike);
  else core.timers.set(`ike ${id}`, "close", core.now + DRAIN);
  armKeepalive(core, ike);
  if (ike.flight) core.timers.set(`ike ${id}`, "linger", ike.establishedAt + LINGER);
  return undefined;
}

const usedIds = (parts: ReadonlyMap<string, JournalPart>): Set<number> =>
  new Set([...parts.keys()].flatMap((part) => (part.startsWith(USED_ID) ? [Number(part.slice(USED_ID.length))] : [])));

/** Tells the peer that a child made under it is over. */
export const partWithChild = (core: Core, parting: Parting, { protections }: ChildSa): void =>
  say(
    core,
    parting,
    protections.map(({ suite, spiIn }) => deleteChild(suite.protocol === "esp" ? PROTOCOL.ESP : PROTOCOL.AH, spiIn)),
  );

/** Tells the peer that it is over itself. After its children: strongSwan destroys those with it. */
export function part(core: Core, parting: Parting): void {
  const { path, sa } = parting;
  say(core, parting, [deleteIke(sa.cookieI, sa.cookieR)]);
  const fields = { peer: peerName(path), initiatorCookie: hex(sa.cookieI), responderCookie: hex(sa.cookieR) };
  log(core, "ike.closed", "info", `${peerName(path)}: IKE SA of the last run closed, no rule takes what the peer has proved`, fields);
}

function say(core: Core, parting: Parting, payloads: readonly Payload[]): void {
  const { path, sa, usedMessageIds } = parting;
  let id = random32(core, 1);
  while (usedMessageIds.has(id)) id = random32(core, 1);
  usedMessageIds.add(id);
  const { bytes } = sealHashed(core, sa, chainOf(core, parting, id), id, EXCHANGE.Informational, payloads);
  send(core, path, bytes);
  sayAgain(core, path, bytes);
}

type Known = NonNullable<ReturnType<typeof readCommon>>;

/** What is in a record whatever the rules are; undefined where it can't be read, or has expired. */
function readCommon(core: Core, f: Fields, secret: Uint8Array | null) {
  const [cookieI, cookieR, lastBlock] = [f["cookieI"], f["cookieR"], f["lastBlock"]].map(octets);
  const [ownId, peerId] = [f["ownId"], f["peerId"]].map(identityOfRecord);
  const suite = parseIkeSuite(String(f["suite"]));
  const [d, a, cipher] = secret ? splitSecrets(secret) : [];
  if (!cookieI || !cookieR || !lastBlock || !ownId || !peerId || !suite.ok || !d || !a || !cipher || !(Number(f["expiresAt"]) > core.now)) {
    for (const key of [d, a, cipher]) key?.destroy();
    return undefined;
  }
  // SKEYID_e has done its work: the cipher has its key.
  const keys = { d, a, e: new Secret(new Uint8Array(0)), cipher };
  return { path: f["path"] as IkeSa["path"], cookieI, cookieR, lastBlock, ownId, peerId, suite: suite.value, keys };
}

/** Where an IKE SA belongs today, and whether the journal has it so. */
type Home = Pick<Established, "rule" | "proof"> & { readonly asWritten: boolean };

/** The rule that takes its proof today: its own, else another of its peer's, whose own children may live under it. */
function homeOf(core: Core, f: Fields, known: Known): Home | undefined {
  const { path, peerId } = known;
  const cookies: Cookies = [known.cookieI, known.cookieR];
  const own = ruleCalled(core, f["rule"]);
  const proof = own && proofOfRecord(core.crypto, f["proof"], core.policy, cookies);
  if (own && proof && acceptsProof(own, proof, peerId)) return { rule: own, proof, asWritten: true };
  const others = rulesForPeer(core.policy, path.local.address, path.remote.address);
  for (const rule of others) {
    const home = rule.auth.flatMap((entry) => {
      const taken = proofWithEntry(core.crypto, f["proof"], { rule, entry }, others, cookies);
      return taken && couldServe({ path, sa: { ...known, proof: taken } }, rule) ? [{ rule, proof: taken, asWritten: false }] : [];
    })[0];
    if (home) return home;
  }
  return undefined;
}

function ikeOf(core: Core, id: number, f: Fields, known: Known & { readonly rule: Rule; readonly proof: Established["proof"] }): IkeSa {
  const [establishedAt, expiresAt] = [Number(f["establishedAt"]), Number(f["expiresAt"])];
  const fresh = core.now - establishedAt < LINGER;
  return {
    phase: "established",
    id,
    role: f["role"] as Role,
    path: known.path,
    sa: {
      kind: "established",
      ...known,
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

/** Nothing more is said under it. */
export const endParting = ({ sa }: Parting): void => destroyKeys(sa.keys);
