/** A certificate that is refused although its owner signed: both ends know at once, and nobody else can say so. */
import assert from "node:assert/strict";
import test from "node:test";
import { decodeHeader, encodeHeader } from "../../isakmp/message.ts";
import { EXCHANGE } from "../../isakmp/numbers.ts";
import type { AuthEntry } from "../../policy/types.ts";
import { CA, OTHER_CA, withAuth, x509 } from "./credentials.ts";
import { DELIVER } from "./network.ts";
import { policyOf, towards } from "./policies.ts";
import { A, assertTraffic, B, bringUp, ikesOf, said } from "./setting.ts";
import { story, type WorldOptions } from "./world.ts";

const psk = policyOf(towards(B)).rules[0]?.auth[0] as AuthEntry;
const hosts = (a: readonly AuthEntry[], b: readonly AuthEntry[]): WorldOptions => ({
  hosts: [
    { name: "A", addresses: [A], policy: withAuth(policyOf(towards(B)), ...a) },
    { name: "B", addresses: [B], policy: withAuth(policyOf(towards(A)), ...b) },
  ],
});
/** Believes another CA than the one that issued its own and its peer's certificate. */
const stranger = (host: "A" | "B") => {
  const entry = x509(host, "p256");
  return { ...entry, trust: { ...entry.trust, anchors: [OTHER_CA.der], names: [OTHER_CA.subject, CA.subject] } };
};

test(
  "an initiator that refuses a certificate ends at once, and the responder forgets its half",
  story(hosts([stranger("A")], [x509("B", "p256")]), (world) => {
    const id = world.host("A").initiate();
    world.run(2000);
    const { exit, reason, text } = world.host("A").outcome(id);
    assert.deepEqual([exit, reason], [1, "certificate-untrusted"], text);
    assert.match(text, /C=DE, O=Simulated, CN=B was issued by C=DE, CN=simulated CA/);
    for (const host of ["A", "B"]) assert.deepEqual(ikesOf(world, host), []);
    assert.ok(said(world.host("B"), "warning").some((line) => /says AUTHENTICATION-FAILED/.test(line)));
  }),
);

test(
  "a responder that refuses a certificate says so, and the initiator hears it at once",
  story(hosts([x509("A", "p256")], [stranger("B")]), (world) => {
    const id = world.host("A").initiate();
    world.run(2000);
    const { exit, reason, text } = world.host("A").outcome(id);
    assert.deepEqual([exit, reason], [1, "proof-refused"], text);
    for (const host of ["A", "B"]) assert.deepEqual(ikesOf(world, host), []);
    assert.ok(said(world.host("B"), "warning").some((line) => /CN=A was issued by/.test(line)));
  }),
);

test(
  "a peer that agrees to a method and refuses our proof by it, as strongSwan does, is offered the next",
  story(hosts([x509("A", "p256"), psk], [stranger("B"), psk]), (world) => {
    bringUp(world, world.host("A"), "peer", 5000);
    assertTraffic(world);
    assert.deepEqual(
      ikesOf(world, "A").map(({ auth }) => auth),
      ["psk"],
    );
  }),
);

test(
  "nobody but the peer can say that it refuses our proof",
  story(hosts([x509("A", "p256"), psk], [x509("B", "p256"), psk]), (world) => {
    let forged = 0;
    world.intercept = (sent) => {
      const header = decodeHeader(sent.bytes);
      if (sent.label === "MM5" && header.ok && forged++ === 0) {
        const { initiatorCookie, responderCookie } = header.value;
        const head = { initiatorCookie, responderCookie, exchange: EXCHANGE.Informational, flags: 1, messageId: 77 };
        const bytes = new Uint8Array(28 + 64).fill(forged);
        bytes.set(encodeHeader({ ...head, nextPayload: 8, length: bytes.length }));
        world.after(1, () => world.deliver(B, A, bytes));
        world.after(1, () =>
          world.deliver(
            B,
            A,
            Uint8Array.from(sent.bytes, (octet, i) => (i === 18 ? EXCHANGE.Informational : octet)),
          ),
        );
      }
      return DELIVER;
    };
    bringUp(world);
    assert.ok(forged > 0);
    assert.deepEqual(
      ikesOf(world, "A").map(({ auth }) => auth),
      ["ecdsa"],
    );
  }),
);

test(
  "a request for our CA is one however its name is encoded",
  story(hosts([x509("A", "p256")], [askingOtherwise("B")]), (world) => {
    bringUp(world);
    assert.deepEqual(
      ikesOf(world, "B").map(({ auth }) => auth),
      ["ecdsa"],
    );
  }),
);

/** libreswan writes names that its configuration gives it as PrintableString, whatever the CA's certificate has. */
function askingOtherwise(host: "A" | "B") {
  const entry = x509(host, "p256");
  const printable = Buffer.from(CA.subject).toString("hex").replaceAll("0c0c", "130c");
  assert.notEqual(printable, Buffer.from(CA.subject).toString("hex"));
  return { ...entry, trust: { ...entry.trust, names: [Uint8Array.from(Buffer.from(printable, "hex"))] } };
}
