/** What the library's numbers mean: each cause that somebody can mend has its own words and hint. The common ones happen in test/kerberos. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { AUTH_REASONS } from "../../auth/method.ts";
import { type Doing, failureOf } from "../../auth/providers/gssapi-errors.ts";

/** As krb5.h counts, from the base of its table. */
const TABLE = -1765328384;
const [BAD_NAME, FAILURE, NO_CREDENTIALS] = [2, 13, 7].map((routine) => routine * 2 ** 16) as [number, number, number];

const why = (call: Doing["call"], number: number, major = FAILURE) =>
  failureOf(
    { call: "gss_x", major, minor: (TABLE + number) >>> 0, text: "words" },
    { call, principal: "host/a@R", keytab: "/k", target: call === "usable" ? null : "host/b@R" },
  );

for (const [what, call, number, major, reason, whose, sentence, hint] of [
  ["a mistake in krb5.conf", "principal", 136, BAD_NAME, "provider-failed", "me", /krb5\.conf can't be read/, /KRB5_CONFIG/],
  ["a mistake in krb5.conf", "accept", 136, FAILURE, "provider-failed", "me", /krb5\.conf can't be read/, /KRB5_CONFIG/],
  [
    "a realm that krb5.conf does not have",
    "usable",
    154,
    FAILURE,
    "kerberos-kdc-unreachable",
    "me",
    /nothing says where a KDC/,
    /krb5\.conf/,
  ],
  ["a silent KDC", "usable", 156, FAILURE, "kerberos-kdc-unreachable", "me", /no KDC answered/, null],
  ["an unknown principal of ours", "usable", 6, NO_CREDENTIALS, "kerberos-unknown-principal", "me", /does not know our/, null],
  [
    "a password of ours that has expired",
    "usable",
    23,
    NO_CREDENTIALS,
    "kerberos-unknown-principal",
    "me",
    /not let .* in/,
    /never expires/,
  ],
  ["an account of ours that is locked", "initiate", 18, NO_CREDENTIALS, "kerberos-unknown-principal", "me", /not let .* in/, /locked/],
  ["an unknown peer", "initiate", 7, FAILURE, "kerberos-unknown-principal", "peer", /does not know the peer's principal host\/b/, null],
  ["a user's account as peer", "initiate", 27, FAILURE, "kerberos-unknown-principal", "peer", /gives nobody a ticket/, /setspn/],
  ["a peer's account that has expired", "initiate", 2, FAILURE, "kerberos-unknown-principal", "peer", /gives nobody a ticket/, /expired/],
  ["a wrong key", "usable", 24, NO_CREDENTIALS, "kerberos-wrong-key", "me", /not the one that the KDC has/, null],
  ["no common encryption", "usable", 14, NO_CREDENTIALS, "kerberos-wrong-key", "me", /no kind of encryption/, /AES/],
  ["no key", "usable", 181, NO_CREDENTIALS, "kerberos-no-credentials", "me", /no key of host\/a@R in the keytab \/k/, null],
  ["clocks, as the KDC sees them", "usable", 37, FAILURE, "kerberos-clock-skew", "me", /KDC/, null],
  ["clocks, as we see a peer's", "accept", 37, FAILURE, "kerberos-clock-skew", "peer", /peer/, null],
] as const)
  test(`${what} (${call}): ${reason}, and what to try`, () => {
    const failure = why(call, number, major);
    assert.equal(failure.reason, reason);
    assert.equal(failure.whose, whose);
    assert.match(failure.what, sentence);
    assert.match(failure.what, /\(words\)$/);
    if (hint === null) assert.ok(failure.hint === null && failure.reason in AUTH_REASONS);
    else assert.match(failure.hint ?? "", hint);
  });
