/** `mainmode status`: the two SA tables (interface.md §3). */
import type { Request } from "../../daemon/control-protocol.ts";
import { ask, type Status } from "../client.ts";
import { EXIT, Failure } from "../exit.ts";
import { type Column, duration, octets, type Style, safe, table, wantsColours } from "../format.ts";
import { conclude } from "../report.ts";

export interface StatusOptions {
  readonly control: string;
  readonly only: "ike" | "child" | undefined;
  readonly json: boolean;
}

type Ike = Status["ikeSas"][number];
type Child = Status["childSas"][number];
type Soft = Status["softSas"][number];
type Refused = Status["refusedPolicies"][number];

const REQUEST: Request = { command: "status" };

/** Resolves with the exit code. `--json` prints the document, or the part of it that was asked for, and nothing else. */
export async function status({ control, only, json }: StatusOptions): Promise<number> {
  let found: Status | undefined;
  const end = await ask({ path: control, request: REQUEST, onStatus: (document) => (found = document) });
  if (end.exit !== EXIT.done) return conclude(end);
  if (!found) throw new Failure(EXIT.failed, "the daemon sent no status", "are daemon and command of the same version?");
  process.stdout.write(json ? `${JSON.stringify(part(found, only), undefined, 2)}\n` : text(found, only, wantsColours(process.stdout)));
  return EXIT.done;
}

function part(document: Status, only: StatusOptions["only"]): unknown {
  if (only === "ike") return { ikeSas: document.ikeSas };
  return only === "child" ? { childSas: document.childSas } : document;
}

function text(
  { ikeSas, childSas, softSas, guards, refusedPolicies: refused, policiesUnknown: unknown }: Status,
  only: StatusOptions["only"],
  colours: boolean,
): string {
  const sections = [
    ...(only === "child" ? [] : [section("IKE SAs", IKE_COLUMNS, ikeSas, colours)]),
    ...(only === "ike" ? [] : [section("Child SAs", CHILD_COLUMNS, childSas, colours)]),
    ...(only === undefined && softSas.length > 0 ? [section("In clear (the peer speaks no IKE)", SOFT_COLUMNS, softSas, colours)] : []),
    ...(only === undefined && guards.length > 0
      ? [section("Kept from the clear (their last SA has ended)", SOFT_COLUMNS, guards, colours)]
      : []),
    ...(only === undefined && unknown
      ? [[`Whether the policies stand is not known, for ${duration(unknown.seconds)} now: ${safe(unknown.reason)}`, unknown.hint]]
      : []),
    ...(only === undefined && refused.length > 0 ? [refusedSection(refused, colours)] : []),
  ];
  const warnings = only === "ike" ? [] : childSas.flatMap(({ id, warning }) => (warning ? [`child ${id}: ${warning}`] : []));
  return [...sections, ...(warnings.length > 0 ? [["Warnings:", ...warnings]] : [])].map((lines) => `${lines.join("\n")}\n`).join("\n");
}

const section = <Row>(title: string, columns: readonly Column<Row>[], rows: readonly Row[], colours: boolean): readonly string[] =>
  rows.length === 0 ? [`${title}: none`] : [`${title}: ${rows.length}`, ...table(columns, rows, colours)];

/** Each hint once. */
const refusedSection = (refused: readonly Refused[], colours: boolean): readonly string[] => [
  ...section("Not in the kernel (refused)", REFUSED_COLUMNS, refused, colours),
  ...[...new Set(refused.map(({ hint }) => hint))],
];

const STYLES: Readonly<Record<Ike["state"] | Child["state"], Style | undefined>> = {
  negotiating: "yellow",
  established: "green",
  installed: "green",
  rekeying: "yellow",
  closing: "dim",
  draining: "dim",
};

const stateStyle = ({ state }: { readonly state: Ike["state"] | Child["state"] }): Style | undefined => STYLES[state];

const left = ({ secondsLeft }: { readonly secondsLeft: number | null }): string => (secondsLeft === null ? "-" : duration(secondsLeft));

const withId = (endpoint: string, id: string | null): string => (id === null ? endpoint : `${endpoint} ${id}`);

const IKE_COLUMNS: readonly Column<Ike>[] = [
  { title: "ID", cell: ({ id }) => String(id), align: "right" },
  { title: "RULE", cell: ({ rule }) => rule },
  { title: "STATE", cell: ({ state }) => state, style: stateStyle },
  { title: "ROLE", cell: ({ role }) => role },
  { title: "LOCAL", cell: ({ local, localId }) => withId(local, localId) },
  { title: "REMOTE", cell: ({ remote, remoteId }) => withId(remote, remoteId) },
  { title: "AUTH", cell: ({ auth }) => auth },
  { title: "SUITE", cell: ({ encryption, hash, group }) => (encryption === null ? "-" : [encryption, hash, group].join("-")) },
  { title: "LEFT", cell: left, align: "right" },
];

const port = (number: number | null): string => (number === null ? "" : `:${number}`);

const CHILD_COLUMNS: readonly Column<Child>[] = [
  { title: "ID", cell: ({ id }) => String(id), align: "right" },
  { title: "IKE", cell: ({ ike }) => (ike === null ? "-" : String(ike)), align: "right" },
  { title: "RULE", cell: ({ rule }) => rule },
  { title: "STATE", cell: ({ state }) => state, style: stateStyle },
  { title: "MODE", cell: ({ mode, tunnel }) => (tunnel === null ? mode : `${mode} ${tunnel.local}=${tunnel.remote}`) },
  { title: "LOCAL", cell: ({ local, localPort }) => `${local}${port(localPort)}` },
  { title: "REMOTE", cell: ({ remote, remotePort }) => `${remote}${port(remotePort)}` },
  { title: "PROTO", cell: ({ protocol }) => protocol },
  { title: "PROTECTION", cell: ({ protections }) => protections.map(protection).join(" + ") },
  { title: "SPI IN", cell: ({ protections }) => protections.map(({ spiIn }) => spiIn).join(" ") },
  { title: "SPI OUT", cell: ({ protections }) => protections.map(({ spiOut }) => spiOut).join(" ") },
  { title: "IN", cell: ({ bytesIn }) => octets(bytesIn), align: "right" },
  { title: "OUT", cell: ({ bytesOut }) => octets(bytesOut), align: "right" },
  { title: "LEFT", cell: left, align: "right" },
];

const SOFT_COLUMNS: readonly Column<Soft>[] = [
  { title: "ID", cell: ({ id }) => String(id), align: "right" },
  { title: "RULE", cell: ({ rule }) => rule },
  { title: "LOCAL", cell: ({ local, localPort }) => `${local}${port(localPort)}` },
  { title: "REMOTE", cell: ({ remote, remotePort }) => `${remote}${port(remotePort)}` },
  { title: "PROTO", cell: ({ protocol }) => protocol },
  { title: "LEFT", cell: left, align: "right" },
];

const REFUSED_COLUMNS: readonly Column<Refused>[] = [
  { title: "RULE", cell: ({ rule }) => rule ?? "-" },
  { title: "DIR", cell: ({ direction }) => direction },
  { title: "SELECTOR", cell: ({ selector }) => selector },
  { title: "ACTION", cell: ({ action, level }) => (level === null ? (action === "allow" ? "clear" : "block") : `protect, level ${level}`) },
  { title: "THE KERNEL SAYS", cell: ({ reason }) => reason },
];

const protection = ({ protocol, encryption, integrity }: Child["protections"][number]): string =>
  `${protocol}:${[encryption, integrity].filter((name) => name !== null).join("-")}`;
