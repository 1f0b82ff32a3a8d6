/**
 * `mainmode report`: everything that a bug report needs, in one file: versions, the policy without its secrets, SAs, counters, the last failures
 * and records. It holds addresses, names and identities, which whoever sends it away should know.
 */
import { closeSync, readFileSync, writeSync } from "node:fs";
import type { AboutDocument, FailureDocument } from "../../daemon/control-protocol.ts";
import { ask, type Document, type Stats, type Status } from "../client.ts";
import { EXIT, Failure } from "../exit.ts";
import { duration, octets, safe, table } from "../format.ts";
import { openOwn } from "../own-file.ts";
import { conclude, printLine } from "../report.ts";
import { failureLines } from "./last-failure.ts";
import { statsText } from "./stats.ts";

export interface ReportOptions {
  readonly control: string;
  /** Undefined: stdout. */
  readonly output: string | undefined;
  readonly json: boolean;
}

type Policy = Extract<Document, { policies: unknown }>;

interface Collected {
  readonly made: string;
  readonly system: readonly string[];
  readonly about: AboutDocument;
  readonly policy: Policy;
  readonly status: Status;
  readonly stats: Stats;
  readonly failures: readonly FailureDocument[];
}

/** Resolves with the exit code. */
export async function report({ control, output, json }: ReportOptions): Promise<number> {
  const collected = await collect(control);
  if (typeof collected === "number") return collected;
  const text = json ? `${JSON.stringify(collected, undefined, 2)}\n` : `${lines(collected).join("\n")}\n`;
  if (output === undefined) process.stdout.write(text);
  else {
    write(output, text);
    printLine(`${output}: it holds addresses, names and identities, but no key; read it before you send it away`);
  }
  return EXIT.done;
}

async function collect(path: string): Promise<Collected | number> {
  let about: AboutDocument | undefined;
  let failures: readonly FailureDocument[] = [];
  const first = await ask({
    path,
    request: { command: "report" },
    onOther: (reply) => {
      if (reply.type === "report") [about, failures] = [reply.about, reply.failures];
    },
  });
  if (first.exit !== EXIT.done) return conclude(first);
  let status: Status | undefined;
  await ask({ path, request: { command: "status" }, onStatus: (found) => (status = found) });
  let stats: Stats | undefined;
  await ask({ path, request: { command: "stats", form: "document" }, onStats: (found) => (stats = found) });
  let policy: Document | undefined;
  await ask({ path, request: { command: "policy" }, onDocument: (found) => (policy = found) });
  if (!about || !status || !stats || !policy || !("policies" in policy))
    throw new Failure(EXIT.failed, "the daemon did not tell everything", "are daemon and command of the same version?");
  return { made: new Date().toISOString(), system: systemLines(), about, policy, status, stats, failures };
}

/** What this machine says of itself. */
function systemLines(): readonly string[] {
  try {
    return readFileSync("/etc/os-release", "utf8")
      .split("\n")
      .filter((line) => /^(PRETTY_NAME|VERSION_CODENAME)=/.test(line));
  } catch {
    return [];
  }
}

function lines({ made, system, about, policy, status, stats, failures }: Collected): readonly string[] {
  const counted = Object.entries(about.counted);
  return [
    `mainmode report, made ${made}`,
    "",
    "== Versions",
    `mainmode ${about.version}, Node ${about.node}, OpenSSL ${about.openssl}, crypto ${about.crypto}`,
    `Linux ${about.kernel}, ${about.architecture}`,
    ...system.map(safe),
    `up ${duration(about.uptimeSeconds)}, ${octets(about.memoryOctets)} of memory, ${about.inputs.handled} inputs handled, ${about.inputs.dropped} dropped, ${about.inputs.bugs} bugs`,
    "",
    "== Sockets",
    ...about.endpoints.map(({ address, port, bypass }) => `${address} port ${port}${bypass ? "" : ", bypass by kernel policy"}`),
    "",
    `== Policy ${safe(policy.name)}`,
    ...policy.sources.map(({ key, value, file, line }) => safe(`${key} = ${value}    (${file}:${line})`)),
    "",
    `== Kernel policies: ${policy.policies.length}`,
    ...policy.policies.map(({ priority, direction, selector, action, rule, exempt }) =>
      safe(`${priority} ${direction} ${selector} ${action} (${rule ?? `exempt: ${exempt}`})`),
    ),
    "",
    `== IKE SAs: ${status.ikeSas.length}`,
    ...status.ikeSas.map(fields),
    "",
    `== Child SAs: ${status.childSas.length}`,
    ...status.childSas.map(fields),
    "",
    "== Dropped and refused",
    ...(counted.length === 0 ? ["nothing"] : table(COUNT_COLUMNS, counted, false)),
    "",
    ...statsText(stats, "table", false).map((line, i) => (i === 0 ? `== ${line}` : line)),
    "",
    `== Last failures: ${failures.length}`,
    ...failures.flatMap((failure) => [...failureLines(failure), ""]),
    `== Last records: ${about.events.length}`,
    ...about.events.map(fields),
  ];
}

const COUNT_COLUMNS = [
  { title: "REASON", cell: ([reason]: readonly [string, number]) => reason },
  { title: "COUNT", cell: ([, count]: readonly [string, number]) => String(count), align: "right" as const },
];

/** `name=value` of everything that has a value. */
const fields = (row: object): string =>
  safe(
    Object.entries(row)
      .filter(([, value]) => value !== null && value !== undefined)
      .map(([name, value]) => `${name}=${typeof value === "object" ? JSON.stringify(value) : String(value)}`)
      .join(" "),
  );

function write(path: string, text: string): void {
  const file = openOwn(path);
  writeSync(file, text);
  closeSync(file);
}
