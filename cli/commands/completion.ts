/** `mainmode completion`: a script for the shell, or what the script asks for. */
import type { Command } from "commander";
import { ask, type Document } from "../client.ts";
import { commandTree, completionScript, SHELLS } from "../completion.ts";
import { EXIT, Failure } from "../exit.ts";

/** Prints the script for a shell; `tree`, for our own documents, prints the commands as JSON. */
export function completion(program: Command, shell: string | undefined): number {
  const tree = commandTree(program);
  const known = SHELLS.find((name) => name === shell);
  if (known === undefined && shell !== "tree")
    throw new Failure(EXIT.usage, `completion needs one of: ${SHELLS.join(", ")}`, "mainmode completion bash");
  process.stdout.write(known === undefined ? `${JSON.stringify(tree, undefined, 1)}\n` : completionScript(known, tree));
  return EXIT.done;
}

/** Prints the names of the daemon's rules, one a line; nothing where it does not answer, since nobody asked for an error. */
export async function completeRules(control: string): Promise<number> {
  let found: Document | undefined;
  const request = { command: "policy" } as const;
  await ask({ path: control, request, onDocument: (document) => (found = document), patienceSeconds: 2 }).catch(() => undefined);
  // Keys are `rule hr: filters`; a rule without kernel policies stands there too.
  const keys = found && "sources" in found ? found.sources.map(({ key }) => /^rule (.+): (?:filters|action)$/.exec(key)?.[1]) : [];
  const names = new Set(keys.filter((name) => name !== undefined));
  process.stdout.write([...names].map((name) => `${name}\n`).join(""));
  return EXIT.done;
}
