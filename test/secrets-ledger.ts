/**
 * Loaded in front of test files and of the daemons that they start (`--import`): writes down what each Secret held, pre-shared keys and derived
 * keys alike, so that all output of the run can be searched for them afterwards (secrets-scan.ts). Only where its folder is: MAINMODE_LEDGER, or
 * .lab/reports/secrets of `npm test`.
 */
import { appendFileSync, existsSync } from "node:fs";
import { Secret } from "../ike/crypto/secret.ts";
import { toHex } from "../isakmp/hex.ts";

const FOLDER = process.env["MAINMODE_LEDGER"] ?? ".lab/reports/secrets";
/** Octets of a secret that are kept, and secrets of one process. */
const [LONGEST, MOST] = [32, 50_000];
/** Daemons of the tests are killed without a warning, too. */
const WRITTEN_AFTER_MS = 200;

if (existsSync(FOLDER)) keepLedger(`${FOLDER}/${process.pid}-${Date.now()}-${Math.random().toString(36).slice(2)}`);

function keepLedger(file: string): void {
  const held = new Set<string>();
  const met = new WeakSet<Secret>();
  let fresh: string[] = [];
  const write = (): void => {
    try {
      if (fresh.length > 0) appendFileSync(file, `${fresh.join("\n")}\n`);
    } catch {
      // Whoever looks at the ledger finds that it is empty; what is tested must not be disturbed.
    }
    fresh = [];
  };
  const note = (bytes: Uint8Array): void => {
    const digits = toHex(bytes.subarray(0, LONGEST));
    if (held.size >= MOST || held.has(digits)) return;
    held.add(digits);
    if (fresh.push(digits) === 1) setTimeout(write, WRITTEN_AFTER_MS).unref();
  };
  const use = Secret.prototype.use;
  Secret.prototype.use = function used<T>(this: Secret, f: (bytes: Uint8Array) => T): T {
    if (met.has(this)) return use.call(this, f) as T;
    met.add(this);
    return use.call(this, (bytes) => {
      note(bytes);
      return f(bytes);
    }) as T;
  };
  process.on("exit", write);
}
