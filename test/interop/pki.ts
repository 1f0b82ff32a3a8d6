/**
 * The certificates of a guest's scenarios: throwaway keys, made anew for every run. Each host has a certificate of its own in every scenario; keys
 * are shared, since making them is what takes time.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { type Authority, type CertificateOptions, DAY, EXT, type Issued, issue, issueCrl, type KeyPair, newKey, pem } from "../auth/pki.ts";
import type { Side } from "./network.ts";
import type { Certificates, Placed } from "./scenario.ts";

/** A certificate's name as text. */
export const subjectOf = (name: string): string => `C=DE, O=Throwaway interop test, CN=${name}`;

/** Where things lie, below a guest's directory. */
export const PKI = {
  /** What both sides trust. */
  roots: ["root-rsa.pem", "root-ec.pem"],
  root: ({ key }: Certificates): string => (key.startsWith("rsa") ? "root-rsa.pem" : "root-ec.pem"),
  /** The certificate, and the intermediate behind it. */
  chain: (name: string, side: Side): string => `${name}-${side}.pem`,
  leaf: (name: string, side: Side): string => `${name}-${side}-leaf.pem`,
  key: (name: string, side: Side): string => `${name}-${side}.key`,
  intermediate: (name: string, side: Side): string => `${name}-${side}-ca.pem`,
  lists: (name: string): string => `${name}.crl`,
  /** For libreswan; the password is `throwaway`. */
  store: (name: string, side: Side): string => `${name}-${side}.p12`,
} as const;

/** Makes what the scenarios need in `directory`. */
export function makePki(directory: string, placed: readonly Placed[]): void {
  mkdirSync(directory, { recursive: true });
  const put = (name: string, text: string): void => writeFileSync(`${directory}/${name}`, text, { mode: 0o600 });
  const keys = new Map<string, KeyPair>();
  const keyOf = (side: string, kind: Certificates["key"]): KeyPair => {
    const name = `${side} ${kind}`;
    const key = keys.get(name) ?? newKey(kind);
    keys.set(name, key);
    return key;
  };
  const [rsa, ec] = [authority("RSA root", newKey("rsa2048")), authority("EC root", newKey("p384"))];
  put("root-rsa.pem", rsa.pem);
  put("root-ec.pem", ec.pem);
  const stranger = authority("stranger", newKey("rsa2048"));
  for (const scenario of placed) {
    const { name, certificates, differs, peer } = scenario;
    if (!certificates) continue;
    const root = certificates.key.startsWith("rsa") ? rsa : ec;
    const serials: Record<Side, number> = { us: nextSerial(), theirs: nextSerial() };
    const issuers: Authority[] = [root];
    for (const side of ["us", "theirs"] as const) {
      const above = side === "theirs" && differs === "authority" ? stranger : root;
      const middle = certificates.issuer === "root" ? undefined : authority(`${name}-${side} CA`, keyOf("ca", certificates.key), above);
      if (middle) issuers.push(middle);
      const late = side === "theirs" && differs === "expired" ? { from: Date.now() - 9 * DAY, to: Date.now() - DAY } : VALID();
      const leaf = issue({
        ...late,
        subject: subjectOf(`${name}-${side}`),
        key: keyOf(side, certificates.key),
        issuer: middle ?? above,
        serial: serials[side],
        extensions: [EXT.noCa(), EXT.usage(0)],
      });
      put(PKI.chain(name, side), leaf.pem + (middle?.pem ?? ""));
      put(PKI.leaf(name, side), leaf.pem);
      if (middle) put(PKI.intermediate(name, side), middle.pem);
      put(PKI.key(name, side), leaf.key.privateKey.export({ type: "pkcs8", format: "pem" }) as string);
      if (peer === "libreswan") makeStore(directory, name, side);
    }
    const revoked = differs === "revoked" ? [serials.theirs] : [];
    const thisUpdate = Date.now() - 2 * DAY;
    const nextUpdate = Date.now() + (differs === "old-list" ? -DAY : DAY);
    put(PKI.lists(name), issuers.map((issuer) => pem("X509 CRL", issueCrl({ issuer, revoked, thisUpdate, nextUpdate }))).join(""));
  }
}

const VALID = (): Pick<CertificateOptions, "from" | "to"> => ({ from: Date.now() - DAY, to: Date.now() + 7 * DAY });

let serials = 5000;
const nextSerial = (): number => serials++;

const authority = (name: string, key: KeyPair, issuer?: Authority): Issued =>
  issue({
    ...VALID(),
    subject: subjectOf(name),
    key,
    ...(issuer ? { issuer } : {}),
    extensions: [EXT.ca(), EXT.usage(5, 6)],
  });

/** In yesterday's encryption, which every NSS reads. */
function makeStore(directory: string, name: string, side: Side): void {
  const old = ["-keypbe", "PBE-SHA1-3DES", "-certpbe", "PBE-SHA1-3DES", "-macalg", "sha1"];
  const files = ["-inkey", PKI.key(name, side), "-in", PKI.chain(name, side), "-out", PKI.store(name, side)];
  const argv = ["pkcs12", "-export", "-name", name, "-passout", "pass:throwaway", ...files, ...old];
  const { status, stderr } = spawnSync("openssl", argv, { cwd: directory, encoding: "utf8" });
  if (status !== 0) throw new Error(`openssl pkcs12: ${stderr}`);
}
