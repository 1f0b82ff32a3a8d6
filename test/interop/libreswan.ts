/**
 * libreswan, from a Debian root of its own, since its packages conflict with strongSwan's: one pluto, driven by whack.
 * The guest sees the root read-only; what pluto writes to is laid over it in a mount namespace.
 */
import type { ChildProcess } from "node:child_process";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { resolve } from "node:path";
import { PORT } from "./knock.ts";
import { on } from "./network.ts";
import { type Attempt, childName, configured, dpdOf, endsOf, type Lives, type Party, type PartyOptions } from "./party.ts";
import { PKI, subjectOf } from "./pki.ts";
import type { Placed } from "./scenario.ts";
import { eventually, start, stop } from "./shell.ts";

/** Where `setup.js interop` makes the root, below the checkout. */
export const LIBRESWAN_ROOT = ".lab/libreswan-root";

export function libreswan({ side, placed, run, directory, pki, lives }: PartyOptions): Party {
  const root = resolve(LIBRESWAN_ROOT);
  const own = `${tmpdir()}/${side}`;
  let daemon: ChildProcess | undefined;
  const whack = (argv: readonly string[], seconds: number) =>
    run(["nsenter", "-t", `${daemon?.pid}`, "-m", "-n", "chroot", root, "/usr/libexec/ipsec/whack", ...argv], { mayFail: true, seconds });
  /** The numbers of its states, `000 #19: "name-0":500 STATE_MAIN_I4 …`. */
  const listed = async (scenario: Placed): Promise<readonly string[]> => {
    const { stdout } = await whack(["--showstates"], 10);
    const lines = stdout.split("\n").filter((line) => line.includes(`"${scenario.name}-`));
    return lines.map((line) => /#(\d+):/.exec(line)?.[1] ?? "");
  };
  const attempt = async (scenario: Placed): Promise<Attempt> => {
    let [text, status]: [string, number | null] = ["", 0];
    for (let flow = 0; flow < scenario.flows; flow++) {
      const ran = await whack(["--initiate", "--name", childName(scenario, flow)], PATIENCE);
      [text, status] = [`${text}${ran.stdout}${ran.stderr}`, ran.status];
    }
    return { ok: text.split("IPsec SA established").length - 1 === scenario.flows, status, text };
  };
  return {
    kind: "libreswan",
    start: async () => {
      mkdirSync(own, { recursive: true });
      writeFileSync(`${own}/ipsec.conf`, connections(side, placed, lives));
      writeFileSync(`${own}/ipsec.secrets`, secrets(side, placed), { mode: 0o600 });
      layOut(`${own}/pki`, side, placed, pki);
      daemon = start(on(side, ["unshare", "-m", "bash", "-ec", BOOT, "pluto", root, own]), `${directory}/pluto.log`);
      const loaded = async () => (await whack(["--status"], 10)).stdout.includes(`Total IPsec connections: loaded ${children(placed)},`);
      if (!(await eventually(60, loaded))) throw new Error(`pluto does not load ${children(placed)} connections, see its log`);
    },
    initiate: attempt,
    terminate: async (scenario) => {
      for (let flow = 0; flow < scenario.flows; flow++) await whack(["--terminate", "--name", childName(scenario, flow)], 20);
      // It keeps an IKE SA that several connections shared.
      for (const state of await listed(scenario)) await whack(["--deletestate", state], 20);
    },
    lists: async (scenario) => (await listed(scenario)).length > 0,
    pid: () => daemon?.pid,
    stop: async () => {
      if (daemon) await stop(daemon);
    },
  };
}

/** Seconds until a negotiation has failed; pluto itself gives up after `retransmit-timeout`. */
const PATIENCE = 15;

const children = (placed: readonly Placed[]): number => placed.reduce((sum, { flows }) => sum + flows, 0);

/** $1: the root, $2: the folder with the configuration. */
export const BOOT = `
mount --bind "$1" "$1"
for name in proc dev sys; do mount --rbind /$name "$1/$name"; done
for name in tmp var/lib/ipsec; do mount -t tmpfs tmpfs "$1/$name"; done
mount --bind "$2" "$1/run"
mkdir -p "$1/run/pluto" "$1/var/lib/ipsec/nss"
chroot "$1" ipsec initnss
cd "$2/pki"
for file in *.pem; do [ ! -e "$file" ] || chroot "$1" certutil -A -d sql:/var/lib/ipsec/nss -n "$file" -t CT,, -i "/run/pki/$file"; done
for file in *.crt; do [ ! -e "$file" ] || chroot "$1" certutil -A -d sql:/var/lib/ipsec/nss -n "$(basename "$file" .crt)" -t ,, -i "/run/pki/$file"; done
for file in *.p12; do [ ! -e "$file" ] || chroot "$1" pk12util -d sql:/var/lib/ipsec/nss -W throwaway -i "/run/pki/$file"; done
exec chroot "$1" /usr/libexec/ipsec/pluto --config /run/ipsec.conf --secretsfile /run/ipsec.secrets --nofork --stderrlog
`;

/** What its database gets: the roots, and a store for each certificate. The pattern of the script has to find something. */
function layOut(folder: string, side: PartyOptions["side"], placed: readonly Placed[], pki: string): void {
  mkdirSync(folder, { recursive: true });
  for (const root of PKI.roots) copyFileSync(`${pki}/${root}`, `${folder}/${root}`);
  for (const scenario of placed) {
    const store = PKI.store(scenario.name, side);
    const { certificates } = configured(side, scenario);
    if (!certificates) continue;
    copyFileSync(`${pki}/${store}`, `${folder}/${store}`);
    const other = PKI.leaf(scenario.name, side === "us" ? "theirs" : "us");
    if (!certificates.asked) copyFileSync(`${pki}/${other}`, `${folder}/${knownAs(scenario)}.crt`);
  }
}

/** What goes into `ipsec.conf`. */
export function connections(side: PartyOptions["side"], placed: readonly Placed[], lives: Lives | undefined): string {
  const sections = placed.flatMap((scenario) => {
    const { own, other } = endsOf(side, scenario);
    const { onTraffic, flows } = configured(side, scenario);
    return flows.map((flow, index) => {
      const lines = {
        type: scenario.mode,
        left: own.host,
        right: other.host,
        ...(scenario.mode === "tunnel" ? { leftsubnet: flow.own, rightsubnet: flow.other } : {}),
        ...(scenario.fragmentation ? { fragmentation: scenario.fragmentation === "force" ? "force" : "yes" } : {}),
        ...(scenario.shortSha256 ? { "sha2-truncbug": "yes" } : {}),
        ...(scenario.only === "icmp" ? { leftprotoport: "icmp", rightprotoport: "icmp" } : {}),
        ...(scenario.only === "tcp"
          ? side === "us"
            ? { leftprotoport: "tcp", rightprotoport: `tcp/${PORT}` }
            : { leftprotoport: `tcp/${PORT}`, rightprotoport: "tcp" }
          : {}),
        ...algorithms(side, scenario),
        ...(lives ? livesOf(lives) : {}),
        ...proof(side, scenario),
        auto: onTraffic ? "route" : "add",
      };
      const text = Object.entries({ ...COMMON, ...lines }).map(([key, value]) => `\t${key}=${value}\n`);
      return `conn ${childName(scenario, index)}\n${text.join("")}`;
    });
  });
  return `config setup\n\tikev1-policy=accept\n\tuniqueids=no\n${sections.join("")}`;
}

/** It takes the other side's identity from the certificate, as long as the CA is one of its own. */
function proof(side: PartyOptions["side"], scenario: Placed): Readonly<Record<string, string>> {
  const { certificates, otherSubject } = configured(side, scenario);
  if (!certificates) return { authby: "secret" };
  const own = { authby: "rsasig", leftid: "%fromcert", leftcert: scenario.name };
  // Without a CA it asks for no certificate, and has to have the other side's.
  if (!certificates.asked)
    return { ...own, leftsendcert: "never", sendca: "none", rightcert: knownAs(scenario), rightid: `"${otherSubject}"` };
  const theirs = { rightid: "%fromcert", rightca: `"${subjectOf("RSA root")}"` };
  return { ...own, leftsendcert: "always", sendca: "all", ...theirs };
}

/** The name of the other side's certificate in its database. */
const knownAs = ({ name }: Placed): string => `${name}-other`;

const livesOf = (lives: Lives) => ({
  ikelifetime: `${lives.mainModeSeconds}s`,
  salifetime: `${lives.quickModeSeconds}s`,
  rekeymargin: `${Math.round(lives.quickModeSeconds / 5)}s`,
  rekeyfuzz: "50%",
  "ipsec-max-bytes": `${lives.octets}`,
  dpddelay: `${dpdOf(lives)}`,
  dpdtimeout: `${6 * dpdOf(lives)}`,
  dpdaction: "hold",
  keyingtries: "0",
});

const COMMON = { ikev2: "no", "retransmit-timeout": "8s", keyingtries: "1", dpddelay: "0" } as const;

function algorithms(side: PartyOptions["side"], scenario: Placed): Readonly<Record<string, string>> {
  const { ike, protect } = configured(side, scenario);
  const [protocol = "", offer = ""] = protect.split(":");
  const [cipher, hash, group = ""] = ike.split("-");
  const gcm = /^aes(\d+)gcm16$/.exec(offer);
  return {
    ike: `${cipher}-${hash};${groupName(group)}`,
    phase2: protocol,
    phase2alg: `${gcm ? `aes_gcm${gcm[1]}-null` : offer}${scenario.pfs ? `;${groupName(scenario.pfs)}` : ""}`,
    pfs: scenario.pfs ? "yes" : "no",
  };
}

/** libreswan knows the elliptic groups by number. */
const groupName = (group: string): string => ({ ecp256: "dh19", ecp384: "dh20", ecp521: "dh21", x25519: "dh31" })[group] ?? group;

/** What goes into `ipsec.secrets`. */
export function secrets(side: PartyOptions["side"], placed: readonly Placed[]): string {
  const lines = placed.map((scenario) => {
    const { own, other } = endsOf(side, scenario);
    return `${own.host} ${other.host} : PSK "${configured(side, scenario).secret}"\n`;
  });
  return lines.join("");
}
