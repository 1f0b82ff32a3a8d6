/**
 * Stories of who counts as the same peer: behind one NAT, where all have one address, nobody takes over what somebody else has proved himself for,
 * whatever he calls himself.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { PrivateKey } from "../../auth/providers/private-key.ts";
import type { AuthEntry, Identity, Policy, X509Entry } from "../../policy/types.ts";
import { EXT, type Issued, issue, newKey } from "../auth/pki.ts";
import { CA, kerberos, OTHER_CA, withAuth, x509 } from "./credentials.ts";
import { simJobs } from "./jobs.ts";
import { PSK_ENTRY } from "./methods.ts";
import { configuration, policyOf, towards } from "./policies.ts";
import { bringUp, childrenOf, ikesOf, packet } from "./setting.ts";
import { story, type World } from "./world.ts";

const [CLIENT, NEIGHBOUR, SERVER, OUTER] = ["10.0.0.5", "10.0.0.6", "192.0.2.2", "198.51.100.1"];
const [VICTIM, MALLORY, GATEWAY] = ["victim", "mallory", "b"].map((host) => `host/${host}.example.test@EXAMPLE.TEST`) as [
  string,
  string,
  string,
];
const CLAIM = { type: "fqdn", name: "a.example.test" } as const satisfies Identity;
const jobs = (fail: (fault: string) => never) => simJobs(fail, {});

const ticket = (principal: string, peerPrincipal: string, localId: Identity | null = null): AuthEntry =>
  kerberos("A", { principal, peerPrincipal, localId });
const certificate = x509("A", "p256", { localId: CLAIM });
const wanted = x509("B", "p256", { remoteId: CLAIM });
const believing = (entry: X509Entry, ca: Issued = OTHER_CA): X509Entry => ({
  ...entry,
  trust: { ...entry.trust, anchors: [ca.der], names: [ca.subject] },
});

/** A host with a certificate that it made itself, which stands in `ca` of the server: what it calls itself there is its own choice. */
function selfMade(cn: string): readonly [X509Entry, Issued] {
  const key = newKey("p256");
  const own = issue({ subject: `CN=${cn}`, key, extensions: [EXT.noCa(), EXT.names({ dns: CLAIM.name })] });
  const entry = x509("A", "p256", { localId: CLAIM, sendCertificate: "always" });
  const privateKey = new PrivateKey(key.privateKey);
  return [{ ...entry, own: { ...entry.own, chain: [own.der], identities: [CLAIM], issuers: [own.subject], privateKey } }, own];
}
const [[victims, victimsOwn], [mallorys, mallorysOwn]] = [selfMade("victim"), selfMade("mallory")];
const TWIN = issue({ subject: CA.subject, key: newKey("p256"), extensions: [EXT.ca(), EXT.usage(5, 6)] });

const EVERYBODY = policyOf(configuration([{ filters: '["me <-> 198.51.100.0/24"]', action: '"respond"' }]));
const TO_SERVER = policyOf(towards(SERVER));

const behindOneNat = (victim: Policy, mallory: Policy, server: Policy) => ({
  hosts: [
    { name: "A", addresses: [CLIENT], jobs, policy: victim },
    { name: "C", addresses: [NEIGHBOUR], jobs, policy: mallory },
    { name: "B", addresses: [SERVER], jobs, policy: server },
  ],
  nats: [{ outer: OUTER, inside: [CLIENT, NEIGHBOUR] }],
});

/** The first one keeps what it has, whatever the second one tries under its name. */
function keepsItsOwn(world: World): void {
  bringUp(world, world.host("A"));
  const before = ikesOf(world, "B").map(({ id, auth }) => ({ id, auth }));
  const children = childrenOf(world, "B").map(({ id }) => id);
  world.host("C").initiate();
  world.run(3000);
  const after = ikesOf(world, "B").map(({ id, auth }) => ({ id, auth }));
  assert.equal(after.length, before.length + 1, "the second one has proved itself, too");
  assert.deepEqual(after.slice(0, before.length), before);
  assert.deepEqual(
    childrenOf(world, "B")
      .map(({ id }) => id)
      .slice(0, children.length),
    children,
  );
  assert.equal(world.ping(world.host("A"), packet(CLIENT, SERVER)), "protected");
}

const ROWS: readonly (readonly [what: string, victim: AuthEntry, mallory: AuthEntry, server: readonly AuthEntry[]])[] = [
  [
    "a ticket of another principal, with the first one's identity",
    ticket(VICTIM, GATEWAY, CLAIM),
    ticket(MALLORY, GATEWAY, CLAIM),
    [ticket(GATEWAY, VICTIM), ticket(GATEWAY, MALLORY)],
  ],
  ["a ticket, with the name of somebody's certificate", certificate, ticket(MALLORY, GATEWAY, CLAIM), [wanted, ticket(GATEWAY, MALLORY)]],
  ["the key of all, with the name of somebody's certificate", certificate, { ...PSK_ENTRY, localId: CLAIM }, [wanted, PSK_ENTRY]],
  [
    "a certificate of another authority for the same name",
    certificate,
    x509("A", "p256", { localId: CLAIM }, OTHER_CA),
    [wanted, believing(x509("B", "p256"))],
  ],
  [
    "a certificate of an authority that is called like another one",
    certificate,
    x509("A", "p256", { localId: CLAIM }, TWIN),
    [wanted, believing(x509("B", "p256"), TWIN)],
  ],
  [
    "a certificate that its owner made, with the name of somebody who has made his own",
    victims,
    mallorys,
    [believing(x509("B", "p256"), victimsOwn), believing(x509("B", "p256"), mallorysOwn)],
  ],
];
for (const [what, victim, mallory, server] of ROWS)
  test(
    `${what}: nothing of the first one's goes`,
    story(behindOneNat(withAuth(TO_SERVER, victim), withAuth(TO_SERVER, mallory), withAuth(EVERYBODY, ...server)), keepsItsOwn),
  );

const TWO_RULES = policyOf(
  configuration([
    { name: '"victims"', filters: '["me:80 <-> 198.51.100.0/24 tcp"]', action: '"respond"' },
    { name: '"others"', filters: '["me:53 <-> 198.51.0.0/16 udp"]', action: '"respond"' },
  ]),
);
const WEB = policyOf(towards(SERVER, { filters: `["me <-> ${SERVER}:80 tcp"]` }));
const NAMES = policyOf(towards(SERVER, { filters: `["me <-> ${SERVER}:53 udp"]` }));
test(
  "nor by way of another rule, whose demands are lower",
  story(
    behindOneNat(withAuth(WEB, certificate), withAuth(NAMES, ticket(MALLORY, GATEWAY, CLAIM)), {
      ...TWO_RULES,
      rules: TWO_RULES.rules.map((rule) => ({ ...rule, auth: [rule.name === "victims" ? wanted : ticket(GATEWAY, MALLORY)] })),
    }),
    keepsItsOwn,
  ),
);

test(
  "who proves the same again is the same peer: the old pair makes room for the new one",
  story(
    behindOneNat(
      withAuth(TO_SERVER, ticket(VICTIM, GATEWAY, CLAIM)),
      withAuth(TO_SERVER, ticket(MALLORY, GATEWAY)),
      withAuth(EVERYBODY, ticket(GATEWAY, VICTIM)),
    ),
    (world) => {
      bringUp(world, world.host("A"));
      world.reboot(world.host("A"));
      bringUp(world, world.host("A"));
      assert.equal(ikesOf(world, "B").length, 1);
      assert.equal(childrenOf(world, "B").length, 1);
      assert.equal(world.ping(world.host("A"), packet(CLIENT, SERVER)), "protected");
    },
  ),
);

for (const [method, ours, theirs] of [
  ["a certificate", certificate, wanted],
  ["a ticket", ticket(VICTIM, GATEWAY, CLAIM), ticket(GATEWAY, VICTIM)],
] as const)
  test(
    `who proves the same again by ${method} is the same peer, though the other end was started anew meanwhile`,
    story(behindOneNat(withAuth(TO_SERVER, ours), withAuth(TO_SERVER, ours), withAuth(EVERYBODY, theirs)), (world) => {
      world.host("B").keepJournal();
      bringUp(world, world.host("A"));
      world.host("B").crash();
      assert.equal(ikesOf(world, "B").length, 1);
      world.reboot(world.host("A"));
      bringUp(world, world.host("A"));
      assert.equal(ikesOf(world, "B").length, 1);
      assert.equal(childrenOf(world, "B").length, 1);
      assert.equal(world.ping(world.host("A"), packet(CLIENT, SERVER)), "protected");
    }),
  );
