/**
 * Things by the packets that they are for, so that those which may share some with a selector are found without a look at each: by the far sides (prefixes that
 * hold one another, or have nothing in common), then by protocol and ports, of which 0 is any, and leaving out one owner's. The near sides are not looked at.
 */
import { type AddressRange, bitsOf, type Family } from "../isakmp/address.ts";
import type { TrafficSelector } from "../policy/types.ts";

/** What is filed. Neither its selector nor its owner changes. */
export interface Filed {
  readonly spec: { readonly selector: TrafficSelector };
  /** Its owner. */
  readonly who: string;
}

/** The least prefix that holds a range. */
interface Net {
  readonly family: Family;
  readonly first: bigint;
  readonly last: bigint;
  readonly length: number;
}

/** What has one net: by protocol and ports, and by owner. */
interface Group<T> {
  readonly net: Net;
  readonly byNumbers: Map<string, { readonly selector: TrafficSelector; readonly byOwner: Map<string, Set<T>> }>;
}

/** Of one family. */
class Half<T extends Filed> {
  /** By where they begin. */
  readonly groups: Group<T>[] = [];
  readonly byNet = new Map<string, Group<T>>();
  /** How many groups there are of each length. */
  readonly lengths = new Map<number, number>();

  groupOf(net: Net): Group<T> {
    const known = this.byNet.get(textOf(net));
    if (known) return known;
    const group: Group<T> = { net, byNumbers: new Map() };
    this.byNet.set(textOf(net), group);
    this.groups.splice(this.placeOf(net.first), 0, group);
    this.lengths.set(net.length, (this.lengths.get(net.length) ?? 0) + 1);
    return group;
  }

  drop(group: Group<T>): void {
    const { net } = group;
    this.byNet.delete(textOf(net));
    this.groups.splice(this.groups.indexOf(group, this.placeOf(net.first)), 1);
    const left = (this.lengths.get(net.length) ?? 1) - 1;
    if (left > 0) this.lengths.set(net.length, left);
    else this.lengths.delete(net.length);
  }

  /** The place of the first group that begins there or behind. */
  placeOf(first: bigint): number {
    let [low, high] = [0, this.groups.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.groups[middle] as Group<T>).net.first < first) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

export class Meeting<T extends Filed> {
  readonly #halves: Readonly<Record<Family, Half<T>>> = { 4: new Half(), 6: new Half() };

  /** Files something that may be there already. */
  add(item: T): void {
    const { selector } = item.spec;
    const { byNumbers } = this.#halves[selector.remote.family].groupOf(netOf(selector.remote));
    const key = numbersOf(selector);
    const known = byNumbers.get(key) ?? { selector, byOwner: new Map<string, Set<T>>() };
    byNumbers.set(key, known);
    const own = known.byOwner.get(item.who);
    if (own) own.add(item);
    else known.byOwner.set(item.who, new Set([item]));
  }

  /** Takes it out, if it is there. */
  remove(item: T): void {
    const { selector } = item.spec;
    const half = this.#halves[selector.remote.family];
    const group = half.byNet.get(textOf(netOf(selector.remote)));
    const same = group?.byNumbers.get(numbersOf(selector));
    const own = same?.byOwner.get(item.who);
    if (!group || !same || !own?.delete(item)) return;
    if (own.size === 0) same.byOwner.delete(item.who);
    if (same.byOwner.size === 0) group.byNumbers.delete(numbersOf(selector));
    if (group.byNumbers.size === 0) half.drop(group);
  }

  /** What may share packets with a selector, but what `who` owns; whether it does is for `overlap` to say. */
  *meeting(selector: TrafficSelector, who: string): Iterable<T> {
    const half = this.#halves[selector.remote.family];
    const net = netOf(selector.remote);
    for (const length of half.lengths.keys()) {
      const group = length <= net.length ? half.byNet.get(textOf(netAt(net.family, net.first, length))) : undefined;
      if (group) yield* othersIn(group, selector, who);
    }
    for (let at = half.placeOf(net.first); at < half.groups.length; at++) {
      const group = half.groups[at] as Group<T>;
      if (group.net.first > net.last) return;
      if (group.net.length > net.length) yield* othersIn(group, selector, who);
    }
  }
}

function* othersIn<T>({ byNumbers }: Group<T>, asked: TrafficSelector, who: string): Iterable<T> {
  const { protocol, localPort, remotePort } = asked;
  const isOpen = protocol === 0 || localPort === 0 || remotePort === 0;
  for (const { selector, byOwner } of isOpen ? byNumbers.values() : keysFor(asked).flatMap((key) => byNumbers.get(key) ?? []))
    if (meet(selector.protocol, protocol) && meet(selector.localPort, localPort) && meet(selector.remotePort, remotePort))
      for (const [owner, items] of byOwner) if (owner !== who) yield* items;
}

const meet = (a: number, b: number): boolean => a === 0 || b === 0 || a === b;

/** The keys of what meets a selector that leaves none of the three open. */
const keysFor = ({ protocol, localPort, remotePort }: TrafficSelector): readonly string[] =>
  [0, protocol].flatMap((a) => [0, localPort].flatMap((b) => [0, remotePort].map((c) => `${a} ${b} ${c}`)));

const numbersOf = ({ protocol, localPort, remotePort }: TrafficSelector): string => `${protocol} ${localPort} ${remotePort}`;

function netOf({ family, first, last }: AddressRange): Net {
  const differs = first ^ last;
  return netAt(family, first, bitsOf(family) - (differs === 0n ? 0 : differs.toString(2).length));
}

function netAt(family: Family, address: bigint, length: number): Net {
  const host = (1n << BigInt(bitsOf(family) - length)) - 1n;
  return { family, first: address & ~host, last: address | host, length };
}

const textOf = ({ first, length }: Net): string => `${first}/${length}`;
