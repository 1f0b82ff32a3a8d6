/**
 * Which stronger policies are together about every packet of one: found step by step along its remote side, or along its local one, by the prefixes that hold
 * what is left, so that of thousands few are looked at. The kernel's many are of as many ports, as many own networks, or as many remote ones.
 */
import { type AddressRange, covers, formatRange } from "../isakmp/address.ts";
import type { Direction } from "./compile.ts";
import { PrefixIndex } from "./prefix-index.ts";
import type { Reach } from "./walls.ts";

/** Policies with one side in common, by the other one. */
interface Group {
  readonly common: AddressRange;
  readonly byOther: PrefixIndex<Reach>;
}

/** Policies of a direction. */
export class Rivals {
  readonly #remotes: Along;
  readonly #locals: Along;

  constructor(reach: readonly Reach[], direction: Direction) {
    const own = reach.filter(({ wanted }) => wanted.direction === direction);
    this.#remotes = new Along(own, "local", "remote");
    this.#locals = new Along(own, "remote", "local");
  }

  /** How many were looked at so far. */
  get looked(): number {
    return this.#remotes.looked + this.#locals.looked;
  }

  /** Stronger ones that together are about every packet of one, divided by one of its sides alone; undefined where something is left to it. */
  covering(one: Reach): readonly Reach[] | undefined {
    return this.#remotes.covering(one) ?? this.#locals.covering(one);
  }
}

/** Policies by protocol and ports, and then by the side that is held whole. */
class Along {
  readonly #whole: "local" | "remote";
  readonly #along: "local" | "remote";
  readonly #byNumbers = new Map<string, PrefixIndex<Group>>();
  looked = 0;

  constructor(reach: readonly Reach[], whole: "local" | "remote", along: "local" | "remote") {
    this.#whole = whole;
    this.#along = along;
    const groups = new Map<string, Group>();
    for (const one of reach) {
      const numbers = `${one.protocol} ${one.localPort} ${one.remotePort}`;
      const key = `${numbers} ${formatRange(one[whole])}`;
      const group = groups.get(key) ?? { common: one[whole], byOther: new PrefixIndex<Reach>() };
      if (!groups.has(key)) {
        groups.set(key, group);
        const byCommon = this.#byNumbers.get(numbers) ?? new PrefixIndex<Group>();
        this.#byNumbers.set(numbers, byCommon);
        byCommon.add(one[whole], group);
      }
      group.byOther.add(one[along], one);
    }
  }

  /** Stronger ones whose common side holds all of one's, and whose other sides together do. */
  covering(one: Reach): readonly Reach[] | undefined {
    const groups = this.#groupsAbout(one);
    const along = this.#along;
    const { family, last } = one[along];
    const used: Reach[] = [];
    for (let next = one[along].first; next <= last; ) {
      const found = groups.flatMap(({ byOther }) => byOther.at(family, next));
      this.looked += found.length;
      let best: Reach | undefined;
      for (const other of found)
        if (other.wanted.priority < one.wanted.priority && (!best || other[along].last > best[along].last)) best = other;
      if (!best) return undefined;
      used.push(best);
      next = best[along].last + 1n;
    }
    return used;
  }

  /** Those whose common side holds all of one's, and whose protocol and ports are its own or any. */
  #groupsAbout(one: Reach): readonly Group[] {
    const { protocol, localPort, remotePort } = one;
    const common = one[this.#whole];
    const own = (number: number): readonly number[] => (number === 0 ? [0] : [0, number]);
    return own(protocol)
      .flatMap((a) => own(localPort).flatMap((b) => own(remotePort).map((c) => this.#byNumbers.get(`${a} ${b} ${c}`))))
      .flatMap((byCommon) => byCommon?.at(common.family, common.first) ?? [])
      .filter((group) => covers(group.common, common));
  }
}
