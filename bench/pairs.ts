/**
 * The pairs of addresses that the benchmark negotiates between, and the policy of each side. A rule `r` speaks for 10.(32+r).0.x at the
 * initiator and 10.(64+r).0.y at the responder: with 128 addresses at either end it has 16 384 pairs, so that both ends have as many peers as
 * there are SAs. One such rule makes the SAs that stand by; each group that is measured has a smaller one of its own.
 */
import { randomBytes } from "node:crypto";
import { Secret } from "../ike/crypto/secret.ts";
import { encryptionNamed, espCipherNamed, type GroupName, groupNamed, hashNamed, integrityNamed } from "../ike/crypto/suite.ts";
import { parseRange } from "../isakmp/address.ts";
import { NO_POLICY, PLAIN_TRAFFIC } from "../policy/traffic-keys.ts";
import type { Policy, Rule, Side } from "../policy/types.ts";

export type BenchRole = "initiator" | "responder";

/** The groups that are measured. */
export const GROUPS = ["modp1024", "modp2048", "ecp256", "x25519"] as const satisfies readonly GroupName[];
export type MeasuredGroup = (typeof GROUPS)[number];

/** Names of the rules: one for each group, and the one of the SAs that stand by. */
export type RuleName = MeasuredGroup | "standing";
export const RULES: readonly RuleName[] = [...GROUPS, "standing"];

/** Pairs that a rule has. */
export const pairsOf = (rule: RuleName): number => addressesOf(rule) ** 2;

/** The addresses of a pair, the initiator's first. */
export function pairAddresses(rule: RuleName, n: number): readonly [string, string] {
  const [r, width] = [RULES.indexOf(rule), addressesOf(rule)];
  return [`10.${INITIATORS + r}.0.${Math.floor(n / width)}`, `10.${RESPONDERS + r}.0.${n % width}`];
}

/** All addresses of a side. */
export function sideAddresses(role: BenchRole): readonly string[] {
  const first = role === "initiator" ? INITIATORS : RESPONDERS;
  return RULES.flatMap((rule, r) => Array.from({ length: addressesOf(rule) }, (_, x) => `10.${first + r}.0.${x}`));
}

/** AES-128 and SHA-1 throughout (the anchor's algorithms), PFS with the group of Main Mode, lives so long that nothing is rekeyed. */
export function benchPolicy(role: BenchRole, secret: Uint8Array): Policy {
  return { ...NO_POLICY, name: "bench", rules: RULES.map((name, r) => rule(name, r, role, secret)) };
}

/** A pre-shared key for one run. */
export const benchSecret = (): Uint8Array => new Uint8Array(randomBytes(32));

const [INITIATORS, RESPONDERS] = [32, 64];
const LIFETIME_SECONDS = 86_400;

/** A thousand peers renew with modp2048. */
const addressesOf = (rule: RuleName): number => (rule === "standing" ? 128 : rule === "modp2048" ? 32 : 16);

function rule(name: RuleName, r: number, role: BenchRole, secret: Uint8Array): Rule {
  const [a, b] = [subnet(INITIATORS + r), subnet(RESPONDERS + r)];
  const [local, remote] = role === "initiator" ? [a, b] : [b, a];
  const group = groupNamed(name === "standing" ? "x25519" : name);
  return {
    name,
    action: "require",
    filters: [{ text: name, local, remote, direction: "both", protocol: 0, localPort: 0, remotePort: 0 }],
    auth: [{ method: "psk", secret: new Secret(Uint8Array.from(secret)), localId: null, remoteId: null }],
    mode: "transport",
    tunnel: null,
    peer: null,
    mainMode: {
      proposals: [{ encryption: encryptionNamed("aes128"), hash: hashNamed("sha1"), group }],
      lifetimeSeconds: LIFETIME_SECONDS,
      quickModes: 0,
      masterPfs: false,
    },
    quickMode: {
      proposals: [[{ protocol: "esp", cipher: espCipherNamed("aes128"), integrity: integrityNamed("sha1") }]],
      lifetimeSeconds: LIFETIME_SECONDS,
      volumeOctets: null,
      pfs: group,
    },
    start: "on-traffic",
    dpdSeconds: null,
    ...PLAIN_TRAFFIC,
  };
}

function subnet(second: number): Side {
  const range = parseRange(`10.${second}.0.0/24`);
  if (!range) throw new Error("a subnet of the benchmark is wrong");
  return { kind: "range", range };
}
