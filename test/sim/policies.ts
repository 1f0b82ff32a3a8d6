/**
 * Configurations for simulated hosts: TOML through the daemon's own reader, read once per text.
 */
import { parseConfiguration } from "../../policy/config.ts";
import type { Policy } from "../../policy/types.ts";

/** The pre-shared key of all stories; no log may ever hold it. */
export const PSK = "a key that only the two of us know";

/** One `[[rule]]`; what is left out is as in `PLAIN`. Values are TOML, so texts bring their quotes. */
export type RuleText = Readonly<Record<string, string>>;

const PLAIN: RuleText = { name: '"peer"', action: '"require"', auth: `[{ method = "psk", secret = "${PSK}" }]`, start: '"never"' };

/** A configuration with cheap algorithms, short lifetimes and these rules. */
export const configuration = (rules: readonly RuleText[], top: Partial<Top> = {}): string => {
  const { mainMode, mainLife, quickMode, quickLife, volume, pfs } = { ...TOP, ...top };
  return [
    `[policy.main-mode]\nproposals = ${JSON.stringify(mainMode)}\nlifetime = "${mainLife}"`,
    `[policy.quick-mode]\nproposals = ${JSON.stringify(quickMode)}\nlifetime = "${quickLife}"\nvolume = "${volume}"\npfs = "${pfs}"`,
    ...rules.map((rule) => `[[rule]]\n${lines({ ...PLAIN, ...rule })}`),
  ].join("\n\n");
};

export interface Top {
  readonly mainMode: readonly string[];
  readonly mainLife: string;
  readonly quickMode: readonly string[];
  readonly quickLife: string;
  readonly volume: string;
  readonly pfs: string;
}

const TOP: Top = {
  mainMode: ["aes128-sha256-x25519"],
  mainLife: "60m",
  quickMode: ["esp:aes128-sha256"],
  quickLife: "5m",
  volume: "100MB",
  pfs: "none",
};

const lines = (rule: RuleText): string =>
  Object.entries(rule)
    .filter(([key, value]) => value !== "" && !(key === "start" && rule["action"] === '"respond"'))
    .map(([key, value]) => `${key} = ${value}`)
    .join("\n");

/** One rule towards one peer. */
export const towards = (peer: string, more: RuleText = {}, top: Partial<Top> = {}): string =>
  configuration([{ filters: `["me <-> ${peer}"]`, ...more }], top);

const read = new Map<string, Policy>();

/** The policy of a text. Its secrets live as long as the process, so that the leak check counts none of them. */
export function policyOf(text: string): Policy {
  const known = read.get(text);
  if (known) return known;
  const parsed = parseConfiguration(text, "simulated.toml", () => ({ ok: false, error: "no files here" }));
  if (!parsed.ok) throw new Error(`${parsed.error.map(({ line, message }) => `${line}: ${message}`).join("\n")}\n${text}`);
  read.set(text, parsed.value.policy);
  return parsed.value.policy;
}
