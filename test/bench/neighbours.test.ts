/** What it costs to see that nobody behind a NAT has what another host there asks for, in steps as steps.ts counts them: it does not grow with their number. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ChildSa } from "../../sa-store/child-sa.ts";
import { ran } from "./steps.ts";

/** Nothing of ours is loaded before. */
const { parseRange } = await import("../../isakmp/address.ts");
const { Store } = await import("../../sa-store/store.ts");

const range = (text: string) => parseRange(text) ?? assert.fail(text);
const [LOCAL, REMOTE] = ["192.0.2.2", "198.51.100.1"];

/** A child of the n-th host: a tunnel to its inner address, or a connection of its own in transport mode. */
const child = (n: number, kind: "tunnel" | "transport"): ChildSa => {
  const inner = kind === "tunnel" ? range(`10.${n >> 8}.${n & 255}.1/32`) : range(`${REMOTE}/32`);
  const numbers = kind === "tunnel" ? { protocol: 0, localPort: 0, remotePort: 0 } : { protocol: 6, localPort: 445, remotePort: 1024 + n };
  const selector = { local: range("10.200.0.0/16"), remote: inner, ...numbers };
  return {
    id: n,
    key: `key ${n}`,
    who: `host ${n}`,
    encap: null,
    protections: [],
    spec: { local: LOCAL, remote: REMOTE, selector },
  } as unknown as ChildSa;
};

/** Steps of `count` hosts that come one after the other. */
function steps(count: number, kind: "tunnel" | "transport"): number {
  const store = new Store();
  let looked = 0;
  ran();
  for (let n = 0; n < count; n++) {
    const one = child(n, kind);
    looked += [...store.childrenMeeting(LOCAL, REMOTE, one.spec.selector, one.who)].length;
    store.putChild(one);
  }
  return looked + ran((url) => url.includes("/sa-store/"));
}

for (const kind of ["tunnel", "transport"] as const)
  test(`four times as many hosts behind one NAT cost four times as much, ${kind} mode`, () => {
    steps(100, kind);
    const [few, many] = [steps(200, kind), steps(800, kind)];
    assert.ok(many < 6 * few, `${few} and ${many} steps`);
  });
