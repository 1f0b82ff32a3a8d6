/**
 * Names in filters: asked for again and again, and what they stand for now. A name that can't be resolved keeps the addresses that it had:
 * a resolver that is down must not open what a rule shuts, nor does a restart.
 */
import { canonicalAddress } from "../isakmp/address.ts";
import { namesIn, type Resolved, resolvePolicy } from "../policy/resolve.ts";
import type { Policy } from "../policy/types.ts";
import type { JournalPart, JournalRecord } from "../sa-store/journal-record.ts";
import type { Log } from "./log.ts";
import { NameLookups } from "./name-lookups.ts";
import { type SystemSet, systemAddresses } from "./system-addresses.ts";
import { within } from "./within.ts";

/** Between two looks. Milliseconds. */
const AGAIN = 60_000;
/** For all names of a policy together, before it is followed. */
const PATIENCE = 5_000;

export interface NamesParts {
  readonly log: Log;
  /** Some name stands for other addresses than before. */
  readonly onChange: () => void;
  readonly find?: ((name: string) => Promise<readonly string[]>) | undefined;
  readonly againMs?: number;
  readonly patienceMs?: number;
  /** What names stood for in the last run, and where that is written down: a restart while the resolver is down forgets nothing. */
  readonly earlier?: ReadonlyMap<string, JournalPart> | undefined;
  readonly save?: ((records: readonly JournalRecord[]) => void) | undefined;
}

/** Owner of the journal's records of names; a part is a name. */
export const NAMES_OWNER = "names";

export class Names {
  readonly #parts: NamesParts;
  readonly #known = new Map<string, readonly string[]>();
  /** The look of which each name has its addresses: what an older one brings later is old. */
  readonly #answered = new Map<string, number>();
  readonly #failed = new Set<string>();
  readonly #lookups = new NameLookups();
  #names: ReadonlySet<string> = new Set();
  #looks = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: NamesParts) {
    this.#parts = parts;
    for (const [name, { value }] of parts.earlier ?? []) if (Array.isArray(value)) this.#known.set(name, value.map(String));
  }

  /** The policy with addresses in the place of names, as far as they are known. The policy itself where it has none. */
  apply(policy: Policy): Policy {
    return namesIn(policy).length === 0 ? policy : resolvePolicy(policy, this.#known satisfies Resolved);
  }

  /** Looks up the names of a policy, and goes on doing so; resolves when all are known or have had their time. Those that took longer are told of. */
  async follow(policy: Policy): Promise<void> {
    this.#adopt(policy);
    if (this.#names.size === 0) return;
    await this.#look();
    this.#again();
  }

  /**
   * The same where nothing else keeps the policy's traffic out of the clear: it resolves once that is known which this host can tell without asking anybody
   * (dns, dhcp, gateway). Each other answer is told of as it comes, and `settled` resolves when all are known or have had their time.
   */
  async begin(policy: Policy): Promise<{ readonly settled: Promise<void> }> {
    this.#adopt(policy);
    if (this.#names.size === 0) return { settled: Promise.resolve() };
    const asked = this.#ask(() => this.#parts.onChange());
    const settled = this.#untilKnown([...asked.values()]);
    this.#again();
    await this.#untilKnown(SETS.flatMap((set) => asked.get(set) ?? []));
    return { settled };
  }

  /** Something about this host's network has changed. */
  async lookNow(): Promise<void> {
    if (this.#names.size > 0 && (await this.#look())) this.#parts.onChange();
  }

  close(): void {
    this.#names = new Set();
    clearTimeout(this.#timer);
    this.#lookups.close();
  }

  #adopt(policy: Policy): void {
    this.#names = new Set(namesIn(policy));
    for (const name of this.#known.keys()) if (!this.#names.has(name)) this.#forget(name);
    clearTimeout(this.#timer);
    if (this.#names.size === 0) this.#lookups.close();
  }

  #forget(name: string): void {
    this.#known.delete(name);
    this.#answered.delete(name);
    this.#parts.save?.([{ owner: NAMES_OWNER, part: name, value: null, secret: null }]);
  }

  #again(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      void this.lookNow().finally(() => {
        if (this.#names.size > 0) this.#again();
      });
    }, this.#parts.againMs ?? AGAIN);
    this.#timer.unref();
  }

  /** Whether anything has changed. Each name's answer counts when it comes, so that nobody waits for the slowest: one that comes late is news to everybody. */
  async #look(): Promise<boolean> {
    let [changed, isLate] = [false, false];
    const asked = this.#ask(() => {
      if (isLate) this.#parts.onChange();
      changed = true;
    });
    await this.#untilKnown([...asked.values()]);
    isLate = true;
    return changed;
  }

  /** Asks for all names; `onNews` when an answer is. */
  #ask(onNews: () => void): ReadonlyMap<string, Promise<void>> {
    const look = ++this.#looks;
    const ask = async (name: string): Promise<void> => {
      if (this.#take(name, look, await this.#find(name, look))) onNews();
    };
    return new Map([...this.#names].map((name) => [name, ask(name)]));
  }

  async #untilKnown(asked: readonly Promise<void>[]): Promise<void> {
    await within(this.#parts.patienceMs ?? PATIENCE, Promise.all(asked));
  }

  /** Whether a newer look has found the name's addresses. */
  #isOld(name: string, look: number): boolean {
    return look < (this.#answered.get(name) ?? 0);
  }

  /** Whether that is news. */
  #take(name: string, look: number, addresses: readonly string[]): boolean {
    if (!this.#names.has(name) || addresses.length === 0 || this.#isOld(name, look)) return false;
    this.#answered.set(name, look);
    if (this.#known.get(name)?.join() === addresses.join()) return false;
    this.#known.set(name, addresses);
    this.#parts.save?.([{ owner: NAMES_OWNER, part: name, value: addresses, secret: null }]);
    this.#parts.log({ event: "svc.names", level: "info", text: `${name} stands for ${addresses.join(", ")}` });
    return true;
  }

  /** Canonical addresses in a fixed order; empty where nothing is known, which is said once. */
  async #find(name: string, look: number): Promise<readonly string[]> {
    const addresses = await this.#ofSystem(name).catch(() => []);
    if (addresses.length > 0) this.#failed.delete(name);
    else if (this.#names.has(name) && !this.#failed.has(name) && !this.#isOld(name, look)) {
      this.#failed.add(name);
      const text = `${name} stands for no address${this.#known.has(name) ? " now, and keeps those that it had" : "; its filters are about nothing"}`;
      const failure = { failurePoint: "me", reason: "no-address", hint: "`getent ahosts NAME` asks the same; or write addresses" } as const;
      this.#parts.log({ event: "svc.names", level: "warning", text, ...failure });
    }
    return [...new Set(addresses.flatMap((text) => canonicalAddress(text) ?? []))].sort();
  }

  async #ofSystem(name: string): Promise<readonly string[]> {
    const { find } = this.#parts;
    if (find) return find(name);
    const set = SETS.find((word) => word === name);
    return set ? systemAddresses(set) : this.#lookups.find(name);
  }
}

const SETS: readonly SystemSet[] = ["dns", "dhcp", "gateway"];
