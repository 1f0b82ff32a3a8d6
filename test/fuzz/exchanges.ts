/**
 * Whole exchanges under mutants. Three ways, each in worlds of their own with real X25519:
 * `forged`: two engines negotiate beside an SA that stands, and in front of each message of a kind come mutants of it, as from anybody on the network:
 *   with a shared key, with certificates, whole and in fragments, with Kerberos, and from behind a NAT;
 * `sealed`: the scripted peer, which has the key, sends a message whose plaintext was mutated before it was encrypted;
 * `hashed`: the same, but mutated before it was hashed, so that every check of authenticity passes.
 * After each world nothing may be left in any table, no secret undestroyed, and the SA that stands must be as it was: the world's own checks.
 */
import { type Payload, payload } from "../../isakmp/payloads.ts";
import type { AuthEntry, Policy } from "../../policy/types.ts";
import { kerberos, x509 } from "../sim/credentials.ts";
import { Peer, type PeerMessage } from "../sim/peer.ts";
import { deleteOf } from "../sim/peer-payloads.ts";
import { configuration, policyOf, towards } from "../sim/policies.ts";
import { A, B } from "../sim/setting.ts";
import { World, type WorldOptions } from "../sim/world.ts";
import { type Dice, dice, mutated, withLength } from "./mutate.ts";

export interface ExchangeReport {
  readonly inputs: number;
  readonly worlds: number;
  /** Different reasons for which something was dropped or refused: how far the mutants came. */
  readonly outcomes: number;
  readonly slowestMs: number;
  readonly wrong: readonly string[];
}

const C = "192.0.2.3";
const MUTANTS = 60;
const CLEAR = ["MM1", "MM2", "MM3", "MM4", "FRAG"] as const;
const SEALED = ["MM5", "MM6", "QM1", "QM2", "QM3", "INFO"] as const;
const OF_PEER: readonly PeerMessage[] = ["MM5", "QM1", "QM3", "INFO", "MM6", "QM2"];

interface Findings {
  inputs: number;
  worlds: number;
  slowestMs: number;
  readonly outcomes: Set<string>;
  readonly wrong: string[];
}

/** Runs worlds until `inputs` mutants were sent, or until `until`. */
export function fuzzExchanges(inputs: number, seed: number, until = Number.POSITIVE_INFINITY): ExchangeReport {
  const found: Findings = { inputs: 0, worlds: 0, slowestMs: 0, outcomes: new Set(), wrong: [] };
  for (let n = 0; found.inputs < inputs && found.wrong.length < 5 && performance.now() < until; n++) {
    const d = dice(seed * 1_000_003 + n);
    const forged = [...CLEAR, ...SEALED];
    const kinds = forged.length + 2 * OF_PEER.length;
    const kind = n % kinds;
    const label = forged[kind];
    const message = OF_PEER[(kind - forged.length) >> 1];
    if (label) forge(label, settingFor(label, d), d, found);
    else if (message) meddle(message, kind % 2 === 0, d, found);
    found.worlds++;
  }
  return { ...found, outcomes: found.outcomes.size };
}

const THREE = {
  hosts: [
    {
      name: "A",
      addresses: [A],
      policy: policyOf(configuration([B, C].map((peer) => ({ name: `"${peer}"`, filters: `["me <-> ${peer}"]` })))),
    },
    { name: "B", addresses: [B], policy: policyOf(towards(A)) },
    { name: "C", addresses: [C], policy: policyOf(towards(A)) },
  ],
} as const;

/** Between A and B. */
interface Setting {
  readonly name: string;
  /** What proves A and B; without it the shared key does. */
  readonly auth?: () => readonly [AuthEntry, AuthEntry];
  readonly fragments?: boolean;
  /** B's own address, behind a router whose outer one is `B`. */
  readonly inner?: string;
}

const SETTINGS: readonly Setting[] = [
  { name: "psk" },
  { name: "certificates", auth: () => [x509("A", "p256"), x509("B", "p256")] },
  { name: "Kerberos", auth: () => [kerberos("A"), kerberos("B")] },
  { name: "NAT", inner: "10.0.0.5" },
];
/** Long proofs, cut at once. */
const IN_FRAGMENTS: Setting = { name: "fragments", auth: () => [x509("A", "rsa2048"), x509("B", "rsa2048")], fragments: true };

const settingFor = (label: string, d: Dice): Setting => (label === "FRAG" ? IN_FRAGMENTS : (SETTINGS[d.below(SETTINGS.length)] as Setting));

function hostsOf({ auth, fragments, inner }: Setting): WorldOptions {
  const [a, b] = auth?.() ?? [];
  const proved = (policy: Policy, entry: AuthEntry | undefined, only?: string): Policy => ({
    ...policy,
    rules: policy.rules.map((rule) =>
      only === undefined || rule.name === only
        ? { ...rule, ...(entry ? { auth: [entry] } : {}), ...(fragments ? { fragmentation: "force" as const } : {}) }
        : rule,
    ),
  });
  const [hostA, hostB, hostC] = THREE.hosts;
  return {
    hosts: [
      { ...hostA, policy: proved(hostA.policy, a, B) },
      { ...hostB, addresses: [inner ?? B], policy: proved(hostB.policy, b) },
      hostC,
    ],
    realGroups: true,
    nats: inner ? [{ outer: B, inside: [inner] }] : [],
  };
}

/** A and C have an SA; A and B make one, and in front of each message `label` come mutants of it and of what was said before. */
function forge(label: string, setting: Setting, d: Dice, found: Findings): void {
  const world = new World({ ...hostsOf(setting), seed: 1 + d.below(1 << 30) });
  const { inner } = setting;
  const said = guarded(world, found, `forged ${label}, ${setting.name}`, () => {
    const a = world.host("A");
    const b = world.host("B");
    const standing = a.initiate(C);
    world.run(1000);
    if (a.outcome(standing).exit !== 0) throw new Error("no SA to begin with");
    world.intercept = (sent) => {
      if (sent.label !== label || sent.nth > 2) return undefined;
      const before = world.sent.map(({ bytes }) => bytes);
      for (let i = 0; i < MUTANTS; i++) {
        const bytes = mutated(sent.bytes, d, before);
        const [from, to] = [sent.from === inner ? B : sent.from, inner && sent.to === B ? inner : sent.to];
        send(world, from, to, d.below(3) === 0 ? bytes : withLength(bytes), sent.bytes, found);
      }
      return undefined;
    };
    const id = b.initiate();
    world.run(2000);
    if (label === "INFO") b.command({ name: "terminate", target: { kind: "all" } });
    world.run(60_000);
    world.intercept = () => undefined;
    if (b.outcome(id).exit !== 0) {
      if (!maySpoil(label, setting)) throw new Error(`the negotiation failed: ${b.outcome(id).text}`);
      const again = b.initiate();
      world.run(31_000);
      if (b.outcome(again).exit !== 0) throw new Error(`nor does another one succeed: ${b.outcome(again).text}`);
    }
    if (a.engine.view(world.now).childSas.every(({ remote }) => !remote.startsWith(C))) throw new Error("the SA that stood is gone");
  });
  if (said) found.wrong.push(said);
}

/**
 * A mutant of a clear message may spoil a negotiation, since RFC 2409 protects nothing before message 5; and so may one of messages 5 and 6 where
 * more than identity and HASH stands in them: neither HASH nor signature covers certificates and notifies. It must have no effect beyond that.
 */
const maySpoil = (label: string, { auth }: Setting): boolean =>
  (CLEAR as readonly string[]).includes(label) || (auth !== undefined && (label === "MM5" || label === "MM6"));

/** One octet string to a host, as from anybody. What still is the message itself, but for what nothing protects, is left out. */
function send(world: World, from: string, to: string, bytes: Uint8Array, original: Uint8Array, found: Findings): void {
  if (sameMessage(bytes, original)) return;
  const started = performance.now();
  world.deliver(from, to, bytes, true);
  found.slowestMs = Math.max(found.slowestMs, performance.now() - started);
  found.inputs++;
}

/** Equal but for flags, length and the last block, which may be padding, and for what follows the message. */
function sameMessage(bytes: Uint8Array, original: Uint8Array): boolean {
  const mask = (octets: Uint8Array): string => {
    const out = Buffer.from(octets.subarray(0, original.length - 16));
    if (out.length >= 28) out.fill(0, 19, 20).fill(0, 24, 28);
    return out.toString("latin1");
  };
  return mask(bytes) === mask(original);
}

/** The peer has the key. One of its messages is mutated before it is hashed, or before it is encrypted; then it goes on, and then somebody honest. */
function meddle(message: PeerMessage, hashed: boolean, d: Dice, found: Findings): void {
  const world = new World({ hosts: [THREE.hosts[0], THREE.hosts[2]], seed: 1 + d.below(1 << 30) });
  const what = `${hashed ? "hashed" : "sealed"} ${message}`;
  const said = guarded(world, found, what, () => {
    const a = world.host("A");
    const standing = a.initiate(C);
    world.run(1000);
    if (a.outcome(standing).exit !== 0) throw new Error("no SA to begin with");
    for (let i = 0; i < MUTANTS / 6; i++) {
      const peer = forgiving(world);
      if (hashed) peer.script = { edit: { [message]: (payloads: readonly Payload[]) => bent(payloads, d) } };
      else bendPlaintext(world, d, message);
      found.inputs++;
      act(world, peer, message);
      world.run(200);
    }
    world.run(120_000);
    if (a.engine.view(world.now).childSas.every(({ remote }) => !remote.startsWith(C))) throw new Error("the SA that stood is gone");
  });
  if (said) found.wrong.push(said);
}

/** The part of a peer in which `message` occurs. */
function act(world: World, peer: Peer, message: PeerMessage): void {
  if (message === "MM6" || message === "QM2") {
    world.host("A").initiate(B, 5);
    return world.run(50);
  }
  peer.start();
  world.run(50);
  if (!peer.established || message === "MM5") return;
  if (message === "INFO") peer.inform([deleteOf(peer.children[0]?.spiIn ?? 0x2000), payload("nonce", { data: new Uint8Array(20) })]);
  else peer.quick();
}

/** A scripted peer that does not mind what the engine makes of its mutants: what it expects to hold is what honest messages would give. */
function forgiving(world: World): Peer {
  const { attach } = world;
  world.attach = (address, receive) =>
    attach.call(world, address, (bytes, from) => {
      try {
        receive(bytes, from);
      } catch (error) {
        if (!(error instanceof Error && (error.name === "AssertionError" || error.message.includes("ERR_ASSERTION")))) throw error;
      }
    });
  const peer = new Peer(world, B, A, { cookie: Uint8Array.from(seededCookie(world)) });
  world.attach = attach;
  return peer;
}

let cookies = 0;
const seededCookie = (_: World): readonly number[] => {
  cookies++;
  return [9, 9, 9, 9, cookies >> 24, (cookies >> 16) & 255, (cookies >> 8) & 255, cookies & 255];
};

/** Payloads whose bodies are no longer what they were: `raw` is what is hashed and sent. */
function bent(payloads: readonly Payload[], d: Dice): readonly Payload[] {
  const out = [...payloads];
  const i = d.below(out.length);
  const chosen = out[i];
  if (!chosen) return out;
  switch (d.below(5)) {
    case 0:
      return out.filter((_, k) => k !== i);
    case 1:
      return [...out, chosen];
    case 2:
      return out.reverse();
    default:
      out[i] = {
        ...chosen,
        raw: mutated(
          chosen.raw,
          d,
          payloads.map(({ raw }) => raw),
        ),
      };
      return out;
  }
}

/** The next plaintext that the peer encrypts is mutated, to whole blocks again. */
function bendPlaintext(world: World, d: Dice, message: PeerMessage): void {
  const { crypto } = world.tap;
  const { encrypt } = crypto;
  let left = message === "QM1" || message === "QM3" || message === "INFO" ? 1 + d.below(3) : d.below(2);
  crypto.encrypt = (cipher, key, iv, data) => {
    if (left-- > 0) return encrypt(cipher, key, iv, data);
    crypto.encrypt = encrypt;
    const plain = mutated(data, d);
    const whole = new Uint8Array(Math.max(16, Math.ceil(plain.length / 16) * 16));
    whole.set(plain);
    return encrypt(cipher, key, iv, whole);
  };
}

/** Runs a world to its end; what was wrong, with enough to run it again. */
function guarded(world: World, found: Findings, what: string, tell: () => void): string | undefined {
  try {
    tell();
    for (const host of world.hosts) for (const reason of host.engine.counters().keys()) found.outcomes.add(`${what} ${reason}`);
    for (const host of world.hosts) if (host.engine.counters().size > MOST_REASONS) throw new Error("the table of reasons grows");
    world.end();
    return undefined;
  } catch (error) {
    return `${what}, seed ${world.seed}: ${error instanceof Error ? error.stack : String(error)}`;
  }
}

const MOST_REASONS = 300;
