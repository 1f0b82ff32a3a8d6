/** What the GSS library is asked, argument by argument: koffi is real, and so is the memory; the library is one that only writes down. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { bindGss, type Gss, type Koffi } from "../../auth/providers/gssapi-library.ts";
import { toHex } from "../../isakmp/hex.ts";
import { oid } from "./pki.ts";

type Argument = bigint | number;
/** What a call does with its arguments (without `minor`, which is the first of them), and its major status. */
type Act = (...args: readonly Argument[]) => number;

const real = (await import("koffi")) as Koffi;
const octetsAt = (at: Argument, octets: number): Uint8Array => Uint8Array.from(real.decode(BigInt(at), "uint8_t", octets) as Uint8Array);
const wordsAt = (at: Argument, words: number): readonly bigint[] =>
  (real.decode(BigInt(at), "uint64_t", words) as readonly (bigint | number)[] | BigUint64Array).length === words
    ? Array.from(real.decode(BigInt(at), "uint64_t", words) as ArrayLike<bigint | number>, BigInt)
    : [];
/** The octets of a `gss_buffer_desc` or `gss_OID_desc`: length, address. */
function described(at: Argument): Uint8Array {
  const [length = 0n, address = 0n] = wordsAt(at, 2);
  return octetsAt(address, Number(length));
}

/** The calls, over a library that does as `acts` says and succeeds in all the rest. */
function gssOver(acts: Readonly<Record<string, Act>>): Gss {
  const func = (prototype: string) => {
    const [, name = ""] = /gss_(\w+)\(/.exec(prototype) ?? [];
    const async = (...all: readonly unknown[]): void => {
      const args = all.slice(1, -1) as readonly Argument[];
      const done = all[all.length - 1] as (error: unknown, major: number) => void;
      const major = acts[name]?.(...args) ?? 0;
      setImmediate(() => done(null, major));
    };
    return { async };
  };
  return bindGss({ ...real, load: () => ({ func }) } as unknown as Koffi, "none");
}

const contents = (der: Uint8Array): string => toHex(der.subarray(2));
const KRB5 = contents(oid("1.2.840.113554.1.2.2"));
const [MUTUAL, SEQUENCE, CONFIDENTIALITY, INTEGRITY] = [2, 8, 16, 32];
const CONTINUE = 1;

test("a context is begun with the mechanism krb5 by its own identifier, these four flags, no channel bindings and no time of its own", async () => {
  const seen: unknown[] = [];
  const gss = gssOver({
    init_sec_context: (credential, context, target, mechanism, flags, time, bindings, input) => {
      const token = input === 0n ? null : toHex(described(input as Argument));
      seen.push([
        credential,
        wordsAt(context as Argument, 1)[0],
        target,
        toHex(described(mechanism as Argument)),
        flags,
        time,
        bindings,
        token,
      ]);
      return CONTINUE;
    },
  });
  const flags = MUTUAL | SEQUENCE | CONFIDENTIALITY | INTEGRITY;
  const first = await gss.initiate(11n, 0n, 22n, null);
  assert.ok(first.ok && !first.value.complete);
  await gss.initiate(11n, 33n, 22n, Uint8Array.of(1, 2, 3));
  assert.deepEqual(seen, [
    [11n, 0n, 22n, KRB5, flags, 0, 0n, null],
    [11n, 33n, 22n, KRB5, flags, 0, 0n, "010203"],
  ]);
});

test("a credential is of krb5 and of no other mechanism, from the stores that are named and none of the environment's", async () => {
  const seen: unknown[] = [];
  const gss = gssOver({
    acquire_cred_from: (name, time, mechanisms, usage, store) => {
      const [count = 0n, elements = 0n] = wordsAt(mechanisms as Argument, 2);
      const [pairs = 0n, list = 0n] = wordsAt(store as Argument, 2);
      const text = (at: bigint): string => real.decode(at, "char", -1) as string;
      const entries = Array.from({ length: Number(pairs) * 2 }, (_, i) => text(wordsAt(list + BigInt(8 * i), 1)[0] as bigint));
      seen.push([name, time, count, toHex(described(elements)), usage, entries]);
      return 0;
    },
  });
  await gss.acquire(5n, "initiate", { client_keytab: "FILE:/k", ccache: "MEMORY:m" });
  await gss.acquire(5n, "accept", { keytab: "FILE:/k" });
  assert.deepEqual(seen, [
    [5n, 0, 1n, KRB5, 1, ["client_keytab", "FILE:/k", "ccache", "MEMORY:m"]],
    [5n, 0, 1n, KRB5, 2, ["keytab", "FILE:/k"]],
  ]);
});

test("names go in as Kerberos principals, which no resolver may change", async () => {
  const seen: unknown[] = [];
  const gss = gssOver({
    import_name: (input, type) => {
      seen.push([new TextDecoder().decode(described(input as Argument)), toHex(described(type as Argument))]);
      return 0;
    },
  });
  await gss.importPrincipal("B$@EXAMPLE.TEST");
  assert.deepEqual(seen, [["B$@EXAMPLE.TEST", contents(oid("1.2.840.113554.1.2.2.1"))]]);
});

test("wrapping asks for confidentiality, and what is unwrapped, stepped or accepted is a copy: the library may write into it", async () => {
  const given = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9);
  const scribble = (at: Argument): void => {
    const [length = 0n, address = 0n] = wordsAt(at, 2);
    real.encode(address, "uint8_t", new Uint8Array(Number(length)).fill(255), Number(length));
  };
  const confidential: unknown[] = [];
  const written: string[] = [];
  const note = (at: Argument): void => {
    written.push(toHex(described(at)));
    scribble(at);
  };
  const gss = gssOver({
    wrap: (_context, wanted, quality, input) => {
      confidential.push(wanted, quality);
      note(input as Argument);
      return 0;
    },
    unwrap: (_context, input) => {
      note(input as Argument);
      return 0;
    },
    init_sec_context: (...args) => {
      note(args[7] as Argument);
      return CONTINUE;
    },
    accept_sec_context: (_context, _credential, input) => {
      note(input as Argument);
      return CONTINUE;
    },
  });
  const wrapped = await gss.wrap(1n, given);
  assert.ok(!wrapped.ok && wrapped.error.text === "no confidentiality", "this library gave none");
  await gss.unwrap(1n, given);
  await gss.initiate(1n, 2n, 3n, given);
  await gss.accept(1n, 2n, given);
  assert.deepEqual(confidential, [1, 0]);
  assert.deepEqual(written, Array(4).fill("010203040506070809"));
  assert.deepEqual(given, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9));
});

test("a hash that the library lets pass with a note, as repeated or out of order, is refused", async () => {
  const DUPLICATE = 2;
  const gss = gssOver({ unwrap: () => DUPLICATE });
  const done = await gss.unwrap(1n, Uint8Array.of(1));
  assert.ok(!done.ok && done.error.major === DUPLICATE);
});
