/** Configurations that the tests of `policy/config.ts` start from, and a short form of what is said about them. */
import { err, ok } from "../../isakmp/result.ts";
import type { SecretReader } from "../../policy/auth-entries.ts";
import { destroyPolicy, formatDiagnostic, parseConfiguration } from "../../policy/config.ts";

/** Knows one file, and one credential that is not to be had. */
export const reader: SecretReader = (reference) => {
  if (reference === "credential:later") return ok(undefined);
  return reference === "good.psk" ? ok(new TextEncoder().encode("from a file\n")) : err(`${reference}: there is no such file`);
};

/** Every diagnostic as `LINE:COL: message`, errors and warnings alike. */
export function diagnose(text: string, exposed = false): readonly string[] {
  const result = parseConfiguration(text, "F", reader, exposed);
  if (result.ok) destroyPolicy(result.value.policy);
  return (result.ok ? result.value.warnings : result.error).map((diagnostic) => formatDiagnostic(diagnostic).replace(/^F:/, ""));
}

/** A complete rule on lines 1 to 5; what is added starts on line 6. */
export const RULE = `[[rule]]
name = "hr"
filters = ["me <-> 192.0.2.2"]
auth = [{ method = "psk", secret = "k" }]
action = "require"
`;
export const site = (text: string) => RULE.replace("me <-> 192.0.2.2", "10.1.0.0/16 <-> 10.2.0.0/16") + text;
