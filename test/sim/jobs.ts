/**
 * Providers for simulated hosts: real signatures over real certificates, and a Kerberos without cryptography that minds what the real one would:
 * every token and every wrapped hash passes once, contexts end, and nobody speaks for a principal whose keytab it lacks.
 */
import { createHmac } from "node:crypto";
import type { AuthFailure, AuthJob, AuthOutcome, AuthReason, GssStepJob } from "../../auth/method.ts";
import { readCertificate } from "../../auth/providers/certificate.ts";
import { PrivateKey } from "../../auth/providers/private-key.ts";
import { checkClaim, type ProofWorld, signHash } from "../../auth/providers/proof.ts";
import { err, ok, type Result } from "../../isakmp/result.ts";
import { NOW } from "../auth/pki.ts";

export type JobOutcome = Result<AuthOutcome, AuthFailure>;
/** Carries out a host's jobs; undefined for those without an outcome. */
export type RunJob = (job: AuthJob) => JobOutcome | undefined;

/** What the realm's library is like. */
export interface Realm {
  /** Tokens of one context, both sides together: 2 with Kerberos. */
  readonly tokens?: number;
  /** Octets that each token has in addition. */
  readonly padding?: number;
  /** Names of addresses, for `peer-principal` by default. */
  readonly names?: Readonly<Record<string, readonly string[]>>;
  /** Principals that the KDC knows; all where not given. */
  readonly known?: readonly string[];
}

/** Jobs in which something must not happen fail the world by `fail`. */
export function simJobs(fail: (text: string) => never, realm: Realm = {}): RunJob & { readonly open: () => number } {
  const contexts = new Map<string, Context>();
  const run = (job: AuthJob): JobOutcome | undefined => {
    switch (job.kind) {
      case "usable":
        return ok({ kind: "usable" });
      case "sign":
      case "verify":
        return certificates(job);
      case "gss-drop":
        contexts.delete(job.context);
        return undefined;
      case "gss-step":
        return step(contexts, job, realm, fail);
      case "gss-wrap":
      case "gss-unwrap": {
        const context = contexts.get(job.context) ?? fail(`${job.kind} in context ${job.context}, which nobody made`);
        if (!context.complete) fail(`${job.kind} in a context that is not complete`);
        return job.kind === "gss-wrap" ? wrap(context, job.data, fail) : unwrap(context, job.data);
      }
    }
  };
  return Object.assign(run, { open: () => contexts.size });
}

/** A failure as a provider gives it. */
export const failure = (reason: AuthReason, what: string, whose: "me" | "peer" = "peer"): JobOutcome =>
  err({ reason, what, hint: null, whose });

const WORLD: ProofWorld = {
  milliseconds: NOW,
  lists: () => ok([]),
  parsed: (ders) =>
    ders.flatMap((der) => {
      const read = readCertificate(der);
      return read.ok ? [read.value] : [];
    }),
};

function certificates(job: Extract<AuthJob, { kind: "sign" | "verify" }>): JobOutcome {
  if (job.kind === "verify") {
    const checked = checkClaim(job, WORLD);
    return checked.ok ? ok({ kind: "verified", ...checked.value }) : checked;
  }
  const { privateKey, algorithm } = job.entry.own;
  if (!(privateKey instanceof PrivateKey) || !privateKey.key) return failure("provider-failed", "no key", "me");
  return ok({ kind: "signed", signature: signHash(algorithm, privateKey.key, job.hash, new Uint8Array(32).fill(7)) });
}

interface Context {
  readonly role: "initiate" | "accept";
  readonly self: string;
  peer: string;
  /** Tokens seen and sent, both sides together. */
  at: number;
  complete: boolean;
  wrapped: number;
  unwrapped: number;
}

function step(contexts: Map<string, Context>, job: GssStepJob, realm: Realm, fail: (text: string) => never): JobOutcome {
  const last = realm.tokens ?? 2;
  const token = job.token && readToken(job.token);
  if (job.token && !token) return failure("kerberos-token-invalid", "the token can't be read");
  let context = contexts.get(job.context);
  if (!context) {
    if ((job.role === "initiate") === (job.token !== null)) fail(`a first step as ${job.role} ${job.token ? "with" : "without"} a token`);
    const target = job.target ?? "";
    if (job.role === "initiate" && realm.known && !realm.known.includes(target))
      return failure("kerberos-unknown-principal", `the KDC knows no ${target}`);
    if (token && token.to !== job.entry.principal)
      return failure("kerberos-wrong-key", `a ticket for ${token.to}; the keytab has ${job.entry.principal}`, "me");
    context = { role: job.role, self: job.entry.principal, peer: target, at: 0, complete: false, wrapped: 0, unwrapped: 0 };
    contexts.set(job.context, context);
  } else if (job.role === "initiate" && job.token === null) fail("a first step in a context that has begun");
  if (context.complete) fail("a step in a context that is complete");
  if (token) {
    if (token.n !== context.at + 1) fail(`token ${token.n} after token ${context.at}: it passed the library twice`);
    if (context.role === "accept") context.peer = token.from;
    else if (token.from !== context.peer) return failure("kerberos-token-invalid", `${token.from} answered for ${context.peer}`);
    context.at = token.n;
  }
  const sends = context.at < last;
  if (sends) context.at++;
  context.complete = context.at === last;
  const peer = context.complete
    ? { principal: context.peer, addressNames: job.wantsNames ? (realm.names?.[job.peerAddress] ?? []) : [] }
    : null;
  const made = sends ? makeToken({ n: context.at, from: context.self, to: context.peer }, realm.padding ?? 0) : null;
  return ok({ kind: "gss-stepped", token: made, complete: context.complete, peer });
}

interface Token {
  readonly n: number;
  readonly from: string;
  readonly to: string;
}

/** As RFC 2743 §3.1 frames it. */
export function makeToken(token: Token, padding: number): Uint8Array {
  const text = JSON.stringify({ ...token, padding: "x".repeat(padding) });
  // What was damaged on its way is no token, as with the real ones.
  const body = Buffer.from(`${createHmac("sha1", "token").update(text).digest("hex")}${text}`);
  const length = body.length < 0x80 ? [body.length] : [0x82, body.length >> 8, body.length & 255];
  return Uint8Array.from(Buffer.concat([Uint8Array.of(0x60, ...length), body]));
}

function readToken(octets: Uint8Array): Token | undefined {
  const body = Buffer.from(octets.subarray((octets[1] ?? 0) < 0x80 ? 2 : 4)).toString();
  const [mac, text] = [body.slice(0, 40), body.slice(40)];
  return createHmac("sha1", "token").update(text).digest("hex") === mac ? (JSON.parse(text) as Token) : undefined;
}

const MAC_OCTETS = 20;
const macOf = (from: string, to: string, sequence: number, data: Uint8Array): Uint8Array =>
  createHmac("sha1", `${from}|${to}`).update(String(sequence)).update(data).digest();

function wrap(context: Context, data: Uint8Array, fail: (text: string) => never): JobOutcome {
  if (context.wrapped > 0) fail("a second hash was wrapped in one context");
  const mac = macOf(context.self, context.peer, context.wrapped++, data);
  return ok({ kind: "gss-wrapped", data: Uint8Array.from(Buffer.concat([mac, data])) });
}

/** Sequence numbers, as with GSS_C_SEQUENCE_FLAG: a repeat is an error. */
function unwrap(context: Context, wrapped: Uint8Array): JobOutcome {
  const data = wrapped.subarray(MAC_OCTETS);
  if (Buffer.compare(macOf(context.peer, context.self, context.unwrapped, data), wrapped.subarray(0, MAC_OCTETS)) !== 0)
    return failure("kerberos-token-invalid", context.unwrapped > 0 ? "a repeat" : "the seal is broken");
  context.unwrapped++;
  return ok({ kind: "gss-unwrapped", data: Uint8Array.from(data) });
}
