/**
 * The contexts of one process that calls the GSS library: steps, wrapping, unwrapping. Invariants: calls of one context run one after the
 * other, in the order in which they came; a context that failed is gone; a credential is asked for with every new context, so that a keytab
 * written anew is seen, and tickets come from a cache in memory that no other program uses.
 */
import { lookup, lookupService } from "node:dns/promises";
import { err, ok } from "../../isakmp/result.ts";
import type { AuthFailure } from "../method.ts";
import { type Doing, failureOf } from "./gssapi-errors.ts";
import { GSS_FLAG, type Gss, type GssStatus, type Handle, NO_HANDLE, type Stepped } from "./gssapi-library.ts";
import type { Credential, GssCall, GssResult, GssStepCall } from "./gssapi-messages.ts";

export interface Contexts {
  /** Never rejects but for a bug. */
  run(call: GssCall): Promise<GssResult>;
}

/** The core bounds its negotiations; this bounds what a mistake there could cost. */
const MAX_CONTEXTS = 1024;
const NAMES_WAIT_MS = 2000;

interface Context {
  readonly credential: Handle;
  readonly target: Handle;
  readonly doing: Doing;
  handle: Handle;
  complete: boolean;
}

/** Contexts over a library. */
export function gssContexts(gss: Gss): Contexts {
  const contexts = new Map<string, Context>();
  const tails = new Map<string, Promise<unknown>>();

  const inOrder = async (name: string, act: () => Promise<GssResult>): Promise<GssResult> => {
    const turn = (tails.get(name) ?? Promise.resolve()).then(act, act);
    tails.set(name, turn);
    try {
      return await turn;
    } finally {
      if (tails.get(name) === turn) tails.delete(name);
    }
  };

  const drop = async (name: string): Promise<GssResult> => {
    const context = contexts.get(name);
    contexts.delete(name);
    if (!context) return DONE;
    await gss.deleteContext(context.handle);
    await gss.releaseName(context.target);
    await gss.releaseCredential(context.credential);
    return DONE;
  };

  const step = async (call: GssStepCall): Promise<GssResult> => {
    const known = contexts.get(call.context);
    if (!known && !call.first) return err(GONE);
    const context = known ? ok(known) : await open(gss, call, contexts.size);
    if (!context.ok) return context;
    contexts.set(call.context, context.value);
    const result = await advance(gss, context.value, call);
    if (!result.ok) await drop(call.context);
    return result;
  };

  const protect = async (call: GssCall & { readonly kind: "wrap" | "unwrap" }): Promise<GssResult> => {
    const context = contexts.get(call.context);
    if (!context?.complete) return err(GONE);
    const done = await gss[call.kind](context.handle, call.data);
    if (done.ok) return ok({ kind: "data", data: done.value });
    return err(failureOf(done.error, { ...context.doing, call: call.kind }));
  };

  const run = (call: GssCall): Promise<GssResult> => {
    switch (call.kind) {
      case "usable":
        return usable(gss, call);
      case "step":
        return inOrder(call.context, () => step(call));
      case "drop":
        return inOrder(call.context, () => drop(call.context));
      default:
        return inOrder(call.context, () => protect(call));
    }
  };
  return { run };
}

const DONE: GssResult = ok({ kind: "done" });
const GONE: AuthFailure = {
  reason: "provider-failed",
  what: "the Kerberos context is not there any more: the process that held it was replaced, or it failed before",
  hint: null,
  whose: "me",
};
const FULL: AuthFailure = {
  reason: "provider-busy",
  what: `more than ${MAX_CONTEXTS} Kerberos contexts are open`,
  hint: null,
  whose: "me",
};

async function usable(gss: Gss, call: Credential): Promise<GssResult> {
  const credential = await acquire(gss, call, "initiate", { call: "usable", principal: call.principal, keytab: call.keytab, target: null });
  if (!credential.ok) return credential;
  await gss.releaseCredential(credential.value);
  return DONE;
}

async function open(gss: Gss, call: GssStepCall, open: number) {
  if (open >= MAX_CONTEXTS) return err(FULL);
  const doing: Doing = { call: call.role, principal: call.principal, keytab: call.keytab, target: call.target };
  const credential = await acquire(gss, call, call.role, doing);
  if (!credential.ok) return credential;
  const target = call.target === null ? ok(NO_HANDLE) : await gss.importPrincipal(call.target);
  if (!target.ok) {
    await gss.releaseCredential(credential.value);
    return err(failureOf(target.error, { ...doing, call: "target" }));
  }
  const context: Context = { credential: credential.value, target: target.value, doing, handle: NO_HANDLE, complete: false };
  return ok(context);
}

/** A credential of exactly this principal from exactly this keytab. */
async function acquire(gss: Gss, { principal, keytab }: Credential, usage: "initiate" | "accept", doing: Doing) {
  const name = await gss.importPrincipal(principal);
  if (!name.ok) return err(failureOf(name.error, { ...doing, call: "principal" }));
  const credential = await gss.acquire(name.value, usage, storeOf(usage, principal, keytab));
  await gss.releaseName(name.value);
  return credential.ok ? credential : err(failureOf(credential.error, doing));
}

/** Where the library finds keys and keeps tickets. The cache's name stands for both: another keytab may hold another key of the same principal. */
function storeOf(usage: "initiate" | "accept", principal: string, keytab: string | null): Readonly<Record<string, string>> {
  const file = keytab === null ? null : `FILE:${keytab}`;
  if (usage === "accept") return { ...(file === null ? {} : { keytab: file }), rcache: "dfl:" };
  return { ...(file === null ? {} : { client_keytab: file }), ccache: `MEMORY:mainmode ${principal} ${keytab ?? ""}` };
}

async function advance(gss: Gss, context: Context, call: GssStepCall): Promise<GssResult> {
  const { doing } = context;
  let source = NO_HANDLE;
  let stepped: Stepped;
  if (call.role === "initiate") {
    const done = await gss.initiate(context.credential, context.handle, context.target, call.token);
    if (!done.ok) return failed(context, done.error, call.token === null ? doing : { ...doing, call: "answer" });
    stepped = done.value;
  } else {
    const done = await gss.accept(context.credential, context.handle, call.token ?? new Uint8Array());
    if (!done.ok) return failed(context, done.error, doing);
    stepped = done.value;
    source = done.value.source;
  }
  context.handle = stepped.handle;
  context.complete = stepped.complete;
  const token = stepped.token.length === 0 ? null : stepped.token;
  if (!stepped.complete) return ok({ kind: "stepped", token, complete: false, peer: null });
  if ((stepped.flags & NEEDED) !== NEEDED) {
    await gss.releaseName(source);
    return err(NOT_MUTUAL);
  }
  const name = await (source === NO_HANDLE ? gss.reached(context.handle) : gss.displayName(source));
  await gss.releaseName(source);
  if (!name.ok) return err(failureOf(name.error, doing));
  const addressNames = call.wantsNames ? await namesOf(call.peerAddress) : [];
  return ok({ kind: "stepped", token, complete: true, peer: { principal: name.value.replace(UNSEEN, escaped), addressNames } });
}

/** The library has given the context up itself. */
function failed(context: Context, status: GssStatus, doing: Doing): GssResult {
  context.handle = NO_HANDLE;
  return err(failureOf(status, doing));
}

const NEEDED = GSS_FLAG.mutual | GSS_FLAG.integrity | GSS_FLAG.confidentiality;
const NOT_MUTUAL: AuthFailure = {
  reason: "kerberos-not-mutual",
  what: "the Kerberos context lacks mutual authentication, integrity or confidentiality",
  hint: null,
  whose: "peer",
};

/** Another realm's principals may have any characters. The library writes a backslash of a name as two, so that what becomes of these is nobody's name. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;
const escaped = (character: string): string => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;

/** What the address is called here, each name only if it leads back to the address: anybody may name an address of his own as he likes. */
async function namesOf(address: string): Promise<readonly string[]> {
  const wait = { over: false };
  const late = new Promise<readonly string[]>((resolve) => {
    setTimeout(() => {
      wait.over = true;
      resolve([]);
    }, NAMES_WAIT_MS).unref();
  });
  return Promise.race([inTurn(address, wait), late]);
}

/**
 * Names are looked up by the threads that call the library, and where no name service answers each look-up keeps one for half a minute: so only
 * some of them are ever at it, and who asks for the same address shares the answer.
 */
const MOST_LOOKUPS = 6;
const lookups = new Map<string, Promise<readonly string[]>>();

async function inTurn(address: string, wait: { readonly over: boolean }): Promise<readonly string[]> {
  while (!lookups.has(address) && lookups.size >= MOST_LOOKUPS) await Promise.race(lookups.values());
  if (wait.over) return [];
  const names = lookups.get(address) ?? lookUp(address);
  lookups.set(address, names);
  return names;
}

async function lookUp(address: string): Promise<readonly string[]> {
  try {
    const { hostname } = await lookupService(address, 0);
    const back = await lookup(hostname, { all: true });
    return back.some((each) => each.address === address) ? [hostname.toLowerCase()] : [];
  } catch {
    return [];
  } finally {
    lookups.delete(address);
  }
}
