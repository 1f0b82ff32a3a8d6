/**
 * A certification authority for as long as the demo runs: its key is forgotten as soon as both hosts have their certificates.
 */
import { generateKeyPair } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import forge from "node-forge";

/** Writes `ca.pem`, and `NAME.pem` with `NAME.key` for each name, into a folder that is ours alone. RSA of 2048 bits; valid for a day. */
export async function makeCertificates(folder: string, names: readonly string[]): Promise<void> {
  const [ca, ...keys] = await Promise.all([...names.map(() => newKey()), newKey()].reverse());
  if (!ca) throw new Error("no key for the demo's CA");
  const issuer = { name: [attribute("O", "mainmode demo"), attribute("CN", "demo CA")], key: ca };
  const flags = [
    { name: "basicConstraints", cA: true, critical: true },
    { name: "keyUsage", keyCertSign: true, cRLSign: true, critical: true },
  ];
  writeFileSync(join(folder, "ca.pem"), certificate(1, issuer.name, ca, issuer, flags), { mode: 0o600 });
  for (const [i, name] of names.entries()) {
    const key = keys[i] as string;
    const subject = [attribute("O", "mainmode demo"), attribute("CN", name)];
    const usage = [{ name: "keyUsage", digitalSignature: true, critical: true }];
    writeFileSync(join(folder, `${name}.pem`), certificate(i + 2, subject, key, issuer, usage), { mode: 0o600 });
    writeFileSync(join(folder, `${name}.key`), key, { mode: 0o600 });
  }
}

const RSA = {
  modulusLength: 2048,
  publicKeyEncoding: { type: "spki", format: "pem" },
  privateKeyEncoding: { type: "pkcs1", format: "pem" },
} as const;

const newKey = async (): Promise<string> => (await promisify(generateKeyPair)("rsa", RSA)).privateKey;

interface Attribute {
  readonly shortName: string;
  readonly value: string;
}
const attribute = (shortName: string, value: string): Attribute => ({ shortName, value });

function certificate(
  serial: number,
  subject: readonly Attribute[],
  key: string,
  issuer: { readonly name: readonly Attribute[]; readonly key: string },
  extensions: readonly object[],
): string {
  const made = forge.pki.createCertificate();
  const own = forge.pki.privateKeyFromPem(key);
  made.publicKey = forge.pki.setRsaPublicKey(own.n, own.e);
  made.serialNumber = `0${serial}`;
  made.validity.notBefore = new Date(Date.now() - HOUR_MS);
  made.validity.notAfter = new Date(Date.now() + 24 * HOUR_MS);
  made.setSubject([...subject]);
  made.setIssuer([...issuer.name]);
  made.setExtensions([...extensions]);
  made.sign(forge.pki.privateKeyFromPem(issuer.key), forge.md.sha256.create());
  return forge.pki.certificateToPem(made);
}

const HOUR_MS = 3600_000;
