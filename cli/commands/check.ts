/** `mainmode check`: judge a configuration without touching anything. */
import { x509Loader } from "../../auth/providers/load.ts";
import { checkConfiguration, formatDiagnostic } from "../../policy/config.ts";
import { EXIT } from "../exit.ts";
import { safe } from "../format.ts";

/** Prints every error and warning as `FILE:LINE:COL: message` on stderr; the exit code. */
export function check(file: string): number {
  const found = checkConfiguration(file, process.env["CREDENTIALS_DIRECTORY"], x509Loader());
  for (const diagnostic of found) process.stderr.write(`${safe(formatDiagnostic(diagnostic))}\n`);
  const errors = found.filter(({ severity }) => severity === "error").length;
  if (errors > 0) return EXIT.configuration;
  process.stdout.write(
    `${file}: ${found.length === 0 ? "no errors" : `no errors, ${found.length} warning${found.length === 1 ? "" : "s"}`}\n`,
  );
  return EXIT.done;
}
