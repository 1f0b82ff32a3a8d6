/** Windows' cookies, demanded by us under load (MS-IKEE §3.9): nothing is kept for them, and they are good for one address and one cookie. */
import assert from "node:assert/strict";
import test from "node:test";
import { LOAD } from "../../ike/gate.ts";
import { bodyOf, decodeHeader, decodePayloads, encodeMessage, type Header } from "../../isakmp/message.ts";
import { EXCHANGE, NOTIFY } from "../../isakmp/numbers.ts";
import { type Payload, payload } from "../../isakmp/payloads.ts";
import { VENDOR_IDS } from "../../isakmp/vendor-ids.ts";
import { offerIke, one as only } from "./peer-payloads.ts";
import { towards } from "./policies.ts";
import { A, ikesOf } from "./setting.ts";
import { alone, octetsOf } from "./versus.ts";
import { inWorld, type World } from "./world.ts";

const W = "10.255.0.1";
const WINDOWS = payload("vid", { data: Uint8Array.from([...VENDOR_IDS["MS NT5"].bytes, 0, 0, 0, 7]) });

interface Heard {
  readonly to: string;
  readonly header: Header;
  readonly payloads: readonly Payload[];
  readonly octets: number;
}

/** A world in which a thousand strangers wait, and what is answered from then on. */
function underLoad(tell: (world: World, heard: Heard[]) => void, strangers = LOAD): void {
  inWorld(alone(towards("10.0.0.0/8")), (world) => {
    for (let i = 0; i < strangers; i++)
      world.deliver(`10.${i >> 8}.${i & 255}.9`, A, first({ cookieI: Uint8Array.of(1, 1, 1, 1, 1, 1, i >> 8, i & 255) }));
    const heard: Heard[] = [];
    for (const to of [W, "10.255.0.2"])
      world.attach(to, (bytes) => {
        const header = decodeHeader(bytes);
        assert.ok(header.ok);
        const payloads = decodePayloads(header.value.nextPayload, bodyOf(header.value, bytes));
        assert.ok(payloads.ok);
        heard.push({ to, header: header.value, payloads: payloads.value, octets: bytes.length });
      });
    tell(world, heard);
    world.run(70_000);
    world.end();
  });
}

interface First {
  readonly cookieI?: Uint8Array;
  readonly cookieR?: Uint8Array;
  readonly more?: readonly Payload[];
}

const first = ({ cookieI = octetsOf(8), cookieR = new Uint8Array(8), more = [] }: First = {}): Uint8Array =>
  encodeMessage({ initiatorCookie: cookieI, responderCookie: cookieR, exchange: EXCHANGE["Identity Protection"], flags: 0, messageId: 0 }, [
    offerIke(),
    ...more,
  ]);

/** The cookie that a first message from W was answered with. */
function demanded(world: World, heard: Heard[]): Uint8Array {
  world.deliver(W, A, first({ more: [WINDOWS] }));
  world.run(10);
  const demand = heard.pop();
  assert.equal(demand?.header.exchange, EXCHANGE.Informational);
  const notify = only(demand.payloads, "notify");
  assert.equal(notify.type, NOTIFY["DOS-COOKIE"]);
  assert.equal(notify.data.length, 8);
  assert.ok(demand.octets < first({ more: [WINDOWS] }).length);
  return Uint8Array.from(notify.data);
}

test("Windows is asked for a cookie under load, keeps no memory of ours busy, and is answered when it brings it", () => {
  underLoad((world, heard) => {
    const cookieR = demanded(world, heard);
    assert.equal(ikesOf(world, "A").length, LOAD);
    world.deliver(W, A, first({ more: [WINDOWS], cookieR }));
    world.run(10);
    assert.deepEqual(
      heard.map(({ header }) => Buffer.from(header.responderCookie)),
      [Buffer.from(cookieR)],
    );
    assert.equal(only(heard[0]?.payloads ?? [], "sa").proposals.length, 1);
    // Repeated, it is answered with the same message.
    world.deliver(W, A, first({ more: [WINDOWS], cookieR }));
    world.run(10);
    assert.equal(heard.length, 2);
    assert.equal(ikesOf(world, "A").length, LOAD + 1);
  });
});

test("a cookie is no good from another address, for another initiator's cookie, with one bit changed, or two minutes later", () => {
  underLoad((world, heard) => {
    const cookieR = demanded(world, heard);
    world.deliver("10.255.0.2", A, first({ more: [WINDOWS], cookieR }));
    world.deliver(W, A, first({ more: [WINDOWS], cookieR, cookieI: octetsOf(8, 9) }));
    world.deliver(W, A, first({ more: [WINDOWS], cookieR: cookieR.map((octet, i) => (i === 7 ? octet ^ 1 : octet)) }));
    world.run(120_000);
    world.deliver(W, A, first({ more: [WINDOWS], cookieR }));
    world.run(10);
    assert.equal(heard.length, 0);
  });
});

test("nobody else is asked for one: its notify would be taken for a refusal", () => {
  underLoad((world, heard) => {
    world.deliver(W, A, first());
    world.run(10);
    assert.equal(heard.length, 0);
    world.deliver(W, A, first());
    world.run(10);
    assert.equal(heard.length, 1);
    assert.equal(only(heard[0]?.payloads ?? [], "sa").proposals.length, 1);
  });
});

test("without load Windows is answered at once", () => {
  underLoad((world, heard) => {
    world.deliver(W, A, first({ more: [WINDOWS] }));
    world.run(10);
    assert.equal(only(heard[0]?.payloads ?? [], "sa").proposals.length, 1);
  }, LOAD - 1);
});

test("a flood is told of once when it begins and once when it is over, as Windows' event 4646", () => {
  underLoad((world, heard) => {
    for (let i = 0; i < 50; i++) {
      world.deliver(`10.99.0.${i}`, A, first({ cookieI: Uint8Array.of(2, 2, 2, 2, 2, 2, 2, i) }));
      world.run(20);
    }
    assert.deepEqual(heard, []);
    const told = () => world.host("A").events.filter(({ event }) => event === "svc.dos-mode");
    assert.deepEqual(
      told().map(({ state, level }) => [state, level]),
      [["began", "warning"]],
    );
    assert.match(told()[0]?.text ?? "", new RegExp(`^${LOAD} Main Modes`));
    world.run(70_000);
    assert.deepEqual(
      told().map(({ state }) => state),
      ["began", "ended"],
    );
    assert.match(told()[1]?.text ?? "", /^after 6\d s /);
  });
});
