/**
 * strongSwan, as Debian ships it: one charon, driven by swanctl. Its log holds the keys of phase 1 (level 4), with which
 * an independent reader can decrypt the capture.
 */
import type { ChildProcess } from "node:child_process";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { PORT } from "./knock.ts";
import { on } from "./network.ts";
import { type Attempt, childName, configured, dpdOf, endsOf, type Lives, type Party, type PartyOptions } from "./party.ts";
import { PKI, subjectOf } from "./pki.ts";
import type { Placed } from "./scenario.ts";
import { eventually, start, stop } from "./shell.ts";

/** The file in a party's directory in which charon prints the keys of phase 1. */
export const KEY_LOG = "charon.log";

export function strongswan({ side, placed, run, directory, pki, lives }: PartyOptions): Party {
  // charon wants a /run of its own for its pid file: in its mount namespace this folder is /run.
  const own = `${tmpdir()}/${side}`;
  let daemon: ChildProcess | undefined;
  const swanctl = (argv: readonly string[], seconds: number) =>
    run(["swanctl", ...argv, "--uri", `unix://${own}/vici`], {
      env: { STRONGSWAN_CONF: `${own}/strongswan.conf` },
      mayFail: true,
      seconds,
    });
  const attempt = async (scenario: Placed): Promise<Attempt> => {
    let [text, status]: [string, number | null] = ["", 0];
    for (let flow = 0; flow < scenario.flows && status === 0; flow++) {
      const ran = await swanctl(["--initiate", "--child", childName(scenario, flow), "--timeout", `${PATIENCE}`], PATIENCE + 10);
      [text, status] = [`${text}${ran.stdout}${ran.stderr}`, ran.status];
    }
    return { ok: status === 0, status, text };
  };
  return {
    kind: "strongswan",
    start: async () => {
      mkdirSync(own, { recursive: true });
      writeFileSync(`${own}/strongswan.conf`, settings(`${directory}/${KEY_LOG}`, lives ? 1 : 4));
      writeFileSync(`${directory}/swanctl.conf`, connections(side, placed, pki, lives));
      layOut(directory, side, placed, pki);
      const script = `mount --bind ${own} /run && STRONGSWAN_CONF=/run/strongswan.conf exec charon-systemd`;
      daemon = start(on(side, ["unshare", "-m", "sh", "-c", script]), `${directory}/charon.out`);
      if (!(await eventually(20, async () => (await swanctl(["--stats"], 5)).status === 0))) throw new Error("charon does not start");
      const loaded = await swanctl(["--load-all", "--noprompt", "--file", `${directory}/swanctl.conf`], 30);
      if (loaded.status !== 0) throw new Error(`charon refuses its configuration: ${loaded.stdout}${loaded.stderr}`);
    },
    initiate: attempt,
    terminate: async (scenario) => {
      await swanctl(["--terminate", "--ike", scenario.name, "--timeout", "10"], 20);
    },
    lists: async (scenario) => (await swanctl(["--list-sas", "--ike", scenario.name], 10)).stdout.includes(scenario.name),
    pid: () => daemon?.pid,
    stop: async () => {
      if (daemon) await stop(daemon);
    },
  };
}

/** Seconds until a negotiation has failed. */
const PATIENCE = 12;

const settings = (log: string, level: number): string => `
charon-systemd {
  load = random nonce openssl curve25519 pem pkcs1 pkcs8 x509 constraints pubkey hmac kdf vici kernel-netlink socket-default
  install_routes = no
  retransmit_timeout = 1
  retransmit_base = 1.5
  retransmit_tries = 3
  filelog { log { path = ${log}
    default = 1
    ike = ${level}
    mgr = ${Math.min(level, 2)}
    time_format = %T
    flush_line = yes } }
  plugins { vici { socket = unix:///run/vici } }
}
swanctl { load = random openssl pem pkcs1 pkcs8 x509 }
`;

/** The folders beside its configuration: keys, CAs, and the intermediate of its own certificates. Ours it has to get from us. */
function layOut(folder: string, side: PartyOptions["side"], placed: readonly Placed[], pki: string): void {
  for (const name of ["private", "x509ca", "x509"]) mkdirSync(`${folder}/${name}`, { recursive: true });
  for (const root of PKI.roots) copyFileSync(`${pki}/${root}`, `${folder}/x509ca/${root}`);
  for (const scenario of placed) {
    const { certificates } = configured(side, scenario);
    if (!certificates) continue;
    const key = PKI.key(scenario.name, side);
    copyFileSync(`${pki}/${key}`, `${folder}/private/${key}`);
    const intermediate = PKI.intermediate(scenario.name, side);
    if (certificates.issuer === "intermediate") copyFileSync(`${pki}/${intermediate}`, `${folder}/x509ca/${intermediate}`);
  }
}

/** How it proves itself and what it wants of the other side. */
function proofs(side: PartyOptions["side"], scenario: Placed, pki: string): string {
  const { certificates, otherSubject } = configured(side, scenario);
  if (!certificates) return "local { auth = psk }\n    remote { auth = psk }";
  const { name } = scenario;
  const known = certificates.asked ? "" : `certs = ${pki}/${PKI.leaf(name, side === "us" ? "theirs" : "us")}`;
  return `send_certreq = ${certificates.asked ? "yes" : "no"}
    send_cert = ${certificates.asked ? "ifasked" : "never"}
    local {
      auth = pubkey
      certs = ${pki}/${PKI.leaf(name, side)}${certificates.spelled ? `\n      id = "${subjectOf(`${name}-${side}`)}"` : ""}
    }
    remote {
      auth = pubkey
      id = "${otherSubject}"
      ${known}
    }`;
}

/** What goes into `swanctl.conf`. */
export function connections(side: PartyOptions["side"], placed: readonly Placed[], pki: string, lives: Lives | undefined): string {
  const sections = placed.map((scenario) => {
    const { own, other } = endsOf(side, scenario);
    const { ike, onTraffic, flows } = configured(side, scenario);
    const children = flows.map(
      (flow, index) => `
    ${childName(scenario, index)} {
      mode = ${scenario.mode}${scenario.shortSha256 ? "\n      sha256_96 = yes" : ""}
      ${protection(side, scenario)}
      local_ts = ${selector(scenario, flow.own, side === "theirs")}
      remote_ts = ${selector(scenario, flow.other, side === "us")}
      start_action = ${onTraffic ? "trap" : "none"}${lives ? childLives(lives) : ""}
    }`,
    );
    return `
  ${scenario.name} {
    version = 1
    fragmentation = ${fragmentation(scenario)}${lives ? ikeLives(lives) : ""}
    local_addrs = ${own.host}
    remote_addrs = ${other.host}
    proposals = ${ike}
    ${proofs(side, scenario, pki)}
    children {${children.join("")}
    }
  }`;
  });
  const secrets = placed.map((scenario) => {
    const { own, other } = endsOf(side, scenario);
    return `
  ike-${scenario.name} {
    id-own = ${own.host}
    id-other = ${other.host}
    secret = "${configured(side, scenario).secret}"
  }`;
  });
  return `connections {${sections.join("")}\n}\nsecrets {${secrets.join("")}\n}\n`;
}

/** Where it is not the matter, messages stay whole, so that an independent reader can follow them: strongSwan cuts up what has a certificate. */
const fragmentation = (scenario: Placed): string => ({ force: "force", auto: "yes", none: "no" })[scenario.fragmentation ?? "none"];

/** Renewal somewhat before the end, at random moments, as charon does it at its own defaults. */
const childLives = ({ quickModeSeconds: s, octets }: Lives): string => `
      life_time = ${s}s
      rekey_time = ${Math.round(s * 0.85)}s
      rand_time = ${Math.round(s * 0.1)}s
      life_bytes = ${octets}
      rekey_bytes = ${Math.round(octets * 0.85)}
      rand_bytes = ${Math.round(octets * 0.1)}`;

const ikeLives = (lives: Lives): string => `
    reauth_time = ${Math.round(lives.mainModeSeconds * 0.9)}s
    rekey_time = 0s
    rand_time = ${Math.round(lives.mainModeSeconds * 0.1)}s
    over_time = ${Math.round(lives.mainModeSeconds * 0.2)}s
    dpd_delay = ${dpdOf(lives)}s`;

function protection(side: PartyOptions["side"], scenario: Placed): string {
  const [protocol, algorithms] = configured(side, scenario).protect.split(":");
  return `${protocol}_proposals = ${algorithms}${scenario.pfs ? `-${scenario.pfs}` : ""}`;
}

/** `theirs`: the end that serves, where one port is protected. */
function selector({ only, family }: Placed, net: string, theirs: boolean): string {
  if (only === null) return net;
  return `${net}[${only === "tcp" ? `tcp${theirs ? `/${PORT}` : ""}` : family === 4 ? "icmp" : "ipv6-icmp"}]`;
}
