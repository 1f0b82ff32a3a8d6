/**
 * What the two hosts of the demo are told: one configuration each, which mirror each other, and how they prove themselves.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ask, type Status } from "../cli/client.ts";
import { duration, octets, table } from "../cli/format.ts";
import type { Cleanup } from "./cleanup.ts";
import type { Credentials } from "./credentials.ts";
import type { Page } from "./page.ts";

export interface End {
  readonly name: "a" | "b";
  readonly address: string;
  readonly control: string;
  readonly configFile: string;
}

export interface Scene {
  readonly folder: string;
  readonly a: End;
  readonly b: End;
}

export interface SceneOptions {
  readonly credentials: Credentials;
  readonly addresses: readonly [string, string];
  readonly port?: number;
  readonly natPort?: number;
}

/** A folder of the demo's own, readable for us only; it goes with the cleanup. */
export function makeFolder(cleanup: Cleanup): string {
  const folder = mkdtempSync(join(tmpdir(), "mainmode-demo-"));
  cleanup.later(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Writes the configurations beside the credentials. */
export function makeScene(options: SceneOptions): Scene {
  const { folder } = options.credentials;
  const [a, b] = (["a", "b"] as const).map((name, i): End => {
    const address = options.addresses[i] as string;
    const end = { name, address, control: join(folder, `${name}.sock`), configFile: join(folder, `${name}.toml`) };
    writeFileSync(end.configFile, configuration(end, options), { mode: 0o600 });
    return end;
  }) as [End, End];
  return { folder, a, b };
}

/** The rule of a host as the reader sees it. */
const ruleOf = (own: string, peer: string, auth: string): readonly string[] => [
  "[[rule]]",
  'name    = "peer"',
  `filters = ["${own} <-> ${peer}"]`,
  'action  = "require"              # nothing in clear, in either direction',
  `auth    = [${auth}]`,
];

function configuration({ name, address, control }: Pick<End, "name" | "address" | "control">, options: SceneOptions): string {
  const peer = options.addresses.find((other) => other !== address) as string;
  const { port, natPort } = options;
  return [
    "[daemon]",
    `control = ${JSON.stringify(control)}`,
    `addresses = ["${address}"]`,
    // The scene leaves nothing behind.
    "keep-across-restart = false",
    ...(port === undefined ? [] : [`port = ${port}`]),
    ...(natPort === undefined ? [] : [`nat-port = ${natPort}`]),
    "[policy]",
    'name = "demo"',
    "[policy.main-mode]",
    'proposals = ["aes256-sha256-modp2048"]',
    "[policy.quick-mode]",
    'proposals = ["esp:aes128-sha256"]',
    'pfs = "modp2048"',
    ...ruleOf(address, peer, options.credentials.auth[name]),
    "",
  ].join("\n");
}

/** Shows the rule of host a. */
export function showRule(page: Page, { addresses: [own, peer], credentials }: SceneOptions): void {
  for (const line of ruleOf(own, peer, credentials.auth.a)) page.line(`    ${page.paint("dim", line)}`);
}

/** What `mainmode initiate peer` prints at a host. Throws with the daemon's last word where it fails. */
export async function initiate(page: Page, end: End): Promise<void> {
  page.line(`  ${page.paint("bold", `${end.name}$ mainmode initiate peer`)}`);
  const onLine = (text: string): void => page.text(text);
  const last = await ask({ path: end.control, request: { command: "initiate", rule: "peer", wait: 30 }, onLine, patienceSeconds: 35 });
  if (last.exit !== 0) throw new Error(`initiate ended with ${last.exit}: ${last.text ?? last.reason ?? "no reason given"}`);
  if (last.text) page.text(last.text, "green");
}

/** What `status --json` of one end prints. */
export async function statusOf(end: End): Promise<Status> {
  let status: Status | undefined;
  const onStatus = (document: Status): void => {
    status = document;
  };
  await ask({ path: end.control, request: { command: "status" }, onStatus });
  if (!status) throw new Error(`host ${end.name} gave no status`);
  return status;
}

/** A full stop, as `mainmode shutdown` asks for it. */
export async function shutdown(page: Page, end: End): Promise<void> {
  const last = await ask({ path: end.control, request: { command: "shutdown", keep: false }, patienceSeconds: 15 });
  if (last.exit !== 0) throw new Error(`shutdown of host ${end.name} ended with ${last.exit}: ${last.text ?? ""}`);
  page.line(`  ${page.paint("bold", `${end.name}$ mainmode shutdown`)}  ${last.text ?? ""}`);
}

/** The two tables of `mainmode status` for both hosts, with the columns that fit. Throws where an SA that should be there is not. */
export async function showStatus(page: Page, ends: readonly End[]): Promise<void> {
  const all = await Promise.all(ends.map(async (end) => ({ end, status: await statusOf(end) })));
  const ike = all.flatMap(({ end, status }) => status.ikeSas.map((sa) => ({ host: end.name, ...sa })));
  const child = all.flatMap(({ end, status }) => status.childSas.map((sa) => ({ host: end.name, ...sa })));
  const left = ({ secondsLeft }: { readonly secondsLeft: number | null }): string => (secondsLeft === null ? "-" : duration(secondsLeft));
  const ikeTable = table(
    [
      { title: "IKE SA", cell: ({ host, id }) => `${host}/${id}` },
      { title: "STATE", cell: ({ state }) => state, style: () => "green" },
      { title: "ROLE", cell: ({ role }) => role },
      { title: "AUTH", cell: ({ auth }) => auth },
      { title: "SUITE", cell: (sa) => [sa.encryption, sa.hash, sa.group].join("-") },
      { title: "LEFT", cell: left, align: "right" },
    ],
    ike,
    page.colours,
  );
  const childTable = table(
    [
      { title: "CHILD", cell: ({ host, id }) => `${host}/${id}` },
      { title: "STATE", cell: ({ state }) => state, style: () => "green" },
      {
        title: "PROTECTION",
        cell: ({ protections }) => protections.map((p) => `${p.protocol}:${p.encryption}-${p.integrity}`).join(" + "),
      },
      { title: "SPI IN", cell: ({ protections }) => protections[0]?.spiIn ?? "" },
      { title: "SPI OUT", cell: ({ protections }) => protections[0]?.spiOut ?? "" },
      { title: "IN", cell: ({ bytesIn }) => octets(bytesIn), align: "right" },
      { title: "OUT", cell: ({ bytesOut }) => octets(bytesOut), align: "right" },
    ],
    child,
    page.colours,
  );
  for (const line of [...ikeTable, "", ...childTable]) page.line(line === "" ? "" : `  ${line}`);
  const [established, installed] = [ike.filter(({ state }) => state === "established"), child.filter(({ state }) => state === "installed")];
  if (established.length !== ends.length || installed.length !== ends.length)
    throw new Error("not every host has one IKE SA and one child SA");
}
