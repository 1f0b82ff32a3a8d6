/**
 * The SA table of the terminal monitor: IKE SAs with their children below them, filtered and sorted.
 */
import type { Status } from "../client.ts";
import type { Model } from "./model.ts";

export type Ike = Status["ikeSas"][number];
export type Child = Status["childSas"][number];

export type Row =
  | { readonly key: string; readonly kind: "ike"; readonly sa: Ike }
  | { readonly key: string; readonly kind: "child"; readonly sa: Child };

/** Rows in the order in which they are shown. Children whose IKE SA is gone, or does not pass the filter, stand by themselves at the end. */
export function rowsOf(model: Model): readonly Row[] {
  const { ikeSas = [], childSas = [] } = model.snapshot?.status ?? {};
  const words = model.filter.toLowerCase().split(/\s+/).filter(Boolean);
  const passes = (sa: Ike | Child): boolean => {
    const text = JSON.stringify(sa).toLowerCase();
    return words.every((word) => text.includes(word));
  };
  const ikes = ikeSas.filter((ike) => passes(ike) || childSas.some((child) => child.ike === ike.id && passes(child)));
  const children = childSas.filter(passes);
  const byOrder = orderOf(model);
  const shown = new Set(ikes.map(({ id }) => id));
  const childRows = (all: readonly Child[]): readonly Row[] =>
    sorted(all, byOrder).map((sa) => ({ key: `child ${sa.id}`, kind: "child", sa }));
  return [
    ...sorted(ikes, byOrder).flatMap((sa): readonly Row[] => [
      { key: `ike ${sa.id}`, kind: "ike", sa },
      ...childRows(children.filter((child) => child.ike === sa.id)),
    ]),
    ...childRows(children.filter((child) => child.ike === null || !shown.has(child.ike))),
  ];
}

type Order = (sa: Ike | Child) => number | string;

const sorted = <T extends Ike | Child>(all: readonly T[], order: Order): readonly T[] =>
  [...all].sort((a, b) => {
    const [x, y] = [order(a), order(b)];
    return x < y ? -1 : x > y ? 1 : a.id - b.id;
  });

function orderOf({ sort, rates }: Model): Order {
  switch (sort) {
    case "id":
      return ({ id }) => id;
    case "rule":
      return ({ rule }) => rule;
    case "peer":
      return ({ remote }) => remote;
    case "left":
      return ({ secondsLeft }) => secondsLeft ?? Number.MAX_SAFE_INTEGER;
    case "rate":
      return (sa) => ("bytesIn" in sa ? -((rates.get(sa.id)?.in ?? 0) + (rates.get(sa.id)?.out ?? 0)) : 0);
  }
}
