/** mainmode, strongSwan and libreswan on the hosts of the network, one daemon to a host. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { resolve } from "node:path";
import { ask, type Status } from "../../cli/client.ts";
import { BOOT, LIBRESWAN_ROOT } from "../interop/libreswan.ts";
import { eventually, type Shell, start, stop } from "../interop/shell.ts";
import { ledgerWords } from "../ledger-words.ts";
import { type HostName, on } from "./network.ts";

export interface Place {
  readonly run: Shell;
  readonly host: HostName;
  /** For logs and configurations. */
  readonly directory: string;
}

export interface Party {
  /** Negotiates a rule of ours or a child of strongSwan's; what went wrong, or nothing. */
  initiate(name: string): Promise<string | undefined>;
  log(): string;
  stop(): Promise<void>;
}

export interface Mainmode extends Party {
  status(): Promise<Status>;
}

const SECRET = "correct horse battery staple";

/** A rule of ours; `keys`: what is its own, as TOML. */
export const rule = (name: string, keys: Readonly<Record<string, string>>): string =>
  Object.entries({
    name: JSON.stringify(name),
    auth: `[{ method = "psk", secret = "${SECRET}" }]`,
    "main-mode": '{ proposals = ["aes128-sha256-modp2048"] }',
    "quick-mode": '{ proposals = ["esp:aes128-sha256"], pfs = "none" }',
    ...keys,
  }).reduce((text, [key, value]) => `${text}${key} = ${value}\n`, "[[rule]]\n");

/** Starts mainmode with these rules; resolves when its policies stand. */
export async function mainmode({ host, directory }: Place, rules: readonly string[]): Promise<Mainmode> {
  const runtime = `${tmpdir()}/mainmode-${host}`;
  mkdirSync(runtime, { recursive: true, mode: 0o700 });
  const [path, file, log] = [`${runtime}/control.sock`, `${directory}/mainmode-${host}.toml`, `${directory}/mainmode-${host}.jsonl`];
  writeFileSync(file, [`[daemon]\ncontrol = "${path}"\nkeep-across-restart = false\n`, ...rules].join("\n"), { mode: 0o600 });
  writeFileSync(log, "");
  const daemon = start(
    on(host, [process.execPath, ...ledgerWords(), "dist/cli/main.js", "daemon", "-c", file, "--log-format", "json"]),
    log,
  );
  const said = (): string => readFileSync(log, "utf8");
  if (!(await eventually(60, () => said().includes("mainmode serves IKE")))) throw new Error(`mainmode does not start:\n${said()}`);
  return {
    async initiate(name) {
      const lines: string[] = [];
      const request = { command: "initiate", rule: name, wait: 15 } as const;
      const { exit } = await ask({ path, request, onLine: (line) => lines.push(line) });
      return exit === 0 ? undefined : `${exit}: ${lines.join("\n")}`;
    },
    async status() {
      const found: Status[] = [];
      await ask({ path, request: { command: "status" }, onStatus: (status) => found.push(status) });
      const [status] = found;
      if (!status) throw new Error("no status");
      return status;
    },
    log: said,
    async stop() {
      const exit = await stop(daemon);
      if (exit !== 0) throw new Error(`mainmode on ${host} ended with ${exit}`);
    },
  };
}

/** What strongSwan protects, and how. */
export interface SwanChild {
  readonly name: string;
  readonly mode: "transport" | "tunnel";
  readonly local: string;
  readonly remote: string;
  readonly protocol?: "ah";
}

/** One connection of strongSwan's; `remote`: the peer's address, or `%any`. */
export interface Connection {
  readonly remote: string;
  readonly local?: string;
  readonly force?: boolean;
  readonly children: readonly SwanChild[];
}

/** Transport mode between the ends of IKE's own path. */
export const ends = (name = "transport"): SwanChild => ({ name, mode: "transport", local: "dynamic", remote: "dynamic" });

/** Starts strongSwan. */
export async function strongswan({ run, host, directory }: Place, connections: readonly Connection[]): Promise<Party> {
  const own = `${tmpdir()}/charon-${host}`;
  mkdirSync(own, { recursive: true });
  const [file, log] = [`${directory}/swanctl-${host}.conf`, `${directory}/charon-${host}.log`];
  writeFileSync(`${own}/strongswan.conf`, settings(log));
  writeFileSync(file, configuration(connections));
  // charon wants a /run of its own for its pid file: in its mount namespace this folder is /run.
  const script = `mount --bind ${own} /run && STRONGSWAN_CONF=/run/strongswan.conf exec charon-systemd`;
  const daemon = start(on(host, ["unshare", "-m", "sh", "-c", script]), `${directory}/charon-${host}.out`);
  const swanctl = (argv: readonly string[], seconds = 20) =>
    run(["swanctl", ...argv, "--uri", `unix://${own}/vici`], {
      env: { STRONGSWAN_CONF: `${own}/strongswan.conf` },
      mayFail: true,
      seconds,
    });
  if (!(await eventually(20, async () => (await swanctl(["--stats"], 5)).status === 0)))
    throw new Error(`charon does not start on ${host}`);
  const loaded = await swanctl(["--load-all", "--noprompt", "--file", file], 30);
  if (loaded.status !== 0) throw new Error(`charon refuses its configuration: ${loaded.stdout}${loaded.stderr}`);
  return {
    async initiate(child) {
      const { status, stdout, stderr } = await swanctl(["--initiate", "--child", child, "--timeout", "12"], 25);
      return status === 0 ? undefined : `${stdout}${stderr}`.trim().split("\n").slice(-2).join(" | ");
    },
    log: () => readFileSync(log, "utf8"),
    stop: async () => {
      await stop(daemon);
    },
  };
}

const settings = (log: string): string => `
charon-systemd {
  load = random nonce openssl pem pkcs1 pkcs8 x509 constraints pubkey hmac kdf vici kernel-netlink socket-default
  install_routes = no
  retransmit_timeout = 1
  retransmit_base = 1.5
  retransmit_tries = 3
  filelog { log { path = ${log}
    default = 1
    cfg = 2
    time_format = %T
    flush_line = yes } }
  plugins { vici { socket = unix:///run/vici } }
}
swanctl { load = random openssl pem pkcs1 pkcs8 x509 }
`;

const configuration = (connections: readonly Connection[]): string => `
connections {${connections
  .map(
    ({ remote, local = "%any", force, children }, i) => `
  peer-${i} {
    version = 1
    local_addrs = ${local}
    remote_addrs = ${remote}
    proposals = aes128-sha256-modp2048
    encap = ${force ? "yes" : "no"}
    local { auth = psk }
    remote { auth = psk
      id = %any }
    children {${children.map(child).join("")}
    }
  }`,
  )
  .join("")}
}
secrets { ike-all { secret = "${SECRET}" } }
`;

const child = ({ name, mode, local, remote, protocol }: SwanChild): string => `
      ${name} { mode = ${mode}
        ${protocol === "ah" ? "ah_proposals = sha256" : "esp_proposals = aes128-sha256"}
        local_ts = ${local}
        remote_ts = ${remote} }`;

/** One connection of libreswan's: what its ends are and what else it says, as in ipsec.conf. */
export interface PlutoConnection {
  readonly name: string;
  readonly keys: Readonly<Record<string, string>>;
}

/** Starts libreswan, with a configuration for the two ends. */
export async function libreswan(
  { run, host, directory }: Place,
  [left, right]: readonly [string, string],
  list: readonly PlutoConnection[],
): Promise<Party> {
  const [root, own, log] = [resolve(LIBRESWAN_ROOT), `${tmpdir()}/pluto-${host}`, `${directory}/pluto-${host}.log`];
  mkdirSync(`${own}/pki`, { recursive: true });
  const text = list.map(({ name, keys }) => {
    const all = Object.entries({ ...PLUTO, left, right, ...keys }).map(([key, value]) => `\t${key}=${value}\n`);
    return `conn ${name}\n${all.join("")}`;
  });
  writeFileSync(`${own}/ipsec.conf`, `config setup\n\tikev1-policy=accept\n\tuniqueids=no\n${text.join("")}`);
  writeFileSync(`${own}/ipsec.secrets`, `${left} ${right} : PSK "${SECRET}"\n`, { mode: 0o600 });
  writeFileSync(log, "");
  const daemon = start(on(host, ["unshare", "-m", "bash", "-ec", BOOT, "pluto", root, own]), log);
  const whack = (argv: readonly string[], seconds: number) =>
    run(["nsenter", "-t", `${daemon.pid}`, "-m", "-n", "chroot", root, "/usr/libexec/ipsec/whack", ...argv], { mayFail: true, seconds });
  const loaded = async () => (await whack(["--status"], 10)).stdout.includes(`Total IPsec connections: loaded ${list.length},`);
  if (!(await eventually(60, loaded))) throw new Error(`pluto does not load ${list.length} connections:\n${readFileSync(log, "utf8")}`);
  return {
    async initiate(name) {
      const { stdout, stderr } = await whack(["--initiate", "--name", name], 15);
      return stdout.includes("IPsec SA established") ? undefined : `${stdout}${stderr}`;
    },
    log: () => readFileSync(log, "utf8"),
    stop: async () => {
      await stop(daemon);
    },
  };
}

const PLUTO = {
  ikev2: "no",
  "retransmit-timeout": "8s",
  keyingtries: "1",
  dpddelay: "0",
  ike: "aes128-sha256;modp2048",
  phase2: "esp",
  phase2alg: "aes128-sha256",
  pfs: "no",
  authby: "secret",
  auto: "add",
};
