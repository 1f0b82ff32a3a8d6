/**
 * Two cores over kernels in memory, and everything they say to each other with the key to read it: Main Mode, Quick Modes with PFS (one of
 * them a renewal), a refusal, responder lifetimes and deletes.
 */
import { opensslCrypto } from "../../ike/crypto/openssl.ts";
import type { Crypto } from "../../ike/crypto/provider.ts";
import { createEngine, type Engine } from "../../ike/engine.ts";
import type { Input } from "../../ike/input.ts";
import { toHex } from "../../isakmp/hex.ts";
import type { Datagram } from "../../isakmp/pcap.ts";
import { ok } from "../../isakmp/result.ts";
import { type MemoryXfrm, memoryXfrm } from "../../kernel/memory.ts";
import { parseConfiguration } from "../../policy/config.ts";
import { seeded } from "../ike/crypto/fixtures.ts";

export interface Meeting {
  readonly datagrams: readonly Datagram[];
  /** The key of the one phase 1 cipher, by initiator cookie. */
  readonly secrets: Readonly<Record<string, string>>;
}

/** What the two agree on in the end; the initiator offers more. */
export interface Agreed {
  readonly ike: string;
  readonly protect: string;
  readonly pfs: string;
}

interface Host {
  readonly address: string;
  readonly engine: Engine;
  readonly kernel: MemoryXfrm;
}

const [A, B] = ["192.0.2.1", "192.0.2.2"] as const;
const BEGIN = Date.UTC(2026, 0, 1);

/** Lets A negotiate with B until there is nothing left to say. Nothing is lost. */
export function meet(agreed: Agreed): Meeting {
  const keys = new Set<string>();
  const crypto: Crypto = {
    ...opensslCrypto,
    encrypt: (cipher, key, iv, data) => {
      keys.add(toHex(key));
      return opensslCrypto.encrypt(cipher, key, iv, data);
    },
  };
  const wire = new Wire([A, B].map((address) => host(address, crypto, agreed)));
  wire.start(A, policyOf(A, B, INITIATOR, agreed));
  wire.start(B, policyOf(B, A, RESPONDER, agreed));
  for (const [id, rule] of ["web", "hosts", "names"].entries())
    wire.feed(A, { type: "command", id, command: { name: "initiate", rule, peer: undefined, waitSeconds: 30 } });
  wire.renewAll(A);
  wire.wait(20_000);
  wire.feed(A, { type: "command", id: 9, command: { name: "terminate", target: { kind: "all" } } });
  const [first] = wire.datagrams;
  const [key] = keys;
  if (!first || !key || keys.size !== 1) throw new Error(`${wire.datagrams.length} datagrams under ${keys.size} keys`);
  return { datagrams: wire.datagrams, secrets: { [toHex(first.payload.subarray(0, 8))]: key } };
}

const host = (address: string, crypto: Crypto, { ike }: Agreed): Host => ({
  address,
  engine: createEngine({ crypto, random: seeded(`${address} ${ike}`), port: 500 }),
  kernel: memoryXfrm(),
});

/** Carries datagrams and kernel commands out at once, and time forward. */
class Wire {
  readonly datagrams: Datagram[] = [];
  readonly #hosts: ReadonlyMap<string, Host>;
  #now = 0;

  constructor(hosts: readonly Host[]) {
    this.#hosts = new Map(hosts.map((one) => [one.address, one]));
  }

  start(address: string, policy: ReturnType<typeof policyOf>): void {
    this.feed(address, { type: "addresses", addresses: [address] });
    this.feed(address, { type: "policy", policy });
  }

  feed(address: string, first: Input): void {
    const queue: [string, Input][] = [[address, first]];
    for (let next = queue.shift(); next; next = queue.shift()) {
      const [at, input] = next;
      const { engine, kernel } = this.#at(at);
      for (const effect of engine.handle(input, this.#now)) {
        if (effect.type === "kernel") queue.push([at, { type: "kernel-done", id: effect.id, outcome: kernel.apply(effect.commands) }]);
        if (effect.type === "route") queue.push([at, { type: "route-done", id: effect.id, local: at }]);
        if (effect.type !== "send") continue;
        const { local, remote } = effect.path;
        const time = BEGIN + this.#now + this.datagrams.length;
        this.datagrams.push({ time, source: local, destination: remote, payload: effect.bytes });
        queue.push([remote.address, { type: "datagram", path: { local: remote, remote: local }, bytes: effect.bytes }]);
      }
    }
  }

  /** The kernel tells that every SA of this host nears its end. */
  renewAll(address: string): void {
    const { kernel } = this.#at(address);
    for (const { sa } of [...kernel.states.values()])
      for (const event of kernel.expire(sa, false)) this.feed(address, { type: "kernel-event", event });
  }

  wait(milliseconds: number): void {
    for (const end = this.#now + milliseconds; this.#now < end; this.#now += 500)
      for (const [address, { engine }] of this.#hosts) if ((engine.nextWake() ?? end) <= this.#now) this.feed(address, { type: "tick" });
  }

  #at(address: string): Host {
    const found = this.#hosts.get(address);
    if (!found) throw new Error(`nobody at ${address}`);
    return found;
  }
}

interface Side {
  readonly ike: (agreed: string) => readonly string[];
  readonly protect: (agreed: string) => readonly string[];
  readonly lifetime: string;
  /** For names, about which the two do not agree. */
  readonly names: string;
}

const INITIATOR: Side = {
  ike: (agreed) => ["aes192-sha384-modp3072", agreed],
  protect: (agreed) => ["ah:sha512+esp:aes192-sha384", "ah:md5", agreed],
  lifetime: "8h",
  names: "esp:aes128-sha1",
};
const RESPONDER: Side = { ike: (agreed) => [agreed], protect: (agreed) => [agreed], lifetime: "10m", names: "esp:aes256-sha1" };

function policyOf(own: string, other: string, side: Side, { ike, protect, pfs }: Agreed) {
  const rule = (name: string, filter: string, offers: readonly string[]) => `
[[rule]]
name = "${name}"
filters = ["${filter}"]
action = "require"
auth = [{ method = "psk", secret = "a secret that protects nothing" }]
quick-mode = { proposals = ${JSON.stringify(offers)}, lifetime = "${side.lifetime}", pfs = "${pfs}" }
`;
  const text = `
[policy]
allow-weak = true
[policy.main-mode]
proposals = ${JSON.stringify(side.ike(ike))}
lifetime = "${side.lifetime}"
${rule("web", `${port(own, 443)} <-> ${port(other, 443)} tcp`, side.protect(protect))}
${rule("names", `${port(own, 53)} <-> ${port(other, 53)} udp`, [side.names])}
${rule("hosts", `${own} <-> ${other}`, side.protect(protect))}
`;
  const parsed = parseConfiguration(text, "pair.toml", () => ok(undefined));
  if (!parsed.ok) throw new Error(parsed.error.map(({ message }) => message).join("\n"));
  return parsed.value.policy;
}

/** The service is B's. */
const port = (address: string, number: number): string => (address === B ? `${address}:${number}` : address);
