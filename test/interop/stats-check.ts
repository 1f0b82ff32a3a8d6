/**
 * What `mainmode stats --json` counted during a scenario, and whether anything that mainmode showed holds a secret.
 */
import type { StatsDocument } from "../../daemon/control-protocol.ts";
import { isGuess, type Placed } from "./scenario.ts";

/** What is wrong: totals that went back, and a negotiation that was not counted as what it was. */
export function statsDiffer(before: StatsDocument, after: StatsDocument, scenario: Placed): readonly string[] {
  const grown = (name: string, where: Readonly<Record<string, string>> = {}): number => sum(after, name, where) - sum(before, name, where);
  const wrong = decreases(before, after);
  const want = (least: number, name: string, where: Readonly<Record<string, string>> = {}): void => {
    const found = grown(name, where);
    if (found < least) wrong.push(`stats: ${name} ${JSON.stringify(where)} grew by ${found}, not by ${least} at least`);
  };
  if (scenario.differs) {
    if (isGuess(scenario)) return wrong;
    if (scenario.role === "initiator") want(1, "acquire_failures_total");
    if (["psk", "authority", "expired", "revoked", "old-list", "identity"].includes(scenario.differs))
      want(1, "authentication_failures_total");
    return wrong;
  }
  const { role, flows, mode } = scenario;
  want(1, "ike_negotiations_started_total", { role });
  want(1, "ike_sa_established_total", { role });
  want(flows, "child_sa_established_total", { mode });
  want(flows, "kernel_sa_add_total");
  want(flows, "kernel_sa_update_total");
  for (const dir of ["in", "out"]) {
    want(1, "child_packets_total", { dir, mode });
    want(1, "child_authenticated_bytes_total", { dir });
  }
  if (grown("bugs_total") > 0) wrong.push("stats: the daemon met a bug");
  return wrong;
}

function sum({ metrics }: StatsDocument, name: string, where: Readonly<Record<string, string>>): number {
  const samples = metrics.find((metric) => metric.name === `mainmode_${name}`)?.samples ?? [];
  return samples
    .filter(({ labels }) => Object.entries(where).every(([key, value]) => labels[key] === value))
    .reduce((all, { value }) => all + value, 0);
}

function decreases(before: StatsDocument, after: StatsDocument): string[] {
  const key = (name: string, labels: object): string => name + JSON.stringify(labels);
  const now = new Map(after.metrics.flatMap(({ name, samples }) => (samples ?? []).map(({ labels, value }) => [key(name, labels), value])));
  return before.metrics
    .filter(({ type }) => type === "counter")
    .flatMap(({ name, samples }) => (samples ?? []).map(({ labels, value }) => [key(name, labels), value] as const))
    .filter(([name, value]) => (now.get(name) ?? -1) < value)
    .map(([name, value]) => `stats: ${name} went back from ${value} to ${now.get(name)}`);
}

/** Secrets found in `shown`: texts as they are, in hex and in base64; and keys of `ip xfrm state`. Which it was is said by its first letters only. */
export function secretsShown(shown: string, secrets: readonly string[], kernelText: string): readonly string[] {
  const keys = [...kernelText.matchAll(/0x([0-9a-f]{16,})/g)].map(([, hex]) => hex ?? "");
  const texts = secrets.flatMap((secret) => [secret, Buffer.from(secret).toString("hex"), Buffer.from(secret).toString("base64")]);
  const lower = shown.toLowerCase();
  return [...texts, ...keys]
    .filter((text) => lower.includes(text.toLowerCase()))
    .map((text) => `mainmode showed a secret: ${text.slice(0, 4)}…`);
}
