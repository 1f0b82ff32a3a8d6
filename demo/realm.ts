/**
 * A throwaway Kerberos realm: an MIT KDC with a folder of its own, and keytabs, for the demo and the tests. Nothing outside the folder changes.
 * The keys in it are random, and the one password protects nothing.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Realm {
  readonly name: string;
  readonly folder: string;
  /** What `KRB5_CONFIG` must be. */
  readonly config: string;
  /** The KDC that runs now. */
  readonly process: ChildProcess;
  /** Another KDC of the same realm, where the last one has ended. */
  revive(): Promise<void>;
  /** One more KDC over the same keys, behind another command: `ip netns exec …`. Ended by `stop`. */
  also(prefix: readonly string[]): Promise<void>;
  /** A keytab that holds the keys of these principals, which are made if they are not there. */
  keytab(file: string, ...principals: readonly string[]): string;
  /** A command of kadmin.local. */
  admin(query: string): string;
  log(): string;
  stop(): Promise<void>;
}

export interface RealmOptions {
  readonly name?: string;
  /** Where the KDC listens; 127.0.0.1 if not given. */
  readonly address?: string;
  /** A free one if not given. */
  readonly port?: number;
  /**
   * Octets of authorisation data in every ticket, about: what a Windows domain controller's list of groups makes of them. They come by way of
   * authentication indicators, which want a first step that the KDC only takes for principals made with `+requires_preauth`.
   */
  readonly authorisation?: number;
  /** Other realms, by their krb5.conf's [realms] lines. */
  readonly others?: Readonly<Record<string, string>>;
  /** An empty one, for its files; one of its own if not given. */
  readonly folder?: string;
  /** Sees every KDC that is started. */
  readonly onProcess?: (child: ChildProcess) => void;
  /** In front of every command: `ip netns exec …`. */
  readonly prefix?: readonly string[];
}

/** Starts a realm; resolves when its KDC listens. */
export async function startRealm(options: RealmOptions = {}): Promise<Realm> {
  const { name = "EXAMPLE.TEST", address = "127.0.0.1", prefix = [], authorisation = 0 } = options;
  const port = options.port ?? (await freePort());
  const folder = options.folder ?? mkdtempSync(join(tmpdir(), "mainmode-kdc-"));
  const config = join(folder, "krb5.conf");
  const log = join(folder, "kdc.log");
  writeFileSync(config, clientConfiguration(name, `${address}:${port}`, options.others ?? {}, authorisation > 0));
  writeFileSync(join(folder, "kdc.conf"), serverConfiguration(name, folder, `${address}:${port}`, authorisation));
  const env = { ...process.env, KRB5_CONFIG: config, KRB5_KDC_PROFILE: join(folder, "kdc.conf") };
  const run = (program: string, ...args: readonly string[]): string =>
    execFileSync(program, args, { env, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  run("/usr/sbin/kdb5_util", "create", "-r", name, "-s", "-P", "throwaway test password");
  const readLog = (): string => readFileSync(log, { encoding: "utf8", flag: "a+" });
  const starts = (): number => readLog().split("commencing operation").length;
  const start = async (behind: readonly string[]): Promise<ChildProcess> => {
    const [program = "", ...argv] = [...behind, "/usr/sbin/krb5kdc", "-n"];
    const before = starts();
    const child = spawn(program, argv, { env, stdio: "ignore" });
    options.onProcess?.(child);
    await until(() => starts() > before, "the KDC did not start");
    return child;
  };
  let kdc = await start(prefix);
  const more: ChildProcess[] = [];
  const admin = (query: string): string => run("/usr/sbin/kadmin.local", "-r", name, "-q", query);
  return {
    name,
    folder,
    config,
    get process() {
      return kdc;
    },
    revive: async () => {
      await stop(kdc);
      kdc = await start(prefix);
    },
    also: async (behind) => {
      more.push(await start(behind));
    },
    admin,
    log: readLog,
    keytab: (file, ...principals) => {
      const path = join(folder, file);
      const known = admin("listprincs");
      for (const principal of principals) {
        if (!known.includes(`${principal}@${name}`))
          admin(`addprinc -randkey${authorisation > 0 ? " +requires_preauth" : ""} ${principal}`);
        admin(`ktadd -k ${path} ${principal}`);
      }
      return path;
    },
    stop: async () => {
      await Promise.all([kdc, ...more].map(stop));
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Ends a process, however deeply it sleeps. */
export async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await gone;
}

/** Waits half a minute at most. */
export async function until(condition: () => boolean, otherwise: string | (() => string)): Promise<void> {
  for (let tries = 0; !condition(); tries++) {
    if (tries > 3000) throw new Error(typeof otherwise === "string" ? otherwise : otherwise());
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** A TCP port of loopback that nobody listens on now. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const at = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (at === null || typeof at === "string") throw new Error("no port");
  return at.port;
}

/** krb5.conf without any use of the name service. */
function clientConfiguration(name: string, kdc: string, others: Readonly<Record<string, string>>, spake: boolean): string {
  const realms = Object.entries({ [name]: `kdc = ${kdc}`, ...others });
  return `[libdefaults]
  default_realm = ${name}
  dns_lookup_kdc = false
  dns_lookup_realm = false
  dns_canonicalize_hostname = false
  rdns = false
${spake ? "  spake_preauth_groups = edwards25519\n" : ""}[realms]
${realms.map(([realm, line]) => `  ${realm} = {\n    ${line}\n  }`).join("\n")}
[domain_realm]
  .example.test = ${name}
`;
}

const INDICATOR = 500;

const serverConfiguration = (name: string, folder: string, listen: string, authorisation: number): string => `[kdcdefaults]
  kdc_listen = ${listen}
  kdc_tcp_listen = ${listen}
[realms]
  ${name} = {
    database_name = ${folder}/principal
    key_stash_file = ${folder}/stash
    acl_file = ${folder}/kadm5.acl
${Array.from({ length: Math.ceil(authorisation / INDICATOR) }, (_, i) => `    spake_preauth_indicator = group${i}-${"x".repeat(INDICATOR)}\n`).join("")}  }
[logging]
  kdc = FILE:${folder}/kdc.log
`;
