/** Two hosts with each method of authentication, and what they did. */
import type { AuthEntry } from "../../policy/types.ts";
import { kerberos, withAuth, x509 } from "./credentials.ts";
import type { HostOptions } from "./host.ts";
import { type Realm, simJobs } from "./jobs.ts";
import { policyOf, towards } from "./policies.ts";
import { A, B } from "./setting.ts";
import type { World, WorldOptions } from "./world.ts";

/** The entry of a pre-shared key. */
export const PSK_ENTRY = policyOf(towards(B)).rules[0]?.auth[0] as AuthEntry;

export interface MethodSetting extends Partial<WorldOptions> {
  readonly realm?: Realm;
  readonly start?: string;
}

/** A and B with these entries. */
export function methodHosts(a: readonly AuthEntry[], b: readonly AuthEntry[], { realm, start, ...more }: MethodSetting = {}): WorldOptions {
  const jobs: HostOptions["jobs"] = (fail) => simJobs(fail, realm);
  const rule = start ? { start } : {};
  return {
    hosts: [
      { name: "A", addresses: [A], policy: withAuth(policyOf(towards(B, rule)), ...a), jobs },
      { name: "B", addresses: [B], policy: withAuth(policyOf(towards(A)), ...b), jobs },
    ],
    ...more,
  };
}

/** Entries of A and of B for every method, and the word of `status` for it. */
export const METHODS = {
  psk: [[PSK_ENTRY], [PSK_ENTRY], "psk"],
  "RSA 2048": [[x509("A", "rsa2048")], [x509("B", "rsa2048")], "rsa"],
  "ECDSA P-256": [[x509("A", "p256")], [x509("B", "p256")], "ecdsa"],
  "ECDSA P-384": [[x509("A", "p384")], [x509("B", "p384")], "ecdsa"],
  "ECDSA P-521": [[x509("A", "p521")], [x509("B", "p521")], "ecdsa"],
  Kerberos: [[kerberos("A")], [kerberos("B")], "kerberos"],
} as const satisfies Record<string, readonly [readonly AuthEntry[], readonly AuthEntry[], string]>;

/** The jobs that a host asked for, in order. */
export const jobKinds = (world: World, name: string): readonly string[] => world.host(name).jobs.map(({ kind }) => kind);
