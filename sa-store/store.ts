/**
 * The tables of SAs and their indexes: by cookies, by peer, by SPI, by what they protect. Nothing is found by scanning.
 */
import type { Path } from "../ike/input.ts";
import type { TrafficSelector } from "../policy/types.ts";
import { Changes, ownerOf } from "./changes.ts";
import type { ChildSa } from "./child-sa.ts";
import { HalfOpen } from "./half-open.ts";
import type { IkeSa, Negotiation } from "./ike-sa.ts";
import { Meeting } from "./meeting.ts";
import { MultiIndex } from "./multi-index.ts";

/** Children between two addresses of which not each is looked at. */
const MANY = 16;

export type IkeEntry = Negotiation | IkeSa;

export class Store {
  readonly ikes = new Map<number, IkeEntry>();
  readonly children = new Map<number, ChildSa>();
  /** Since whoever reads them cleared them. */
  readonly changes = new Changes();
  readonly #byCookies = new Map<string, IkeEntry>();
  readonly #byInitiator = new Map<string, IkeEntry>();
  readonly #byPeer = new MultiIndex<string, IkeEntry>();
  readonly #bySpiIn = new Map<number, ChildSa>();
  readonly #bySpiOut = new Map<string, ChildSa>();
  readonly #byKey = new MultiIndex<string, ChildSa>();
  readonly #childrenByPeer = new MultiIndex<string, ChildSa>();
  /** The same by their packets, where somebody has asked for that between two addresses that have many. */
  readonly #meeting = new Map<string, Meeting<ChildSa>>();
  readonly #reservedSpis = new Set<number>();
  #encapsulated = 0;
  /** Negotiations that others began: what they made us keep before they proved anything. */
  readonly halfOpen = new HalfOpen();
  #nextId = 0;

  /** Ids are never reused in a run. */
  newId(): number {
    return ++this.#nextId;
  }

  /** Ids that an earlier run used are not given out again. */
  skipIds(used: number): void {
    this.#nextId = Math.max(this.#nextId, used);
  }

  /** A message id of phase 2 is used up. */
  useMessageId(ike: IkeSa, id: number): void {
    ike.usedMessageIds.add(id);
    this.changes.messageIds.push([ike, id]);
  }

  /** Adds an entry, or puts it in the place of the one with the same id. */
  putIke(entry: IkeEntry): void {
    this.removeIke(entry.id);
    this.ikes.set(entry.id, entry);
    if (entry.phase === "established") this.changes.ikes.add(entry);
    this.#byInitiator.set(initiatorKey(cookieI(entry), entry.path.remote.address), entry);
    const responder = cookieR(entry);
    if (responder) this.#byCookies.set(cookieKey(cookieI(entry), responder), entry);
    this.#byPeer.add(peerKey(entry.path.local.address, entry.path.remote.address), entry);
    if (entry.phase === "negotiating" && entry.role === "responder") this.halfOpen.put(entry, octetsKept(entry));
  }

  removeIke(id: number): IkeEntry | undefined {
    const entry = this.ikes.get(id);
    if (!entry) return undefined;
    this.ikes.delete(id);
    if (entry.phase === "negotiating") this.halfOpen.remove(entry);
    else this.changes.gone.add(ownerOf.ike(id));
    deleteIf(this.#byInitiator, initiatorKey(cookieI(entry), entry.path.remote.address), entry);
    for (const responder of [cookieR(entry)]) if (responder) deleteIf(this.#byCookies, cookieKey(cookieI(entry), responder), entry);
    this.#byPeer.remove(peerKey(entry.path.local.address, entry.path.remote.address), entry);
    return entry;
  }

  /** The peer of an SA speaks from somewhere else now. */
  moveIke(ike: IkeSa, path: Path): void {
    const [before, after] = [ike.path.remote.address, path.remote.address];
    if (before !== after) {
      deleteIf(this.#byInitiator, initiatorKey(cookieI(ike), before), ike);
      this.#byPeer.remove(peerKey(ike.path.local.address, before), ike);
    }
    ike.path = path;
    this.changes.ikes.add(ike);
    if (before === after) return;
    this.#byInitiator.set(initiatorKey(cookieI(ike), after), ike);
    this.#byPeer.add(peerKey(path.local.address, after), ike);
  }

  /** After a negotiation moved on: it may have learnt the responder's cookie, or keep more than before. */
  movedOn(entry: Negotiation): void {
    const responder = cookieR(entry);
    if (responder) this.#byCookies.set(cookieKey(entry.cookieI, responder), entry);
    if (entry.role === "responder") this.halfOpen.put(entry, octetsKept(entry));
  }

  byCookies(initiator: Uint8Array, responder: Uint8Array): IkeEntry | undefined {
    return this.#byCookies.get(cookieKey(initiator, responder));
  }

  /** By the initiator's cookie alone, while the responder's is not known. */
  byInitiatorCookie(initiator: Uint8Array, remoteAddress: string): IkeEntry | undefined {
    return this.#byInitiator.get(initiatorKey(initiator, remoteAddress));
  }

  /** Entries between two addresses, oldest first. Strangers are none: their address may be forged. */
  byPeer(local: string, remote: string): readonly IkeEntry[] {
    return this.#byPeer.all(peerKey(local, remote));
  }

  /** Whether packets of any child travel in UDP. */
  get hasEncapsulated(): boolean {
    return this.#encapsulated > 0;
  }

  /** Adds a child. */
  putChild(child: ChildSa): void {
    this.children.set(child.id, child);
    if (child.encap !== null) this.#encapsulated++;
    this.changes.children.add(child);
    for (const { spiIn, spiOut } of child.protections) {
      this.#bySpiIn.set(spiIn, child);
      // A peer that gives two pairs one SPI, by mistake or on purpose, must not hide the one that works.
      const known = this.bySpiOut(child.spec.remote, spiOut);
      if (!known || known.state === "draining") this.#bySpiOut.set(`${child.spec.remote} ${spiOut}`, child);
    }
    this.#byKey.add(child.key, child);
    const ends = peerKey(child.spec.local, child.spec.remote);
    this.#childrenByPeer.add(ends, child);
    this.#meeting.get(ends)?.add(child);
  }

  /** Says that an IKE SA is not what it was. */
  touchIke(ike: IkeSa): void {
    this.changes.ikes.add(ike);
  }

  /** Says that a child is not what it was. */
  touch(child: ChildSa): void {
    this.changes.touched.add(child);
  }

  removeChild(child: ChildSa): void {
    if (this.children.delete(child.id) && child.encap !== null) this.#encapsulated--;
    this.changes.gone.add(ownerOf.child(child.id));
    for (const { spiIn, spiOut } of child.protections) {
      deleteIf(this.#bySpiIn, spiIn, child);
      deleteIf(this.#bySpiOut, `${child.spec.remote} ${spiOut}`, child);
      this.#reservedSpis.delete(spiIn);
    }
    this.#byKey.remove(child.key, child);
    const ends = peerKey(child.spec.local, child.spec.remote);
    this.#childrenByPeer.remove(ends, child);
    this.#meeting.get(ends)?.remove(child);
    if (!this.#childrenByPeer.has(ends)) this.#meeting.delete(ends);
  }

  bySpiIn(spi: number): ChildSa | undefined {
    return this.#bySpiIn.get(spi);
  }

  bySpiOut(remote: string, spi: number): ChildSa | undefined {
    return this.#bySpiOut.get(`${remote} ${spi}`);
  }

  /** The children that protect the same selectors with the same peer for the same rule, oldest first. */
  byKey(key: string): readonly ChildSa[] {
    return this.#byKey.all(key);
  }

  /** The newest of them but `itself`. */
  newestOf(key: string, itself: ChildSa | undefined): ChildSa | undefined {
    return this.#byKey.last(key, itself);
  }

  /** The children between two addresses, oldest first. */
  childrenBetween(local: string, remote: string): readonly ChildSa[] {
    return this.#childrenByPeer.all(peerKey(local, remote));
  }

  /** Those of them that may share packets with a selector, but what one peer (`who`) has proved to be its own. */
  childrenMeeting(local: string, remote: string, selector: TrafficSelector, who: string): Iterable<ChildSa> {
    const ends = peerKey(local, remote);
    const known = this.#meeting.get(ends);
    if (known) return known.meeting(selector, who);
    const all = this.#childrenByPeer.all(ends);
    if (all.length < MANY) return all;
    const made = new Meeting<ChildSa>();
    for (const child of all) made.add(child);
    this.#meeting.set(ends, made);
    return made.meeting(selector, who);
  }

  /** Whether any child stands between two addresses, with or without its IKE SA. */
  hasChildren(local: string, remote: string): boolean {
    return this.#childrenByPeer.has(peerKey(local, remote));
  }

  /** Takes an inbound SPI out of circulation; false if it is taken. */
  reserveSpi(spi: number): boolean {
    if (this.#reservedSpis.has(spi)) return false;
    this.#reservedSpis.add(spi);
    return true;
  }

  releaseSpi(spi: number): void {
    if (!this.#bySpiIn.has(spi)) this.#reservedSpis.delete(spi);
  }

  /** Entries in every table: 0 when all is over (the simulator's leak check). */
  get size(): number {
    return (
      this.ikes.size +
      this.halfOpen.strangers.size +
      this.children.size +
      this.#byCookies.size +
      this.#byInitiator.size +
      this.#byPeer.size +
      this.#bySpiIn.size +
      this.#bySpiOut.size +
      this.#byKey.size +
      this.#childrenByPeer.size +
      this.#meeting.size +
      this.#reservedSpis.size
    );
  }
}

const cookieI = (entry: IkeEntry): Uint8Array => (entry.phase === "negotiating" ? entry.cookieI : entry.sa.cookieI);

function cookieR(entry: IkeEntry): Uint8Array | undefined {
  if (entry.phase === "established") return entry.sa.cookieR;
  const { state } = entry;
  // Of a message 2 that may yet turn out to be worth nothing.
  if (state.kind === "ticketing") return undefined;
  if ("cookieR" in state) return state.cookieR;
  return "before" in state && "cookieR" in state.before ? state.before.cookieR : undefined;
}

/** Octets of messages that a negotiation keeps. */
const octetsKept = (entry: Negotiation): number =>
  tokenOctets(entry) + (entry.received?.length ?? 0) + (entry.flight?.length ?? 0) + (entry.working?.message?.length ?? 0);

/** Octets of the SA payload, of the names of CAs that the peer asks for, and of Kerberos tokens: those of a ticket may be many. */
function tokenOctets({ state }: Negotiation): number {
  const holder = "keyed" in state ? state.keyed : "before" in state ? state.before : state;
  const auth = "auth" in state ? state.auth : "auth" in holder ? holder.auth : undefined;
  const brought =
    auth?.method === "kerberos" ? [...auth.gss.own.tokens, ...auth.gss.peer.tokens] : auth?.method === "x509" ? auth.asked.names : [];
  return brought.reduce((sum, { length }) => sum + length, "saBody" in holder ? holder.saBody.length : 0);
}

/** A cookie's 8 octets as four characters. Asking a small array for its buffer would move it out of V8's heap, at the price of many look-ups. */
const octets = (cookie: Uint8Array): string => String.fromCharCode(pair(cookie, 0), pair(cookie, 2), pair(cookie, 4), pair(cookie, 6));
const pair = (cookie: Uint8Array, at: number): number => ((cookie[at] ?? 0) << 8) | (cookie[at + 1] ?? 0);
const cookieKey = (initiator: Uint8Array, responder: Uint8Array): string => octets(initiator) + octets(responder);
const initiatorKey = (initiator: Uint8Array, remote: string): string => `${octets(initiator)} ${remote}`;
const peerKey = (local: string, remote: string): string => `${local} ${remote}`;

function deleteIf<K, V>(index: Map<K, V>, key: K, value: V): void {
  if (index.get(key) === value) index.delete(key);
}
