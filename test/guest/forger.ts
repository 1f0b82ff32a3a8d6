/**
 * A peer with Kerberos that lies: run in a namespace of its own, with a keytab that is good. It speaks by hand (test/sim/kerberos-peer.ts) with a
 * real daemon over UDP, with real tokens, and says for each attempt how far it came, one JSON object a line; a line of input lets it go on.
 *
 *   node forger.js OWN-ADDRESS DAEMON-ADDRESS OWN-PRINCIPAL KEYTAB DAEMON-PRINCIPAL
 */
import assert from "node:assert/strict";
import { createECDH, randomBytes } from "node:crypto";
import { createSocket } from "node:dgram";
import { createInterface } from "node:readline";
import { kerberosProvider } from "../../auth/providers/gssapi.ts";
import { VENDOR_IDS } from "../../isakmp/vendor-ids.ts";
import { type End, endOf, entryOf, must, tokenOf } from "../kerberos/entries.ts";
import { KerberosPeer, type Means } from "../sim/kerberos-peer.ts";

/** How far an attempt came: the number of the last message that the daemon sent. */
export interface Attempt {
  readonly name: string;
  readonly reached: 2 | 4 | 6;
}

const [own = "", daemon = "", principal = "", keytab = "", target = ""] = process.argv.slice(2);
/** For an answer that is due, and for one that should not come: the daemon's log says why it did not. */
const [PATIENCE_MS, DOUBT_MS] = [30_000, 3000];
const provider = kerberosProvider();
const socket = createSocket("udp4");
const inbox: Uint8Array[] = [];
socket.on("message", (bytes) => inbox.push(Uint8Array.from(bytes)));
await new Promise<void>((resolve) => socket.bind(500, own, resolve));

/** Group 19 as RFC 5903 has it. */
const MEANS: Means = {
  group: 19,
  random: (octets) => Uint8Array.from(randomBytes(octets)),
  pair: () => {
    const ecdh = createECDH("prime256v1");
    const publicValue = Uint8Array.from(ecdh.generateKeys().subarray(1));
    return { publicValue, agree: (other) => Uint8Array.from(ecdh.computeSecret(Uint8Array.from([4, ...other]))) };
  },
};

const send = (bytes: Uint8Array): void => socket.send(bytes, 500, daemon);

/** The daemon's next message of Main Mode with this cookie; undefined where none comes. */
async function answer(cookie: Uint8Array, due: boolean): Promise<Uint8Array | undefined> {
  for (let left = due ? PATIENCE_MS : DOUBT_MS; left > 0; left -= 50) {
    const at = inbox.findIndex((bytes) => bytes[18] === 2 && Buffer.compare(bytes.subarray(0, 8), cookie) === 0);
    if (at >= 0) return inbox.splice(at, 1)[0];
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return undefined;
}

interface Lie {
  readonly name: string;
  /** What becomes of the token, and of the wrapped hash. */
  readonly token?: (token: Uint8Array) => Uint8Array;
  readonly proof?: (wrapped: Uint8Array) => Uint8Array;
  /** What is wrapped in place of the hash. */
  readonly hash?: (hash: Uint8Array) => Uint8Array;
}

/** One Main Mode; what it used is kept for those after it. */
const used: { token?: Uint8Array; wrapped?: Uint8Array } = {};

async function attempt(lie: Lie): Promise<Attempt> {
  const { name, token = same, proof = same, hash = same } = lie;
  const peer = new KerberosPeer({ windows: false, vendorIds: [VENDOR_IDS.GSSAPI.bytes], principal, address: own }, MEANS);
  const gss: End = endOf(provider, entryOf(principal, keytab), target);
  const first = peer.message1();
  const cookie = first.slice(0, 8);
  send(first);
  const second = await answer(cookie, true);
  assert.ok(second, `${name}: the daemon does not answer at all`);
  peer.onMessage2(second);
  const made = await tokenOf(gss.step(null));
  const sent = token(made);
  send(peer.message3(sent));
  const fourth = await answer(cookie, lie.token === undefined);
  if (!fourth) return { name, reached: 2 };
  assert.equal((await must(gss.step(peer.onMessage4(fourth)), "gss-stepped")).complete, true);
  const { data } = await must(gss.wrap(hash(peer.ownHash())), "gss-wrapped");
  const wrapped = proof(Uint8Array.from(data));
  send(peer.proof(wrapped));
  const sixth = await answer(cookie, lie.name.startsWith("honest"));
  if (!sixth) return { name, reached: 4 };
  const theirs = peer.onProof(sixth);
  const unwrapped = await must(gss.unwrap(theirs.wrapped), "gss-unwrapped");
  assert.deepEqual(Uint8Array.from(unwrapped.data), theirs.expected, "HASH_R");
  [used.token, used.wrapped] = [sent, wrapped];
  return { name, reached: 6 };
}

const same = (octets: Uint8Array): Uint8Array => octets;
const flipped = (at: (length: number) => number) => (octets: Uint8Array) =>
  octets.map((octet, i) => (i === at(octets.length) ? octet ^ 1 : octet));

const LIES: readonly Lie[] = [
  { name: "honest" },
  { name: "token seen before", token: () => used.token ?? new Uint8Array() },
  { name: "ticket changed", token: flipped((length) => Math.floor(length / 2)) },
  { name: "authenticator changed", token: flipped((length) => length - 1) },
  { name: "token cut short", token: (token) => token.subarray(0, 100) },
  { name: "hash changed", hash: flipped(() => 0) },
  { name: "hash empty", hash: () => new Uint8Array() },
  { name: "wrapping changed", proof: flipped((length) => length - 1) },
  { name: "wrapping seen before", proof: () => used.wrapped ?? new Uint8Array() },
  { name: "wrapping empty", proof: () => new Uint8Array() },
  { name: "honest again" },
];

const heard = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
for (const lie of LIES) {
  console.log(JSON.stringify(await attempt(lie)));
  await heard.next();
}
process.stdin.destroy();
socket.close();
await provider.close();
