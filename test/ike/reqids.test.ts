/** The numbers by which acquires and SAs find their rule. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { REQID_BASE } from "../../ike/kernel-contract.ts";
import { PolicyTable } from "../../ike/standing.ts";
import type { Rule, TrafficSelector } from "../../policy/types.ts";

const rule = { name: "r", action: "respond" } as Rule;
const selector = (n: number): TrafficSelector => {
  const host = (value: number) => ({ family: 4 as const, first: BigInt(value), last: BigInt(value) });
  return { local: host(1), remote: host(n), protocol: 0, localPort: 0, remotePort: 0 };
};

test("when all numbers are taken, whoever comes shares one, and nothing hangs; one that was given back is given out again", () => {
  const table = new PolicyTable();
  const reqid = (n: number): number => table.reqidFor(rule, selector(n), selector(n), "192.0.2.2");
  const given = new Set(Array.from({ length: 0xffff - 1 }, (_, i) => reqid(i + 1)));
  assert.equal(given.size, 0xffff - 1);
  assert.equal(reqid(100_000), REQID_BASE);
  assert.equal(reqid(7), REQID_BASE + 7);
  table.freeReqid({ reqid: REQID_BASE + 7 });
  assert.equal(reqid(100_001), REQID_BASE + 7);
});
