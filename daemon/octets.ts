/**
 * What went through kernel SAs, also through those that are gone: a kernel port that looks at each SA's counters before it is removed.
 * Invariant: totals never go back. What an SA carried between the last look and its end by the kernel itself is not known, and not guessed.
 */
import { isOurReqid, type KernelCommand, type KernelSa } from "../ike/kernel-contract.ts";
import type { OctetTotal } from "../ike/statistics-table.ts";
import type { Kernel } from "../kernel/port.ts";
import { saName } from "../kernel/xfrm-args.ts";
import type { ChildSaView, StatusDocument } from "../sa-store/view.ts";

type Kind = Omit<OctetTotal, "octets" | "packets">;
type Counters = Awaited<ReturnType<Kernel["counters"]>>;

interface Known {
  readonly kind: Kind;
  octets: number;
  packets: number;
}

export interface OctetLedger {
  /** The kernel port to use instead of the bare one. */
  readonly kernel: Kernel;
  /** By kind, those that are gone included, as of the last look. */
  totals(): readonly OctetTotal[];
  /** Learns of SAs that an earlier run installed: what `counters` has and `status` names. */
  learn(status: StatusDocument, counters: Counters): void;
  /** The same of those only that are gone: what the next run adds to, since it finds the others in the kernel. */
  gone(): readonly OctetTotal[];
  /**
   * Adds totals of an earlier run, of SAs that were gone. `seen`: what that run had seen of all, which totals are never below: what the kernel has
   * ended since is made up for at the first look at which the kernel tells what is left.
   */
  restore(saved: readonly OctetTotal[], seen?: readonly OctetTotal[]): void;
}

/** What is only read. */
const listsOf = (bare: Kernel): Pick<Kernel, "list" | "listPolicies"> => ({
  list: () => bare.list(),
  listPolicies: () => bare.listPolicies(),
});

/** Watches what a kernel port is asked to do. */
export function octetLedger(bare: Kernel): OctetLedger {
  const live = new Map<string, Known>();
  const gone = new Map<string, Known>();
  const floor = floorUnder(gone, () => totalsOf([...gone.values(), ...live.values()]));
  const retire = (name: string): void => {
    const sa = live.get(name);
    live.delete(name);
    if (sa) add(gone, sa.kind, sa.octets, sa.packets);
  };
  const note = (name: string, octets: number, packets: number): void => {
    const sa = live.get(name);
    if (!sa) return;
    sa.octets = Math.max(sa.octets, octets);
    sa.packets = Math.max(sa.packets, packets);
  };
  const lastLook = async (command: KernelCommand & { readonly do: "remove-sa" }): Promise<void> => {
    const name = saName(command.sa);
    const read = await bare.run([{ do: "read-sa", sa: command.sa }]);
    if (read.ok && read.value[0]) note(name, read.value[0].octets, read.value[0].packets);
    retire(name);
  };
  const kernel: Kernel = {
    async run(commands) {
      // Groups run in the order of the calls: each look comes before the removal that it is for.
      for (const command of commands)
        if (command.do === "remove-sa" && live.has(saName(command.sa))) void lastLook(command).catch(() => {});
      const outcome = await bare.run(commands);
      const added = outcome.ok ? commands.length : outcome.error.index;
      for (const command of commands.slice(0, added)) if (command.do === "add-sa") put(live, command.sa, commands);
      return outcome;
    },
    async counters() {
      const counters = await bare.counters();
      for (const [name, { octets, packets }] of counters) note(name, octets, packets);
      return counters;
    },
    ...listsOf(bare),
    listen: (onEvent) =>
      bare.listen((event) => {
        if (event.type === "expire" && event.hard) retire(saName(event.sa));
        onEvent(event);
      }),
    close: () => bare.close(),
  };
  return {
    kernel,
    totals: floor.totals,
    gone: () => totalsOf([...gone.values()]),
    learn(status, counters) {
      const unknown = new Map(
        [...counters.keys()].filter((name) => !live.has(name)).map((name) => [name.split(" ").slice(0, 2).join(" "), name]),
      );
      if (unknown.size > 0)
        for (const child of status.childSas) for (const [at, kind] of kindsOf(child)) learnOne(live, unknown.get(at), kind, counters);
      if (counters.size > 0 || status.childSas.length === 0) floor.settle();
    },
    restore(saved, seen = []) {
      for (const { octets, packets, ...kind } of saved) add(gone, kind, octets, packets);
      floor.raise(seen);
    },
  };
}

function totalsOf(all: readonly Known[]): readonly OctetTotal[] {
  const table = new Map<string, Known>();
  for (const { kind, octets, packets } of all) add(table, kind, octets, packets);
  return [...table.values()].map(({ kind, octets, packets }) => ({ ...kind, octets, packets }));
}

/** What totals are never below until it is settled; then what they lack is counted as gone. */
function floorUnder(gone: Map<string, Known>, counted: () => readonly OctetTotal[]) {
  const floor = new Map<string, Known>();
  return {
    totals: () => (floor.size === 0 ? counted() : totalsOf([...counted(), ...missing(counted(), floor)].map(knownOf))),
    raise(seen: readonly OctetTotal[]): void {
      for (const { octets, packets, ...kind } of seen) add(floor, kind, octets, packets);
    },
    settle(): void {
      if (floor.size > 0) for (const { octets, packets, ...kind } of missing(counted(), floor)) add(gone, kind, octets, packets);
      floor.clear();
    },
  };
}

const knownOf = ({ octets, packets, ...kind }: OctetTotal): Known => ({ kind, octets, packets });
const keyOf = (kind: Kind): string => `${kind.dir} ${kind.mode} ${kind.confidential} ${kind.authenticated} ${kind.whole}`;

/** What totals lack of what was seen before. */
function missing(totals: readonly OctetTotal[], floor: ReadonlyMap<string, Known>): readonly OctetTotal[] {
  const found = new Map(totals.map((each) => [keyOf(each), each]));
  return [...floor].flatMap(([key, { kind, octets, packets }]) => {
    const lack = { octets: octets - (found.get(key)?.octets ?? 0), packets: packets - (found.get(key)?.packets ?? 0) };
    const [more, others] = [Math.max(0, lack.octets), Math.max(0, lack.packets)];
    return more + others > 0 ? [{ ...kind, octets: more, packets: others }] : [];
  });
}

function add(table: Map<string, Known>, kind: Kind, octets: number, packets: number): void {
  const key = keyOf(kind);
  const total = table.get(key) ?? { kind, octets: 0, packets: 0 };
  total.octets += octets;
  total.packets += packets;
  table.set(key, total);
}

/** An inbound SA has a replay window, an outbound one none. Of AH and ESP together ESP stands for the whole. */
function put(live: Map<string, Known>, sa: KernelSa, group: readonly KernelCommand[]): void {
  if (!isOurReqid(sa.reqid)) return;
  const bundled =
    sa.protocol === "ah" &&
    group.some(
      (other) =>
        other.do === "add-sa" && other.sa.protocol === "esp" && other.sa.destination === sa.destination && other.sa.reqid === sa.reqid,
    );
  const kind: Kind = {
    dir: sa.replayWindow > 0 ? "in" : "out",
    mode: sa.mode,
    confidential: sa.aead !== null || (sa.encryption !== null && !sa.encryption.name.includes("null")),
    authenticated: sa.aead !== null || sa.integrity !== null,
    whole: !bundled,
  };
  live.set(saName(sa), { kind, octets: 0, packets: 0 });
}

/** `${protocol} ${spi}` of every SA of a child, and of what kind it is. */
const kindsOf = ({ mode, protections }: ChildSaView): readonly (readonly [string, Kind])[] =>
  protections.flatMap(({ protocol, encryption, integrity, spiIn, spiOut }) =>
    (["in", "out"] as const).map((dir): readonly [string, Kind] => [
      `${protocol} ${dir === "in" ? spiIn : spiOut}`,
      {
        ...{ dir, mode, confidential: encryption !== null && encryption !== "null" },
        authenticated: integrity !== null || (encryption ?? "").includes("gcm"),
        whole: protocol === "esp" || protections.length === 1,
      },
    ]),
  );

/** Its counters are whole: the run that made it has left it out of what it wrote down. */
function learnOne(live: Map<string, Known>, name: string | undefined, kind: Kind, counters: Counters): void {
  const found = name === undefined ? undefined : counters.get(name);
  if (name !== undefined && found) live.set(name, { kind, ...found });
}
