/** What Windows' notifies say, and which negotiation they are about. */
import assert from "node:assert/strict";
import test from "node:test";
import { isRefusal, namedExchange, notifyName } from "../../ike/windows-notify.ts";
import { NOTIFY } from "../../isakmp/numbers.ts";

const notify = (type: number, data = "", spi = "") => ({
  doi: 1,
  protocol: 3,
  type,
  spi: Uint8Array.from(Buffer.from(spi, "hex")),
  data: Uint8Array.from(Buffer.from(data, "hex")),
});

test("a status of Windows' that is an error refuses, by its number and what that means", () => {
  const failed = notify(NOTIFY.NOTIFY_STATUS, "0000362c");
  assert.equal(isRefusal(failed), true);
  assert.equal(notifyName(failed), "NOTIFY_STATUS ERROR_IPSEC_IKE_POLICY_MATCH (Windows error 13868)");
  assert.equal(notifyName(notify(NOTIFY.NOTIFY_STATUS, "00000005")), "NOTIFY_STATUS (Windows error 5)");
  assert.equal(isRefusal(notify(NOTIFY.NOTIFY_STATUS, "00000000")), false);
});

test("EXCHANGE_INFO, status notifies and a cookie refuse nothing; the RFC's errors do", () => {
  for (const type of [NOTIFY.EXCHANGE_INFO, NOTIFY["DOS-COOKIE"], NOTIFY.CONNECTED, NOTIFY["R-U-THERE"]])
    assert.equal(isRefusal(notify(type, "00000001")), false);
  assert.equal(isRefusal(notify(NOTIFY["NO-PROPOSAL-CHOSEN"])), true);
});

test("the message id stands behind the SPI or at the end of the data, and names only what is under way", () => {
  const open = (id: number) => id === 0x01020304;
  assert.equal(namedExchange(notify(14, "", "aabbccdd01020304"), open), 0x01020304);
  assert.equal(namedExchange(notify(14, "01020304"), open), 0x01020304);
  assert.equal(namedExchange(notify(14, "0000362c01020304", "aabbccdd"), open), 0x01020304);
  assert.equal(namedExchange(notify(14, "0000362c", "aabbccdd"), open), undefined);
  assert.equal(namedExchange(notify(14, "", "aabbccdd"), open), undefined);
});
