/**
 * `npm run interop`: negotiations with strongSwan, libreswan and ourselves on real kernels.
 */

import { parseArgs } from "node:util";
import { runMatrix } from "./matrix.ts";
import type { PeerKind } from "./scenario.ts";
import { scenarios } from "./scenarios.ts";

export async function main(argv: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      only: { type: "string" },
      as: { type: "string", default: "mainmode" },
      directory: { type: "string", short: "w", default: ".lab/interop" },
    },
  });
  const pattern = new RegExp(values.only ?? "");
  const chosen = scenarios().filter(({ name }) => pattern.test(name));
  const outcomes = await runMatrix({
    scenarios: chosen,
    directory: values.directory,
    as: values.as as PeerKind,
    tell: ({ name, wrong, seconds }) => {
      console.log(`${wrong.length === 0 ? "ok  " : "FAIL"} ${name} (${seconds.toFixed(1)} s)`);
      for (const line of wrong) console.log(`     ${line.replaceAll("\n", "\n     ")}`);
    },
  });
  const failed = outcomes.filter(({ wrong }) => wrong.length > 0).length;
  console.log(`${outcomes.length - failed} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}
