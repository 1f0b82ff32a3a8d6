/** `mainmode policy show`: the active policy, as written or as the kernel policies that it comes to. */
import type { PolicyDocument } from "../../daemon/control-protocol.ts";
import { compile } from "../../policy/compile.ts";
import { destroyPolicy } from "../../policy/config.ts";
import type { Source } from "../../policy/layers.ts";
import { explainPolicy } from "../../policy/why.ts";
import { ask, type Document } from "../client.ts";
import { EXIT, Failure } from "../exit.ts";
import { type Column, duration, safe, table, wantsColours } from "../format.ts";
import { conclude } from "../report.ts";

export interface PolicyShowOptions {
  readonly control: string;
  /** A configuration file to show instead of the daemon's policy. */
  readonly config: string | undefined;
  /** With `config`: this host's addresses, where the file does not say them. */
  readonly local: readonly string[];
  readonly specific: boolean;
  readonly json: boolean;
}

/** Resolves with the exit code. */
export async function showPolicy(options: PolicyShowOptions): Promise<number> {
  const found = options.config === undefined ? await online(options.control) : await offline(options.config, options.local);
  if (typeof found === "number") return found;
  const { sources, ...rest } = found;
  const document = options.specific ? rest : { name: found.name, sources };
  process.stdout.write(
    options.json ? `${JSON.stringify(document, undefined, 2)}\n` : `${text(found, options.specific).map(safe).join("\n")}\n`,
  );
  return EXIT.done;
}

async function online(control: string): Promise<PolicyDocument | number> {
  let found: Document | undefined;
  const end = await ask({ path: control, request: { command: "policy" }, onDocument: (document) => (found = document) });
  if (end.exit !== EXIT.done) return conclude(end);
  if (!found || !("policies" in found))
    throw new Failure(EXIT.failed, "the daemon showed no policy", "are daemon and command of the same version?");
  return found;
}

async function offline(file: string, local: readonly string[]): Promise<PolicyDocument> {
  const { openConfiguration } = await import("./offline.ts");
  const { policy, daemon, sources } = openConfiguration(file);
  try {
    const addresses = local.length > 0 ? local : (daemon.addresses ?? []);
    const policies = compile(policy, addresses).map((wanted) => ({
      ...explainPolicy(wanted),
      rule: wanted.origin.kind === "rule" ? wanted.origin.rule.name : null,
      exempt: wanted.origin.kind === "exemption" ? wanted.origin.what : null,
      refused: null,
    }));
    return { name: policy.name, addresses, sources, policies, unknown: null };
  } finally {
    destroyPolicy(policy);
  }
}

function text({ name, addresses, policies, sources, unknown }: PolicyDocument, specific: boolean): readonly string[] {
  const colours = wantsColours(process.stdout);
  if (!specific) return [`Policy ${name}: ${sources.length} values`, ...table(SOURCE_COLUMNS, sources, colours)];
  const where = addresses.length > 0 ? addresses.join(", ") : "no address; name some with --local";
  const doubt = unknown ? [`Which of them stand is not known, for ${duration(unknown.seconds)} now: ${unknown.reason}`, unknown.hint] : [];
  const title = `Policy ${name}: ${policies.length} kernel policies, strongest first, for ${where}`;
  return [title, ...doubt, ...table(POLICY_COLUMNS, policies, colours)];
}

const SOURCE_COLUMNS: readonly Column<Source>[] = [
  { title: "KEY", cell: ({ key }) => key },
  { title: "VALUE", cell: ({ value }) => value },
  { title: "FROM", cell: ({ file, line }) => `${file}:${line}` },
];

const POLICY_COLUMNS: readonly Column<PolicyDocument["policies"][number]>[] = [
  { title: "PRIORITY", cell: ({ priority }) => String(priority), align: "right" },
  { title: "DIR", cell: ({ direction }) => direction },
  { title: "SELECTOR", cell: ({ selector }) => selector },
  { title: "ACTION", cell: (policy) => `${actionOf(policy)}${policy.refused === null ? "" : ` (not in the kernel: ${policy.refused})`}` },
  { title: "RULE", cell: ({ rule, exempt }) => rule ?? `(exempt: ${exempt})` },
];

const actionOf = ({ action, level }: PolicyDocument["policies"][number]): string =>
  level === null ? (action === "allow" ? "clear" : "block") : `protect, level ${level}`;
