/** What is kept of a message 1 instead of all of it: the answer to it is the same. */
import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { opensslCrypto } from "../../ike/crypto/openssl.ts";
import { chosenIn, essenceOf, onOffer } from "../../ike/main-mode-offer.ts";
import { silent } from "../../ike/note.ts";
import { isTelling, traitsOf } from "../../ike/vendor.ts";
import { basic } from "../../isakmp/attributes.ts";
import { decodePayloads } from "../../isakmp/message.ts";
import { PAYLOAD } from "../../isakmp/numbers.ts";
import { payload } from "../../isakmp/payloads.ts";
import { VENDOR_IDS } from "../../isakmp/vendor-ids.ts";
import { withAuth, x509 } from "../sim/credentials.ts";
import { IKE_ATTRIBUTES, offerIke } from "../sim/peer-payloads.ts";
import { policyOf, towards } from "../sim/policies.ts";
import { A, B } from "../sim/setting.ts";

const known = fc
  .tuple(fc.constantFrom(...Object.values(VENDOR_IDS)), fc.uint8Array({ maxLength: 8 }))
  .map(([{ bytes }, tail]) => Uint8Array.from([...bytes, ...tail]));
const vids = fc
  .array(fc.oneof(known, fc.uint8Array({ maxLength: 30 })), { maxLength: 12 })
  .map((list) => list.map((data) => payload("vid", { data })));
const requests = fc
  .array(fc.uint8Array({ maxLength: 40 }), { maxLength: 3 })
  .map((list) => list.map((data) => payload("certReq", { encoding: 4, data })));

test("vendor ids that say nothing to us make no difference to what we know of a peer", () => {
  fc.assert(
    fc.property(vids, (list) => {
      assert.deepEqual(traitsOf(list.filter(isTelling)), traitsOf(list));
    }),
    { numRuns: 2000 },
  );
});

const signed = offerIke(IKE_ATTRIBUTES.map((one) => (one.type === 3 ? basic(3, 9) : one)));
const psk = policyOf(towards(B)).rules;
const certified = withAuth(policyOf(towards(B)), x509("A", "p256")).rules;

test("what is kept of a message 1 is answered as the whole of it, octet for octet, and leads to the same state", () => {
  fc.assert(
    fc.property(vids, requests, fc.boolean(), fc.boolean(), (before, more, withCertificates, contact) => {
      const [offer, candidates] = withCertificates ? [signed, certified] : [offerIke(), psk];
      const cookieR = new Uint8Array(8).fill(2);
      const welcome = { candidates, context: "1", contact, unusable: () => false, cookieR, agreed: null };
      const path = { local: { address: A, port: 500 }, remote: { address: B, port: 500 } };
      const tools = { crypto: opensslCrypto, random: (length: number) => new Uint8Array(length), note: silent };
      const whole = [...before, offer, ...more];
      const answered = onOffer(tools, path, welcome, new Uint8Array(8).fill(1), whole);
      assert.ok(answered.ok);
      const kept = decodePayloads(PAYLOAD.SA, essenceOf(whole, answered.value.next.auth));
      assert.ok(kept.ok);
      const again = onOffer(tools, path, welcome, new Uint8Array(8).fill(1), kept.value);
      assert.ok(again.ok);
      assert.deepEqual(Buffer.from(again.value.send), Buffer.from(answered.value.send));
      assert.deepEqual(again.value.next, answered.value.next);
      assert.equal(chosenIn(again.value.send)?.method, withCertificates ? 9 : 1);
    }),
  );
});
