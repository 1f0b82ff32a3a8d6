/**
 * Which policy is followed: the configuration as it was last read, the rules that were added at run time, and the addresses that names
 * stand for. Whatever changes comes to the core as one new policy.
 */

import type { Result } from "../isakmp/result.ts";
import type { Configuration, ConfigurationText, Diagnostic } from "../policy/config.ts";
import { RUN_TIME, splitRules } from "../policy/run-time.ts";
import { ruleNamed } from "../policy/select.ts";
import type { Policy } from "../policy/types.ts";
import type { Reloaded } from "./commands.ts";
import type { OpenedJournal } from "./journal.ts";
import type { Log } from "./log.ts";
import { NAMES_OWNER, Names, type NamesParts } from "./names.ts";
import { compareConfigurations } from "./reload.ts";

/** Reads the configuration again, with further texts behind its files. */
export type Reread = (runTime: readonly ConfigurationText[]) => Result<Configuration, readonly Diagnostic[]>;

export interface PolicySourceParts {
  readonly configuration: Configuration;
  readonly reread: Reread | undefined;
  readonly log: Log;
  /** Follows a policy; resolves when the core does. */
  readonly follow: (policy: Policy) => Promise<void>;
  /** Where what names stand for is kept over a restart, if at all. */
  readonly journal: OpenedJournal | undefined;
  /** Instead of the system's resolver. */
  readonly find?: NamesParts["find"] | undefined;
}

/** Most rules at run time: they are kept as text, and read with every reload. */
const MOST_RULES = 1000;

export class PolicySource {
  readonly #parts: PolicySourceParts;
  readonly #names: Names;
  #runTime: ReadonlyMap<string, ConfigurationText> = new Map();
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

  /** Reads the files again. */
  reload(): Promise<Reloaded> {
    return this.#inTurn(() => this.#read(this.#runTime, "correct the file, and reload"));
  }

  /** Adds rules; one that was added under the same name before is replaced. A rule of a file is not. */
  addRules(text: string): Promise<Reloaded> {
    return this.#inTurn(async () => {
      const split = splitRules(text);
      if (!split.ok) return refusal(split.error);
      const taken = this.#configuration.policy.rules.find(({ name }) => split.value.has(name) && !this.#runTime.has(name));
      if (taken)
        return refusal(`rule ${JSON.stringify(taken.name)} stands in ${this.#placeOf(taken.name)}; choose another name, or edit that file`);
      if (this.#runTime.size + split.value.size > MOST_RULES)
        return refusal(`there are ${this.#runTime.size} rules already, of ${MOST_RULES} at most`);
      return this.#read(new Map([...this.#runTime, ...split.value]), "correct the rule, and add it again");
    });
  }

  deleteRule(name: string): Promise<Reloaded> {
    return this.#inTurn(async () => {
      if (this.#runTime.has(name)) return this.#read(new Map([...this.#runTime].filter(([key]) => key !== name)), "reload, and try again");
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

  async #read(runTime: ReadonlyMap<string, ConfigurationText>, hint: string): Promise<Reloaded> {
    const { log, reread, follow } = this.#parts;
    if (!reread) return { exit: 1, lines: [], text: "this daemon has no configuration file" };
    const { reloaded, next, records, retire } = compareConfigurations(this.#configuration, reread([...runTime.values()]));
    if (!next) {
      const text = `reload: nothing was changed; ${reloaded.lines[0] ?? ""}`;
      log({ event: "policy.failed", level: "error", text, winEventId: 5472, failurePoint: "me", reason: "configuration", hint });
      return reloaded;
    }
    this.#configuration = next;
    this.#runTime = runTime;
    await this.#names.follow(next.policy);
    await follow(this.policy);
    retire();
    for (const record of records) log(record);
    log({ event: "policy.reloaded", level: "notice", text: `reloaded: ${reloaded.text}`, winEventId: 5465 });
    return reloaded;
  }

  #placeOf(name: string): string {
    const source = this.#configuration.sources.find(({ key, file }) => key.startsWith(`rule ${name}:`) && file !== RUN_TIME);
    return source ? `${source.file}:${source.line}` : "the configuration";
  }
}

const refusal = (text: string): Reloaded => ({ exit: 1, lines: [], text });
