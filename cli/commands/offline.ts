/** A configuration file, for commands that explain it without a daemon. */
import { x509Loader } from "../../auth/providers/load.ts";
import { type Configuration, formatDiagnostic, inspectConfiguration } from "../../policy/config.ts";
import { EXIT, Failure } from "../exit.ts";
import { safe } from "../format.ts";

/** The configuration; what is wrong with it goes to stderr, and an error ends the command with 78. The caller destroys its keys. */
export function openConfiguration(file: string): Configuration {
  const loaded = inspectConfiguration(file, process.env["CREDENTIALS_DIRECTORY"], x509Loader());
  if (loaded.ok) return loaded.value;
  for (const diagnostic of loaded.error) process.stderr.write(`${safe(formatDiagnostic(diagnostic))}\n`);
  throw new Failure(EXIT.configuration, `${file} can't be used`, `mainmode check ${file}`);
}
