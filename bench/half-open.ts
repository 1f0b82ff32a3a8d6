/**
 * What strangers cost: `node --expose-gc dist/bench/half-open.js [OCTETS]`, with the daemon's options of V8 before it to see what it would see.
 * An engine without sockets hears message 1 from forged addresses, twice each, until its table is full, and then five times as many; OCTETS pads
 * them with vendor ids that say nothing. Memory is heap and what hangs on it, after a collection of garbage, as a slope between two numbers of
 * strangers, and time is the processor's.
 */

import { systemRandom } from "../daemon/random.ts";
import { opensslCrypto } from "../ike/crypto/openssl.ts";
import { createEngine, type Engine } from "../ike/engine.ts";
import { encodeMessage } from "../isakmp/message.ts";
import { EXCHANGE } from "../isakmp/numbers.ts";
import { type Payload, payload } from "../isakmp/payloads.ts";
import { VENDOR_IDS } from "../isakmp/vendor-ids.ts";
import { HALF_OPEN_LIMITS } from "../sa-store/half-open.ts";
import { offerIke } from "../test/sim/peer-payloads.ts";
import { policyOf, towards } from "../test/sim/policies.ts";

const US = "192.0.2.1";
const FEW = 2000;
const FULL = HALF_OPEN_LIMITS.entries;
const CHURN = 5 * FULL;
/** A second's worth of messages, in milliseconds each. */
const STEP_MS = 0.1;

/** A message 1 as strongSwan's, and from whom it comes. */
function messageOf(i: number, ballast: number): { readonly remote: string; readonly bytes: Uint8Array } {
  const initiatorCookie = new Uint8Array(8).fill(1);
  new DataView(initiatorCookie.buffer).setUint32(0, i);
  const names = ["XAUTH", "RFC 3947", "NAT-T 02n", "NAT-T 03", "FRAGMENTATION"] as const;
  const vids: readonly Payload[] = names.map((name) => payload("vid", { data: VENDOR_IDS[name].bytes }));
  const more = ballast > 0 ? [payload("vid", { data: new Uint8Array(ballast).fill(7) })] : [];
  const header = { initiatorCookie, responderCookie: new Uint8Array(8), exchange: EXCHANGE["Identity Protection"], flags: 0, messageId: 0 };
  return { remote: `10.${(i >> 8) & 255}.${i & 255}.${1 + (i >> 16)}`, bytes: encodeMessage(header, [offerIke(), ...vids, ...more]) };
}

function main([ballast = "0"]: readonly string[]): void {
  const engine: Engine = createEngine({ crypto: opensslCrypto, random: systemRandom, port: 500 });
  engine.handle({ type: "addresses", addresses: [US] }, 0);
  engine.handle({ type: "policy", policy: policyOf(towards("10.0.0.0/8")) }, 0);
  let now = 1000;
  const hear = (from: number, to: number, times: number): number => {
    let spent = 0;
    for (let i = from; i < to; i++) {
      const { remote, bytes } = messageOf(i, Number(ballast));
      const path = { local: { address: US, port: 500 }, remote: { address: remote, port: 500 } };
      const start = process.cpuUsage();
      for (let n = 0; n < times; n++) {
        now += STEP_MS;
        engine.handle({ type: "datagram", path, bytes }, now);
      }
      const { user, system } = process.cpuUsage(start);
      spent += user + system;
    }
    return spent / ((to - from) * times);
  };
  const say = (what: string, value: string): void => console.log(`${what.padEnd(52)} ${value}`);
  hear(0, FEW, 2);
  const few = live();
  const filling = hear(FEW, FULL, 2);
  const full = live();
  say("half-open", `${engine.live(now).halfOpen}`);
  say("live octets each", `${Math.round((full - few) / (FULL - FEW))}`);
  say("live, full table", `${mega(full - few)} MB`);
  const known = engine.live(now).halfOpen;
  say("resident, full table", `${mega(process.memoryUsage.rss())} MB`);
  say("first messages, while it fills", `${filling.toFixed(1)} us each`);
  say("repeated, answered as before", `${hear(FULL - 1000, FULL, 20).toFixed(1)} us each`);
  let most = 0;
  let spent = 0;
  for (let i = FULL; i < FULL + CHURN; i += 1000) {
    spent += hear(i, i + 1000, 2);
    most = Math.max(most, process.memoryUsage.rss());
  }
  say("first messages, full, each pushes one out", `${(spent / (CHURN / 1000)).toFixed(1)} us each`);
  say("resident at most", `${mega(most)} MB`);
  say("live after that", `${mega(live() - few)} MB more than with ${FEW}`);
  say("a list of them for status; for monitors", `${timed(() => engine.view(now))} ms; ${timed(() => engine.live(now))} ms (${known})`);
}

const mega = (octets: number): string => (octets / 1e6).toFixed(1);

function timed(act: () => unknown): string {
  act();
  const start = performance.now();
  act();
  return (performance.now() - start).toFixed(0);
}

/** Octets in use, in the heap and outside of it. */
function live(): number {
  for (let i = 0; i < 3; i++) (globalThis as { gc?: () => void }).gc?.();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

main(process.argv.slice(2));
