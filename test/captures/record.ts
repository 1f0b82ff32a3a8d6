/**
 * Records what pcaps/ keeps: scenarios of the interop lab, in guests, with the keys written down.
 *
 *   node dist/test/captures/record.js [NAME...]     records all or these again, after `node scripts/setup.js interop`
 *   node dist/test/captures/record.js --renew       keeps captures and keys, and only writes down anew what `decode` says
 */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { opensslCrypto } from "../../ike/crypto/openssl.ts";
import { Secret } from "../../ike/crypto/secret.ts";
import { Tracer } from "../../ike/trace.ts";
import { toHex } from "../../isakmp/hex.ts";
import { decodePcap, isakmpOf } from "../../isakmp/pcap.ts";
import type { Plan } from "../interop/guest.ts";
import { LIBRESWAN_ROOT } from "../interop/libreswan.ts";
import { makePki } from "../interop/pki.ts";
import { type PeerKind, type Placed, place, type Scenario } from "../interop/scenario.ts";
import { scenarios } from "../interop/scenarios.ts";
import { type EspKeys, jsonOf, type Kept, kept, keptNames, keyTable, pcapOf, THROWAWAY } from "./kept.ts";
import { RECORDINGS } from "./recordings.ts";

const LAB = ".lab/captures";
const GUEST_SECONDS = 300;

interface Chosen {
  readonly name: string;
  readonly about: string;
  readonly scenario: Scenario;
}

function main(words: readonly string[]): void {
  if (words.includes("--renew")) {
    for (const name of keptNames(".json")) write(name, kept(name));
    return;
  }
  const chosen = RECORDINGS.filter(({ name }) => words.length === 0 || words.includes(name)).map(({ scenario: id, ...rest }): Chosen => {
    const scenario = scenarios().find(({ name }) => name === id);
    if (!scenario) throw new Error(`no scenario ${id}`);
    return { ...rest, scenario };
  });
  if (chosen.length < words.length) throw new Error(`not all of ${words} are in the table of recordings`);
  for (const peer of new Set(chosen.map(({ scenario }) => scenario.peer)))
    record(
      peer,
      chosen.filter(({ scenario }) => scenario.peer === peer),
    );
}

/** One guest, one peer. */
function record(peer: PeerKind, chosen: readonly Chosen[]): void {
  const directory = resolve(LAB, peer);
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  const placed = chosen.map(({ scenario }, index) => place(scenario, index));
  makePki(`${directory}/pki`, placed);
  const linux = runGuest({ directory, us: "mainmode", theirs: peer, placed });
  const recorded = `${new Date().toISOString().slice(0, 10)}, in the lab: ${versions(peer)}, User-Mode Linux ${linux}`;
  const keys = [...new Set(readFileSync(keyLog(directory), "utf8").split("\n"))].filter((key) => key !== "");
  for (const [index, { name, about }] of chosen.entries()) {
    const scenario = placed[index] as Placed;
    const file = pcapOf(name);
    const filter = `host ${scenario.theirs.host} and (${["udp port 500", "udp port 4500", FRAGMENTS, ...[50, 51].flatMap(proto)].join(" or ")})`;
    execFileSync("tcpdump", ["-r", `${directory}/wire.pcap`, "-Z", "root", "-w", file, filter], { stdio: ["ignore", "ignore", "pipe"] });
    const esp = espKeys(readFileSync(`${directory}/${scenario.name}.txt`, "utf8"), scenario);
    write(name, { about, recorded, note: THROWAWAY, secrets: secretsOf(file, keys), ...(esp.length > 0 ? { esp } : {}), expected: [] });
    console.log(`${name}: ${readFileSync(file).length} octets`);
  }
}

const keyLog = (directory: string): string => `${directory}/keys.txt`;
/** All but the first of a long message have no ports. */
const FRAGMENTS = "(ip proto 17 and ip[6:2] & 0x1fff != 0)";
const proto = (number: number): readonly string[] => [`ip proto ${number}`, `ip6 proto ${number}`];

/** Performs the plan with keys written down; the version of the guest's kernel. */
function runGuest(plan: Plan): string {
  const { directory } = plan;
  writeFileSync(`${directory}/plan.json`, JSON.stringify(plan));
  const beside = (path: string) => fileURLToPath(new URL(path, import.meta.url));
  const argv = [
    ...["-t", `${GUEST_SECONDS}`, "-w", directory],
    ...["env", `NODE_OPTIONS=--import=${beside("log-keys.js")}`, `KEY_LOG=${keyLog(directory)}`],
    ...["sh", "-c", 'uname -r; exec "$@"', "sh"],
    ...[process.execPath, beside("../interop/guest.js"), `${directory}/plan.json`, `${directory}/results.jsonl`],
  ];
  const env = { ...process.env, PATH: `${process.env["PATH"]}:/usr/sbin:/sbin` };
  const { status, stdout } = spawnSync("demo/uml-run", argv, { encoding: "utf8", env, stdio: ["ignore", "pipe", "inherit"] });
  const results = readFileSync(`${directory}/results.jsonl`, "utf8");
  if (status !== 0 || /"wrong":\["/.test(results)) throw new Error(`the guest ended with ${status}, see ${directory}\n${stdout}${results}`);
  return stdout.split("\n")[0] ?? "";
}

/** Writes NAME.json with what `decode` says now. */
function write(name: string, { expected: _, ...rest }: Kept): void {
  const folder = mkdtempSync(join(tmpdir(), "mainmode-captures-"));
  writeFileSync(join(folder, "keys"), keyTable(rest.secrets));
  const main = fileURLToPath(new URL("../../cli/main.js", import.meta.url));
  const said = execFileSync(process.execPath, [main, "decode", pcapOf(name), "--keys", join(folder, "keys")], { encoding: "utf8" });
  rmSync(folder, { recursive: true });
  const whole: Kept = { ...rest, expected: said.trimEnd().split("\n") };
  writeFileSync(jsonOf(name), `${JSON.stringify(whole, undefined, 2)}\n`);
}

/** Of all keys that the daemons used, those that open the first sealed message of each cookie. */
function secretsOf(file: string, keys: readonly string[]): Readonly<Record<string, string>> {
  const messages = decodePcap(readFileSync(file)).datagrams.flatMap((datagram) => isakmpOf(datagram) ?? []);
  const cookies = [...new Set(messages.map((message) => toHex(message.subarray(0, 8))))];
  return Object.fromEntries(
    cookies.flatMap((cookie) => {
      const key = keys.find((one) => {
        const tracer = new Tracer(opensslCrypto, new Map([[cookie, new Secret(Uint8Array.from(Buffer.from(one, "hex")))]]));
        return messages.map((message) => tracer.take(message)).some((traced) => traced.ok && traced.value.decrypted);
      });
      return key === undefined ? [] : [[cookie, key] as const];
    }),
  );
}

/** The ESP SAs between two hosts in a transcript that shows `ip xfrm state` on our side. */
function espKeys(transcript: string, { us, theirs }: Placed): readonly EspKeys[] {
  const hosts = [us.host, theirs.host];
  const ours = transcript.split(/^\$ /m).filter((said) => said.startsWith("ip -n us -s xfrm state"));
  const found = new Map<string, EspKeys>();
  for (const text of ours.flatMap((said) => said.split(/^(?=src )/m))) {
    const [, source = "", destination = ""] = /^src (\S+) dst (\S+)/.exec(text) ?? [];
    const [, spi] = /proto esp spi (0x[0-9a-f]+)/.exec(text) ?? [];
    const [, encryption, encryptionKey] = /^\s+(?:enc|aead) (\S+) (0x[0-9a-f]+)/m.exec(text) ?? [];
    const [, authentication, authenticationKey] = /^\s+auth-trunc (\S+) (0x[0-9a-f]+)/m.exec(text) ?? [];
    if (!hosts.includes(source) || !hosts.includes(destination) || !spi || !encryption || !encryptionKey) continue;
    const authenticated = authentication && authenticationKey ? { authentication, authenticationKey } : {};
    found.set(spi, { source, destination, spi, encryption, encryptionKey, ...authenticated });
  }
  return [...found.values()];
}

function versions(peer: PeerKind): string {
  const { version } = JSON.parse(readFileSync("package.json", "utf8")) as { readonly version: string };
  const debian = (name: string, options: readonly string[] = []) =>
    // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query has templates of its own
    execFileSync("dpkg-query", [...options, "-W", "-f", "${Version}", name], { encoding: "utf8" });
  const us = `mainmode ${version}`;
  if (peer === "strongswan") return `${us} and strongSwan ${debian("charon-systemd")}`;
  if (peer === "libreswan") return `${us} and libreswan ${debian("libreswan", [`--admindir=${LIBRESWAN_ROOT}/var/lib/dpkg`])}`;
  return `${us} at both ends`;
}

main(process.argv.slice(2));
