/** Everything that `ip -s xfrm policy list` can say of a policy, from iproute2's ip/ipxfrm.c; most of it as 6.1 has printed it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ListedPolicy } from "../../ike/kernel-contract.ts";
import { samePolicy } from "../../ike/same-policy.ts";
import { parsePolicies } from "../../kernel/xfrm-policy.ts";

const HEAD = "src 192.0.2.1/32 dst 198.51.100.1/32 uid 0";
const DIR = "dir out action allow index 3489660945 priority 5 ptype main share any flag  (0x00000000)";
const CONFIG = [
  "lifetime config:",
  "  limit: soft (INF)(bytes), hard (INF)(bytes)",
  "  limit: soft (INF)(packets), hard (INF)(packets)",
  "  expire add: soft 0(sec), hard 0(sec)",
  "  expire use: soft 0(sec), hard 0(sec)",
] as const;
const CURRENT = ["lifetime current:", "  1380(bytes), 23(packets)", "  add 2026-11-22 20:17:29 use 2026-11-22 20:17:31"] as const;
const MASKS = "\tenc-mask ffffffff auth-mask ffffffff comp-mask ffffffff";
const template = (
  id = "proto esp spi 0x00000000(0) reqid 9(0x00000009) mode transport",
  level = "level required share any ",
  masks = MASKS,
) => ["tmpl src 0.0.0.0 dst 0.0.0.0", `\t${id}`, `\t${level}`, masks];

interface Words {
  readonly head?: string;
  readonly dir?: string;
  readonly config?: readonly string[];
  readonly more?: readonly string[];
  readonly templates?: readonly string[];
  readonly last?: readonly string[];
}

function linesOf({ head = HEAD, dir = DIR, config = CONFIG, more = [], templates = template(), last = [] }: Words): readonly string[] {
  return [head, ...[dir, ...config, ...CURRENT, ...more, ...templates, ...last].map((line) => `\t${line}`)];
}

const ID = "proto esp spi 0x00000000(0) reqid 9(0x00000009) mode transport";
const config = (from: string, to: string) => CONFIG.map((line) => line.replace(from, to));

/** In the place of ours, and none of ours any more. */
const ELSE: Readonly<Record<string, Words>> = {
  "compression in front": { templates: [...template(ID.replace("esp", "comp"), "level use share any "), ...template()] },
  "compression alone": { templates: template(ID.replace("esp", "comp").replace("transport", "tunnel")) },
  "routing header": { templates: template("proto route2 spi 0x00000000(0) reqid 9(0x00000009) mode ro") },
  "home address": { templates: template("proto hao spi 0x00000000(0) reqid 9(0x00000009) mode in_trigger") },
  "any protocol": { templates: template(ID.replace("esp", "ipsec-any")) },
  "a protocol by number": { templates: template(ID.replace("esp", "77")) },
  beet: { templates: template(ID.replace("transport", "beet")) },
  "a mode by number": { templates: template(ID.replace("transport", "5")) },
  "one SPI": { templates: template(ID.replace("0x00000000(0)", "0x00001234(4660)")) },
  "another level": { templates: template(ID, "level 2 share any ") },
  "a template for one user": { templates: template(ID, "level required share unique ") },
  "fewer ciphers": { templates: template(ID, undefined, "\tenc-mask 0000000f auth-mask ffffffff comp-mask ffffffff") },
  "a template that is cut": { templates: ['(ERROR "tmpl" truncated)'] },
  "flags localok and icmp": { dir: DIR.replace("flag  (0x00000000)", "flag localok icmp (0x00000011)") },
  "a flag by number": { dir: DIR.replace("flag  (0x00000000)", "flag 80 (0x10000000)") },
  "a share": { dir: DIR.replace("share any", "share session") },
  "an action by number": { dir: DIR.replace("action allow", "action 2") },
  "a word of a later ip": { dir: `${DIR} colour blue` },
  "a line of a later ip": { last: ["pcpu-num 3"] },
  "an end by volume": { config: config("hard (INF)(bytes)", "hard 1000000(bytes)") },
  "an end by packets": { config: config("soft (INF)(packets)", "soft 10(packets)") },
  "an end by time": { config: config("expire add: soft 0(sec), hard 0(sec)", "expire add: soft 100(sec), hard 200(sec)") },
  "an end by use": { config: config("expire use: soft 0(sec), hard 0(sec)", "expire use: soft 0(sec), hard 9(sec)") },
  "a network card": { last: ["crypto offload parameters: dev eth0 mode packet"] },
  "a network card with a direction": { last: ["crypto offload parameters: dev eth0 dir out mode packet"] },
};

/** In places of their own. */
const BESIDE: Readonly<Record<string, Words>> = {
  "a mark": { more: ["mark 0x5/0xff "] },
  "a mark and one for what leaves": { more: ["mark 0x5/0xff output-mark 0x1/0x1"] },
  "an interface id": { last: ["if_id 0x5"] },
  "an interface": { head: HEAD.replace("uid", "dev wg0 uid") },
  "a user": { head: HEAD.replace("uid 0", "uid 1000") },
  "a GRE key": { head: HEAD.replace("uid", "proto gre key 7 uid") },
  "type sub": { dir: DIR.replace("ptype main", "ptype sub") },
  "a type by number": { dir: DIR.replace("ptype main", "ptype 7") },
  "a socket": { dir: DIR.replace("dir", "socket").replace("3489660945", "11") },
};

/** Ours, and as others say the same. */
const OURS: Readonly<Record<string, Words>> = {
  "as always": {},
  "a kernel without types": { dir: DIR.replace(" ptype main", "") },
  "blank at the end": { dir: `${DIR} ` },
};

const read = (words: Words): readonly ListedPolicy[] => {
  const lines = [
    ...linesOf({ head: HEAD.replace("198.51.100.1", "198.51.100.7") }),
    ...linesOf(words),
    ...linesOf({ head: HEAD.replace("198.51.100.1", "198.51.100.8") }),
  ];
  const unread: number[] = [];
  const policies = parsePolicies(lines, () => unread.push(1));
  assert.deepEqual(unread, []);
  const [first, last] = [policies[0], policies.at(-1)];
  assert.deepEqual([first?.selector.destination, last?.selector.destination], ["198.51.100.7", "198.51.100.8"]);
  assert.deepEqual([first?.ours, last?.ours, first?.templates.length, last?.templates.length], [true, true, 1, 1]);
  return policies.slice(1, -1);
};

for (const [name, words] of Object.entries(ELSE))
  test(`${name}: the policy is somebody else's in its place, like none of ours, and its neighbours are read`, () => {
    const [policy, ...others] = read(words);
    assert.deepEqual(others, []);
    assert.deepEqual(
      [policy?.selector.destination, policy?.direction, policy?.priority, policy?.ours, policy?.saysMore, policy?.templates],
      ["198.51.100.1", "out", 5, false, true, []],
    );
    const [own] = read({});
    assert.ok(policy && own);
    assert.deepEqual([samePolicy(policy, own), samePolicy(own, policy), samePolicy(policy, { ...policy })], [false, false, false]);
    assert.ok(!samePolicy({ ...own, templates: [] }, policy), "nor like a permit of ours");
  });

for (const [name, words] of Object.entries(BESIDE))
  test(`${name}: the policy stands beside ours, and is passed over`, () => assert.deepEqual(read(words), []));

for (const [name, words] of Object.entries(OURS))
  test(`ours, ${name}: nothing of it is unknown`, () =>
    assert.deepEqual(
      read(words).map(({ ours, saysMore = false, templates }) => [ours, saysMore, templates.map(({ reqid }) => reqid)]),
      [[true, false, [9]]],
    ));
