/**
 * The calls of MIT's libgssapi_krb5 (RFC 2743, 2744) through koffi, as promises: each runs on a thread of Node's pool, since any of them may
 * wait for a KDC. Invariants: a call's buffers are kept until it has ended; what the library allocated is copied, wiped and given back at once;
 * tokens go in as copies, since `gss_unwrap` may rewrite its input. Handles are addresses: whoever got one releases it, once.
 */
import { err, ok, type Result } from "../../isakmp/result.ts";

/** An address in the library's memory; 0 is none. */
export type Handle = bigint;
export const NO_HANDLE: Handle = 0n;

/** A call that failed: its name, both status values as unsigned numbers, and the library's words for the more telling of them. */
export interface GssStatus {
  readonly call: string;
  readonly major: number;
  readonly minor: number;
  readonly text: string;
}

type Answer<T> = Promise<Result<T, GssStatus>>;

/** What one step of a context gave. `handle` must be released even where the step failed. */
export interface Stepped {
  readonly handle: Handle;
  /** Empty where there is none. */
  readonly token: Uint8Array;
  readonly complete: boolean;
  readonly flags: number;
}

export interface Gss {
  /** A Kerberos principal's name, as RFC 1964 §2.1.1 writes it. */
  importPrincipal(name: string): Answer<Handle>;
  displayName(name: Handle): Answer<string>;
  /** With a client keytab this asks the KDC, unless `ccache` holds a ticket. */
  acquire(name: Handle, usage: CredentialUsage, store: Readonly<Record<string, string>>): Answer<Handle>;
  /** `context` is 0 in the first step. On failure the context is gone. */
  initiate(credential: Handle, context: Handle, target: Handle, token: Uint8Array | null): Answer<Stepped>;
  /** `source` is the peer's name once the context is complete, else 0. On failure the context is gone. */
  accept(credential: Handle, context: Handle, token: Uint8Array): Answer<Stepped & { readonly source: Handle }>;
  /** With confidentiality; fails where the mechanism gave none. */
  wrap(context: Handle, data: Uint8Array): Answer<Uint8Array>;
  /** Fails for a token that is repeated or out of order, too. */
  unwrap(context: Handle, token: Uint8Array): Answer<Uint8Array>;
  /** The name of whom an initiator's context reached, with its realm. */
  reached(context: Handle): Answer<string>;
  deleteContext(context: Handle): Promise<void>;
  releaseName(name: Handle): Promise<void>;
  releaseCredential(credential: Handle): Promise<void>;
}

export type CredentialUsage = "initiate" | "accept";

/** Flags of RFC 2743 §1.2 that IKE asks for (draft-ietf-ipsec-isakmp-gss-auth-07 §3), and no delegation. */
export const GSS_FLAG = { mutual: 2, sequence: 8, confidentiality: 16, integrity: 32 } as const;
const WANTED = GSS_FLAG.mutual | GSS_FLAG.sequence | GSS_FLAG.confidentiality | GSS_FLAG.integrity;

/** The library; an error says why it can't be used. */
export async function loadGss(path = "libgssapi_krb5.so.2"): Promise<Result<Gss, string>> {
  try {
    const koffi = await import("koffi");
    // Name resolution inside a call needs more than koffi's own 128 kB.
    koffi.config({ async_stack_size: 1 << 20 });
    if (koffi.sizeof("void *") !== 8) return err("mainmode speaks to the GSS library on 64-bit machines only");
    hideMemory(koffi);
    return ok(bindGss(koffi, path));
  } catch (error) {
    return err(String(error instanceof Error ? error.message : error).split("\n")[0] ?? "");
  }
}

/** What the calls are made of. */
export type Koffi = typeof import("koffi");

/** Session keys live here: no other process of this user may read them. Where it can't be done, nothing else fails. */
function hideMemory(koffi: Koffi): void {
  const PR_SET_DUMPABLE = 4;
  koffi.load(null).func("int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)")(
    PR_SET_DUMPABLE,
    0,
    0,
    0,
    0,
  );
}

const USAGE: Readonly<Record<CredentialUsage, number>> = { initiate: 1, accept: 2 };
const KRB5_MECHANISM = Uint8Array.of(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02);
/** GSS_KRB5_NT_PRINCIPAL_NAME, RFC 1964 §2.1.1: never canonicalised by DNS, unlike a service's name. */
const PRINCIPAL_NAME = Uint8Array.of(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02, 0x01);
const CONTINUE_NEEDED = 1;
const [GSS_CODE, MECHANISM_CODE] = [1, 2];
/** GSS_S_FAILURE: for what the library let pass and we do not. */
const FAILURE = 13 * 2 ** 16;

/** Parameters of each call, all of them addresses but for the numbers named. */
const CALLS = {
  import_name: "void *input, void *type, void *name",
  display_name: "void *name, void *output, void *type",
  acquire_cred_from: "void *name, uint32_t time, void *mechs, int usage, void *store, void *cred, void *actual, void *rec",
  init_sec_context:
    "void *cred, void *context, void *target, void *mech, uint32_t flags, uint32_t time, void *bindings, void *input, void *actual, void *output, void *ret, void *rec",
  accept_sec_context:
    "void *context, void *cred, void *input, void *bindings, void *source, void *mech, void *output, void *ret, void *rec, void *delegated",
  wrap: "void *context, int confidential, uint32_t qop, void *input, void *state, void *output",
  unwrap: "void *context, void *input, void *output, void *state, void *qop",
  inquire_context: "void *context, void *source, void *target, void *rec, void *mech, void *flags, void *local, void *open",
  display_status: "uint32_t value, int type, void *mech, void *more, void *output",
  delete_sec_context: "void *context, void *output",
  release_name: "void *name",
  release_cred: "void *cred",
  release_buffer: "void *buffer",
} as const;
type Call = keyof typeof CALLS;

/** The calls of the library at `path`, through this koffi. Throws where the library or a call of it is not there. */
export function bindGss(koffi: Koffi, path: string): Gss {
  const caller = new Caller(koffi, path);
  return { ...nameCalls(caller), ...contextCalls(caller), ...messageCalls(caller) };
}

type NameCalls = Pick<Gss, "importPrincipal" | "displayName" | "acquire" | "releaseName" | "releaseCredential">;

const nameCalls = (caller: Caller): NameCalls => ({
  importPrincipal: async (name) => {
    const [memory, octets] = [caller.frame(), new TextEncoder().encode(name)];
    const out = memory.pointer(NO_HANDLE);
    const done = await caller.call(memory, "import_name", memory.buffer(octets), memory.buffer(PRINCIPAL_NAME), out.at);
    return done.ok ? ok(out.word(0)) : done;
  },
  displayName: (name) => caller.displayName(name),
  acquire: async (name, usage, store) => {
    const memory = caller.frame();
    const out = memory.pointer(NO_HANDLE);
    const mechanisms = memory.words(1n, memory.buffer(KRB5_MECHANISM));
    const args = [name, 0, mechanisms, USAGE[usage], memory.store(store), out.at, NO_HANDLE, NO_HANDLE];
    const done = await caller.call(memory, "acquire_cred_from", ...args);
    return done.ok ? ok(out.word(0)) : done;
  },
  releaseName: (name) => caller.release("release_name", name),
  releaseCredential: (credential) => caller.release("release_cred", credential),
});

type ContextCalls = Pick<Gss, "initiate" | "accept" | "reached" | "deleteContext">;

const contextCalls = (caller: Caller): ContextCalls => ({
  initiate: async (credential, handle, target, token) => {
    const memory = caller.frame();
    const [context, output, flags] = [memory.pointer(handle), memory.space(16), memory.space(8)];
    const mechanism = memory.buffer(KRB5_MECHANISM);
    const input = token ? memory.buffer(token) : NO_HANDLE;
    const args = [credential, context.at, target, mechanism, WANTED, 0, NO_HANDLE, input, NO_HANDLE, output.at, flags.at, NO_HANDLE];
    return stepped(caller, await caller.call(memory, "init_sec_context", ...args), { context, output, flags });
  },
  accept: async (credential, handle, token) => {
    const memory = caller.frame();
    const [context, output, flags, source] = [memory.pointer(handle), memory.space(16), memory.space(8), memory.pointer(NO_HANDLE)];
    const [input, rest] = [memory.buffer(token), [NO_HANDLE, output.at, flags.at, NO_HANDLE, NO_HANDLE]];
    const call = await caller.call(memory, "accept_sec_context", context.at, credential, input, NO_HANDLE, source.at, ...rest);
    const done = await stepped(caller, call, { context, output, flags });
    if (done.ok) return ok({ ...done.value, source: source.word(0) });
    await caller.release("release_name", source.word(0));
    return done;
  },
  reached: async (context) => {
    const memory = caller.frame();
    const name = memory.pointer(NO_HANDLE);
    const none = [NO_HANDLE, NO_HANDLE, NO_HANDLE, NO_HANDLE, NO_HANDLE];
    const done = await caller.call(memory, "inquire_context", context, NO_HANDLE, name.at, ...none);
    if (!done.ok) return done;
    const text = await caller.displayName(name.word(0));
    await caller.release("release_name", name.word(0));
    return text;
  },
  deleteContext: (context) => caller.release("delete_sec_context", context, NO_HANDLE),
});

interface StepMemory {
  readonly context: Block;
  readonly output: Block;
  readonly flags: Block;
}

/** The common end of both kinds of steps. A context that failed is of no use to anybody. */
async function stepped(caller: Caller, done: Result<number, GssStatus>, { context, output, flags }: StepMemory): Answer<Stepped> {
  const token = await caller.take(output);
  if (!done.ok) {
    await caller.release("delete_sec_context", context.word(0), NO_HANDLE);
    return done;
  }
  return ok({ handle: context.word(0), token, complete: (done.value & CONTINUE_NEEDED) === 0, flags: flags.number(0) });
}

const messageCalls = (caller: Caller): Pick<Gss, "wrap" | "unwrap"> => ({
  wrap: async (context, data) => {
    const memory = caller.frame();
    const [output, state] = [memory.space(16), memory.space(8)];
    const done = await caller.call(memory, "wrap", context, 1, 0, memory.buffer(data), state.at, output.at);
    if (!done.ok) return done;
    const token = await caller.take(output);
    return state.number(0) === 0 ? err({ call: "gss_wrap", major: FAILURE, minor: 0, text: "no confidentiality" }) : ok(token);
  },
  unwrap: async (context, token) => {
    const memory = caller.frame();
    const output = memory.space(16);
    const done = await caller.call(memory, "unwrap", context, memory.buffer(token), output.at, NO_HANDLE, NO_HANDLE);
    if (!done.ok) return done;
    const data = await caller.take(output);
    // Notes below the routine errors: duplicate, old, out of order.
    return done.value === 0 ? ok(data) : err({ call: "gss_unwrap", major: done.value, minor: 0, text: "repeated or out of order" });
  },
});

/** Runs calls one by one, each with memory of its own. */
class Caller {
  readonly #koffi: Koffi;
  readonly #functions: Record<Call, { async(...args: unknown[]): void }>;

  constructor(koffi: Koffi, path: string) {
    const library = koffi.load(path);
    const entries = Object.entries(CALLS).map(
      ([name, rest]) => [name, library.func(`uint32_t gss_${name}(void *minor, ${rest})`)] as const,
    );
    this.#koffi = koffi;
    this.#functions = Object.fromEntries(entries) as unknown as Record<Call, { async(...args: unknown[]): void }>;
  }

  frame(): Frame {
    return new Frame(this.#koffi);
  }

  /** `memory` stays referenced until the call has ended. */
  async call(memory: Frame, name: Call, ...args: readonly (Handle | number)[]): Answer<number> {
    const minor = memory.space(8);
    const major = await new Promise<number>((resolve, reject) => {
      this.#functions[name].async(minor.at, ...args, (error: unknown, value: number) => (error ? reject(error) : resolve(value)));
    });
    memory.keep();
    // Calling and routine errors stand in the upper half; below it are notes such as "duplicate", which are for the caller.
    return major < 2 ** 16 ? ok(major) : err(await this.#describe(name, major, minor.number(0)));
  }

  async #describe(name: Call, major: number, minor: number): Promise<GssStatus> {
    let text = "";
    // The mechanism's words say more than "unspecified failure", where it has any. Its longest ones stay with the thread of the failed call.
    for (const [value, type] of [
      [major, GSS_CODE],
      [minor, MECHANISM_CODE],
    ] as const) {
      if (value === 0) continue;
      const memory = this.frame();
      const output = memory.space(16);
      const done = await this.call(memory, "display_status", value, type, memory.buffer(KRB5_MECHANISM), memory.space(8).at, output.at);
      const words = done.ok ? new TextDecoder().decode(await this.take(output)) : "";
      if (words !== "" && words !== "Success") text = words;
    }
    return { call: `gss_${name}`, major, minor, text };
  }

  /** A copy of what the library put into an output buffer, which it gets back, wiped. */
  async take(output: Block): Promise<Uint8Array> {
    const [length, value] = [Number(output.word(0)), output.word(1)];
    if (length === 0 || value === NO_HANDLE) return new Uint8Array();
    const copy = new Uint8Array(this.#koffi.decode(value, "uint8_t", length) as Uint8Array);
    this.#koffi.encode(value, "uint8_t", new Uint8Array(length), length);
    await this.call(this.frame(), "release_buffer", output.at);
    return copy;
  }

  /** Gives a handle back, if it is one. */
  async release(name: Call, handle: Handle, ...rest: readonly Handle[]): Promise<void> {
    if (handle === NO_HANDLE) return;
    const memory = this.frame();
    await this.call(memory, name, memory.pointer(handle).at, ...rest);
  }

  async displayName(name: Handle): Answer<string> {
    const memory = this.frame();
    const output = memory.space(16);
    const done = await this.call(memory, "display_name", name, output.at, NO_HANDLE);
    return done.ok ? ok(new TextDecoder().decode(await this.take(output))) : done;
  }
}

/** The memory of one call: everything that its arguments point to, directly or not. Little-endian, as every machine that koffi knows with 64 bits. */
class Frame {
  readonly #koffi: Koffi;
  readonly #held: Buffer[] = [];

  constructor(koffi: Koffi) {
    this.#koffi = koffi;
  }

  /** Zeroed octets at a fixed address: never a small array that the collector may move. */
  space(octets: number): Block {
    const bytes = Buffer.alloc(Math.max(octets, 8));
    this.#held.push(bytes);
    return new Block(bytes, this.#koffi.address(bytes));
  }

  words(...values: readonly bigint[]): Handle {
    const block = this.space(8 * values.length);
    block.set(values);
    return block.at;
  }

  pointer(value: Handle): Block {
    const block = this.space(8);
    block.set([value]);
    return block;
  }

  /** `gss_buffer_desc` or `gss_OID_desc` over a copy, which stands until the call has ended. */
  buffer(octets: Uint8Array): Handle {
    const copy = this.space(octets.length);
    copy.bytes.set(octets);
    return this.words(BigInt(octets.length), copy.at);
  }

  text(value: string): Handle {
    const octets = new TextEncoder().encode(value);
    const block = this.space(octets.length + 1);
    block.bytes.set(octets);
    return block.at;
  }

  /** `gss_key_value_set_desc`. */
  store(entries: Readonly<Record<string, string>>): Handle {
    const pairs = Object.entries(entries).flatMap(([key, value]) => [this.text(key), this.text(value)]);
    return this.words(BigInt(pairs.length / 2), this.words(...pairs));
  }

  /** Called when the call has ended: to this point at least the memory is referenced. */
  keep(): number {
    return this.#held.length;
  }
}

/** Octets at a fixed address, in the machine's order. */
class Block {
  readonly bytes: Buffer;
  readonly at: Handle;

  constructor(bytes: Buffer, at: Handle) {
    this.bytes = bytes;
    this.at = at;
  }

  word(index: number): bigint {
    return this.#words()[index] ?? 0n;
  }

  number(index: number): number {
    return new Uint32Array(this.bytes.buffer, this.bytes.byteOffset, this.bytes.length >> 2)[index] ?? 0;
  }

  set(values: readonly bigint[]): void {
    this.#words().set(values);
  }

  #words(): BigUint64Array {
    return new BigUint64Array(this.bytes.buffer, this.bytes.byteOffset, this.bytes.length >> 3);
  }
}
