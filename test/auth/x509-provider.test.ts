import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { pathToFileURL } from "node:url";
import type { SignatureMethod, VerifyJob } from "../../auth/method.ts";
import { PrivateKey } from "../../auth/providers/private-key.ts";
import type { JobResult } from "../../auth/providers/run-job.ts";
import { x509Provider } from "../../auth/providers/x509.ts";
import { createWork, type WorkRequest } from "../../auth/providers/x509-work.ts";
import type { OwnCertificate, Trust, X509Entry } from "../../policy/types.ts";
import { DAY, EXT, type Issued, issue, issueCrl, type KeyKind, newKey, pem } from "./pki.ts";

const folder = mkdtempSync(join(tmpdir(), "mainmode-provider-"));
after(() => rmSync(folder, { recursive: true }));

const now = Date.now();
const valid = { from: now - DAY, to: now + DAY };
const root = issue({ ...valid, subject: "CN=Root", key: newKey("p256"), extensions: [EXT.ca()] });
const host = (kind: KeyKind): Issued => issue({ ...valid, subject: `CN=${kind}`, key: newKey(kind), issuer: root, serial: 99 });

const trust: Trust = {
  anchors: [root.der],
  names: [root.subject],
  intermediates: [],
  crl: "if-present",
  crlFiles: [],
  weak: { shortRsa: false, sha1: false, oldRoots: false },
};
const entryOf = (one: Issued, algorithm: OwnCertificate["algorithm"], more: Partial<OwnCertificate> = {}): X509Entry => ({
  method: "x509",
  own: {
    chain: [one.der],
    identities: [],
    issuers: [root.subject],
    algorithm,
    notAfter: valid.to,
    privateKey: new PrivateKey(one.key.privateKey),
    ...more,
  },
  trust,
  sendCertificate: "asked",
  localId: null,
  remoteId: null,
});
const HASH = new Uint8Array(32).fill(3);
const verify = (one: Issued, method: SignatureMethod, signature: Uint8Array, more: Partial<VerifyJob> = {}): VerifyJob => ({
  kind: "verify",
  entries: [entryOf(one, "rsa")],
  method,
  hash: HASH,
  signature,
  certificates: [{ encoding: 4, data: one.der }],
  id: { type: 9, data: one.subject },
  peerAddress: "192.0.2.2",
  ...more,
});
const kindOf = (result: JobResult): string => (result.ok ? result.value.kind : result.error.reason);

test("what the thread signs it also takes, for every method", async () => {
  const provider = x509Provider();
  for (const [kind, algorithm, method] of [
    ["rsa2048", "rsa", 3],
    ["p256", "ecdsa256", 9],
    ["p384", "ecdsa384", 10],
    ["p521", "ecdsa521", 11],
  ] as const) {
    const one = host(kind);
    const signed = await provider.run({ kind: "sign", entry: entryOf(one, algorithm), method, hash: HASH });
    assert.ok(signed.ok && signed.value.kind === "signed", kindOf(signed));
    const verified = await provider.run(verify(one, method, signed.value.signature));
    assert.ok(verified.ok && verified.value.kind === "verified", kindOf(verified));
    assert.deepEqual(verified.value.entries, [0]);
    assert.equal(verified.value.subject, `CN=${kind}`);
    assert.equal(verified.value.issuer, "CN=Root");
    assert.deepEqual(verified.value.identities, [{ type: "dn", der: one.subject, text: `CN=${kind}` }]);
    assert.equal(
      kindOf(
        await provider.run(
          verify(
            one,
            method,
            signed.value.signature.map((octet) => octet ^ 1),
          ),
        ),
      ),
      "signature-invalid",
    );
  }
  await provider.close();
});

test("many questions at once are answered each with its own answer, and too many are turned away", async () => {
  const provider = x509Provider();
  const entry = entryOf(host("p256"), "ecdsa256");
  const asked = Array.from({ length: 300 }, (_, i) =>
    i % 2 === 0 ? provider.run({ kind: "sign", entry, method: 9, hash: HASH }) : provider.run(verify(root, 9, new Uint8Array(64))),
  );
  const kinds = (await Promise.all(asked)).map(kindOf);
  assert.deepEqual(
    kinds.slice(0, 256),
    Array.from({ length: 256 }, (_, i) => (i % 2 === 0 ? "signed" : "signature-invalid")),
  );
  assert.deepEqual(new Set(kinds.slice(256)), new Set(["provider-busy"]));
  assert.equal(kindOf(await provider.run({ kind: "sign", entry, method: 9, hash: HASH })), "signed");
  await provider.close();
  assert.equal(kindOf(await provider.run({ kind: "sign", entry, method: 9, hash: HASH })), "provider-failed");
});

test("an expired certificate of ours signs nothing and is not usable, a destroyed key neither", async () => {
  const provider = x509Provider();
  const one = host("p256");
  const late = entryOf(one, "ecdsa256", { notAfter: now - 1 });
  for (const job of [
    { kind: "usable", entry: late },
    { kind: "sign", entry: late, method: 9, hash: HASH },
  ] as const) {
    const result = await provider.run(job);
    assert.ok(!result.ok);
    assert.equal(result.error.reason, "certificate-expired");
    assert.equal(result.error.whose, "me");
  }
  const entry = entryOf(one, "ecdsa256");
  assert.equal(kindOf(await provider.run({ kind: "usable", entry })), "usable");
  entry.own.privateKey.destroy();
  assert.equal(kindOf(await provider.run({ kind: "sign", entry, method: 9, hash: HASH })), "provider-failed");
  await provider.close();
});

/** A thread that does something else. */
function thread(name: string, source: string): URL {
  writeFileSync(join(folder, `${name}.mjs`), source);
  return pathToFileURL(join(folder, `${name}.mjs`));
}

test("a thread that hangs is replaced, and its questions fail", async () => {
  const provider = x509Provider({
    thread: thread("hang", "import { parentPort } from 'node:worker_threads'; parentPort.on('message', () => { for (;;); });"),
    deadlineMs: 300,
  });
  const entry = entryOf(host("p256"), "ecdsa256");
  const ask = () => provider.run({ kind: "sign", entry, method: 9, hash: HASH });
  assert.deepEqual((await Promise.all([ask(), ask()])).map(kindOf), ["provider-timeout", "provider-timeout"]);
  assert.equal(kindOf(await ask()), "provider-timeout");
  await provider.close();
});

test("a thread that dies is replaced", async () => {
  const provider = x509Provider({
    thread: thread("die", "import { parentPort } from 'node:worker_threads'; parentPort.on('message', () => process.exit(3));"),
  });
  const entry = entryOf(host("p256"), "ecdsa256");
  for (let i = 0; i < 2; i++) assert.equal(kindOf(await provider.run({ kind: "sign", entry, method: 9, hash: HASH })), "provider-failed");
  await provider.close();
});

test("a list in a file counts, is read again when it changes, and stays when the file goes", () => {
  const one = host("p256");
  const file = join(folder, "root.crl");
  const list = (revoked: readonly number[], nextUpdate = now + DAY): string =>
    pem("X509 CRL", issueCrl({ issuer: root, revoked, thisUpdate: now - DAY, nextUpdate }));
  const work = createWork();
  const signed = work({ kind: "sign", algorithm: "ecdsa256", key: one.key.privateKey, hash: HASH });
  assert.ok(signed.ok && signed.value.kind === "signed");
  const { signature } = signed.value;
  const strict: Trust = { ...trust, crl: "require", crlFiles: [file] };
  const { method, hash, certificates, id } = verify(one, 9, signature);
  const request: WorkRequest = {
    kind: "verify",
    claim: { entries: [{ trust: strict, remoteId: null }], method, hash, signature, certificates, id },
  };
  assert.equal(kindOf(work(request)), "crl-missing");
  // Named by the configuration, it is no list that may be there or not.
  const lax = { ...request, claim: { ...request.claim, entries: [{ trust: { ...strict, crl: "if-present" as const }, remoteId: null }] } };
  const unread = work(lax);
  assert.ok(!unread.ok && unread.error.reason === "crl-missing");
  assert.match(unread.error.what, /root\.crl can't be read \(ENOENT\); nobody can say who is on them/);
  writeFileSync(file, "an error page");
  assert.equal(kindOf(work(lax)), "crl-missing");
  writeFileSync(file, list([]));
  assert.equal(kindOf(work(lax)), "verified");
  assert.equal(kindOf(work(request)), "verified");
  writeFileSync(file, list([98, 99]));
  assert.equal(kindOf(work(request)), "certificate-revoked");
  writeFileSync(file, list([1, 2, 3], now - 1000));
  assert.equal(kindOf(work(request)), "crl-expired");
  writeFileSync(file, list([7]));
  assert.equal(kindOf(work(request)), "verified");
  writeFileSync(file, "half a fi");
  assert.equal(kindOf(work(request)), "verified");
  rmSync(file);
  assert.equal(kindOf(work(request)), "verified");
});
