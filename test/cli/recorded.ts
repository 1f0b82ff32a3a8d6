/** A negotiation between two cores, recorded with the key of its phase 1 cipher. */
import { opensslCrypto } from "../../ike/crypto/openssl.ts";
import type { Crypto } from "../../ike/crypto/provider.ts";
import { createEngine, type Engine } from "../../ike/engine.ts";
import type { Input } from "../../ike/input.ts";
import { toHex } from "../../isakmp/hex.ts";
import type { Datagram } from "../../isakmp/pcap.ts";
import { ok } from "../../isakmp/result.ts";
import { parseConfiguration } from "../../policy/config.ts";
import { seeded } from "../ike/crypto/fixtures.ts";

export interface Recording {
  readonly datagrams: readonly Datagram[];
  /** 16 hex digits. */
  readonly initiatorCookie: string;
  readonly key: Uint8Array;
}

const [A, B] = ["192.0.2.1", "192.0.2.2"] as const;

/** Main Mode, Quick Mode and the deletes of both SAs, without loss. */
export function record(proposal = "aes256-sha256-ecp256"): Recording {
  const keys = new Map<string, Uint8Array>();
  const crypto: Crypto = {
    ...opensslCrypto,
    encrypt: (cipher, key, iv, data) => {
      keys.set(toHex(key), Uint8Array.from(key));
      return opensslCrypto.encrypt(cipher, key, iv, data);
    },
  };
  const hosts: Readonly<Record<string, Engine>> = {
    [A]: createEngine({ crypto, random: seeded("initiator"), port: 500 }),
    [B]: createEngine({ crypto, random: seeded("responder"), port: 500 }),
  };
  const datagrams: Datagram[] = [];
  const feed = (host: string, first: Input): void => {
    const queue: [string, Input][] = [[host, first]];
    for (let next = queue.shift(); next; next = queue.shift()) {
      const [at, input] = next;
      for (const effect of hosts[at]?.handle(input, 1000) ?? []) {
        if (effect.type === "kernel") queue.push([at, { type: "kernel-done", id: effect.id, outcome: ok([]) }]);
        if (effect.type === "route") queue.push([at, { type: "route-done", id: effect.id, local: at }]);
        if (effect.type !== "send") continue;
        const { local, remote } = effect.path;
        datagrams.push({ time: Date.UTC(2026, 10, 21) + 10 * datagrams.length, source: local, destination: remote, payload: effect.bytes });
        queue.push([remote.address, { type: "datagram", path: { local: remote, remote: local }, bytes: effect.bytes }]);
      }
    }
  };
  for (const [local, remote] of [
    [A, B],
    [B, A],
  ] as const) {
    feed(local, { type: "addresses", addresses: [local] });
    feed(local, { type: "policy", policy: policyOf(local, remote, proposal) });
  }
  feed(A, { type: "command", id: 1, command: { name: "initiate", rule: "peer", peer: undefined, waitSeconds: 30 } });
  feed(A, { type: "command", id: 2, command: { name: "terminate", target: { kind: "all" } } });
  const [key] = keys.values();
  const [first] = datagrams;
  if (!key || !first || keys.size !== 1) throw new Error(`${datagrams.length} datagrams under ${keys.size} keys`);
  return { datagrams, initiatorCookie: toHex(first.payload.subarray(0, 8)), key };
}

function policyOf(local: string, remote: string, proposal: string) {
  const text = `
[policy.main-mode]
proposals = ["${proposal}"]
[policy.quick-mode]
proposals = ["esp:aes128-sha1"]
[[rule]]
name = "peer"
filters = ["${local} <-> ${remote}"]
action = "require"
auth = [{ method = "psk", secret = "recorded secret" }]
`;
  const parsed = parseConfiguration(text, "recorded.toml", () => ok(undefined));
  if (!parsed.ok) throw new Error(parsed.error.map(({ message }) => message).join("\n"));
  return parsed.value.policy;
}
