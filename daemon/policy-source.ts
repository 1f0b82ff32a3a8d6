/**
 * Which policy is followed: the configuration as it was last read, the rules that were added at run time, and the addresses that names
 * stand for. Whatever changes comes to the core as one new policy.
 */

import type { Result } from "../isakmp/result.ts";
import {
  type Configuration,
  type ConfigurationReader,
  type ConfigurationText,
  type Diagnostic,
  destroyPolicy,
  formatDiagnostic,
} from "../policy/config.ts";
import { inlineKeysOf, keysOf } from "../policy/known-keys.ts";
import { RUN_TIME, splitRules } from "../policy/run-time.ts";
import { ruleNamed } from "../policy/select.ts";
import type { Policy } from "../policy/types.ts";
import type { Reloaded } from "./commands.ts";
import type { OpenedJournal } from "./journal.ts";
import type { Log } from "./log.ts";
import { NAMES_OWNER, Names, type NamesParts } from "./names.ts";
import { compareConfigurations } from "./reload.ts";

export interface PolicySourceParts {
  readonly configuration: Configuration;
  readonly reader: ConfigurationReader | undefined;
  readonly log: Log;
  /** Follows a policy; resolves when the core does. */
  readonly follow: (policy: Policy) => Promise<void>;
  /** Where what names stand for is kept over a restart, if at all. */
  readonly journal: OpenedJournal | undefined;
  /** Instead of the system's resolver. */
  readonly find?: NamesParts["find"] | undefined;
}

/** Most rules at run time, and characters of them: they are kept as text, and judged with every reload. */
const MOST_RULES = 1000;
const MOST_TEXT = 4 << 20;

/** Rules at run time by their names, without their keys once these are in force. */
type RunTime = ReadonlyMap<string, ConfigurationText>;

export class PolicySource {
  readonly #parts: PolicySourceParts;
  readonly #names: Names;
  #runTime: RunTime = new Map();
  #configuration: Configuration;
  /** One change after the other. */
  #queue: Promise<unknown> = Promise.resolve();
  /** What names stand for has changed, and that is not followed yet. */
  #isDue = false;
  #named: Promise<void> = Promise.resolve();

  constructor(parts: PolicySourceParts) {
    this.#parts = parts;
    this.#configuration = parts.configuration;
    const { log, journal, find } = parts;
    this.#names = new Names({
      log,
      onChange: () => this.#onNames(),
      find,
      earlier: journal?.image.get(NAMES_OWNER),
      save: journal && ((records) => journal.journal.write(records)),
    });
  }

  /** What was last read. Its policy has names where the files have them. */
  get configuration(): Configuration {
    return this.#configuration;
  }

  /** What is followed. */
  get policy(): Policy {
    return this.#names.apply(this.#configuration.policy);
  }

  /**
   * Follows the policy for the first time, by `first`. `isBare`: the kernel has nothing of an earlier run, so that all goes in clear meanwhile; then names
   * keep nobody waiting, and a filter with one is about nothing until it is known, as after a reload. Else the old policies stand while names are looked up.
   */
  begin(isBare: boolean, first: (policy: Policy) => void): Promise<void> {
    return this.#inTurn(async () => {
      const { policy } = this.#configuration;
      if (isBare) this.#named = (await this.#names.begin(policy)).settled;
      else await this.#names.follow(policy);
      first(this.policy);
    });
  }

  /** Resolves when the names of the beginning have had their time, and what they stand for is followed. */
  async begun(): Promise<void> {
    await this.#named;
    await this.#queue;
  }

  /** This host's network has changed. */
  lookAgain(): void {
    void this.#names.lookNow();
  }

  close(): void {
    this.#names.close();
  }

  /** Reads the files again. A rule in them takes the place of one of its name that was added at run time. */
  reload(): Promise<Reloaded> {
    return this.#inTurn(async () => {
      const { reader } = this.#parts;
      if (!reader) return NO_FILE;
      const files = reader.files();
      const known = inlineKeysOf(this.#configuration.policy);
      const read = files.ok ? reader.judge([...files.value, ...withKeys(this.#runTime.values(), known)]) : files;
      const hint = files.ok && !read.ok && this.#runTime.size > 0 ? this.#hintAbout(read.error, reader.judge(files.value)) : undefined;
      return this.#take(read, this.#runTime, describe, hint);
    });
  }

  /** Adds rules to what was last read; one that was added under the same name before is replaced. A rule of a file is not. */
  addRules(text: string): Promise<Reloaded> {
    return this.#inTurn(async () => {
      const split = splitRules(text);
      if (!split.ok) return refusal(split.error, "write [[rule]] tables with names, as in the configuration file");
      const taken = this.#configuration.policy.rules.find(({ name }) => split.value.has(name) && !this.#runTime.has(name));
      if (taken)
        return refusal(`rule ${JSON.stringify(taken.name)} stands in ${this.#placeOf(taken.name)}; choose another name, or edit that file`);
      const wanted = new Map([...this.#runTime, ...split.value]);
      if (wanted.size > MOST_RULES)
        return refusal(`with these there would be ${wanted.size} rules at run time, and ${MOST_RULES} are possible`, INTO_A_FILE);
      const length = [...wanted.values()].reduce((sum, each) => sum + each.text.length, 0);
      if (length > MOST_TEXT)
        return refusal(`with these the rules at run time would have ${length} characters, and ${MOST_TEXT} are possible`, INTO_A_FILE);
      // Lines are those of the text that was just given.
      const say = (diagnostic: Diagnostic) => (split.value.has(diagnostic.rule ?? "") ? formatDiagnostic : describe)(diagnostic);
      return this.#change(wanted, new Set(split.value.keys()), say, "correct the rule, and add it again");
    });
  }

  /** Deletes a rule that was added at run time from what was last read. */
  deleteRule(name: string): Promise<Reloaded> {
    return this.#inTurn(async () => {
      if (this.#runTime.has(name)) {
        const others = new Map([...this.#runTime].filter(([key]) => key !== name));
        return this.#change(others, new Set(), describe, "reload, and try again");
      }
      const inFile = ruleNamed(this.#configuration.policy, name) !== undefined;
      if (inFile) return refusal(`rule ${JSON.stringify(name)} stands in ${this.#placeOf(name)}; remove it there, and reload`);
      const known = [...this.#runTime.keys()].join(", ") || "none";
      return refusal(`no rule ${JSON.stringify(name)} was added at run time; there are: ${known}`);
    });
  }

  /** Answers that come while another policy is being followed are one change. */
  #onNames(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    void this.#inTurn(() => {
      this.#isDue = false;
      return this.#parts.follow(this.policy);
    });
  }

  #inTurn<T>(act: () => Promise<T>): Promise<T> {
    const done = this.#queue.then(act);
    this.#queue = done.catch(() => {});
    return done;
  }

  /** Other rules at run time, beside what was last read. The files are left alone: what somebody is writing in them now is not asked for. */
  async #change(runTime: RunTime, fresh: ReadonlySet<string>, say: typeof formatDiagnostic, hint: string): Promise<Reloaded> {
    const { reader } = this.#parts;
    if (!reader) return NO_FILE;
    const { policy, texts, warnings } = this.#configuration;
    const known = keysOf(policy);
    const files = withKeys(
      texts.filter(({ runTimeLine }) => runTimeLine === undefined),
      known,
    );
    const rules = [...runTime].flatMap(([name, text]) => (fresh.has(name) ? [text] : withKeys([text], known)));
    const told = new Set([...warnings.map(say), ...warnings.map(describe)]);
    const done = await this.#take(reader.judge([...files, ...rules]), runTime, say, hint);
    return { ...done, lines: done.lines.filter((line) => !told.has(line)) };
  }

  /** Follows what was read, if it has no errors. */
  async #take(
    read: Result<Configuration, readonly Diagnostic[]>,
    runTime: RunTime,
    say: typeof formatDiagnostic,
    hint: string | undefined,
  ): Promise<Reloaded> {
    const { log, follow } = this.#parts;
    const { reloaded, next, records, retire } = compareConfigurations(this.#configuration, read, say);
    if (!next) {
      const text = `reload: nothing was changed; ${reloaded.lines[0] ?? ""}`;
      const advice = hint ?? "correct the file, and reload";
      log({ event: "policy.failed", level: "error", text, winEventId: 5472, failurePoint: "me", reason: "configuration", hint: advice });
      return { ...reloaded, ...(hint === undefined ? {} : { hint }) };
    }
    this.#configuration = next;
    this.#runTime = keptOf(runTime, next);
    await this.#names.follow(next.policy);
    await follow(this.policy);
    retire();
    for (const name of next.displaced) {
      const text = `rule ${name} of ${this.#placeOf(name)} took the place of the one that was added at run time`;
      log({ event: "policy.warning", level: "warning", text, rule: name });
    }
    for (const record of records) log(record);
    log({ event: "policy.reloaded", level: "notice", text: `reloaded: ${reloaded.text}`, winEventId: 5465 });
    return reloaded;
  }

  /** What to try where the files are right by themselves, as `mainmode check` would say: rules at run time are in their way. */
  #hintAbout(errors: readonly Diagnostic[], alone: Result<Configuration, readonly Diagnostic[]>): string | undefined {
    if (!alone.ok) return undefined;
    destroyPolicy(alone.value.policy);
    const named = new Set(errors.flatMap(({ file, rule }) => (file === RUN_TIME && rule !== undefined ? [rule] : [])));
    const names = named.size > 0 ? [...named] : [...this.#runTime.keys()];
    const commands = names.slice(0, 3).map((name) => `\`mainmode rule delete ${quoted(name)}\``);
    return `${commands.join(", ")}${names.length > 3 ? " …" : ""}, or write a rule of that name into the file: it takes the place of the one at run time`;
  }

  #placeOf(name: string): string {
    const source = this.#configuration.sources.find(({ key, file }) => key === `rule ${name}: name` && file !== RUN_TIME);
    return source ? `${source.file}:${source.line}` : "the configuration";
  }
}

const refusal = (text: string, hint?: string): Reloaded => ({ exit: 1, lines: [], text, ...(hint === undefined ? {} : { hint }) });

const NO_FILE = refusal("this daemon has no configuration file");
const INTO_A_FILE = "put them into a file of conf.d beside mainmode.toml, and reload";

/** A finding about a rule at run time by the rule's name: nobody has the lines of its text at hand. */
const describe = (diagnostic: Diagnostic): string =>
  diagnostic.file !== RUN_TIME
    ? formatDiagnostic(diagnostic)
    : `${diagnostic.severity === "warning" ? "warning: " : ""}run-time ${diagnostic.message}`;

const withKeys = (texts: Iterable<ConfigurationText>, known: ConfigurationText["known"]): readonly ConfigurationText[] =>
  [...texts].map((text) => (known ? { ...text, known } : text));

/** The rules at run time that are in force, as the configuration has kept them: in the order in which they were given to it. */
function keptOf(runTime: RunTime, { texts, displaced }: Configuration): RunTime {
  const kept = texts.filter(({ runTimeLine }) => runTimeLine !== undefined);
  const gone = new Set(displaced);
  return new Map([...runTime.keys()].flatMap((name, i) => (kept[i] && !gone.has(name) ? [[name, kept[i]] as const] : [])));
}

/** A name as a shell takes it. */
function quoted(name: string): string {
  const word = /^[\w.-]+$/.test(name) ? name : `'${name.replaceAll("'", "'\\''")}'`;
  return name.startsWith("-") ? `-- ${word}` : word;
}
