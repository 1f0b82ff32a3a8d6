/**
 * How the two hosts of the demo prove themselves: a pre-shared key, certificates of a CA that lives as long, or a Kerberos realm of their own, whose KDC runs on each of them, so that
 * nothing but the negotiation is on the wire. Made new for each run, and gone with it.
 */
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { err, ok, type Result } from "../isakmp/result.ts";
import { makeCertificates } from "./certificates.ts";
import type { Cleanup } from "./cleanup.ts";
import type { Page } from "./page.ts";
import { freePort, startRealm } from "./realm.ts";
import { makeFolder } from "./scene.ts";

export type DemoAuth = "psk" | "x509" | "kerberos";
export const AUTHS: readonly DemoAuth[] = ["psk", "x509", "kerberos"];

export interface Credentials {
  /** Holds whatever they need. A path in `auth` without a folder starts here, where the configurations are. */
  readonly folder: string;
  /** The entry of `auth` in each host's rule. */
  readonly auth: Readonly<Record<"a" | "b", string>>;
  readonly stop: () => Promise<void>;
}

const KDC = ["/usr/sbin/krb5kdc", "/usr/sbin/kadmin.local", "/usr/sbin/kdb5_util"];

/** Whether this machine has what a method needs; an error says what to install. */
export function canProve(auth: DemoAuth): Result<null, string> {
  if (auth !== "kerberos" || KDC.every((file) => existsSync(file))) return ok(null);
  return err(
    "the demo of Kerberos makes a realm of its own; install krb5-kdc and krb5-admin-server (Debian), whose services it does not use",
  );
}

/** `spaces`: the namespaces of the hosts, or none where both are on this machine's loopback. */
export async function makeCredentials(
  page: Page,
  cleanup: Cleanup,
  auth: DemoAuth,
  spaces?: Readonly<Record<"a" | "b", string>>,
): Promise<Credentials> {
  const folder = makeFolder(cleanup);
  if (auth === "kerberos") return makeRealm(page, cleanup, folder, spaces);
  if (auth === "x509") return makeAuthority(page, folder);
  writeFileSync(join(folder, "demo.psk"), `${randomBytes(32).toString("base64")}\n`, { mode: 0o600 });
  const entry = '{ method = "psk", secret-file = "demo.psk" }';
  return { folder, auth: { a: entry, b: entry }, stop: async () => {} };
}

async function makeAuthority(page: Page, folder: string): Promise<Credentials> {
  await makeCertificates(folder, ["a", "b"]);
  page.text("A CA of their own, whose key is gone again, and a certificate for each host.");
  const entry = (own: string, peer: string): string =>
    `{ method = "x509", certificate = "${own}.pem", key = "${own}.key",\n            ca = ["ca.pem"], remote-id = "dn:O=mainmode demo, CN=${peer}" }`;
  return { folder, auth: { a: entry("a", "b"), b: entry("b", "a") }, stop: async () => {} };
}

async function makeRealm(
  page: Page,
  cleanup: Cleanup,
  folder: string,
  spaces: Readonly<Record<"a" | "b", string>> | undefined,
): Promise<Credentials> {
  const port = spaces ? 88 : await freePort();
  const inside = (name: "a" | "b"): readonly string[] => (spaces ? ["ip", "netns", "exec", spaces[name]] : []);
  const home = join(folder, "realm");
  mkdirSync(home);
  const realm = await startRealm({
    folder: home,
    port,
    prefix: inside("a"),
    onProcess: (child) => cleanup.later(() => child.kill("SIGKILL")),
  });
  if (spaces) await realm.also(inside("b"));
  for (const name of ["a", "b"] as const) realm.keytab(join("..", `${name}.keytab`), `host/${name}.example.test`);
  process.env["KRB5_CONFIG"] = realm.config;
  process.env["KRB5RCACHEDIR"] = home;
  page.text(
    `A realm of their own, ${realm.name}: a KDC ${spaces ? "on each host's loopback" : `on loopback, port ${port}`}, a keytab for each host.`,
  );
  const entry = (own: string, peer: string): string =>
    `{ method = "kerberos", keytab = "${own}.keytab",\n            peer-principal = "host/${peer}.example.test" }`;
  return { folder, auth: { a: entry("a", "b"), b: entry("b", "a") }, stop: () => realm.stop() };
}
