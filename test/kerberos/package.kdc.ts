/**
 * Tokens to and from the npm package `kerberos`, a user of Kerberos that shares no code of ours. It can't wrap, so that hashes are looked at
 * one way only; it shows what it opened.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { kerberosProvider } from "../../auth/providers/gssapi.ts";
import type { Provider } from "../../auth/providers/run-job.ts";
import { type Realm, startRealm, stop } from "../../demo/realm.ts";
import { endOf, entryOf, must, refused, tokenOf } from "./entries.ts";

const [US, PACKAGE] = ["host/us.example.test@EXAMPLE.TEST", "host/package.example.test@EXAMPLE.TEST"];
const ROOT = ["../..", "../../.."].map((up) => join(import.meta.dirname, up)).find((path) => existsSync(join(path, "package.json"))) ?? ".";

interface Answer {
  readonly error?: string;
  readonly token?: string;
  readonly data?: string;
  readonly complete?: boolean;
  readonly user?: string;
  readonly target?: string;
}

let realm: Realm;
let provider: Provider;
let peer: ChildProcess;
let answers: AsyncIterator<string>;

before(async () => {
  realm = await startRealm();
  process.env["KRB5_CONFIG"] = realm.config;
  process.env["KRB5RCACHEDIR"] = realm.folder;
  provider = kerberosProvider();
  const keytab = realm.keytab("package.keytab", "host/package.example.test");
  const env = { ...process.env, KRB5_KTNAME: keytab, KRB5_CLIENT_KTNAME: keytab, KRB5CCNAME: "MEMORY:package" };
  peer = spawn(process.execPath, [join(ROOT, "test/peers/kerberos/peer.js")], { env, stdio: ["pipe", "pipe", "inherit"] });
  assert.ok(peer.stdout);
  answers = createInterface({ input: peer.stdout })[Symbol.asyncIterator]();
});

after(async () => {
  await provider.close();
  await stop(peer);
  await realm.stop();
});

async function ask(question: Readonly<Record<string, string>>): Promise<Answer> {
  peer.stdin?.write(`${JSON.stringify(question)}\n`);
  const { value } = await answers.next();
  return JSON.parse(value) as Answer;
}

const base64 = (octets: Uint8Array): string => Buffer.from(octets).toString("base64");
const octets = (text: string | undefined): Uint8Array => Uint8Array.from(Buffer.from(text ?? "", "base64"));
const us = () => entryOf(US, realm.keytab("us.keytab", "host/us.example.test"));

test("the package accepts our token, knows us by it, and we accept its answer", async () => {
  const end = endOf(provider, us(), PACKAGE);
  const accepted = await ask({ op: "accept", token: base64(await tokenOf(end.step(null))) });
  assert.deepEqual([accepted.error, accepted.user, accepted.target], [undefined, US, PACKAGE]);
  const last = await must(end.step(octets(accepted.token)), "gss-stepped");
  assert.deepEqual([last.token, last.complete, last.peer?.principal], [null, true, PACKAGE]);
});

test("we accept the package's token, it accepts our answer, and opens what we wrapped", async () => {
  const end = endOf(provider, us(), null);
  const { token } = await ask({ op: "initiate", service: "host@us.example.test" });
  const accepted = await must(end.step(octets(token)), "gss-stepped");
  assert.deepEqual([accepted.complete, accepted.peer?.principal], [true, PACKAGE]);
  assert.ok(accepted.token);
  assert.deepEqual(await ask({ op: "answer", token: base64(accepted.token) }), { complete: true });
  const hash = Uint8Array.from({ length: 32 }, (_, i) => 255 - i);
  const wrapped = await must(end.wrap(hash), "gss-wrapped");
  assert.deepEqual(octets((await ask({ op: "unwrap", token: base64(wrapped.data) })).data), hash);
});

test("a peer that does not want us to prove ourselves, too, is refused", async () => {
  const { token } = await ask({ op: "initiate", service: "host@us.example.test", without: "MUTUAL" });
  await refused(endOf(provider, us(), null).step(octets(token)), "kerberos-not-mutual");
});

test("neither takes a changed token of the other", async () => {
  const flip = (token: Uint8Array) => token.map((octet, i) => (i === token.length - 1 ? octet ^ 1 : octet));
  const ours = await tokenOf(endOf(provider, us(), PACKAGE).step(null));
  assert.match((await ask({ op: "accept", token: base64(flip(ours)) })).error ?? "", /\w/);
  const { token } = await ask({ op: "initiate", service: "host@us.example.test" });
  await refused(endOf(provider, us(), null).step(flip(octets(token))), "kerberos-token-invalid");
});
