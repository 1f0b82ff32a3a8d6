/** Which certificate requests ask for ours. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { hearRequests, NOTHING_ASKED } from "../../ike/main-mode-signatures.ts";
import { CERT_ENCODING } from "../../isakmp/numbers.ts";
import type { PayloadOf } from "../../isakmp/payloads.ts";

const request = (encoding: number, data: readonly number[] = []) =>
  ({ value: { encoding, data: Uint8Array.from(data) } }) as unknown as PayloadOf<"certReq">;

for (const [name, encoding, any] of [
  ["X.509 for signatures", CERT_ENCODING["X.509 - Signature"], true],
  ["PKCS #7, whose holder can read a plain one", CERT_ENCODING["PKCS #7 wrapped X.509"], true],
  ["a revocation list", CERT_ENCODING.CRL, false],
  ["a PGP key", CERT_ENCODING["PGP Certificate"], false],
  ["a number that nobody knows", 200, false],
] as const)
  test(`a request for ${name} ${any ? "asks" : "does not ask"} for our certificate`, () => {
    assert.equal(hearRequests(NOTHING_ASKED, [request(encoding)]).any, any);
    assert.equal(hearRequests(NOTHING_ASKED, [request(encoding, [0x30, 0])]).names.length, any ? 1 : 0);
  });
