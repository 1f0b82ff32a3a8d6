/** Contexts over a library that only writes down, and a resolver that says what a test wants: whose names an address has, and what is given back. */
import assert from "node:assert/strict";
import dns from "node:dns/promises";
import { syncBuiltinESMExports } from "node:module";
import { after, test } from "node:test";
import { gssContexts } from "../../auth/providers/gssapi-contexts.ts";
import type { Gss, Handle } from "../../auth/providers/gssapi-library.ts";
import type { GssStepCall } from "../../auth/providers/gssapi-messages.ts";
import { ok } from "../../isakmp/result.ts";

const [MUTUAL, CONFIDENTIALITY, INTEGRITY] = [2, 16, 32];
const ALL = MUTUAL | CONFIDENTIALITY | INTEGRITY;
const PEER = "host/b.example.test@EXAMPLE.TEST";

/** Every call succeeds and gives a handle that was never given; those given back are struck out. */
function library(flags: number): Gss & { readonly open: () => readonly string[] } {
  const open = new Map<Handle, string>();
  let last = 0n;
  const made = (what: string): Handle => {
    open.set(++last, what);
    return last;
  };
  const released = async (handle: Handle): Promise<void> => {
    if (handle !== 0n) assert.ok(open.delete(handle), `${handle} was released twice, or never made`);
  };
  const step = (context: Handle) => ({
    handle: context === 0n ? made("context") : context,
    token: Uint8Array.of(1),
    complete: true,
    flags,
  });
  return {
    importPrincipal: async () => ok(made("name")),
    displayName: async () => ok(PEER),
    acquire: async () => ok(made("credential")),
    initiate: async (_credential, context) => ok(step(context)),
    accept: async (_credential, context) => ok({ ...step(context), source: made("source") }),
    wrap: async (_context, data) => ok(data),
    unwrap: async (_context, data) => ok(data),
    reached: async () => ok(PEER),
    deleteContext: released,
    releaseName: released,
    releaseCredential: released,
    open: () => [...open.values()],
  };
}

const real = { lookup: dns.lookup, lookupService: dns.lookupService };
/** What addresses are called, and where names lead. */
function resolver(names: Readonly<Record<string, string>>, addresses: Readonly<Record<string, readonly string[]>>): void {
  const lookupService = async (address: string) => ({ hostname: names[address] ?? address, service: "" });
  const lookup = async (name: string) => (addresses[name] ?? []).map((address) => ({ address, family: 4 }));
  Object.assign(dns, { lookup, lookupService });
  syncBuiltinESMExports();
}
after(() => {
  Object.assign(dns, real);
  syncBuiltinESMExports();
});

const accept = (context: string, more: Partial<GssStepCall> = {}): GssStepCall => ({
  kind: "step",
  context,
  first: true,
  role: "accept",
  principal: "host/a.example.test@EXAMPLE.TEST",
  keytab: "/k",
  target: null,
  token: Uint8Array.of(0x60),
  peerAddress: "192.0.2.2",
  wantsNames: true,
  ...more,
});

for (const [what, names, addresses, expected] of [
  ["a name that leads back to it", { "192.0.2.2": "B.example.test" }, { "B.example.test": ["192.0.2.9", "192.0.2.2"] }, ["b.example.test"]],
  [
    "a name that leads elsewhere: its owner may call it as he likes",
    { "192.0.2.2": "admin.example.test" },
    { "admin.example.test": ["192.0.2.1"] },
    [],
  ],
  ["a name that leads nowhere", { "192.0.2.2": "b.example.test" }, {}, []],
] as const satisfies readonly (readonly [
  string,
  Readonly<Record<string, string>>,
  Readonly<Record<string, readonly string[]>>,
  readonly string[],
])[])
  test(`an address with ${what}, has ${expected.join() || "no name"}`, async () => {
    resolver(names, addresses);
    const done = await gssContexts(library(ALL)).run(accept("1"));
    assert.deepEqual(done.ok && done.value.kind === "stepped" && done.value.peer, { principal: PEER, addressNames: expected });
  });

for (const [what, flags] of [
  ["mutual authentication", ALL - MUTUAL],
  ["integrity", ALL - INTEGRITY],
  ["confidentiality", ALL - CONFIDENTIALITY],
] as const)
  for (const role of ["accept", "initiate"] as const)
    test(`a context without ${what} is refused (${role}), and all that it had is given back`, async () => {
      const gss = library(flags);
      const done = await gssContexts(gss).run(accept("1", { role, target: role === "accept" ? null : PEER, wantsNames: false }));
      assert.ok(!done.ok && done.error.reason === "kerberos-not-mutual");
      assert.deepEqual(gss.open(), []);
    });

test("a context that is dropped gives everything back, once, and wraps nothing more", async () => {
  const gss = library(ALL);
  const contexts = gssContexts(gss);
  for (const name of ["1", "2"]) assert.ok((await contexts.run(accept(name, { wantsNames: false }))).ok);
  for (let i = 0; i < 2; i++) await contexts.run({ kind: "drop", context: "1" });
  assert.deepEqual([...gss.open()].sort(), ["context", "credential"]);
  assert.equal((await contexts.run({ kind: "wrap", context: "1", data: Uint8Array.of(1) })).ok, false);
  assert.equal((await contexts.run({ kind: "wrap", context: "2", data: Uint8Array.of(1) })).ok, true);
});

test("a later step of a context that is not there says so, and makes no other one", async () => {
  const gss = library(ALL);
  const contexts = gssContexts(gss);
  for (const role of ["accept", "initiate"] as const) {
    const done = await contexts.run(accept("1", { role, target: role === "accept" ? null : PEER, first: false, wantsNames: false }));
    assert.ok(!done.ok && done.error.reason === "provider-failed" && done.error.whose === "me");
  }
  assert.deepEqual(gss.open(), []);
});

test("where no name service answers, look-ups keep some threads and never all of them, and one address is asked for once", async () => {
  let [running, most, started] = [0, 0, 0];
  const pending: (() => void)[] = [];
  const lookupService = (address: string) => {
    most = Math.max(most, ++running);
    started++;
    return new Promise((resolve) => {
      pending.push(() => {
        running--;
        resolve({ hostname: `h${address}`, service: "" });
      });
    });
  };
  Object.assign(dns, { lookupService, lookup: async () => [] });
  syncBuiltinESMExports();
  const contexts = gssContexts(library(ALL));
  const calls = Array.from({ length: 40 }, (_, i) => contexts.run(accept(`${i}`, { peerAddress: `192.0.2.${i >> 1}` })));
  let over = false;
  const all = Promise.all(calls).then((done) => {
    over = true;
    assert.ok(done.every(({ ok: fine }) => fine));
  });
  while (!over) {
    for (const finish of pending.splice(0)) finish();
    await new Promise((resolve) => setImmediate(resolve));
  }
  await all;
  assert.ok(most > 1 && most <= 6, `${most} at a time`);
  assert.ok(started <= 20, `${started} look-ups`);
});

test("a principal of another realm that has characters for terminals in it is shown with their numbers", async () => {
  const gss = { ...library(ALL), displayName: async () => ok("b\u001b[2J\u202e@OTHER.TEST") };
  const done = await gssContexts(gss).run(accept("1", { wantsNames: false }));
  assert.equal(done.ok && done.value.kind === "stepped" && done.value.peer?.principal, "b\\u{1b}[2J\\u{202e}@OTHER.TEST");
});
