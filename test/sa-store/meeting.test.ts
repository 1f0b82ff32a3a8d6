import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseRange } from "../../isakmp/address.ts";
import { overlap } from "../../policy/selector.ts";
import type { TrafficSelector } from "../../policy/types.ts";
import { Meeting } from "../../sa-store/meeting.ts";

const REMOTES = [
  "0.0.0.0/0",
  "10.0.0.0/8",
  "10.1.0.0/16",
  "10.1.2.3/32",
  "10.1.2.4/32",
  "10.1.255.255-10.2.0.1",
  "10.2.0.0/32",
  "2001:db8::/32",
  "2001:db8::1/128",
];
const range = (text: string) => parseRange(text) as TrafficSelector["remote"];
const selector = fc.record({
  local: fc.constant(range("192.0.2.2/32")),
  remote: fc.constantFrom(...REMOTES).map(range),
  protocol: fc.constantFrom(0, 6, 17),
  localPort: fc.constantFrom(0, 445, 80),
  remotePort: fc.constantFrom(0, 41_000, 42_000),
});
const item = fc.record({ spec: fc.record({ selector }), who: fc.constantFrom("a", "b", "c") });

test("whatever comes and goes, what shares packets with a selector and is another's is found, each once, and nothing that is gone or one's own", () =>
  fc.assert(
    fc.property(
      fc.array(item, { maxLength: 30 }),
      fc.array(fc.nat(), { maxLength: 30 }),
      selector,
      fc.constantFrom("a", "z"),
      (items, gone, asked, who) => {
        const index = new Meeting<(typeof items)[number]>();
        for (const one of items) index.add(one);
        const left = new Set(items);
        for (const at of gone) {
          const one = items[at % Math.max(1, items.length)];
          if (one) index.remove(one);
          if (one) left.delete(one);
        }
        const found = [...index.meeting(asked, who)];
        assert.equal(new Set(found).size, found.length);
        const wanted = [...left].filter((one) => one.who !== who && overlap(one.spec.selector, asked));
        for (const one of wanted) assert.ok(found.includes(one));
        for (const one of found) assert.ok(left.has(one) && one.who !== who);
      },
    ),
  ));
