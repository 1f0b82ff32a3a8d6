/** What a full table of strangers weighs in this process, as a slope between few of them and many: all that V8 keeps of them, too. */
import assert from "node:assert/strict";
import test from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { opensslCrypto } from "../../ike/crypto/openssl.ts";
import { createEngine } from "../../ike/engine.ts";
import { encodeMessage } from "../../isakmp/message.ts";
import { payload } from "../../isakmp/payloads.ts";
import { VENDOR_IDS } from "../../isakmp/vendor-ids.ts";
import { seededRandom } from "../sim/crypto.ts";
import { offerIke } from "../sim/peer-payloads.ts";
import { policyOf, towards } from "../sim/policies.ts";

const US = "192.0.2.1";
/** A message 1 with more than a row needs to hold: what we would announce ourselves, and what says nothing to us. */
const VIDS = (["RFC 3947", "NAT-T 02n", "NAT-T 03", "NAT-T 02", "FRAGMENTATION", "XAUTH", "Cisco Unity", "MS NT5"] as const).map((name) =>
  payload("vid", { data: VENDOR_IDS[name].bytes }),
);

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

/** Octets in use, in the heap and outside of it. */
function inUse(): number {
  for (let i = 0; i < 4; i++) collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

test("a stranger costs less than a kilobyte, everything together, up to a full table of twenty thousand", () => {
  // The system's random octets are jobs of Node's, of which the runner of tests keeps a list of its own.
  const engine = createEngine({ crypto: opensslCrypto, random: seededRandom(1), port: 500 });
  engine.handle({ type: "addresses", addresses: [US] }, 0);
  engine.handle(
    { type: "policy", policy: policyOf(towards("2001:db8::/32", { filters: '["me <-> 2001:db8::/32", "me <-> 10.0.0.0/8"]' })) },
    0,
  );
  let now = 0;
  /** Each from a network of its own, and twice, since from a thousand on nobody is heard at once. */
  const fill = (from: number, to: number): void => {
    for (let i = from; i < to; i++) {
      const initiatorCookie = new Uint8Array(8).fill(1);
      new DataView(initiatorCookie.buffer).setUint32(0, i);
      const path = { local: { address: US, port: 500 }, remote: { address: `10.${i >> 8}.${i & 255}.1`, port: 500 } };
      const bytes = encodeMessage({ initiatorCookie, responderCookie: new Uint8Array(8), exchange: 2, flags: 0, messageId: 0 }, [
        offerIke(),
        ...VIDS,
      ]);
      for (let times = 0; times < 2; times++) {
        now += 0.1;
        engine.handle({ type: "datagram", path, bytes }, now);
      }
    }
  };
  fill(0, 4000);
  const few = inUse();
  fill(4000, 20_000);
  const each = (inUse() - few) / 16_000;
  assert.equal(engine.live(now).halfOpen, 20_000);
  assert.ok(each < 1024, `${each} octets each`);
  assert.ok(each > 800, `${each} octets each: that is not what a row takes`);
});
