/**
 * What the thread for certificates does with a request: sign, or check a peer's proof. Keeps what it read of configured certificates and lists, so
 * that a negotiation pays for its own peer's only.
 */
import { type KeyObject, randomBytes } from "node:crypto";
import { closeSync, fstatSync, openSync, readFileSync, statSync } from "node:fs";
import { err, ok, type Result } from "../../isakmp/result.ts";
import type { Identity } from "../../policy/types.ts";
import { type Certificate, readCertificate } from "./certificate.ts";
import { MAX_CRL, type RevocationList } from "./crl.ts";
import { readLists } from "./load.ts";
import type { KeyAlgorithm } from "./private-key.ts";
import { type Claim, checkClaim, signHash } from "./proof.ts";
import type { JobResult } from "./run-job.ts";

/** Everything in it can be posted to another thread. */
export type WorkRequest =
  | { readonly kind: "sign"; readonly algorithm: KeyAlgorithm; readonly key: KeyObject; readonly hash: Uint8Array }
  | { readonly kind: "verify"; readonly claim: Claim };

/** The worker's function. `clock`: milliseconds since 1970. */
export function createWork(clock: () => number = Date.now): (request: WorkRequest) => JobResult {
  const [certificates, lists] = [new Map<string, Certificate>(), new Map<string, FileLists>()];
  const parsed = (ders: readonly Uint8Array[]): readonly Certificate[] => ders.flatMap((der) => readKept(certificates, der));
  return (request) => {
    if (request.kind === "sign")
      return ok({ kind: "signed", signature: signHash(request.algorithm, request.key, request.hash, randomBytes(32)) });
    const checked = checkClaim(request.claim, {
      milliseconds: clock(),
      parsed,
      lists: (files) => allLists(files.map((file) => listsOf(lists, file))),
    });
    if (!checked.ok) return err(checked.error);
    const { entries, identities, subject, issuer, issuers, anchor, warnings } = checked.value;
    return ok({ kind: "verified", entries, identities: identities.map(detached), subject, issuer, issuers, anchor, warnings });
  };
}

/** Without the octets of the message round it. */
const detached = (identity: Identity): Identity =>
  identity.type === "dn" ? { ...identity, der: Uint8Array.from(identity.der) } : identity;

/** Only what the configuration names is kept: bundles, and the peers' own of a large network. */
const MOST_KEPT = 4096;

function readKept(kept: Map<string, Certificate>, der: Uint8Array): readonly Certificate[] {
  const name = Buffer.from(der.buffer, der.byteOffset, der.length).toString("latin1");
  const before = kept.get(name);
  if (before) return [before];
  const read = readCertificate(der);
  if (!read.ok) return [];
  if (kept.size >= MOST_KEPT) kept.clear();
  kept.set(name, read.value);
  return [read.value];
}

interface FileLists {
  /** Changes whenever the file does. */
  readonly version: string;
  readonly lists: readonly RevocationList[];
}

type Lists = Result<readonly RevocationList[], string>;

function allLists(read: readonly Lists[]): Lists {
  const unread = read.find((one) => !one.ok);
  return unread ?? ok(read.flatMap((one) => (one.ok ? one.value : [])));
}

/**
 * A file's lists, read again when it has changed. One that can't be read any more leaves what was read before: its dates still count. One that never
 * could is an error, though it was there when the configuration was read: who is on it must not get in because nobody can look.
 */
function listsOf(kept: Map<string, FileLists>, file: string): Lists {
  const before = kept.get(file);
  try {
    const { mtimeMs, size, ino } = statSync(file);
    const version = `${mtimeMs} ${size} ${ino}`;
    if (before?.version === version) return ok(before.lists);
    const read = readLists({ path: file, octets: readWhole(file) });
    if (!read.ok && !before) return err(`${read.error}; nobody can say who is on it`);
    const lists = read.ok ? read.value : (before?.lists ?? []);
    kept.set(file, { version, lists });
    return ok(lists);
  } catch (error) {
    if (before) return ok(before.lists);
    const why = error instanceof Error && "code" in error ? String(error.code) : String(error);
    return err(`the revocation lists in ${file} can't be read (${why}); nobody can say who is on them`);
  }
}

function readWhole(file: string): Uint8Array {
  const descriptor = openSync(file, "r");
  try {
    const status = fstatSync(descriptor);
    if (!status.isFile() || status.size > MAX_CRL) throw new Error("no file of lists");
    return readFileSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
