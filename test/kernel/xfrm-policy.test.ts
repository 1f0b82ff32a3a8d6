/** What `ip xfrm policy list` prints, as iproute2 6.1 and 6.15 print it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { KernelPolicy } from "../../ike/kernel-contract.ts";
import { parsePolicies } from "../../kernel/xfrm-policy.ts";

const parse = (text: string): readonly KernelPolicy[] => parsePolicies(text.split("\n").filter((line) => line !== ""));

const LIST = `src 192.0.2.1/32 dst 192.0.2.2/32 proto tcp sport 80 dport 443 
	dir out priority 1000 ptype main 
	tmpl src 0.0.0.0 dst 0.0.0.0
		proto esp reqid 1835859969 mode transport
	tmpl src 0.0.0.0 dst 0.0.0.0
		proto ah reqid 1835859969 mode transport
		level use 
src 2001:db8::/32 dst ::/0 proto ipv6-icmp type 133 
	dir in priority 5 ptype main 
src 10.0.0.0/8 dst 10.1.0.0/16 
	dir fwd action block priority 7 ptype main 
	tmpl src 198.51.100.1 dst 203.0.113.9
		proto esp spi 0x00000000(0) reqid 9(0x00000009) mode tunnel
`;

test("policies are read with their selectors, actions, priorities and templates", () => {
  const [both, icmp, tunnel] = parse(LIST);
  const selector = {
    source: "192.0.2.1",
    sourceLength: 32,
    destination: "192.0.2.2",
    destinationLength: 32,
    protocol: 6,
    sourcePort: 80,
    destinationPort: 443,
  };
  const end = { source: null, destination: null, reqid: 1835859969, mode: "transport" } as const;
  assert.deepEqual(both, {
    direction: "out",
    selector,
    action: "allow",
    priority: 1000,
    templates: [
      { ...end, protocol: "esp", level: "required" },
      { ...end, protocol: "ah", level: "use" },
    ],
    ours: false,
  });
  assert.deepEqual([icmp?.direction, icmp?.selector.protocol, icmp?.selector.sourcePort, icmp?.templates], ["in", 58, 133, []]);
  assert.deepEqual(
    [tunnel?.direction, tunnel?.action, tunnel?.templates[0]?.source, tunnel?.templates[0]?.mode],
    ["fwd", "block", "198.51.100.1", "tunnel"],
  );
});

/** As a kernel of Debian 12 has said it. */
const TOLD = `src ::/0 dst ::/0 proto ipv6-icmp type 135 uid 0
	dir in action allow index 3489660944 priority 1000 ptype main share any flag  (0x00000000)
	lifetime config:
	  limit: soft (INF)(bytes), hard (INF)(bytes)
	  limit: soft (INF)(packets), hard (INF)(packets)
	  expire add: soft 0(sec), hard 0(sec)
	  expire use: soft 0(sec), hard 0(sec)
	lifetime current:
	  0(bytes), 0(packets)
	  add 2026-11-22 08:18:03 use -
src 10.2.0.0/24 dst 10.1.0.0/24 proto tcp dport 80 uid 0
	dir fwd action block index 97 priority 1234 ptype main share any flag  (0x00000000)
	lifetime config:
	  limit: soft (INF)(bytes), hard (INF)(bytes)
	  limit: soft (INF)(packets), hard (INF)(packets)
	  expire add: soft 0(sec), hard 0(sec)
	  expire use: soft 0(sec), hard 0(sec)
	lifetime current:
	  1380(bytes), 23(packets)
	  add 2026-11-22 08:18:03 use 2026-11-22 08:18:09
	tmpl src 0.0.0.0 dst 0.0.0.0
		proto ah spi 0x00000000(0) reqid 7(0x00000007) mode transport
		level required share any 
		enc-mask ffffffff auth-mask ffffffff comp-mask ffffffff
	tmpl src 0.0.0.0 dst 0.0.0.0
		proto esp spi 0x00000000(0) reqid 8(0x00000008) mode transport
		level use share any 
		enc-mask ffffffff auth-mask ffffffff comp-mask ffffffff
`;

test("with all that the kernel tells, too, and whose they are by their numbers", () => {
  const [discovery, others, ...more] = parsePolicies(TOLD.split("\n").filter((line) => line !== ""));
  assert.deepEqual(more, []);
  assert.deepEqual([discovery?.ours, discovery?.direction, discovery?.action, discovery?.priority], [true, "in", "allow", 1000]);
  assert.deepEqual([others?.ours, others?.direction, others?.action, others?.priority], [false, "fwd", "block", 1234]);
  assert.deepEqual(
    others?.templates.map(({ protocol, reqid, level }) => [protocol, reqid, level]),
    [
      ["ah", 7, "required"],
      ["esp", 8, "use"],
    ],
  );
});

test("policies of interfaces, of sockets, and with words that are not known are passed over", () => {
  assert.deepEqual(parse("src 0.0.0.0/0 dst 10.2.0.0/16 proto icmp type 8 code 1 \n\tdir out priority 7 ptype main \n\tif_id 0x5\n"), []);
  assert.deepEqual(parse("src 0.0.0.0/0 dst 0.0.0.0/0 \n\tsocket out priority 0 ptype main \n"), []);
  assert.deepEqual(parse("src 0.0.0.0/0 dst 0.0.0.0/0 proto frobnicate \n\tdir out priority 7 ptype main \n"), []);
  assert.equal(parse(`rubbish\n\tdir out priority 1\n${LIST}`).length, 3);
});

test("policies of one interface, of a GRE key and of another type are passed over, and make no listing unreadable, whatever their numbers", () => {
  const one = (selector: string, ptype = "main") =>
    `src 192.0.2.1/32 dst 192.0.2.2/32 ${selector}uid 0\n\tdir out action allow index 3489660945 priority 7 ptype ${ptype} share any flag  (0x00000000)`;
  let unread = 0;
  const read = (text: string) => parsePolicies(text.split("\n"), () => unread++).length;
  assert.deepEqual([one("dev wg0 "), one("proto gre key 7 "), one("", "sub"), one("proto tcp dport 80 ")].map(read), [0, 0, 0, 1]);
  assert.equal(unread, 0);
  assert.equal(read(one("colour blue ")), 0);
  assert.equal(unread, 1, "a key that can't be read is counted");
});

test("any lines are read to an end", () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.constantFrom(...LIST.split("\n")), fc.string())), (lines) => {
      assert.ok(parsePolicies(lines).length <= lines.length);
    }),
  );
});

test("protocols are read by every name that `ip` has for them, so that a policy of ours is found again", () => {
  for (const [name, number] of [
    ["ospf", 89],
    ["ospfigp", 89],
    ["vrrp", 112],
    ["ipv6-icmp", 58],
    ["253", 253],
  ] as const)
    assert.equal(parse(`src 192.0.2.1/32 dst 192.0.2.2/32 proto ${name}\n\tdir out priority 1 ptype main\n`)[0]?.selector.protocol, number);
});
