/** Certificates asked for and sent, renewals with every method, and negotiations that end while a job runs. */
import assert from "node:assert/strict";
import test from "node:test";
import { decodeHeader, decodePayloads, encodeMessage } from "../../isakmp/message.ts";
import { CERT_ENCODING } from "../../isakmp/numbers.ts";
import { type Payload, payload } from "../../isakmp/payloads.ts";
import type { AuthEntry } from "../../policy/types.ts";
import { CA, kerberos, OTHER_CA, withAuth, x509 } from "./credentials.ts";
import type { Host } from "./host.ts";
import { policyOf, towards } from "./policies.ts";
import { A, assertTraffic, B, bringUp, ikesOf, packet } from "./setting.ts";
import { type Sent, story, type World, type WorldOptions } from "./world.ts";

const SHORT = { mainLife: "10m", quickLife: "3m" };
const hosts = (a: readonly AuthEntry[], b: readonly AuthEntry[], more: Partial<WorldOptions> = {}): WorldOptions => ({
  hosts: [
    { name: "A", addresses: [A], policy: withAuth(policyOf(towards(B, {}, SHORT)), ...a) },
    { name: "B", addresses: [B], policy: withAuth(policyOf(towards(A, {}, SHORT)), ...b) },
  ],
  ...more,
});

const payloadsIn = ({ bytes }: Sent): readonly Payload[] => {
  const header = decodeHeader(bytes);
  assert.ok(header.ok);
  const payloads = decodePayloads(header.value.nextPayload, bytes.subarray(28));
  assert.ok(payloads.ok);
  return payloads.value;
};
const requestsIn = (world: World, label: string): readonly string[] =>
  world.sent
    .filter((sent) => sent.label === label && sent.nth === 1)
    .flatMap(payloadsIn)
    .flatMap((p) => (p.name === "certReq" ? [Buffer.from(p.value.data).toString("hex")] : []));
const certificatesSeen = (host: Host): readonly number[] =>
  host.jobs.flatMap((job) => (job.kind === "verify" ? [job.certificates.length] : []));

/** Certificate requests of messages 3 and 4 become these. */
function asking(world: World, ...requests: readonly Uint8Array[]): void {
  world.intercept = (sent) => {
    if ((sent.label !== "MM3" && sent.label !== "MM4") || sent.nth > 1) return undefined;
    const header = decodeHeader(sent.bytes);
    assert.ok(header.ok);
    const others = payloadsIn(sent).filter(({ name }) => name !== "certReq");
    const own = requests.map((data) => payload("certReq", { encoding: CERT_ENCODING["X.509 - Signature"], data }));
    const changed = encodeMessage(header.value, [...others, ...own]);
    world.after(1, () => world.deliver(sent.from, sent.to, changed));
    return { kind: "drop" };
  };
}

const [one, other] = [x509("A", "p256"), x509("B", "p256")];

test(
  "certificates are asked for by the names of the CAs that the rules trust",
  story(hosts([one], [x509("B", "p256", { trust: { ...other.trust, names: [CA.subject, OTHER_CA.subject, CA.subject] } })]), (world) => {
    bringUp(world);
    const [ours, others] = [CA.subject, OTHER_CA.subject].map((name) => Buffer.from(name).toString("hex"));
    assert.deepEqual(requestsIn(world, "MM3"), [ours]);
    assert.deepEqual(requestsIn(world, "MM4"), [ours, others]);
  }),
);

test(
  "too many CAs become one request for any",
  story(
    hosts(
      [x509("A", "p256", { trust: { ...one.trust, names: Array.from({ length: 40 }, (_, i) => Uint8Array.of(0x30, 1, i)) } })],
      [other],
    ),
    (world) => {
      bringUp(world);
      assert.deepEqual(requestsIn(world, "MM3"), [""]);
    },
  ),
);

for (const [name, requests, sent] of [
  ["by its CA's name", [CA.subject], 1],
  ["by any name", [new Uint8Array()], 1],
  ["among others", [OTHER_CA.subject, CA.subject], 1],
  ["by another name", [OTHER_CA.subject], 0],
  ["not at all", [], 0],
] as const)
  test(
    `a certificate that is asked for ${name} is ${sent ? "sent" : "not sent"} with send-certificate = "asked"`,
    story(hosts([one], [other]), (world) => {
      asking(world, ...requests);
      world.host("A").initiate();
      world.run(10_000);
      assert.deepEqual(certificatesSeen(world.host("B")), [sent]);
      world.run(60_000);
    }),
  );

test(
  'the whole chain is sent unasked with send-certificate = "always"',
  story(
    hosts(
      [x509("A", "p256", { sendCertificate: "always", own: { ...one.own, chain: [...one.own.chain, CA.der] } })],
      [x509("B", "p256", { sendCertificate: "always" })],
    ),
    (world) => {
      asking(world);
      bringUp(world);
      assert.deepEqual(certificatesSeen(world.host("B")), [2]);
      assert.deepEqual(certificatesSeen(world.host("A")), [1]);
    },
  ),
);

const methods = {
  RSA: [[x509("A", "rsa2048")], [x509("B", "rsa2048")]],
  ECDSA: [[one], [other]],
  Kerberos: [[kerberos("A")], [kerberos("B")]],
} as const;

/** Every context that was begun was ended, and nothing was asked of it afterwards. */
function assertContextsEnded(host: Host): void {
  const contexts = new Set(host.jobs.flatMap((job) => (job.kind === "gss-step" ? [job.context] : [])));
  for (const context of contexts) {
    const kinds = host.jobs.flatMap((job) => ("context" in job && job.context === context ? [job.kind] : []));
    assert.equal(kinds.at(-1), "gss-drop", `${host.name}: ${kinds.join()}`);
    assert.equal(kinds.filter((kind) => kind === "gss-drop").length, 1, `${host.name}: ${kinds.join()}`);
  }
}

for (const [name, [a, b]] of Object.entries(methods))
  test(
    `${name}: IKE SAs are renewed for an hour under traffic, and no packet waits`,
    story(hosts(a, b), (world) => {
      bringUp(world);
      const arrivals = world.traffic(world.host("A"), packet(A, B), 7000);
      world.run(3_600_000);
      assert.ok(arrivals.every(({ arrival }) => arrival === "protected"));
      assert.ok(world.sent.filter(({ label, nth }) => label === "MM1" && nth > 0).length >= 6, "several Main Modes");
      assertTraffic(world);
      for (const host of world.hosts) assertContextsEnded(host);
    }),
  );

const KINDS = ["usable", "gss-step", "gss-wrap", "gss-unwrap", "sign", "verify"] as const;
for (const [name, [a, b]] of Object.entries(methods))
  for (const host of ["A", "B"] as const)
    for (const kind of KINDS.filter((each) => (each === "usable" ? host === "A" : (name === "Kerberos") === each.startsWith("gss"))))
      test(
        `${name}: ${host} is told to end everything while it waits for ${kind}; a late answer changes nothing`,
        story(hosts(a, b, { jobDelays: [100] }), (world) => {
          const id = world.host("A").initiate();
          world.runUntil(kind, () => world.host(host).jobs.some((job) => job.kind === kind));
          world.host(host).command({ name: "terminate", target: { kind: "all" } });
          if (host === "A")
            assert.deepEqual(
              ikesOf(world, "A").filter(({ state }) => state === "negotiating"),
              [],
            );
          world.run(65_000);
          if (host === "A") assert.equal(world.host("A").outcome(id).reason, "terminated");
          for (const each of world.hosts) {
            each.command({ name: "terminate", target: { kind: "all" } });
            world.run(1000);
            assertContextsEnded(each);
          }
        }),
      );
