/** `mainmode rule add|delete`: rules at run time, beside those of the daemon's files. */
import { readFileSync } from "node:fs";
import { LONGEST_RULES } from "../../daemon/control-protocol.ts";
import { ask } from "../client.ts";
import { EXIT, Failure } from "../exit.ts";
import { conclude, printLine } from "../report.ts";

const STDIN = 0;

/** Adds the rules of a file, or of stdin for "-". Resolves with the exit code: 78 where they are wrong, and nothing was changed. */
export async function addRules(control: string, file: string): Promise<number> {
  const text = readText(file);
  return conclude(await ask({ path: control, request: { command: "rule", add: text }, onLine: printLine }));
}

/** Deletes a rule that was added before. Resolves with the exit code. */
export const deleteRule = async (control: string, name: string): Promise<number> =>
  conclude(await ask({ path: control, request: { command: "rule", delete: name }, onLine: printLine }));

function readText(file: string): string {
  const octets = readOctets(file);
  if (octets.length > LONGEST_RULES)
    throw new Failure(
      EXIT.failed,
      `${file}: ${octets.length} octets, and ${LONGEST_RULES} are possible at once`,
      "add it in parts, or put it into a file of conf.d beside mainmode.toml, and reload",
    );
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(octets);
  } catch {
    throw new Failure(EXIT.failed, `${file}: the file is no UTF-8 text`, "save it as UTF-8");
  }
}

function readOctets(file: string): Uint8Array {
  try {
    return readFileSync(file === "-" ? STDIN : file);
  } catch (error) {
    throw new Failure(EXIT.failed, `${file}: ${(error as Error).message}`, "name a file with [[rule]] tables, or - for stdin");
  }
}
