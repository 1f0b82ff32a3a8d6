import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ikeRenewal, isTooFast, limitsOf, reserveOf, turnOf } from "../../ike/limits.ts";
import type { IkeSa } from "../../sa-store/ike-sa.ts";

const spi = fc.integer({ min: 0x1000, max: 2 ** 32 - 1 });
const terms = (lifetimeSeconds: number, lifetimeKilobytes: number | null, ownSpi = 0x1000) => ({
  ...{ lifetimeSeconds, lifetimeKilobytes },
  spi: ownSpi,
});

test("the initiator renews between 75 and 80 % of a child's life, the responder between 87 and 90 %: never in the same moment", () =>
  fc.assert(
    fc.property(spi, spi, fc.integer({ min: 20, max: 86_400 }), (one, other, seconds) => {
      const [early, late] = [limitsOf("initiator", terms(seconds, null, one)), limitsOf("responder", terms(seconds, null, other))];
      assert.ok(early.softSeconds >= Math.floor(seconds * 0.75) && early.softSeconds <= seconds * 0.8);
      assert.ok(late.softSeconds >= Math.floor(seconds * 0.87) && late.softSeconds <= seconds * 0.9);
      assert.ok(early.softSeconds < late.softSeconds);
      assert.deepEqual([early.hardSeconds, early.kilobytes], [seconds, null]);
    }),
  ));

test("what is left of a volume when it is renewed lasts for four Quick Modes at the initiator and two at the responder; a kilobyte is 1000 octets", () => {
  const pace = { rate: 100_000, quickMode: 1000 };
  assert.deepEqual([reserveOf("initiator", pace), reserveOf("responder", pace)], [400_000, 200_000]);
  assert.equal(limitsOf("initiator", terms(300, 1000), pace).softShare, 0.6);
  assert.equal(limitsOf("responder", terms(300, 1000), pace).softShare, 0.8);
  assert.equal(limitsOf("initiator", terms(300, 1000), { rate: 1e9, quickMode: 1000 }).softShare, 0.1, "but a tenth is used");
  const idle = limitsOf("initiator", terms(300, 1000)).softShare;
  assert.ok(idle >= 0.75 && idle <= 0.8, "without traffic as with seconds");
});

test("an SA is renewed before its sequence numbers end, by the initiator first, and sends nothing beyond them", () =>
  fc.assert(
    fc.property(spi, spi, (one, other) => {
      const [early, late] = [limitsOf("initiator", terms(28_800, null, one)), limitsOf("responder", terms(28_800, null, other))];
      assert.ok((early.softPackets ?? 0) >= 0.74 * 2 ** 32 && (early.softPackets ?? 0) < (late.softPackets ?? 0));
      assert.ok((late.softPackets ?? 0) < 0.91 * 2 ** 32 && late.hardPackets === 2 ** 32 - 1);
    }),
  ));

test("a volume is too small where it lasts for fewer than ten Quick Modes", () => {
  assert.equal(isTooFast(1000, { rate: 100_000, quickMode: 1000 }), false);
  assert.equal(isTooFast(1000, { rate: 100_001, quickMode: 1000 }), true);
  assert.equal(isTooFast(null, { rate: 1e12, quickMode: 1000 }), false);
});

test("an IKE SA is renewed between 85 and 90 % of its life, by its responder between 95 and 97 %", () =>
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 0xffff }), fc.integer({ min: 60, max: 86_400 }), (dice, seconds) => {
      const [early, late] = [ikeRenewal("initiator", seconds, dice), ikeRenewal("responder", seconds, dice)];
      assert.ok(early >= seconds * 850 - 1 && early <= seconds * 900);
      assert.ok(late >= seconds * 950 - 1 && late <= seconds * 970);
    }),
  ));

test("renewing is left to a peer that would lose packets when we do", () => {
  const ike = (hasty: boolean) => ({ sa: { peer: { hasty } } }) as unknown as IkeSa;
  assert.equal(turnOf(ike(true), "initiator"), "responder");
  assert.equal(turnOf(ike(false), "initiator"), "initiator");
  assert.equal(turnOf(ike(false), "responder"), "responder");
});
