/** The provider of Kerberos against a real KDC, at both ends of a context. */
import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { kerberosProvider } from "../../auth/providers/gssapi.ts";
import type { Provider } from "../../auth/providers/run-job.ts";
import { type Realm, startRealm } from "../../demo/realm.ts";
import type { KerberosEntry } from "../../policy/types.ts";
import { endOf, entryOf, joined, must, refused, tokenOf } from "./entries.ts";

const [A, B] = ["host/a.example.test@EXAMPLE.TEST", "host/b.example.test@EXAMPLE.TEST"];
let realm: Realm;
let provider: Provider;
let a: KerberosEntry;
let b: KerberosEntry;

before(async () => {
  realm = await startRealm();
  process.env["KRB5_CONFIG"] = realm.config;
  process.env["KRB5RCACHEDIR"] = realm.folder;
  provider = kerberosProvider();
  a = entryOf(A, realm.keytab("a.keytab", "host/a.example.test"));
  b = entryOf(B, realm.keytab("b.keytab", "host/b.example.test"));
});

after(async () => {
  await provider.close();
  await realm.stop();
});

const hash = Uint8Array.from({ length: 20 }, (_, i) => i);

test("two ends agree on a context in one round, each learns whom the ticket proves, and hashes pass wrapped", async () => {
  const [us, them] = [endOf(provider, a, B), endOf(provider, b, null)];
  const [ours, theirs] = await joined(us, them);
  assert.deepEqual(ours, { kind: "gss-stepped", token: null, complete: true, peer: { principal: B, addressNames: [] } });
  assert.equal(theirs.complete, true);
  assert.deepEqual(theirs.peer, { principal: A, addressNames: [] });
  for (const [from, to] of [
    [us, them],
    [them, us],
  ] as const) {
    const wrapped = await must(from.wrap(hash), "gss-wrapped");
    assert.ok(!Buffer.from(wrapped.data).includes(Buffer.from(hash)), "the hash stands readable in the token");
    const kept = Uint8Array.from(wrapped.data);
    assert.deepEqual(new Uint8Array((await must(to.unwrap(wrapped.data), "gss-unwrapped")).data), hash);
    assert.deepEqual(wrapped.data, kept, "unwrapping changed what was given");
  }
  await Promise.all([us.drop(), them.drop()]);
  assert.match(await refused(us.wrap(hash), "provider-failed"), /context/);
});

test("the names of an address come with the peer where no principal is set, if they lead back to it", async () => {
  const [us, them] = [endOf(provider, a, B), endOf(provider, { ...b, peerPrincipal: null }, null)];
  const [, { peer }] = await joined(us, them);
  assert.ok(peer?.addressNames.includes("localhost"), JSON.stringify(peer));
});

test("a Windows machine's name with its dollar sign, and a principal without a realm, are principals too", async () => {
  const machine = entryOf("WS1$@EXAMPLE.TEST", realm.keytab("ws1.keytab", "WS1$"));
  const [, { peer }] = await joined(endOf(provider, machine, B), endOf(provider, b, null));
  assert.equal(peer?.principal, "WS1$@EXAMPLE.TEST");
  const [{ peer: reached }] = await joined(endOf(provider, a, "WS1$@EXAMPLE.TEST"), endOf(provider, machine, null));
  assert.equal(reached?.principal, "WS1$@EXAMPLE.TEST");
  const [{ peer: completed }] = await joined(endOf(provider, a, "host/b.example.test"), endOf(provider, b, null));
  assert.equal(completed?.principal, B);
});

test("many contexts at a time do not get in each other's way", async () => {
  const pairs = Array.from({ length: 24 }, () => [endOf(provider, a, B), endOf(provider, b, null)] as const);
  const ends = await Promise.all(pairs.map(([us, them]) => joined(us, them)));
  assert.ok(ends.every(([ours, theirs]) => ours.peer?.principal === B && theirs.peer?.principal === A));
});

test("a token that was used before is refused as a repetition", async () => {
  const token = await tokenOf(endOf(provider, a, B).step(null));
  await must(endOf(provider, b, null).step(token), "gss-stepped");
  await refused(endOf(provider, b, null).step(token), "kerberos-replay");
});

test("a token that was changed in its frame, its ticket or its proof is refused, and ends nothing but its own context", async () => {
  const token = await tokenOf(endOf(provider, a, B).step(null));
  // Some octets between them are nobody's secret and protected by nothing but IKE's own hash.
  for (const at of [2, 6, Math.floor(token.length / 2), token.length - 1]) {
    const changed = Uint8Array.from(token, (octet, i) => (i === at ? octet ^ 1 : octet));
    const settled = await endOf(provider, b, null).step(changed);
    assert.ok(!settled.ok, `octet ${at} was changed and nobody noticed`);
    assert.match(settled.error.reason, /^kerberos-(token-invalid|wrong-key|no-credentials)$/, `${at}: ${settled.error.what}`);
  }
  for (const rubbish of [new Uint8Array(), Uint8Array.of(0x60), token.subarray(0, 100), new Uint8Array(60_000)])
    await refused(endOf(provider, b, null).step(rubbish), "kerberos-token-invalid");
  await must(endOf(provider, b, null).step(token), "gss-stepped");
});

test("an answer and a wrapped hash that were changed, repeated or are another context's are refused", async () => {
  const [us, them] = [endOf(provider, a, B), endOf(provider, b, null)];
  const answer = await tokenOf(them.step(await tokenOf(us.step(null))));
  const changed = Uint8Array.from(answer, (octet, i) => (i === answer.length - 1 ? octet ^ 1 : octet));
  await refused(us.step(changed), "kerberos-token-invalid");
  assert.match(await refused(us.step(answer), "kerberos-token-invalid"), /ended with an earlier answer/, "the right one comes too late");
  const [c, d] = [endOf(provider, a, B), endOf(provider, b, null)];
  const other = [endOf(provider, a, B), endOf(provider, b, null)] as const;
  await Promise.all([joined(c, d), joined(...other)]);
  const { data } = await must(c.wrap(hash), "gss-wrapped");
  await refused(other[1].unwrap(data), "kerberos-token-invalid");
  await refused(d.unwrap(data.map((octet, i) => (i === data.length - 1 ? octet ^ 1 : octet))), "kerberos-token-invalid");
  await must(d.unwrap(data), "gss-unwrapped");
  await refused(d.unwrap(data), "kerberos-replay");
});

test("each thing that can be wrong has a reason and a sentence of its own", async () => {
  const usable = (entry: KerberosEntry) => provider.run({ kind: "usable", entry });
  await must(usable(a), "usable");
  assert.match(await refused(usable({ ...a, keytab: join(realm.folder, "none") }), "kerberos-no-credentials"), /none/);
  assert.match(await refused(usable(entryOf("host/c.example.test@EXAMPLE.TEST", a.keytab)), "kerberos-no-credentials"), /host\/c\.example/);
  assert.match(await refused(usable(entryOf("no@such@thing", a.keytab)), "kerberos-unknown-principal"), /no@such@thing/);

  const ghost = entryOf("host/ghost.example.test@EXAMPLE.TEST", realm.keytab("ghost.keytab", "host/ghost.example.test"));
  realm.admin("delprinc -force host/ghost.example.test");
  assert.match(await refused(usable(ghost), "kerberos-unknown-principal"), /host\/ghost/);
  const nobody = "host/nobody.example.test@EXAMPLE.TEST";
  assert.match(await refused(endOf(provider, a, nobody).step(null), "kerberos-unknown-principal"), /nobody/);

  const old = entryOf("host/old.example.test@EXAMPLE.TEST", realm.keytab("old.keytab", "host/old.example.test"));
  realm.admin("cpw -randkey host/old.example.test");
  assert.match(await refused(usable(old), "kerberos-wrong-key"), /old\.keytab/);
  const token = await tokenOf(endOf(provider, a, old.principal).step(null));
  assert.match(await refused(endOf(provider, old, null).step(token), "kerberos-wrong-key"), /old\.keytab/);

  const again = realm.keytab("again.keytab", "host/again.example.test");
  realm.admin("delprinc -force host/again.example.test");
  realm.keytab("other.keytab", "host/again.example.test");
  const same = entryOf("host/again.example.test@EXAMPLE.TEST", again);
  assert.match(await refused(usable(same), "kerberos-wrong-key"), /again\.keytab/);
  const settled = await endOf(provider, same, null).step(await tokenOf(endOf(provider, a, same.principal).step(null)));
  assert.ok(!settled.ok && settled.error.reason === "kerberos-token-invalid");
  assert.match(settled.error.hint ?? "", /again\.keytab/, "the same version with another key looks like a changed token");

  const stale = entryOf("host/stale.example.test@EXAMPLE.TEST", realm.keytab("stale.keytab", "host/stale.example.test"));
  realm.admin("modprinc -pwexpire yesterday -allow_svr host/stale.example.test");
  assert.match(await refused(usable(stale), "kerberos-unknown-principal"), /does not let our principal host\/stale.*in/);
  assert.match(
    await refused(endOf(provider, a, stale.principal).step(null), "kerberos-unknown-principal"),
    /gives nobody a ticket to .*host\/stale/,
  );

  const rubbish = join(realm.folder, "rubbish.keytab");
  writeFileSync(rubbish, "no keytab at all");
  await refused(usable({ ...a, keytab: rubbish }), "kerberos-no-credentials");
  await refused(endOf(provider, { ...b, keytab: rubbish }, null).step(token), "kerberos-no-credentials");
});

test("a keytab that was written anew is used with the next negotiation", async () => {
  const keytab = realm.keytab("new.keytab", "host/new.example.test");
  const entry = entryOf("host/new.example.test@EXAMPLE.TEST", keytab);
  await joined(endOf(provider, entry, B), endOf(provider, b, null));
  realm.keytab("new.keytab", "host/new.example.test");
  const [{ peer }] = await joined(endOf(provider, a, entry.principal), endOf(provider, entry, null));
  assert.equal(peer?.principal, entry.principal);
});

test("a place for seen tokens that can't be written is our fault, and not the peer's", async () => {
  const before = process.env["KRB5RCACHEDIR"];
  process.env["KRB5RCACHEDIR"] = join(realm.folder, "no such folder");
  const other = kerberosProvider();
  try {
    const settled = await endOf(other, b, null).step(await tokenOf(endOf(provider, a, B).step(null)));
    assert.ok(!settled.ok);
    assert.deepEqual([settled.error.reason, settled.error.whose], ["provider-failed", "me"]);
    assert.match(settled.error.hint ?? "", /KRB5RCACHEDIR/);
  } finally {
    process.env["KRB5RCACHEDIR"] = before;
    await other.close();
  }
});

test("names are never changed by DNS, whatever krb5.conf says, and no ticket is left in or taken from anybody's cache", async () => {
  // With canonicalisation a service on LOCALHOST would be asked for as localhost, which nobody made.
  const shouting = entryOf("host/LOCALHOST@EXAMPLE.TEST", realm.keytab("shouting.keytab", "host/LOCALHOST"));
  const [config, cache] = [join(realm.folder, "canonical.conf"), join(realm.folder, "somebody's cache")];
  const text = readFileSync(realm.config, "utf8");
  assert.match(text, /dns_canonicalize_hostname = false/);
  writeFileSync(config, text.replace(/(rdns|dns_canonicalize_hostname) = false/g, "$1 = true"));
  const before = [process.env["KRB5_CONFIG"], process.env["KRB5CCNAME"]];
  [process.env["KRB5_CONFIG"], process.env["KRB5CCNAME"]] = [config, `FILE:${cache}`];
  const other = kerberosProvider();
  try {
    const [{ peer: reached }, { peer }] = await joined(endOf(other, a, shouting.principal), endOf(other, shouting, null));
    assert.deepEqual([reached?.principal, peer?.principal], [shouting.principal, A]);
    assert.equal(existsSync(cache), false, "the cache of the environment");
  } finally {
    process.env["KRB5_CONFIG"] = before[0];
    if (before[1] === undefined) delete process.env["KRB5CCNAME"];
    else process.env["KRB5CCNAME"] = before[1];
    await other.close();
  }
});
