/**
 * Both hosts' SAs side by side: what one calls in, the other calls out.
 */
import type { StatusDocument } from "../sa-store/view.ts";
import { columns, type Style } from "./screen.ts";

type Paint = (style: Style, text: string) => string;
type Ike = StatusDocument["ikeSas"][number];
type Child = StatusDocument["childSas"][number];

/** A table of properties with a column for each host; the first SA of each kind is shown. */
export function saTable([left, right]: readonly [StatusDocument, StatusDocument], paint: Paint): readonly string[] {
  const rows = [
    ["", "left", "right"],
    ...section("IKE SA", IKE, [left.ikeSas[0], right.ikeSas[0]]),
    ...section("child SA", CHILD, [left.childSas[0], right.childSas[0]]),
  ];
  return columns(rows).map((line, i) => (rows[i]?.[0]?.startsWith(" ") ? line : paint("bold", line)));
}

type Row<T> = readonly [name: string, value: (sa: T) => string];

function section<T>(title: string, rows: readonly Row<T>[], sas: readonly (T | undefined)[]): readonly (readonly string[])[] {
  const cell = (sa: T | undefined, value: (sa: T) => string): string => (sa === undefined ? "-" : value(sa));
  return [[title, "", ""], ...rows.map(([name, value]) => [`  ${name}`, ...sas.map((sa) => cell(sa, value))])];
}

const IKE: readonly Row<Ike>[] = [
  ["role", ({ role }) => role],
  ["state", ({ state }) => state],
  ["peer proved as", ({ remoteId }) => remoteId ?? "nobody"],
  ["algorithms", ({ encryption, hash, group }) => [encryption, hash, group].join("-")],
  ["lives for", ({ secondsLeft }) => `${secondsLeft ?? 0} s`],
];

const CHILD: readonly Row<Child>[] = [
  ["state", ({ state, mode }) => `${state}, ${mode}`],
  ["protects", ({ local, remote }) => `${withoutLength(local)} <-> ${withoutLength(remote)}`],
  ["with", ({ protections }) => protections.map((p) => `${p.protocol}:${[p.encryption, p.integrity].filter(Boolean).join("-")}`).join(" ")],
  ["PFS", ({ group }) => group ?? "none"],
  ["SPI in", ({ protections }) => protections.map(({ spiIn }) => spiIn).join(" ")],
  ["SPI out", ({ protections }) => protections.map(({ spiOut }) => spiOut).join(" ")],
  ["octets in, out", ({ bytesIn, bytesOut }) => `${bytesIn}, ${bytesOut}`],
  [
    "lives for",
    ({ secondsLeft, lifetimeKilobytes }) => `${secondsLeft ?? 0} s${lifetimeKilobytes ? ` or ${lifetimeKilobytes / 1000} MB` : ""}`,
  ],
];

const withoutLength = (prefix: string): string => prefix.replace(/\/(32|128)$/, "");
