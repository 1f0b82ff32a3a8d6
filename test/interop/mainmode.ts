/**
 * mainmode itself: one daemon, driven by its own commands, as an administrator would.
 */
import type { ChildProcess } from "node:child_process";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { ask } from "../../cli/client.ts";
import type { StatsDocument } from "../../daemon/control-protocol.ts";
import { type Realm, startRealm } from "../../demo/realm.ts";
import type { StatusDocument } from "../../sa-store/view.ts";
import { ledgerWords } from "../ledger-words.ts";
import { PORT } from "./knock.ts";
import { on } from "./network.ts";
import { type Attempt, configured, dpdOf, endsOf, type Lives, type Party, type PartyOptions } from "./party.ts";
import { PKI } from "./pki.ts";
import type { Placed } from "./scenario.ts";
import { eventually, start, stop } from "./shell.ts";
import { TOLD } from "./told.ts";

/** The file in a party's directory that the daemon logs to, one JSON object a line. */
export const EVENT_LOG = TOLD.events;

const MAIN = "dist/cli/main.js";

export function mainmode(options: PartyOptions): Party {
  const { side, run, directory } = options;
  const runtime = `${tmpdir()}/${side}`;
  let daemon: ChildProcess | undefined;
  let tracer: ChildProcess | undefined;
  let realm: Realm | undefined;
  let said = "";
  const command = async (argv: readonly string[], seconds: number) => {
    const ran = await run([process.execPath, MAIN, ...argv, "--control", `${runtime}/control.sock`], { mayFail: true, seconds });
    said += `${ran.stdout}${ran.stderr}`;
    return ran;
  };
  const status = async (): Promise<StatusDocument> => JSON.parse((await command(["status", "--json"], 10)).stdout);
  const attempt = async (scenario: Placed): Promise<Attempt> => {
    const { status, stdout, stderr } = await command(["initiate", scenario.name, "--wait", `${PATIENCE}`], PATIENCE + 10);
    return { ok: status === 0, status, text: `${stdout}${stderr}` };
  };
  return {
    kind: "mainmode",
    start: async () => {
      mkdirSync(runtime, { recursive: true, mode: 0o700 });
      realm = await realmFor(options, runtime);
      writeFileSync(`${directory}/mainmode.toml`, configuration(options, runtime), { mode: 0o600 });
      const argv = [process.execPath, ...ledgerWords(), MAIN, "daemon", "-c", `${directory}/mainmode.toml`, "--log-format", "json"];
      daemon = start(on(side, argv), `${directory}/${EVENT_LOG}`);
      const answers = async () => (await command(["status", "--json"], 10)).status === 0;
      if (!(await eventually(90, answers))) throw new Error(`mainmode does not start, see ${directory}/${EVENT_LOG}`);
      if (!options.lives) tracer = await follow(directory, `${runtime}/control.sock`);
    },
    initiate: attempt,
    terminate: async (scenario) => {
      await command(["terminate", scenario.name], 20);
    },
    lists: async (scenario) => {
      const { ikeSas, childSas } = await status();
      // A responder waits for a better message 5 for a while: anybody could have sent the bad one.
      return [...ikeSas, ...childSas].some(({ rule, state }) => rule === scenario.name && state !== "negotiating");
    },
    pid: () => daemon?.pid,
    stop: async () => {
      if (!daemon) return;
      // What else could show a secret.
      for (const words of options.lives ? [] : CHATTER) await command(words, 20);
      writeFileSync(`${directory}/${TOLD.said}`, said);
      const exit = await stop(daemon);
      if (tracer) await stop(tracer);
      await realm?.stop();
      if (exit !== 0) throw new Error(`the daemon on side ${side} ended with ${exit}`);
    },
    ourselves: {
      status,
      stats: () => statsOf(`${runtime}/control.sock`),
      shown: () => said + readFileSync(`${directory}/${EVENT_LOG}`, "utf8"),
      reasons: (scenario) => reasonsIn(readFileSync(`${directory}/${EVENT_LOG}`, "utf8"), scenario),
    },
  };
}

/** Without a process of its own, which takes a guest a second: it is asked twice in each scenario. */
async function statsOf(path: string): Promise<StatsDocument> {
  let document: StatsDocument | undefined;
  const onStats = (stats: StatsDocument): void => {
    document = stats;
  };
  await ask({ path, request: { command: "stats", form: "document" }, onStats });
  if (!document) throw new Error("the daemon told no statistics");
  return document;
}

const CHATTER = [
  ["report"],
  ["last-failure"],
  ["policy", "show"],
  ["stats", "--json"],
  ["stats", "--prometheus"],
  ["monitor", "--once"],
] as const;

/** Follows everything from now on, with keys; `told.ts` reads what it leaves. */
async function follow(directory: string, control: string): Promise<ChildProcess> {
  const at = (name: string): string => `${directory}/${name}`;
  mkdirSync(at(TOLD.keys), { recursive: true });
  const files = ["--pcap", at(TOLD.pcap), "--decrypted", at(TOLD.decrypted), "--keys", at(TOLD.keys)];
  const child = start([process.execPath, MAIN, "trace", "--json", ...files, "--control", control], at(TOLD.trace));
  const listening = (): boolean => readFileSync(at(EVENT_LOG), "utf8").includes("traces every peer");
  if (!(await eventually(60, listening))) throw new Error(`mainmode trace does not start, see ${at(TOLD.trace)}`);
  return child;
}

/** Seconds until a negotiation has failed. */
const PATIENCE = 15;

/** Of the records that name the rule, and of those that came too early to know it, by the peer's address. */
function reasonsIn(log: string, scenario: Placed): readonly string[] {
  const records: readonly Record<string, unknown>[] = log.split("\n").flatMap((line) => (line.startsWith("{") ? [JSON.parse(line)] : []));
  const own = records.filter(({ rule, peer }) => rule === scenario.name || String(peer).includes(scenario.theirs.host));
  return own.flatMap(({ reason }) => (typeof reason === "string" ? [reason] : []));
}

/** Where a daemon's files are, and everybody's certificates. */
interface Places {
  readonly runtime: string;
  readonly pki: string;
}

const keytabIn = (runtime: string): string => `${runtime}/host.keytab`;

/** A realm for a daemon that may offer Kerberos, with a KDC on its host's loopback: it has a ticket, and its peers know nothing of Kerberos. */
async function realmFor({ side, placed }: PartyOptions, runtime: string): Promise<Realm | undefined> {
  if (side === "theirs" || !placed.some(({ kerberos }) => kerberos)) return undefined;
  const realm = await startRealm({ port: 88, prefix: on(side, []) });
  renameSync(realm.keytab("host.keytab", "host/us.example.test"), keytabIn(runtime));
  realm.keytab("peer.keytab", "host/peer.example.test");
  process.env["KRB5_CONFIG"] = realm.config;
  return realm;
}

function configuration({ side, placed, pki, lives }: PartyOptions, runtime: string): string {
  // Where lives are short, daemons are killed, too.
  const head = { control: `${runtime}/control.sock`, "runtime-directory": runtime, "keep-across-restart": lives !== undefined };
  const rules = placed.flatMap((scenario) => rule(side, scenario, { pki, runtime }));
  return ["[daemon]", ...lines(head), "[policy]", 'name = "interop"', ...(lives ? policyLives(lives) : []), ...rules].join("\n");
}

const policyLives = (lives: Lives): readonly string[] => [
  `dpd = "${dpdOf(lives)}s"`,
  `[policy.main-mode]\nlifetime = "${lives.mainModeSeconds}s"`,
  `[policy.quick-mode]\nlifetime = "${lives.quickModeSeconds}s"\nvolume = "${Math.round(lives.octets / 1000)}kB"`,
];

/** The lines of one rule. */
export function rule(side: PartyOptions["side"], scenario: Placed, places: Places): readonly string[] {
  const { own, other } = endsOf(side, scenario);
  const { ike, protect, secret, onTraffic, flows } = configured(side, scenario);
  return [
    "",
    "[[rule]]",
    ...lines({
      name: scenario.name,
      filters: flows.map((flow) => filterText(side, scenario, flow)),
      action: "require",
      auth: auth(side, scenario, secret, places),
      mode: scenario.mode,
      ...(scenario.mode === "tunnel" ? { tunnel: { local: own.host, remote: other.host } } : {}),
      "main-mode": { proposals: [ike] },
      "quick-mode": { proposals: [protect], pfs: scenario.pfs ?? "none" },
      start: onTraffic ? "on-traffic" : "never",
      "allow-weak": true,
      ...(scenario.fragmentation ? { fragmentation: scenario.fragmentation } : {}),
      ...(scenario.shortSha256 ? { "sha256-96": true } : {}),
    }),
  ];
}

function filterText(
  side: PartyOptions["side"],
  { only }: Placed,
  { own, other }: { readonly own: string; readonly other: string },
): string {
  if (only !== "tcp") return `${own} <-> ${other}${only === "icmp" ? " icmp" : ""}`;
  const at = (end: string): string => `${end.includes(":") ? `[${end}]` : end}:${PORT}`;
  return side === "us" ? `${own} <-> ${at(other)} tcp` : `${at(own)} <-> ${other} tcp`;
}

type AuthTable = Readonly<Record<string, unknown>>;

function auth(side: PartyOptions["side"], scenario: Placed, secret: string, { pki, runtime }: Places): readonly AuthTable[] {
  const { name } = scenario;
  const { certificates, otherSubject } = configured(side, scenario);
  const psk = { method: "psk", secret };
  if (scenario.kerberos && side === "us")
    return [{ method: "kerberos", keytab: keytabIn(runtime), "peer-principal": "host/peer.example.test" }, psk];
  if (!certificates) return [psk];
  const at = (file: string): string => `${pki}/${file}`;
  const x509 = {
    method: "x509",
    certificate: at(PKI.chain(name, side)),
    key: at(PKI.key(name, side)),
    // Whose certificate does not come has to be known.
    ca: [PKI.root(certificates), ...(certificates.asked ? [] : [PKI.leaf(name, side === "us" ? "theirs" : "us")])].map(at),
    ...(certificates.lists ? { crl: "require", "crl-files": [at(PKI.lists(name))] } : {}),
    "remote-id": `dn:${certificates.issuer === "root" ? otherSubject : otherSubject.replace(/CN=.*/, "CN=*")}`,
  };
  return certificates.fallback ? [x509, psk] : [x509];
}

const lines = (values: Readonly<Record<string, unknown>>): readonly string[] =>
  Object.entries(values).map(([key, value]) => `${key} = ${toml(value)}`);

function toml(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(toml).join(", ")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  return `{ ${Object.entries(value)
    .map(([key, inner]) => `${key} = ${toml(inner)}`)
    .join(", ")} }`;
}
