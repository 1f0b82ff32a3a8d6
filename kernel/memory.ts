/**
 * An xfrm database in memory: the same commands, refusals and events as Linux, without a clock. Tests, the simulator and `demo` run on it.
 * Invariant: it owns copies of the keys, as a kernel does, and wipes each with its SA; commands it refuses leave nothing behind.
 */

import { ESP_CIPHERS, INTEGRITIES } from "../ike/crypto/suite.ts";
import {
  type KernelCommand,
  type KernelEvent,
  type KernelPolicy,
  type KernelRefusal,
  type KernelSa,
  REQID_BASE,
  type SaCounters,
  type SaKey,
} from "../ike/kernel-contract.ts";
import { canonicalAddress } from "../isakmp/address.ts";
import { err, ok, type Result } from "../isakmp/result.ts";
import { accepts, type Packet, route, type Verdict } from "./memory-traffic.ts";
import type { Kernel } from "./port.ts";
import { describeCommand, policyName, saName } from "./xfrm-args.ts";

/** What identifies an SA to the kernel; its source does not. */
export type SaName = Pick<SaKey, "protocol" | "spi" | "destination">;

/** An installed SA. `sa.*.key` are the database's own copies. */
export interface MemoryState {
  readonly sa: KernelSa;
  readonly counters: SaCounters;
  /** Whether its soft limit was told; it is told once. */
  readonly soft: boolean;
}

/** The database: every call is synchronous. */
export interface MemoryXfrm {
  /** Installed SAs by `saName`, oldest first. */
  readonly states: ReadonlyMap<string, MemoryState>;
  /** Policies by `policyName`, in the order of their first insertion. */
  readonly policies: ReadonlyMap<string, KernelPolicy>;
  /** Runs commands in order up to the first refusal, as `Kernel.run`. */
  apply(commands: readonly KernelCommand[]): Result<readonly SaCounters[], KernelRefusal>;
  /** Which SAs a packet that leaves would use. Changes nothing: several required acquires are several events. */
  outbound(packet: Packet): Verdict;
  /** Whether a packet that came through these SAs, innermost first, may pass the policies of `direction`. */
  inbound(packet: Packet, through: readonly SaName[], direction?: "in" | "fwd"): boolean;
  /**
   * Counts one packet of `octets` on an SA. As in Linux a limit is tested before the packet that follows its crossing: a soft
   * one tells, a hard one drops that packet, tells, and removes the SA. An SA that is not there drops without an event.
   */
  pass(sa: SaName, octets: number): { readonly passed: boolean; readonly events: readonly KernelEvent[] };
  /** Sets the counters of an installed SA. */
  setCounters(sa: SaName, counters: SaCounters): void;
  /** What the kernel does when a time limit comes: the event, and for a hard one the removal. Nothing for an SA that is not there. */
  expire(sa: SaName, hard: boolean): readonly KernelEvent[];
  /** Switches the machine off: wipes every key, forgets everything. */
  clear(): void;
}

export interface MemoryOptions {
  /** Called with each command carried out, keys masked. */
  readonly log?: (line: string) => void;
  /** Protocols (`esp`) and algorithms (`hmac(sha512)`) that this kernel was built without. */
  readonly lacks?: readonly string[];
  /** Keeps no keys: the benchmark measures a daemon, in whose memory a real kernel keeps nothing either. */
  readonly keyless?: boolean;
}

/** Which of its limits an SA has reached. */
function crossed({ sa: { limits }, counters }: MemoryState): { readonly isSoft: boolean; readonly isHard: boolean } {
  const reached = (limit: number | null, count: number): boolean => limit !== null && count >= limit;
  return {
    isSoft: reached(limits.softOctets, counters.octets) || reached(limits.softPackets, counters.packets),
    isHard: reached(limits.hardOctets, counters.octets) || reached(limits.hardPackets, counters.packets),
  };
}

/** An empty database. */
export function memoryXfrm(options: MemoryOptions = {}): MemoryXfrm {
  const states = new Map<string, MemoryState>();
  const policies = new Map<string, KernelPolicy>();
  const { lacks = [], keyless = false } = options;
  const remove = (name: string): void => {
    const state = states.get(name);
    if (state) for (const key of keysOf(state.sa)) key.destroy();
    states.delete(name);
  };
  const expire = (name: SaName, hard: boolean): readonly KernelEvent[] => {
    const state = states.get(saName(name));
    if (!state) return [];
    if (hard) remove(saName(name));
    else states.set(saName(name), { ...state, soft: true });
    const { source, destination, protocol, spi, reqid } = state.sa;
    return [{ type: "expire", hard, sa: { source, destination, protocol, spi }, reqid }];
  };
  return {
    states,
    policies,
    apply(commands) {
      const counters: SaCounters[] = [];
      const db = { states, policies, lacks, keyless, remove, counters };
      for (const [index, command] of commands.entries()) {
        const reason = perform(db, command);
        if (reason) return err({ index, reason, exists: reason === EXISTS, command: describeCommand(command) });
        options.log?.(describeCommand(command));
      }
      return ok(counters);
    },
    outbound: (packet) =>
      route(
        packet,
        policies.values(),
        Array.from(states.values(), ({ sa }) => sa),
      ),
    inbound: (packet, through, direction = "in") => {
      const used = through.map((name) => states.get(saName(name))?.sa);
      return used.every((sa) => sa !== undefined) && accepts(packet, policies.values(), used, direction);
    },
    pass(name, octets) {
      const state = states.get(saName(name));
      if (!state) return { passed: false, events: [] };
      const { octets: seen, packets } = state.counters;
      const { isHard, isSoft } = crossed(state);
      if (isHard) return { passed: false, events: expire(name, true) };
      const events = isSoft && !state.soft ? expire(name, false) : [];
      const soft = state.soft || events.length > 0;
      states.set(saName(name), { ...state, soft, counters: { octets: seen + octets, packets: packets + 1 } });
      return { passed: true, events };
    },
    setCounters(name, counters) {
      const state = states.get(saName(name));
      if (state) states.set(saName(name), { ...state, counters });
    },
    expire,
    clear() {
      for (const name of [...states.keys()]) remove(name);
      policies.clear();
    },
  };
}

/** A database behind the daemon's interface. `inject` delivers an event as if the kernel had sent it. */
export function memoryKernel(options: MemoryOptions = {}): Kernel & MemoryXfrm & { inject(event: KernelEvent): void } {
  const xfrm = memoryXfrm(options);
  const listeners: ((event: KernelEvent) => void)[] = [];
  const listed = () => Array.from(xfrm.policies.values(), (policy) => ({ ...policy, ours: true }));
  return {
    ...xfrm,
    /** Applied at once, so in the order of the calls; answered later, as a real kernel's answer is. */
    run: (commands) => Promise.resolve(xfrm.apply(commands)),
    counters() {
      const ours = [...xfrm.states].filter(([, { sa }]) => sa.reqid >= REQID_BASE && sa.reqid <= REQID_BASE + 0xffff);
      return Promise.resolve(new Map(ours.map(([name, state]) => [name, state.counters])));
    },
    list: () =>
      Promise.resolve({
        sas: [...xfrm.states.values()].map(({ sa: { source, destination, protocol, spi, reqid, limits }, counters }) => ({
          source,
          destination,
          protocol,
          spi,
          reqid,
          counters,
          endless: limits.hardSeconds === null,
        })),
        policies: listed(),
      }),
    listPolicies: () => Promise.resolve(listed()),
    listen(onEvent) {
      listeners.push(onEvent);
    },
    inject(event) {
      for (const listener of listeners) listener(event);
    },
    close() {
      listeners.length = 0;
      return Promise.resolve();
    },
  };
}

/** The kernel's words, as `ip` prints them. */
const EXISTS = "File exists";
const NO_STATE = "No such process";
const INVALID = "Invalid argument";

interface Database {
  readonly states: Map<string, MemoryState>;
  readonly policies: Map<string, KernelPolicy>;
  readonly lacks: readonly string[];
  readonly keyless: boolean;
  readonly remove: (name: string) => void;
  readonly counters: SaCounters[];
}

/** Carries out one command, or says why not. */
function perform(db: Database, command: KernelCommand): string | undefined {
  switch (command.do) {
    case "add-sa":
      return addSa(db, command.sa);
    case "update-sa":
      return updateSa(db, command.sa);
    case "remove-sa":
      return void db.remove(saName(command.sa));
    case "read-sa": {
      const state = db.states.get(saName(command.sa));
      if (!state) return NO_STATE;
      return void db.counters.push(state.counters);
    }
    case "add-policy":
      if (db.policies.has(policyName(command.policy))) return EXISTS;
      return setPolicy(db, command.policy);
    case "update-policy":
      return setPolicy(db, command.policy);
    case "remove-policy":
      return void db.policies.delete(policyName(command.policy));
  }
}

function addSa(db: Database, sa: KernelSa): string | undefined {
  const reason = wrongSa(sa, db.lacks);
  if (reason) return reason;
  const name = saName(sa);
  if (db.states.has(name)) return EXISTS;
  db.states.set(name, { sa: db.keyless ? sa : withOwnKeys(sa), counters: { octets: 0, packets: 0 }, soft: false });
  return undefined;
}

/** As in Linux: of an SA that is there only ports and limits change, and packets can't become bare, nor bare ones travel in UDP. */
function updateSa(db: Database, { encap, limits, ...name }: KernelSa): string | undefined {
  const state = db.states.get(saName(name));
  if (!state) return NO_STATE;
  if ((state.sa.encap === null) !== (encap === null)) return INVALID;
  db.states.set(saName(name), { ...state, sa: { ...state.sa, encap, limits } });
  return undefined;
}

function setPolicy(db: Database, policy: KernelPolicy): string | undefined {
  const reason = wrongPolicy(policy);
  if (!reason) db.policies.set(policyName(policy), policy);
  return reason;
}

function wrongSa(sa: KernelSa, lacks: readonly string[]): string | undefined {
  const families = [sa.source, sa.destination].map(familyOf);
  if (families[0] === undefined || families[0] !== families[1]) return INVALID;
  if (lacks.includes(sa.protocol)) return "Requested type not found.";
  const { integrity, encryption, aead } = sa;
  if (integrity && (lacks.includes(integrity.name) || !INTEGRITIES.some((row) => row.xfrm === integrity.name)))
    return notFound("AUTH_TRUNC");
  if (encryption && unknownCipher(encryption.name, lacks)) return notFound("CRYPT");
  if (aead && unknownCipher(aead.name, lacks)) return notFound("AEAD");
  const cipher = aead ?? encryption;
  if (sa.protocol === "ah" ? cipher !== null || !integrity : !cipher || (aead !== null && (encryption ?? integrity) !== null))
    return INVALID;
  if (cipher && !ESP_CIPHERS.some((row) => row.xfrm === cipher.name && row.keyOctets === cipher.key.length)) return INVALID;
  return undefined;
}

const notFound = (kind: string): string => `Requested ${kind} algorithm not found.`;

const unknownCipher = (name: string, lacks: readonly string[]): boolean =>
  lacks.includes(name) || !ESP_CIPHERS.some((row) => row.xfrm === name);

/** Linux takes six templates at most. An optional tunnel outbound has no answer to where the packet would go without it. */
function wrongPolicy({ selector, direction, templates }: KernelPolicy): string | undefined {
  const family = familyOf(selector.source);
  if (family === undefined || family !== familyOf(selector.destination)) return INVALID;
  const bits = family === 4 ? 32 : 128;
  if (selector.sourceLength > bits || selector.destinationLength > bits) return "Invalid prefix length";
  if (templates.length > 6) return INVALID;
  if (direction === "out" && templates.some((t) => t.level === "use" && t.mode === "tunnel")) {
    return "Mode in optional template not allowed in outbound policy.";
  }
  return undefined;
}

/** 4 or 6; undefined also for text that is not canonical, since the real kernel would print it differently than it was written. */
const familyOf = (address: string): 4 | 6 | undefined =>
  canonicalAddress(address) !== address ? undefined : address.includes(":") ? 6 : 4;

const keysOf = (sa: KernelSa) => [sa.encryption?.key, sa.integrity?.key, sa.aead?.key].filter((key) => key !== undefined);

const withOwnKeys = (sa: KernelSa): KernelSa => ({
  ...sa,
  encryption: sa.encryption && { ...sa.encryption, key: sa.encryption.key.clone() },
  integrity: sa.integrity && { ...sa.integrity, key: sa.integrity.key.clone() },
  aead: sa.aead && { ...sa.aead, key: sa.aead.key.clone() },
});
