/**
 * Which stronger policies are together about every packet of one: found step by step along its remote side, by the prefixes that hold what is left, so that of
 * thousands few are looked at. The kernel's many are of as many ports, as many own networks, or as many remote ones.
 */
import { type AddressRange, covers, formatRange } from "../isakmp/address.ts";
import type { Direction } from "./compile.ts";
import { PrefixIndex } from "./prefix-index.ts";
import type { Reach } from "./walls.ts";

/** Policies with one local side, by their remote sides. */
interface Group {
  readonly local: AddressRange;
  readonly byRemote: PrefixIndex<Reach>;
}

/** Policies of a direction by protocol and ports, and then by their local sides. */
export class Rivals {
  readonly #byNumbers = new Map<string, PrefixIndex<Group>>();
  /** How many were looked at so far. */
  looked = 0;

  constructor(reach: readonly Reach[], direction: Direction) {
    const groups = new Map<string, Group>();
    for (const one of reach) {
      if (one.wanted.direction !== direction) continue;
      const numbers = `${one.protocol} ${one.localPort} ${one.remotePort}`;
      const key = `${numbers} ${formatRange(one.local)}`;
      const group = groups.get(key) ?? { local: one.local, byRemote: new PrefixIndex<Reach>() };
      if (!groups.has(key)) {
        groups.set(key, group);
        const byLocal = this.#byNumbers.get(numbers) ?? new PrefixIndex<Group>();
        this.#byNumbers.set(numbers, byLocal);
        byLocal.add(one.local, group);
      }
      group.byRemote.add(one.remote, one);
    }
  }

  /** Stronger ones that together are about every packet of one; undefined where something is left to it. */
  covering(one: Reach): readonly Reach[] | undefined {
    const groups = this.#groupsAbout(one);
    const { family, last } = one.remote;
    const used: Reach[] = [];
    for (let next = one.remote.first; next <= last; ) {
      const found = groups.flatMap(({ byRemote }) => byRemote.at(family, next));
      this.looked += found.length;
      let best: Reach | undefined;
      for (const other of found)
        if (other.wanted.priority < one.wanted.priority && (!best || other.remote.last > best.remote.last)) best = other;
      if (!best) return undefined;
      used.push(best);
      next = best.remote.last + 1n;
    }
    return used;
  }

  /** Those whose local sides hold all of one's, and whose protocol and ports are its own or any. */
  #groupsAbout({ local, protocol, localPort, remotePort }: Reach): readonly Group[] {
    const own = (number: number): readonly number[] => (number === 0 ? [0] : [0, number]);
    return own(protocol)
      .flatMap((a) => own(localPort).flatMap((b) => own(remotePort).map((c) => this.#byNumbers.get(`${a} ${b} ${c}`))))
      .flatMap((byLocal) => byLocal?.at(local.family, local.first) ?? [])
      .filter((group) => covers(group.local, local));
  }
}
