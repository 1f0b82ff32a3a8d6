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
  });
  assert.deepEqual([icmp?.direction, icmp?.selector.protocol, icmp?.selector.sourcePort, icmp?.templates], ["in", 58, 133, []]);
  assert.deepEqual(
    [tunnel?.direction, tunnel?.action, tunnel?.templates[0]?.source, tunnel?.templates[0]?.mode],
    ["fwd", "block", "198.51.100.1", "tunnel"],
  );
});

test("policies of interfaces, of sockets, and with words that are not known are passed over", () => {
  assert.deepEqual(parse("src 0.0.0.0/0 dst 10.2.0.0/16 proto icmp type 8 code 1 \n\tdir out priority 7 ptype main \n\tif_id 0x5\n"), []);
  assert.deepEqual(parse("src 0.0.0.0/0 dst 0.0.0.0/0 \n\tsocket out priority 0 ptype main \n"), []);
  assert.deepEqual(parse("src 0.0.0.0/0 dst 0.0.0.0/0 proto frobnicate \n\tdir out priority 7 ptype main \n"), []);
  assert.equal(parse(`rubbish\n\tdir out priority 1\n${LIST}`).length, 3);
});

test("any lines are read to an end", () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.constantFrom(...LIST.split("\n")), fc.string())), (lines) => {
      assert.ok(parsePolicies(lines).length <= lines.length);
    }),
  );
});
