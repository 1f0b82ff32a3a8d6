/** Which rules a proof is good for. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { choicesOf, methodNumber, ownIdentity } from "../../auth/choice.ts";
import { acceptsProof, type PeerProof, ruleForCertificate, ruleForKey, ruleForPrincipal, speaksAs } from "../../auth/proof.ts";
import { parseIdentity } from "../../policy/identity.ts";
import type { AuthEntry, Identity, PeerDemand, Rule } from "../../policy/types.ts";
import { CA, kerberos, OTHER_CA, principalOf, x509 } from "../sim/credentials.ts";
import { policyOf, towards } from "../sim/policies.ts";
import { A, B } from "../sim/setting.ts";

const [PLAIN] = policyOf(towards(B)).rules;
const psk = PLAIN?.auth[0] as AuthEntry;
const rule = (name: string, ...auth: readonly AuthEntry[]): Rule => ({ ...(PLAIN as Rule), name, auth });
const id = (text: string): Identity => {
  const read = parseIdentity(text);
  assert.ok(read.ok);
  return read.value;
};
const ADDRESS = id(`ip:${B}`);
const SUBJECT = id("dn:C=DE, O=Simulated, CN=B");
const verified = (...entries: readonly number[]) => {
  const [identities, issuers] = [[SUBJECT, id("fqdn:b.example.test")], [id("dn:O=Simulated, CN=CA")]];
  return { kind: "verified", entries, identities, subject: "CN=B", issuer: "CN=CA", issuers, anchor: "", warnings: [] } as const;
};

test("a rule offers the first entry of each method, in its order", () => {
  const [one, other] = [x509("A", "p256"), x509("A", "p256")];
  const all = choicesOf(rule("r", kerberos("A"), one, psk, other, x509("A", "rsa2048"), psk));
  assert.deepEqual(
    all.map(({ entry }) => methodNumber(entry)),
    [65001, 9, 1, 3],
  );
  assert.equal(all[1]?.entry, one);
});

test("without local-id a certificate's subject is our identity, and the address with other methods", () => {
  assert.deepEqual(ownIdentity(x509("A", "p256"), A), id("dn:C=DE, O=Simulated, CN=A"));
  assert.deepEqual(ownIdentity(kerberos("A"), A), id(`ip:${A}`));
  assert.deepEqual(ownIdentity(kerberos("A", { localId: id("fqdn:a") }), A), id("fqdn:a"));
});

test("of rules that take a certificate the one that names the identity comes before one that takes any", () => {
  const claims = [rule("any", x509("A", "p256")), rule("named", x509("A", "p256", { remoteId: SUBJECT }))].map((one) => {
    const [choice] = choicesOf(one);
    assert.ok(choice?.method === "x509");
    return choice;
  });
  const found = ruleForCertificate(claims, verified(0, 1));
  assert.ok(found.ok && found.value.rule.name === "named");
  const first = ruleForCertificate(claims, verified(0));
  assert.ok(first.ok && first.value.rule.name === "any");
  assert.equal(ruleForCertificate(claims, verified(7)).ok, false, "a provider that names what nobody asked about");
});

function certificateProof(): PeerProof {
  const [choice] = choicesOf(rule("mine", x509("A", "p256")));
  assert.ok(choice?.method === "x509");
  const found = ruleForCertificate([choice], verified(0));
  assert.ok(found.ok);
  return found.value.proof;
}

for (const [name, entry, good] of [
  ["the same CA", x509("A", "p256"), true],
  ["another CA", x509("A", "p256", { trust: { ...x509("A", "p256").trust, anchors: [OTHER_CA.der] } }), false],
  ["the same CA, read anew", x509("A", "p256", { trust: { ...x509("A", "p256").trust, anchors: [Uint8Array.from(CA.der)] } }), true],
  ["the same CA, but lists are required", x509("A", "p256", { trust: { ...x509("A", "p256").trust, crl: "require" } }), false],
  ["a remote-id that the certificate proves", x509("A", "p256", { remoteId: id("fqdn:b.example.test") }), true],
  ["another remote-id", x509("A", "p256", { remoteId: id("fqdn:c.example.test") }), false],
  ["another kind of key", x509("A", "rsa2048"), false],
  ["a pre-shared key", psk, false],
  ["Kerberos", kerberos("A"), false],
] as const)
  test(`a proof by certificate is ${good ? "good" : "no good"} for a rule with ${name}`, () => {
    assert.equal(acceptsProof(rule("other", entry), certificateProof(), SUBJECT), good);
  });

const KERBEROS = {
  method: "kerberos",
  rule: rule("mine", kerberos("A")),
  entry: kerberos("A"),
  peer: { principal: principalOf("B"), addressNames: [] },
} as const;

for (const [name, entry, good] of [
  ["the same peer-principal", kerberos("A"), true],
  ["another peer-principal", kerberos("A", { peerPrincipal: "host/c@EXAMPLE.TEST" }), false],
  ["another remote-id", kerberos("A", { remoteId: id("ip:192.0.2.9") }), false],
  ["a pre-shared key", psk, false],
] as const)
  test(`a proof by Kerberos is ${good ? "good" : "no good"} for a rule with ${name}`, () => {
    assert.equal(acceptsProof(rule("other", entry), KERBEROS, ADDRESS), good);
  });

test("a rule for which we would speak as somebody else does not use the SA", () => {
  const own = id(`ip:${A}`);
  assert.equal(speaksAs(rule("r", kerberos("A")), KERBEROS, own, ADDRESS, A), true);
  assert.equal(speaksAs(rule("r", kerberos("A", { principal: "host/other@EXAMPLE.TEST" })), KERBEROS, own, ADDRESS, A), false);
  assert.equal(speaksAs(rule("r", kerberos("A", { localId: id("fqdn:a") })), KERBEROS, own, ADDRESS, A), false);
});

test("a principal belongs to a rule with the keytab that accepted its ticket, and the identity is warned about where it is no address", () => {
  const [choice] = choicesOf(rule("first", kerberos("A")));
  assert.ok(choice?.method === "kerberos");
  const peer = { principal: principalOf("B"), addressNames: [] };
  const rules = [rule("elsewhere", kerberos("A", { keytab: "/other" })), rule("first", kerberos("A"))];
  const found = ruleForPrincipal(rules, choice, peer, ADDRESS, B);
  assert.ok(found.ok && found.value.rule.name === "first" && found.value.warning === null);
  const odd = ruleForPrincipal(rules, choice, peer, id("ip:10.0.0.1"), B);
  assert.ok(odd.ok && odd.value.warning?.includes("calls itself ip:10.0.0.1"));
  const wrong = ruleForPrincipal(rules, choice, { ...peer, principal: "host/evil@EXAMPLE.TEST" }, ADDRESS, B);
  assert.ok(!wrong.ok && wrong.error.kind === "auth-failed" && wrong.error.failure.reason === "kerberos-wrong-peer");
});

const NOTHING: PeerDemand = { identities: [], principals: [], issuers: [] };
const dn = (text: string): Extract<Identity, { type: "dn" }> => {
  const name = id(`dn:${text}`);
  assert.ok(name.type === "dn");
  return name;
};
for (const [what, proof, demand, good] of [
  ["one of its names", certificateProof(), { identities: [id("fqdn:x"), id("fqdn:b.example.test")] }, true],
  ["other names", certificateProof(), { identities: [id("fqdn:x")] }, false],
  ["its CA", certificateProof(), { issuers: [dn("O=Simulated, CN=CA")] }, true],
  ["another CA", certificateProof(), { issuers: [dn("O=Simulated, CN=Other")] }, false],
  ["a principal", certificateProof(), { principals: [principalOf("B")] }, false],
  ["its principal", KERBEROS, { principals: [principalOf("B")] }, true],
  ["another principal", KERBEROS, { principals: ["host/c@EXAMPLE.TEST"] }, false],
  ["the host of its principal", KERBEROS, { identities: [id("fqdn:b.example.test")] }, true],
  ["what a Kerberos peer only says", KERBEROS, { identities: [id("ip:192.0.2.2")] }, false],
  ["another name, which a Kerberos peer may well say", KERBEROS, { identities: [id("fqdn:admin.example.test")] }, false],
  ["a CA, with Kerberos", KERBEROS, { issuers: [dn("O=Simulated, CN=CA")] }, false],
] as const)
  test(`a rule that demands ${what} may ${good ? "" : "not "}use what the peer has proved`, () => {
    const mine = { ...rule("other", proof.entry), demand: { ...NOTHING, ...demand } };
    assert.equal(acceptsProof(mine, proof, proof.method === "x509" ? SUBJECT : ADDRESS), good);
  });

test("of rules that a proof is for the one whose demand it meets is found, and where none is, what was proved and what is wanted is said", () => {
  const [open] = choicesOf(rule("open", psk));
  assert.ok(open?.method === "psk");
  const strict = (name: string, ...identities: readonly Identity[]): Rule => ({ ...rule(name, psk), demand: { ...NOTHING, identities } });
  const peer = id("fqdn:b.example.test");
  const found = ruleForKey([strict("c", id("fqdn:c")), strict("b", peer)], open, peer, B);
  assert.ok(found.ok && found.value.rule.name === "b");
  const none = ruleForKey([strict("c", id("fqdn:c"))], open, peer, B);
  assert.ok(!none.ok);
  assert.deepEqual(none.error, {
    kind: "id-mismatch",
    what: "the peer has proved fqdn:b.example.test, which is not among the rule's remote-ids (rule c)",
  });
});

test("a ticket proves its principal, whatever name the peer claims beside it", () => {
  const claimed = id("fqdn:admin.example.test");
  const entry = kerberos("A", { peerPrincipal: null, remoteId: claimed });
  const peer = { principal: principalOf("B"), addressNames: [] };
  const [choice] = choicesOf(rule("r", entry));
  assert.ok(choice?.method === "kerberos");
  const strict = { ...rule("r", kerberos("A")), demand: { ...NOTHING, identities: [claimed] } };
  assert.equal(
    ruleForPrincipal([strict], { ...choice, rule: strict, entry: strict.auth[0] as typeof choice.entry }, peer, claimed, B).ok,
    false,
  );
  const named = rule("named", kerberos("A", { remoteId: claimed }));
  const open = ruleForPrincipal([named], { ...choice, rule: named, entry: named.auth[0] as typeof choice.entry }, peer, claimed, B);
  assert.equal(open.ok, false);
  const proved = [rule("open", kerberos("A")), rule("own", kerberos("A", { remoteId: id("fqdn:b.example.test") }))];
  const found = ruleForPrincipal(proved, choice, peer, claimed, B);
  assert.ok(found.ok && found.value.rule.name === "own", "the rule that names what the ticket proves comes before one that takes any");
  assert.equal(acceptsProof(named, KERBEROS, claimed), false);
  assert.equal(acceptsProof(rule("own", kerberos("A", { remoteId: id("fqdn:b.example.test") })), KERBEROS, claimed), true);
});
