/** Stories of strangers: what becomes of them when their message 3 is here, is no good, or belongs to somebody else by now. */
import assert from "node:assert/strict";
import test from "node:test";
import { BUDGETS } from "../../ike/gate.ts";
import { variable } from "../../isakmp/attributes.ts";
import { decodeHeader, encodeMessage } from "../../isakmp/message.ts";
import { FLAG, NOTIFY } from "../../isakmp/numbers.ts";
import { type Payload, payload } from "../../isakmp/payloads.ts";
import { VENDOR_IDS } from "../../isakmp/vendor-ids.ts";
import { kerberos, principalOf, withAuth, x509 } from "./credentials.ts";
import { makeToken } from "./jobs.ts";
import { offerIke } from "./peer-payloads.ts";
import { configuration, policyOf, towards } from "./policies.ts";
import { A, B, ikesOf, said } from "./setting.ts";
import { makeOffer, standsThough } from "./strangers.ts";
import { against, ke, nonce, octetsOf } from "./versus.ts";
import { story, type World, type WorldOptions } from "./world.ts";

/** Read before the worlds begin, which count the keys that are made in them. */
const known = (text: string): string => {
  policyOf(text);
  return text;
};
const NETWORK = known(towards("192.0.2.0/24"));
const reload = (world: World, text: string): void => world.host("A").input({ type: "policy", policy: policyOf(text) });
const counted = (world: World, what: string): number => world.host("A").engine.counters().get(what) ?? 0;
const failed = (world: World): number => world.host("A").events.filter(({ event }) => event === "ike.failed").length;

interface Cookies {
  readonly cookieI: Uint8Array;
  readonly cookieR: Uint8Array;
}

const message = ({ cookieI, cookieR }: Cookies, payloads: readonly Payload[]): Uint8Array =>
  encodeMessage({ initiatorCookie: cookieI, responderCookie: cookieR, exchange: 2, flags: 0, messageId: 0 }, payloads);

/** A message 1 of `from` with this cookie; the cookies that name what it left behind. */
function begin(world: World, from: string, cookieI: Uint8Array, first?: Uint8Array): Cookies {
  let cookieR = new Uint8Array(8);
  world.attach(from, (bytes) => {
    const header = decodeHeader(bytes);
    if (header.ok && header.value.exchange === 2) cookieR = Uint8Array.from(header.value.responderCookie);
  });
  world.deliver(from, A, first ?? message({ cookieI, cookieR }, [offerIke()]));
  world.run(20);
  return { cookieI, cookieR };
}

/** A message 3 of the peer's is held back, and comes when the story wants it. */
const holding = (
  tell: (world: World, peer: Parameters<Parameters<typeof against>[1]>[1], third: () => Uint8Array) => void,
  text?: string,
) => {
  let third: Uint8Array = new Uint8Array();
  const keep = (bytes: Uint8Array): null => {
    third = Uint8Array.from(bytes);
    return null;
  };
  return against(
    { raw: { MM3: keep } },
    (world, peer) => {
      peer.start();
      world.run(20);
      assert.ok(third.length > 0);
      tell(world, peer, () => third);
    },
    text,
  );
};

test(
  "messages 3 that are no good leave a stranger a stranger, whoever forged them, are complained of once, and keep no good one away",
  holding((world, peer, third) => {
    const before = ikesOf(world, "A");
    for (let i = 0; i < 5; i++) world.deliver(B, A, message(peer, [ke(5 + i), nonce(16)]), true);
    world.run(20);
    assert.deepEqual(ikesOf(world, "A"), before);
    assert.equal(counted(world, "main-mode invalid-key"), 5);
    assert.equal(failed(world), 1);
    assert.deepEqual(peer.notifies, [NOTIFY["INVALID-KEY-INFORMATION"]]);
    const shown = world.host("A").engine.live(world.now).negotiations[0];
    assert.deepEqual([shown?.step.message, shown?.trouble], [2, "message 3 was not accepted: invalid-key"]);
    // Something else is wrong, and then the first again: said, but the peer has been told.
    for (const length of [7, 7]) world.deliver(B, A, message(peer, [ke(32), nonce(length)]), true);
    world.deliver(B, A, message(peer, [ke(6), nonce(16)]), true);
    world.run(20);
    assert.equal(failed(world), 3);
    assert.equal(peer.notifies.length, 1);
    world.send(B, A, third());
    world.run(50);
    assert.ok(peer.established);
  }),
);

test(
  "whoever a hundred strangers came after is answered like one that nobody did",
  holding((world, peer, third) => {
    for (let n = 1; n <= 100; n++) begin(world, `192.0.2.${100 + n}`, octetsOf(8, n));
    world.send(B, A, third());
    world.run(50);
    assert.ok(peer.established);
    assert.equal(failed(world), 0);
  }, NETWORK),
);

test(
  "message 1 again is answered as it was, to where it came from first; changed, or from elsewhere, it is none of the stranger's",
  holding((world, peer) => {
    const first = world.sent.find(({ label }) => label === "MM1")?.bytes as Uint8Array;
    const answers = () => world.sent.filter(({ label }) => label === "MM2");
    world.deliver(B, A, first, true, { from: 1024, to: 500 });
    assert.equal(answers().length, 2);
    assert.deepEqual(...(answers().map(({ bytes }) => Buffer.from(bytes)) as [Buffer, Buffer]));
    const changed = message({ cookieI: peer.cookieI, cookieR: new Uint8Array(8) }, [offerIke(), payload("vid", { data: octetsOf(3) })]);
    world.deliver(B, A, changed, true);
    assert.equal(counted(world, "message 1 changed"), 1);
    assert.equal(answers().length, 2);
    const seen: number[] = [];
    world.attach("192.0.2.77", (bytes) => seen.push(bytes.length));
    world.deliver("192.0.2.77", A, first, true);
    world.run(20);
    assert.equal(ikesOf(world, "A").length, 2);
    const [one, other] = ikesOf(world, "A");
    assert.equal(one?.initiatorCookie, other?.initiatorCookie);
    assert.notEqual(one?.responderCookie, other?.responderCookie);
    assert.equal(seen.length, 1);
  }, NETWORK),
);

test(
  "the same cookie at another address of ours is another peer's",
  story({ hosts: [{ name: "A", addresses: [A, "192.0.2.9"], policy: policyOf(NETWORK) }] }, (world) => {
    begin(world, "192.0.2.11", octetsOf(8, 1));
    world.deliver("192.0.2.11", "192.0.2.9", message({ cookieI: octetsOf(8, 1), cookieR: new Uint8Array(8) }, [offerIke()]), true);
    assert.deepEqual([ikesOf(world, "A").length, counted(world, "other peer's cookies")], [1, 1]);
  }),
);

test(
  "pieces of a message are a stranger's only with both cookies, and at the address of ours where it began",
  story({ hosts: [{ name: "A", addresses: [A, "192.0.2.9"], policy: policyOf(NETWORK) }] }, (world) => {
    const cookies = begin(world, "192.0.2.11", octetsOf(8, 1));
    const piece = payload("fragment", { id: 1, number: 1, flags: 0, data: octetsOf(500) });
    const known = (): readonly number[] => ["fragment kept", "fragment of unknown cookies"].map((what) => counted(world, what));
    world.deliver("192.0.2.11", A, message({ ...cookies, cookieR: octetsOf(8, 9) }, [piece]), true);
    assert.deepEqual(known(), [0, 1]);
    world.deliver("192.0.2.11", "192.0.2.9", message(cookies, [piece]), true);
    assert.deepEqual(known(), [0, 2]);
    world.deliver("192.0.2.11", A, message(cookies, [piece]), true);
    assert.deepEqual(known(), [1, 2]);
  }),
);

test(
  "a stranger's own message 2 that comes back, and a sealed message, are no message 3: nothing is computed, and the good one is taken",
  holding((world, peer, third) => {
    const before = ikesOf(world, "A");
    const { crypto } = world.tap;
    const { generateKeyPair } = crypto;
    let made = 0;
    crypto.generateKeyPair = (...all) => {
      made++;
      return generateKeyPair(...all);
    };
    const second = world.sent.find(({ label }) => label === "MM2")?.bytes as Uint8Array;
    world.deliver(B, A, second, true);
    assert.equal(counted(world, "reflected"), 1);
    const sealed = Uint8Array.from(third());
    const FLAGS_AT = 19;
    sealed[FLAGS_AT] = FLAG.ENCRYPTION;
    world.deliver(B, A, sealed, true);
    assert.equal(counted(world, "main-mode out of turn"), 1);
    assert.deepEqual([made, failed(world), peer.notifies], [0, 0, []]);
    assert.deepEqual(ikesOf(world, "A"), before);
    crypto.generateKeyPair = generateKeyPair;
    world.send(B, A, third());
    world.run(50);
    assert.ok(peer.established);
  }),
);

test(
  "whose message 3 was good keeps its cookies, whoever gets the row that it had as a stranger",
  holding((world, peer, third) => {
    const cookies = [peer.cookieI, peer.cookieR].map((octets) => Buffer.from(octets).toString("hex"));
    // The last stranger fills the place of one that goes.
    begin(world, "192.0.2.10", octetsOf(8, 10));
    world.send(B, A, third());
    world.run(6);
    const has = (): readonly (string | undefined)[] => {
      const sa = ikesOf(world, "A").find(({ remote }) => remote === `${B}:500`);
      return [sa?.initiatorCookie, sa?.responderCookie];
    };
    for (let i = 1; i <= 3; i++) begin(world, `192.0.2.${10 + i}`, octetsOf(8, i));
    assert.deepEqual(has(), cookies);
    world.run(100);
    assert.ok(peer.established);
    for (let i = 4; i <= 6; i++) begin(world, `192.0.2.${10 + i}`, octetsOf(8, i));
    assert.deepEqual(has(), cookies);
    peer.quick();
    world.run(100);
    assert.ok(peer.children.length > 0);
  }, NETWORK),
);

test(
  "a cookie that lives as long as its SA holds on to nothing of the row that it was read from",
  holding((world, peer, third) => {
    const memory: number[] = [];
    const { crypto } = world.tap;
    const { hmac } = crypto;
    crypto.hmac = (name, key, ...parts) => {
      for (const part of parts)
        if (part instanceof Uint8Array && Buffer.compare(part, peer.cookieR) === 0) memory.push(part.buffer.byteLength);
      return hmac(name, key, ...parts);
    };
    world.send(B, A, third());
    world.run(100);
    crypto.hmac = hmac;
    assert.ok(peer.established);
    assert.ok(memory.length > 0);
    assert.deepEqual(new Set(memory), new Set([8]));
  }),
);

for (const agreed of [true, false])
  test(
    `a peer that comes to port 4500 with message 3 is ${agreed ? "answered there" : "not followed where NAT traversal was not agreed on"}`,
    against(
      { edit: agreed ? { MM1: (payloads) => [...payloads, payload("vid", { data: VENDOR_IDS["RFC 3947"].bytes })] } : {} },
      (world, peer) => {
        peer.script = {
          ...peer.script,
          raw: {
            MM3: (bytes) => {
              const third = Uint8Array.from(bytes);
              world.after(1, () => world.send(B, A, third, { from: 4500, to: 4500 }));
              return null;
            },
          },
        };
        peer.start();
        world.run(100);
        // Its message 5 comes from port 500 again.
        assert.ok(peer.established);
        const where = agreed ? 4500 : 500;
        const [sa] = ikesOf(world, "A");
        assert.deepEqual([sa?.local, sa?.remote], [`${A}:${where}`, `${B}:${where}`]);
      },
    ),
  );

test(
  "messages 3 of one address beyond its budget are not even read",
  against(
    {},
    (world) => {
      const cookies = begin(world, "192.0.2.11", octetsOf(8, 1));
      for (let i = 0; i < 150; i++) world.deliver("192.0.2.11", A, message(cookies, [ke(5), nonce(20 + i)]), true);
      assert.equal(counted(world, "main-mode invalid-key"), BUDGETS.exponent.address[0]);
      assert.equal(counted(world, "key exchange put off: too many from one source"), 50);
    },
    NETWORK,
  ),
);

test(
  "whose row another stranger has got is nobody any more, and that one is heard in its new place",
  against(
    {},
    (world) => {
      const [one, two, three] = [1, 2, 3].map((i) => begin(world, `192.0.2.${10 + i}`, octetsOf(8, i))) as [Cookies, Cookies, Cookies];
      const id = ikesOf(world, "A").find(({ initiatorCookie }) => initiatorCookie === "01".repeat(8))?.id ?? 0;
      world.host("A").command({ name: "terminate", target: { kind: "ike", id } });
      world.deliver("192.0.2.11", A, message(one, [ke(5), nonce(16)]), true);
      assert.deepEqual([counted(world, "unknown cookies"), counted(world, "main-mode invalid-key")], [1, 0]);
      // The first one's cookie of ours, from the one whose row moved to its place.
      world.deliver("192.0.2.13", A, message({ cookieI: three.cookieI, cookieR: one.cookieR }, [ke(5), nonce(16)]), true);
      world.deliver("192.0.2.13", A, message({ cookieI: two.cookieI, cookieR: two.cookieR }, [ke(5), nonce(16)]), true);
      assert.deepEqual([counted(world, "unknown cookies"), counted(world, "main-mode invalid-key")], [3, 0]);
      world.deliver("192.0.2.13", A, message(three, [ke(5), nonce(16)]), true);
      world.deliver("192.0.2.12", A, message(two, [ke(5), nonce(16)]), true);
      assert.equal(counted(world, "main-mode invalid-key"), 2);
    },
    NETWORK,
  ),
);

test(
  "strangers are shown, ended by number and by rule, forgotten after a minute, and leave nothing behind",
  against(
    {},
    (world) => {
      const a = world.host("A");
      const empty = a.engine.size;
      for (let i = 1; i <= 4; i++) begin(world, `192.0.2.${10 + i}`, octetsOf(8, i));
      const [first] = ikesOf(world, "A");
      assert.deepEqual(
        [first?.rule, first?.role, first?.state, first?.remote, first?.auth, first?.encryption, first?.hash, first?.group],
        ["peer", "responder", "negotiating", "192.0.2.11:500", "psk", "aes128", "sha256", "x25519"],
      );
      const ended = a.command({ name: "terminate", target: { kind: "ike", id: first?.id ?? 0 } });
      world.run(10);
      assert.equal(a.outcome(ended).text, "1 SA closed");
      assert.equal(ikesOf(world, "A").length, 3);
      const all = a.command({ name: "terminate", target: { kind: "rule", rule: "peer" } });
      world.run(10);
      assert.equal(a.outcome(all).text, "3 SAs closed");
      assert.equal(a.engine.size, empty);
      for (let i = 1; i <= 3; i++) begin(world, `192.0.2.${10 + i}`, octetsOf(8, i));
      world.run(59_900);
      assert.equal(ikesOf(world, "A").length, 3);
      world.run(200);
      assert.equal(ikesOf(world, "A").length, 0);
      assert.equal(a.engine.size, empty);
    },
    NETWORK,
  ),
);

const NO_NAT = known(towards(B, { "nat-traversal": '"off"' }));
const OTHER_FILTERS = known(configuration([{ filters: `["me <-> ${B}", "me <-> 192.0.2.77"]` }]));
const OTHER_KEY = known(towards(B, { auth: '[{ method = "psk", secret = "another key of this test, long enough" }]' }));
const NOBODY = known(towards("192.0.2.99"));

test(
  "a policy that would answer message 1 otherwise now refuses its message 3, says why, and takes the next attempt",
  against(
    { edit: { MM1: (payloads) => [...payloads, payload("vid", { data: VENDOR_IDS["RFC 3947"].bytes })] }, raw: { MM3: () => null } },
    (world, peer) => {
      peer.start();
      world.run(20);
      reload(world, NO_NAT);
      world.send(B, A, message(peer, [ke(32), nonce(16)]));
      world.run(20);
      assert.equal(ikesOf(world, "A").length, 0);
      assert.deepEqual(peer.notifies, [NOTIFY["NO-PROPOSAL-CHOSEN"]]);
      assert.ok(said(world.host("A"), "warning").some((text) => /policy was changed since message 1/.test(text)));
      peer.script = {};
      peer.start();
      world.run(50);
      assert.ok(peer.established);
    },
  ),
);

for (const [what, text, psk] of [
  ["other filters of the rule", OTHER_FILTERS, undefined],
  ["another key, which is the one that counts", OTHER_KEY, "another key of this test, long enough"],
] as const)
  test(
    `a new policy between messages 1 and 3 with ${what} ends nothing`,
    holding((world, peer, third) => {
      reload(world, text);
      if (psk) peer.script = { ...peer.script, psk };
      world.send(B, A, third());
      world.run(50);
      assert.ok(peer.established);
    }),
  );

test(
  "a message 3 whose peer has no rule any more is refused like a message 1",
  holding((world, peer, third) => {
    reload(world, NOBODY);
    world.send(B, A, third());
    world.run(50);
    assert.deepEqual([peer.established, ikesOf(world, "A").length], [false, 0]);
    assert.deepEqual(peer.notifies, [NOTIFY["NO-PROPOSAL-CHOSEN"]]);
  }),
);

test(
  "a method that began to fail between messages 1 and 3 is still the one that was agreed on",
  story(
    {
      hosts: [
        {
          name: "A",
          addresses: [A],
          policy: withAuth(policyOf(towards(B)), x509("A", "p256"), ...(policyOf(towards(B)).rules[0]?.auth ?? [])),
        },
        {
          name: "B",
          addresses: [B],
          policy: withAuth(policyOf(towards(A)), x509("B", "p256"), ...(policyOf(towards(A)).rules[0]?.auth ?? [])),
        },
      ],
    },
    (world) => assert.ok(standsThough(world, () => true)),
  ),
);

test(
  "a bug that a message 3 meets costs this stranger alone",
  holding((world, peer, third) => {
    begin(world, "192.0.2.77", octetsOf(8, 9));
    const a = world.host("A");
    a.mayHaveBugs = true;
    const { crypto } = world.tap;
    const { generateKeyPair } = crypto;
    crypto.generateKeyPair = () => {
      throw new Error("a bug of this test");
    };
    world.deliver(B, A, third());
    crypto.generateKeyPair = generateKeyPair;
    assert.equal(counted(world, "bug"), 1);
    assert.deepEqual(
      ikesOf(world, "A").map(({ remote }) => remote),
      ["192.0.2.77:500"],
    );
    assert.equal(peer.established, false);
  }, NETWORK),
);

// Kerberos: whether a message 3 is good only a job can tell.

const gss = (delay: number): WorldOptions => ({
  hosts: [
    { name: "A", addresses: [A], policy: withAuth(policyOf(NETWORK), kerberos("A")) },
    { name: "B", addresses: [B], policy: withAuth(policyOf(towards(A)), kerberos("B")) },
  ],
  jobDelays: [delay],
});
const thirdWith = (cookies: Cookies, token: Uint8Array): Uint8Array =>
  message(cookies, [ke(32), nonce(16), payload("gss", { data: token })]);
const ticket = (to: string): Uint8Array => makeToken({ n: 1, from: principalOf("B"), to }, 0);
const OURS = principalOf("A");
const beginGss = (world: World, from: string, cookieI: Uint8Array): Cookies => begin(world, from, cookieI, makeOffer(cookieI));

const stepsOf = (world: World): number => world.host("A").jobs.filter(({ kind }) => kind === "gss-step").length;

test(
  "a stranger whose ticket was refused is a stranger again: its repeats cost nothing, four more tickets do, and a good one is taken",
  story(gss(50), (world) => {
    const cookies = beginGss(world, "192.0.2.33", octetsOf(8, 3));
    const bad = thirdWith(cookies, ticket("host/elsewhere@EXAMPLE.TEST"));
    world.deliver("192.0.2.33", A, bad, true);
    const during = world.host("A").engine.live(world.now);
    assert.deepEqual([during.halfOpen, during.negotiations[0]?.step.message], [1, 3]);
    world.run(200);
    const after = world.host("A").engine.live(world.now);
    assert.deepEqual([after.halfOpen, after.negotiations[0]?.step.message], [1, 2]);
    world.deliver("192.0.2.33", A, bad, true);
    assert.deepEqual([stepsOf(world), counted(world, "refused before")], [1, 1]);
    world.deliver("192.0.2.33", A, thirdWith(cookies, ticket(OURS)), true);
    world.run(200);
    assert.equal(stepsOf(world), 2);
    assert.equal(world.host("A").engine.live(world.now).negotiations[0]?.step.message, 4);
    world.run(70_000);
    assert.equal(ikesOf(world, "A").length, 0);
  }),
);

test(
  "four refused tickets are enough, however long the stranger stays",
  story(gss(5), (world) => {
    const cookies = beginGss(world, "192.0.2.33", octetsOf(8, 3));
    for (let i = 0; i < 6; i++) {
      world.deliver("192.0.2.33", A, thirdWith(cookies, ticket(`host/elsewhere${i}@EXAMPLE.TEST`)), true);
      world.run(50);
    }
    assert.deepEqual([stepsOf(world), counted(world, "too many refused proofs")], [4, 2]);
    assert.equal(failed(world), 1);
    world.run(61_000);
    assert.equal(ikesOf(world, "A").length, 0);
  }),
);

test(
  "a stranger that ends while its ticket is looked at does not come back",
  story(gss(500), (world) => {
    world.run(1000);
    const empty = world.host("A").engine.size;
    const cookies = beginGss(world, "192.0.2.33", octetsOf(8, 3));
    world.deliver("192.0.2.33", A, thirdWith(cookies, ticket("host/elsewhere@EXAMPLE.TEST")), true);
    world.host("A").command({ name: "terminate", target: { kind: "rule", rule: "peer" } });
    assert.equal(ikesOf(world, "A").length, 0);
    world.run(2000);
    assert.deepEqual([ikesOf(world, "A").length, world.host("A").engine.size], [0, empty]);
    assert.equal(counted(world, "outcome of a job that nobody waits for"), 1);
  }),
);

test(
  "while a ticket is looked at, others fill the table: its owner is not pushed out, and is a stranger like them when it is refused",
  story(gss(2000), (world) => {
    const a = world.host("A");
    const cookies = beginGss(world, "192.0.2.33", octetsOf(8, 3));
    world.deliver("192.0.2.33", A, thirdWith(cookies, ticket("host/elsewhere@EXAMPLE.TEST")), true);
    for (let i = 0; i < 20_050; i++) {
      const cookieI = Uint8Array.of(7, 7, 7, 7, i >> 16, i >> 8, i, 1);
      const path = { local: { address: A, port: 500 }, remote: { address: `192.0.2.${100 + (i % 100)}`, port: 500 } };
      const bytes = makeOffer(cookieI);
      // The clock stands still for the world, and runs for the gate.
      for (let times = 0; times < 2; times++) a.engine.handle({ type: "datagram", path, bytes }, world.now);
    }
    const of = (): number => ikesOf(world, "A").filter(({ remote }) => remote === "192.0.2.33:500").length;
    assert.equal(of(), 1);
    world.run(5000);
    assert.ok(of() <= 1);
  }),
);

test(
  "where strangers with long offers fill their share, one that comes back from a job costs one of them its place",
  story(gss(5000), (world) => {
    const long = variable(20_000, octetsOf(20_000));
    const from = "192.0.2.33";
    const cookieI = octetsOf(8, 3);
    const cookies = begin(world, from, cookieI, makeOffer(cookieI, [long]));
    world.deliver(from, A, thirdWith(cookies, ticket("host/elsewhere@EXAMPLE.TEST")), true);
    // Each twice: with so much memory in use, first messages are taken when they come again.
    for (let i = 0; i < 800; i++)
      world.deliver(`192.0.2.${100 + ((i >> 1) % 100)}`, A, makeOffer(Uint8Array.of(7, 7, 7, 7, 7, 7, i >> 9, i >> 1), [long]), true);
    assert.ok(counted(world, "half-open table full") > 0);
    const most = ikesOf(world, "A").length - 1;
    world.run(5000);
    assert.equal(ikesOf(world, "A").length, most);
  }),
);
