/** `mainmode policy export`: the policy as a script of netsh ipsec static, as it is or as the peer has to have it. */
import { writeFileSync } from "node:fs";
import { canonicalAddress } from "../../isakmp/address.ts";
import { destroyPolicy } from "../../policy/config.ts";
import { type Finding, formatFinding } from "../../policy/windows/diagnostics.ts";
import { type Exported, type ExportOptions, exportPolicy } from "../../policy/windows/export.ts";
import { ask, type Document } from "../client.ts";
import { EXIT, Failure } from "../exit.ts";
import { safe } from "../format.ts";
import { conclude } from "../report.ts";

export interface PolicyExportOptions {
  readonly control: string;
  /** A configuration file to export instead of the daemon's policy. */
  readonly config: string | undefined;
  /** Our address as the peer sees it: the script is the peer's. undefined: as it is. */
  readonly mirror: string | undefined;
  /** With `mirror`: the peer that the script is for. undefined: all. */
  readonly peer: string | undefined;
  /** undefined: stdout. */
  readonly output: string | undefined;
}

/** Resolves with the exit code: 1 where the script protects less than the policy, or where nothing could be exported. */
export async function exportWindows(options: PolicyExportOptions): Promise<number> {
  const local = addressOf(options.mirror, "--mirror takes our address as the peer sees it");
  const peer = addressOf(options.peer, "--peer takes the peer's address, as our rules have it");
  if (peer !== undefined && local === undefined)
    throw new Failure(EXIT.usage, "--peer needs --mirror", "--mirror takes our address as the peer sees it");
  const mirror = local === undefined ? undefined : { local, peer };
  const found = options.config === undefined ? await online(options.control, mirror) : await offline(options.config, mirror);
  if (typeof found === "number") return found;
  const { script, findings } = found;
  for (const finding of findings) process.stderr.write(`${safe(formatFinding(options.config ?? "policy", finding))}\n`);
  if (options.output === undefined) process.stdout.write(script);
  else write(options.output, script);
  return findings.some(({ weakens }) => weakens) ? EXIT.failed : EXIT.done;
}

function addressOf(text: string | undefined, hint: string): string | undefined {
  const address = text === undefined ? undefined : canonicalAddress(text);
  if (text !== undefined && address === undefined) throw new Failure(EXIT.usage, `${JSON.stringify(text)} is no address`, hint);
  return address;
}

type Mirror = ExportOptions["mirror"];
type Script = Pick<Exported, "script"> & { readonly findings: readonly Finding[] };

async function online(control: string, mirror: Mirror): Promise<Script | number> {
  let found: Document | undefined;
  const request = {
    command: "export",
    ...(mirror && { mirror: mirror.local }),
    ...(mirror?.peer !== undefined && { peer: mirror.peer }),
  } as const;
  const end = await ask({ path: control, request, onDocument: (document) => (found = document) });
  if (end.exit !== EXIT.done) return conclude(end);
  if (!found || !("script" in found))
    throw new Failure(EXIT.failed, "the daemon exported no policy", "are daemon and command of the same version?");
  return found;
}

async function offline(file: string, mirror: Mirror): Promise<Script> {
  const { openConfiguration } = await import("./offline.ts");
  const { policy } = openConfiguration(file);
  try {
    return exportPolicy(policy, { mirror });
  } finally {
    destroyPolicy(policy);
  }
}

function write(file: string, script: string): void {
  try {
    writeFileSync(file, script, { flag: "wx", mode: 0o644 });
  } catch (error) {
    const there = (error as NodeJS.ErrnoException).code === "EEXIST";
    const text = there ? `${file} exists; it was not touched` : `${file} can't be written: ${(error as Error).message}`;
    throw new Failure(EXIT.failed, text, there ? "move it away, or use another --output" : undefined);
  }
}
