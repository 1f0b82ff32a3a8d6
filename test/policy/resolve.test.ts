import assert from "node:assert/strict";
import { test } from "node:test";
import { compile } from "../../policy/compile.ts";
import { indexPolicies } from "../../policy/decide.ts";
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

test("a gateway or name server with a link-local address opens and shuts the way to that one alone", () => {
  const policy = policyFrom([
    { action: "require", filters: ["me <-> any"] },
    { action: "permit", filters: ["me <-> gateway icmpv6", "me <-> dns:53 udp"] },
  ]);
  const known = new Map(["dns", "gateway"].map((name) => [name, ["fe80::1"]]));
  const index = indexPolicies(compile(resolvePolicy(policy, known), ["2001:db8::1"]));
  const to = (source: string, destination: string, protocol: number, destinationPort: number) => {
    const found = index.decide({ source, destination, protocol, sourcePort: 128, destinationPort }, "out");
    return found?.protection ? "protected" : (found?.action ?? "allow");
  };
  for (const source of ["fe80::a", "2001:db8::1"])
    assert.deepEqual([to(source, "fe80::1", 58, 0), to(source, "fe80::1", 17, 53)], ["allow", "allow"]);
  assert.deepEqual(
    [to("fe80::a", "fe80::1", 17, 54), to("fe80::a", "fe80::2", 17, 53), to("fe80::a", "fe80::2", 58, 0)],
    ["block", "block", "block"],
  );
});
