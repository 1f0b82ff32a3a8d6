/**
 * Loaded in front of every test file of `npm test` (`--import`): writes down what each Secret held, pre-shared keys and derived keys alike, so that
 * all output of the run can be searched for them afterwards (secrets-scan.ts). Only where .lab/reports/secrets is.
 */
import { existsSync, writeFileSync } from "node:fs";
import { Secret } from "../ike/crypto/secret.ts";
import { toHex } from "../isakmp/hex.ts";

const FOLDER = ".lab/reports/secrets";
/** Octets of a secret that are kept, and secrets of one process. */
const [LONGEST, MOST] = [32, 50_000];

if (existsSync(FOLDER)) keepLedger();

function keepLedger(): void {
  const held = new Set<string>();
  const met = new WeakSet<Secret>();
  const use = Secret.prototype.use;
  Secret.prototype.use = function used<T>(this: Secret, f: (bytes: Uint8Array) => T): T {
    if (met.has(this)) return use.call(this, f) as T;
    met.add(this);
    return use.call(this, (bytes) => {
      if (held.size < MOST) held.add(toHex(bytes.subarray(0, LONGEST)));
      return f(bytes);
    }) as T;
  };
  process.on("exit", () => {
    if (held.size > 0) writeFileSync(`${FOLDER}/${process.pid}-${Date.now()}-${Math.random().toString(36).slice(2)}`, [...held].join("\n"));
  });
}
