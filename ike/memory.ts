/**
 * The memory of the core when it has seen nothing, and how much is in it.
 */
import { NO_POLICY } from "../policy/traffic-keys.ts";
import { Store } from "../sa-store/store.ts";
import { Challenge } from "./cookie-challenge.ts";
import type { Core } from "./core.ts";
import type { Crypto, Random } from "./crypto/provider.ts";
import { Reassembly } from "./fragments.ts";
import { Fronts } from "./fronts.ts";
import { Gate } from "./gate.ts";
import { Jobs } from "./jobs.ts";
import { LastAnswers } from "./last-answers.ts";
import { Leftovers } from "./leftovers.ts";
import { type Note, silent } from "./note.ts";
import { Others } from "./others.ts";
import { AskedPolicies } from "./policy-records.ts";
import { FIRST_PAUSE } from "./refused.ts";
import { PolicyTable } from "./standing.ts";
import { Timers } from "./timers.ts";

export interface EngineOptions {
  readonly crypto: Crypto;
  readonly random: Random;
  /** The UDP port of IKE at both ends; 500 but in tests. */
  readonly port: number;
  /** That of NAT traversal, at both ends; 4500 where not given. */
  readonly natPort?: number;
  /** Whether effects `journal` are wanted: what a restart needs to know. */
  readonly journal?: boolean;
  /** Hears why the core does what it does. */
  readonly note?: Note;
}

/** The memory of a core that has seen nothing. */
export const newCore = (options: EngineOptions): Core => ({
  ...options,
  note: options.note ?? silent,
  natPort: options.natPort ?? 4500,
  store: new Store(),
  timers: new Timers(),
  policies: new PolicyTable(),
  asked: new AskedPolicies(),
  refusedPause: FIRST_PAUSE,
  look: { id: null, isRepeat: false, startedAt: 0, failures: 0, notBefore: 0, lastOnes: 0 },
  unknown: null,
  pending: new Map(),
  routes: new Map(),
  jobs: new Jobs(),
  unusable: new Map(),
  learnt: new Map(),
  wishes: new Map(),
  watches: new Map(),
  retries: new Map(),
  outages: new Map(),
  paced: new Map(),
  nextStart: 0,
  manual: new Map(),
  fronts: new Fronts(),
  others: new Others(),
  farewells: new Map(),
  counters: new Map(),
  leftovers: new Leftovers(),
  gate: new Gate(options.random),
  challenge: new Challenge(options),
  lastAnswers: new LastAnswers(),
  fragments: new Reassembly(),
  deleteAnswers: new Map(),
  policy: { ...NO_POLICY, name: "none" },
  asRead: { ...NO_POLICY, name: "none" },
  roaming: new Map(),
  endsAsked: { open: new Set(), told: new Map() },
  loadSince: null,
  addresses: [],
  broadcasts: [],
  now: 0,
  effects: [],
  nextOp: 0,
  stopping: false,
  stops: [],
  arrival: null,
  touched: null,
});

/** Entries in all tables together: 0 when all is over. */
export const sizeOf = (core: Core): number =>
  core.store.size +
  core.timers.size +
  core.pending.size +
  core.jobs.size +
  core.routes.size +
  core.wishes.size +
  core.watches.size +
  core.retries.size +
  core.paced.size +
  core.manual.size +
  core.fronts.size +
  core.others.size +
  core.farewells.size +
  core.leftovers.size +
  core.fragments.size +
  core.endsAsked.told.size +
  core.policies.size;
