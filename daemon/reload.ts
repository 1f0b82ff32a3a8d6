/**
 * Reading the configuration again while the daemon runs: rules that are what they were stay the same objects, and their SAs with them.
 */
import type { Result } from "../isakmp/result.ts";
import { type Configuration, type Diagnostic, formatDiagnostic } from "../policy/config.ts";
import { describeDiff, diffPolicies, type PolicyDiff, refit } from "../policy/diff.ts";
import { sameManual } from "../policy/manual-rule.ts";
import type { ManualSa, Rule } from "../policy/types.ts";
import type { Reloaded } from "./commands.ts";
import type { LogRecord } from "./log.ts";

export interface Reread {
  readonly reloaded: Reloaded;
  /** What holds from now on; undefined where the file is wrong and nothing changes. */
  readonly next: Configuration | undefined;
  /** A record for each rule that is not what it was. */
  readonly records: readonly LogRecord[];
  /** Wipes the keys that nobody uses any more; to be called once the core follows the new policy. */
  readonly retire: () => void;
}

/** Judges what was read against what holds. `say` writes its errors and warnings for people. */
export function compareConfigurations(
  before: Configuration,
  read: Result<Configuration, readonly Diagnostic[]>,
  say: (diagnostic: Diagnostic) => string = formatDiagnostic,
): Reread {
  if (!read.ok) {
    const reloaded = { exit: 78, lines: read.error.map(say), text: "nothing was changed" };
    return { reloaded, next: undefined, records: [], retire: () => {} };
  }
  const { daemon, policy, warnings } = read.value;
  const diff = diffPolicies(before.policy, policy);
  // Keys stay those that the SAs know; only words and filters are taken from what was read.
  const known = new Map([...diff.kept, ...diff.refitted].map(([old, again]) => [again, refit(old, again)]));
  const manual = new Map(
    policy.manual.flatMap((again) => {
      const old = before.policy.manual.find((one) => sameManual(one, again));
      return old ? [[again, old] as const] : [];
    }),
  );
  const lines = [...warnings.map(say), ...(sameDaemon(before, read.value) ? [] : [FIXED])];
  return {
    reloaded: { exit: 0, lines, text: describeDiff(diff) },
    next: {
      ...read.value,
      daemon: { ...before.daemon, onStop: daemon.onStop },
      policy: {
        ...policy,
        rules: policy.rules.map((rule) => known.get(rule) ?? rule),
        manual: policy.manual.map((sa) => manual.get(sa) ?? sa),
      },
    },
    records: changesOf(diff),
    retire: () => {
      for (const rule of [...diff.dropped, ...known.keys()]) wipeKeys(rule);
      const used = new Set(manual.values());
      for (const sa of [...before.policy.manual.filter((old) => !used.has(old)), ...manual.keys()]) wipeManual(sa);
    },
  };
}

function changesOf({ refitted, added, dropped }: PolicyDiff): readonly LogRecord[] {
  const [before, after] = [new Set(dropped.map(({ name }) => name)), new Set(added.map(({ name }) => name))];
  const record = (rule: string, what: string, winEventId: number): LogRecord => ({
    ...{ event: "policy.changed", level: "info", text: `rule ${rule} was ${what}`, rule, winEventId },
  });
  return [
    ...refitted.map(([, { name }]) => record(name, "changed", 5044)),
    ...added.map(({ name }) => (before.has(name) ? record(name, "changed", 5044) : record(name, "added", 5043))),
    ...dropped.filter(({ name }) => !after.has(name)).map(({ name }) => record(name, "removed", 5045)),
  ];
}

const FIXED = "[daemon] is read at a start only: restart the daemon for what changed there";

const sameDaemon = (a: Configuration, b: Configuration): boolean =>
  JSON.stringify({ ...a.daemon, onStop: null }) === JSON.stringify({ ...b.daemon, onStop: null });

/** Private keys of certificates may be shared by rules; they go with the process. */
function wipeKeys(rule: Rule): void {
  for (const entry of rule.auth) if (entry.method === "psk") entry.secret.destroy();
}

function wipeManual({ keyIn, keyOut }: ManualSa): void {
  keyIn.destroy();
  keyOut.destroy();
}
