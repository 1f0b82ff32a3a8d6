/** Two independent judges of certification paths: the command `openssl verify`, and the library @peculiar/x509. What each decides: path-generated.test.ts. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { type Case, certificate } from "./path-cases.ts";
import { NOW, pem } from "./pki.ts";

const folder = mkdtempSync(join(tmpdir(), "mainmode-path-"));
after(() => rmSync(folder, { recursive: true }));

/** Whether `openssl verify` takes the same path, at the same time and with the same lists. */
export function opensslTakes({ leaf: own, others = [], anchors, lists = [], crl = "if-present" }: Case): boolean {
  const file = (label: string, text: string): string => {
    writeFileSync(join(folder, label), text);
    return join(folder, label);
  };
  const argv = [
    "verify",
    "-no-CAfile",
    "-no-CApath",
    "-no-CAstore",
    "-attime",
    `${NOW / 1000}`,
    "-trusted",
    file("ca", anchors.map((one) => one.pem).join("")),
  ];
  if (others.length > 0) argv.push("-untrusted", file("others", others.map((one) => one.pem).join("")));
  if (crl === "require" || lists.length > 0) argv.push(crl === "require" ? "-crl_check_all" : "-crl_check");
  if (lists.length > 0) argv.push("-CRLfile", file("lists", lists.map((der) => pem("X509 CRL", der)).join("")));
  const { status, stdout, stderr, error } = spawnSync("openssl", [...argv, file("leaf", own.pem)], { encoding: "utf8" });
  assert.equal(error, undefined);
  assert.match(`${stdout}${stderr}`, /: OK|verification failed/);
  return status === 0;
}

/** The part of @peculiar/x509 that is asked. Its own types want a browser's. */
export interface Peculiar {
  readonly X509Certificate: new (der: Uint8Array) => PeculiarCertificate;
  readonly X509Crl: new (der: Uint8Array) => PeculiarCrl;
  readonly X509ChainBuilder: new (options: {
    readonly certificates: readonly PeculiarCertificate[];
  }) => {
    build(leaf: PeculiarCertificate): Promise<readonly PeculiarCertificate[]>;
  };
}
export interface PeculiarCertificate {
  readonly serialNumber: string;
  readonly subject: string;
  readonly issuer: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly subjectName: { toArrayBuffer(): ArrayBuffer };
  readonly issuerName: { toArrayBuffer(): ArrayBuffer };
  readonly rawData: ArrayBuffer;
  readonly publicKey: PeculiarKey;
  readonly extensions: readonly {
    readonly type: string;
    readonly critical: boolean;
    readonly ca?: boolean;
    readonly pathLength?: number;
    readonly usages?: number | readonly string[];
    readonly names?: { readonly items: readonly { readonly type: string; readonly value: string }[] };
  }[];
  /** False as well where `date` is not within the certificate's days, unless only the signature is asked for. */
  verify(options: { readonly publicKey: PeculiarKey; readonly date?: Date; readonly signatureOnly?: boolean }): Promise<boolean>;
}
interface PeculiarKey {
  readonly rawData: ArrayBuffer;
}
export interface PeculiarCrl {
  readonly issuer: string;
  readonly nextUpdate: Date | undefined;
  findRevoked(certificate: PeculiarCertificate): { readonly reason?: number } | null;
  verify(options: { readonly publicKey: PeculiarKey }): Promise<boolean>;
}

export async function loadPeculiar(): Promise<Peculiar> {
  const [polyfill, library] = ["reflect-metadata", "@peculiar/x509"];
  await import(polyfill as string);
  return (await import(library as string)) as Peculiar;
}

export const hex = (octets: ArrayBuffer | Uint8Array): string => Buffer.from(octets as Uint8Array).toString("hex");

/** Whether the library reads a certificate as we do; both readings. */
export function sameReading({ X509Certificate }: Peculiar, der: Uint8Array): void {
  const [ours, theirs] = [certificate(der), new X509Certificate(der)];
  const extension = (type: string) => theirs.extensions.find((one) => one.type === type);
  const [basic, usage, purposes, names] = ["2.5.29.19", "2.5.29.15", "2.5.29.37", "2.5.29.17"].map(extension);
  assert.deepEqual(
    {
      serial: ours.serial.replace(/^00/, ""),
      notBefore: ours.notBefore,
      notAfter: ours.notAfter,
      subject: hex(ours.subject.der),
      issuer: hex(ours.issuer.der),
      key: hex(ours.publicKey),
      basic: ours.extensions.basicConstraints,
      usage: ours.extensions.keyUsage,
      purposes: ours.extensions.extendedKeyUsage,
      dns: ours.extensions.names.dns,
      email: ours.extensions.names.email,
    },
    {
      serial: theirs.serialNumber.replace(/^00/, ""),
      notBefore: theirs.notBefore.getTime(),
      notAfter: theirs.notAfter.getTime(),
      subject: hex(theirs.subjectName.toArrayBuffer()),
      issuer: hex(theirs.issuerName.toArrayBuffer()),
      key: hex(theirs.publicKey.rawData),
      basic: basic && { ca: basic.ca, pathLength: basic.pathLength },
      usage: usage?.usages,
      purposes: purposes && [...(purposes.usages as readonly string[])],
      dns: names?.names?.items.filter(({ type }) => type === "dns").map(({ value }) => value) ?? [],
      email: names?.names?.items.filter(({ type }) => type === "email").map(({ value }) => value) ?? [],
    },
  );
}
