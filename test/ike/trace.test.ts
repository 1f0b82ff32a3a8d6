import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { nobleCrypto } from "../../ike/crypto/noble.ts";
import { opensslCrypto } from "../../ike/crypto/openssl.ts";
import { Secret } from "../../ike/crypto/secret.ts";
import { type Traced, type TraceKeys, Tracer } from "../../ike/trace.ts";
import { describeMessage } from "../../isakmp/describe.ts";
import { EXCHANGE } from "../../isakmp/numbers.ts";
import { type Recording, record } from "../cli/recorded.ts";

const PROPOSALS = ["aes256-sha256-ecp256", "aes192-sha1-x25519", "3des-sha1-modp1536"] as const;

const recordings = new Map(PROPOSALS.map((proposal) => [proposal, record(proposal)]));
const recording = recordings.get("aes256-sha256-ecp256") as Recording;

const keysOf = ({ initiatorCookie, key }: Recording): TraceKeys => new Map([[initiatorCookie, new Secret(Uint8Array.from(key))]]);

function trace(messages: readonly Uint8Array[], keys: TraceKeys, crypto = opensslCrypto): readonly Traced[] {
  const tracer = new Tracer(crypto, keys);
  return messages.map((bytes) => {
    const traced = tracer.take(bytes);
    assert.ok(traced.ok);
    return traced.value;
  });
}

const messagesOf = ({ datagrams }: Recording): readonly Uint8Array[] => datagrams.map(({ payload }) => payload);

const names = ({ payloads }: Traced): readonly string[] | string =>
  typeof payloads === "string" ? payloads : payloads.filter(({ name }) => name !== "vid").map(({ name }) => name);

for (const proposal of PROPOSALS) {
  test(`with the key a whole negotiation under ${proposal} can be read`, () => {
    const each = recordings.get(proposal) as Recording;
    for (const crypto of [opensslCrypto, nobleCrypto]) {
      const traced = trace(messagesOf(each), keysOf(each), crypto);
      const main = traced.filter(({ header }) => header.exchange === EXCHANGE["Identity Protection"]);
      assert.deepEqual(main.slice(0, 2).map(names), [["sa"], ["sa"]]);
      assert.deepEqual(
        main.slice(4).map((message) => names(message).slice(0, 2)),
        [
          ["id", "hash"],
          ["id", "hash"],
        ],
      );
      const quick = traced.filter(({ header }) => header.exchange === EXCHANGE["Quick Mode"]);
      assert.deepEqual(
        quick.map((message) => names(message).slice(0, 3)),
        [["hash", "sa", "nonce"], ["hash", "sa", "nonce"], ["hash"]],
      );
      const deletes = traced.filter(({ payloads }) => typeof payloads !== "string" && payloads.some(({ name }) => name === "delete"));
      assert.ok(deletes.length >= 2);
      assert.deepEqual(
        traced.filter(({ payloads }) => typeof payloads === "string"),
        [],
      );
      assert.deepEqual(
        traced.map(({ decrypted }) => decrypted),
        traced.map(({ header }) => (header.flags & 1) === 1),
      );
    }
  });
}

test("repeated messages are read as they were the first time and do not disturb what follows", () => {
  const twice = messagesOf(recording).flatMap((message) => [message, message]);
  const traced = trace([...twice, ...messagesOf(recording)], keysOf(recording));
  assert.deepEqual(
    traced.filter(({ payloads }) => typeof payloads === "string"),
    [],
  );
  const lines = (all: readonly Traced[]): readonly string[] =>
    all.map(({ header, payloads }) => describeMessage(header, payloads).join("\n"));
  const [once, repeats] = [lines(trace(messagesOf(recording), keysOf(recording))), lines(traced)];
  assert.deepEqual(
    repeats.slice(0, twice.length).filter((_, i) => i % 2 === 1),
    once,
  );
});

test("without the key, with another's, or with one of the wrong length the note says what is missing", () => {
  const sealed = messagesOf(recording).findIndex((bytes) => ((bytes[19] ?? 0) & 1) === 1);
  const note = (keys: TraceKeys): string => {
    const { payloads, decrypted } = trace(messagesOf(recording).slice(0, sealed + 1), keys)[sealed] as Traced;
    assert.equal(decrypted, false);
    assert.ok(typeof payloads === "string");
    return payloads;
  };
  assert.match(note(new Map()), /^\d+ encrypted octets; no key for this initiator cookie$/);
  assert.match(note(new Map([[recording.initiatorCookie, new Secret(new Uint8Array(16))]])), /the key has 16 octets, aes256 needs 32/);
  assert.match(note(new Map([[recording.initiatorCookie, new Secret(new Uint8Array(32))]])), /decrypts to no payloads/);
});

test("a capture that begins in the middle says so", () => {
  const sealed = messagesOf(recording).filter((bytes) => ((bytes[19] ?? 0) & 1) === 1);
  assert.match(
    names(trace(sealed, keysOf(recording))[0] as Traced) as string,
    /messages before it, which choose the algorithms, are missing/,
  );
});

test("a lost exchange does not hide the next one", () => {
  const all = trace(messagesOf(recording), keysOf(recording));
  const without = messagesOf(recording).filter((_, i) => all[i]?.header.exchange !== EXCHANGE["Quick Mode"]);
  assert.deepEqual(
    trace(without, keysOf(recording)).filter(({ payloads }) => typeof payloads === "string"),
    [],
  );
});

test("what is malformed is a note with its offset, and no header at all an error", () => {
  const [first = new Uint8Array(0)] = messagesOf(recording);
  const broken = Uint8Array.from(first);
  broken[31] = 1;
  assert.match(names(trace([broken], new Map())[0] as Traced) as string, /^malformed at octet \d+: /);
  const nothing = new Tracer(opensslCrypto, new Map()).take(first.subarray(0, 20));
  assert.ok(!nothing.ok);
});

test("changed messages never make the tracer throw", () => {
  const messages = messagesOf(recording);
  const keys = keysOf(recording);
  fc.assert(
    fc.property(
      fc.array(fc.record({ at: fc.nat(messages.length - 1), octet: fc.nat(2000), value: fc.nat(255) }), { minLength: 1, maxLength: 20 }),
      (changes) => {
        const changed = messages.map((message) => Uint8Array.from(message));
        for (const { at, octet, value } of changes) {
          const message = changed[at] as Uint8Array;
          message[octet % message.length] = value;
        }
        const tracer = new Tracer(opensslCrypto, keys);
        for (const message of changed) tracer.take(message);
      },
    ),
  );
});
