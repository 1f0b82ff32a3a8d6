import assert from "node:assert/strict";
import { test } from "node:test";
import { compile } from "../../policy/compile.ts";
import { namesIn, resolvePolicy } from "../../policy/resolve.ts";
import { policyFrom } from "./random-policies.ts";

const POLICY = policyFrom([
  { action: "permit", filters: ["me <-> DNS:53 udp", "me <-> host.example.test"] },
  { action: "block", filters: ["me <-> 192.0.2.9"] },
]);

test("the names of a policy are told once each, in lower case", () => {
  assert.deepEqual(namesIn(POLICY), ["dns", "host.example.test"]);
});

test("every address of a name gets a filter of its own, and one without addresses stands for nothing", () => {
  const resolved = resolvePolicy(POLICY, new Map([["dns", ["192.0.2.53", "2001:db8::53"]]]));
  const out = compile(resolved, ["192.0.2.1", "2001:db8::1"]).filter(({ direction }) => direction === "out");
  const rules = out
    .filter(({ origin }) => origin.kind === "rule")
    .map(({ selector: s }) => `${s.destination} ${s.protocol} ${s.destinationPort}`);
  assert.deepEqual([...rules].sort(), ["192.0.2.53 17 53", "192.0.2.9 0 0", "2001:db8::53 17 53"]);
  assert.equal(resolved.rules[1], POLICY.rules[1]);
  assert.equal(resolved.rules[0]?.filters[0]?.text, "me <-> DNS:53 udp");
});
