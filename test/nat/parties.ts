/** mainmode and strongSwan on the hosts of the network, one daemon to a host. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { ask, type Status } from "../../cli/client.ts";
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
