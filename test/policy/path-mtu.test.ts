/** Routers that say that packets are too long speak no IKE: what `check` says of rules that would not hear them, and what opens the way for just that. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { compile } from "../../policy/compile.ts";
import { destroyPolicy, parseConfiguration } from "../../policy/config.ts";
import { readPacket } from "../../policy/decide.ts";
import { explain } from "../../policy/why.ts";

const AUTH = 'auth = [{ method = "psk", secret = "throwaway test secret" }]';
const TUNNEL = 'mode = "tunnel"\ntunnel = { local = "198.51.100.1", remote = "203.0.113.9" }';
const rule = (action: string, filter: string, more = ""): string =>
  `[[rule]]\nname = "${action} ${filter}"\naction = "${action}"\nfilters = ["${filter}"]\n${["permit", "block"].includes(action) ? "" : AUTH}\n${more}\n`;

function read(text: string) {
  const parsed = parseConfiguration(text, "F", () => ({ ok: false, error: "none" }));
  assert.ok(parsed.ok, parsed.ok ? "" : parsed.error.map(({ message }) => message).join("\n"));
  return parsed.value;
}

/** The networks with routers of which `check` warns. */
const warned = (text: string): readonly string[] => {
  const { warnings, policy } = read(text);
  destroyPolicy(policy);
  return warnings.flatMap(({ message }) => /routers in (\S+) can't tell/.exec(message)?.[1] ?? []);
};

const exempt = (word: string): string => `[policy]\nexempt = ["${word}"]\n`;
for (const [what, text, expected] of [
  ["everything required", rule("require", "me <-> any"), ["0.0.0.0/0"]],
  ["everything of IPv6", rule("require", "me <-> ::/0"), ["::/0"]],
  ["a network with routers", rule("require", "me <-> 10.0.0.0/8"), ["10.0.0.0/8"]],
  ["several, of which the widest is named", rule("require", "me <-> 10.1.0.0/16") + rule("require", "me <-> 10.0.0.0/8"), ["10.0.0.0/8"]],
  ["one link", rule("require", "me <-> 192.0.2.0/24"), []],
  ["one link of IPv6", rule("require", "me <-> 2001:db8::/64"), []],
  ["one host", rule("require", "me <-> 192.0.2.2"), []],
  ["TCP alone", rule("require", "me <-> any tcp"), []],
  ["with discovery", rule("require", "me <-> any", "discovery = true"), ["0.0.0.0/0"]],
  ["with inbound-clear", rule("require", "me <-> any", "inbound-clear = true"), []],
  ["request", rule("request", "me <-> any"), []],
  ["respond", rule("respond", "me <-> any"), []],
  ["a block, which somebody meant", rule("block", "me <-> any"), []],
  ["what leaves", rule("require", "me -> any"), []],
  ["all of this host through a tunnel, where routers speak through it", rule("require", "me <-> any", TUNNEL), []],
  ["another host", `[daemon]\naddresses = ["192.0.2.1"]\n${rule("require", "192.0.2.9 <-> 10.0.0.0/8")}`, []],
  ["a permit of ICMP for a name", rule("require", "me <-> any") + rule("permit", "me <-> router.example.test icmp"), []],
  ["networks through a tunnel", rule("require", "10.1.0.0/16 <-> any", TUNNEL), []],
  ["a permit for ICMP", rule("require", "me <-> 10.0.0.0/8") + rule("permit", "me <-> any icmp"), ["10.0.0.0/8"]],
  ["a permit for ICMP there", rule("require", "me <-> 10.0.0.0/8") + rule("permit", "me <-> 10.0.0.0/8 icmp"), []],
  ["icmp exempt", exempt("icmp") + rule("require", "me <-> any"), []],
  ["path-mtu exempt", exempt("path-mtu") + rule("require", "me <-> any"), []],
  ["dns exempt", exempt("dns") + rule("require", "me <-> any"), ["0.0.0.0/0"]],
] as const)
  test(`${what}: ${expected.length === 0 ? "no warning about path MTU" : `a warning about routers in ${expected.join()}`}`, () =>
    assert.deepEqual(warned(text), expected));

test("path-mtu lets in what says that packets are too long, and nothing else", () => {
  const { policy } = read(exempt("path-mtu") + rule("require", "me <-> any"));
  const found = compile(policy, ["192.0.2.1", "2001:db8::1"])
    .filter(({ origin }) => origin.kind === "exemption" && origin.what === "path-mtu")
    .map(({ direction, action, selector }) => [direction, action, selector.protocol, selector.sourcePort, selector.destinationPort]);
  assert.deepEqual(found, [
    ["in", "allow", 1, 3, 4],
    ["in", "allow", 58, 2, 0],
  ]);
  destroyPolicy(policy);
});

for (const [protocol, type, verdict, says] of [
  [1, 0, "protect", /accepted only protected; and type 3 with code 4 .* path-mtu is exempt/],
  [1, 3, "clear", /path-mtu is exempt/],
  [1, 8, "protect", /accepted only protected$/],
] as const)
  test(`why about ICMP of type ${type === 0 ? "nobody says" : type} that comes, where path-mtu is exempt: ${verdict}`, () => {
    const { policy } = read(exempt("path-mtu") + rule("require", "me <-> any"));
    const packet = readPacket("198.51.100.9", "192.0.2.1", protocol, type, type === 3 ? 4 : 0);
    assert.ok(typeof packet !== "string");
    const said = explain(policy, ["192.0.2.1"], packet);
    assert.equal(said.verdict, verdict);
    assert.match(said.says, says);
    destroyPolicy(policy);
  });
