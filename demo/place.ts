/**
 * Where the demo takes place: the best of three, by what this machine has (interface.md §5). A forced place is never exchanged for another.
 */
import { err, ok, type Result } from "../isakmp/result.ts";

/** `namespaces`: this kernel. `uml`: a User-Mode Linux kernel, and namespaces in that. `memory`: loopback, and kernels in memory. */
export type Place = "namespaces" | "uml" | "memory";

export const PLACES: readonly Place[] = ["namespaces", "uml", "memory"];

/** What this machine has. */
export interface Facts {
  readonly root: boolean;
  readonly ip: boolean;
  readonly ping: boolean;
  /** Whether sockets can be opened that see the wire. */
  readonly native: boolean;
  /** Whether a network namespace can be made, and its kernel takes ESP SAs. */
  readonly esp: boolean;
  /** Whether a User-Mode Linux kernel and what it takes to start it are installed. */
  readonly uml: boolean;
}

/** The place, and why it is none of those before it. */
export interface Choice {
  readonly place: Place;
  readonly because: readonly string[];
}

/** The first place that lacks nothing, or the forced one; an error says what that lacks. */
export function choosePlace(facts: Facts, forced?: Place): Result<Choice, string> {
  if (forced !== undefined) {
    const lack = lackOf(forced, facts);
    return lack === undefined ? ok({ place: forced, because: [] }) : err(`no demo in ${NAMES[forced]}: ${lack}`);
  }
  const lacks = PLACES.map((place) => lackOf(place, facts));
  const first = lacks.indexOf(undefined);
  return ok({ place: PLACES[first] as Place, because: lacks.slice(0, first).filter((lack) => lack !== undefined) });
}

/** Places in words. */
export const NAMES: Readonly<Record<Place, string>> = {
  namespaces: "two network namespaces of this kernel",
  uml: "a User-Mode Linux kernel",
  memory: "two daemons on loopback addresses, with kernels in memory",
};

type Need = readonly [keyof Facts, string];

const TOOLS: readonly Need[] = [
  ["native", "koffi can't be used"],
  ["ip", "there is no `ip` (package iproute2)"],
  ["ping", "there is no `ping` (package iputils-ping)"],
];

/** What a place needs, and what is said where it is missing; the first that is counts. */
const NEEDS: Readonly<Record<Place, readonly Need[]>> = {
  namespaces: [
    ["root", "only root may make network namespaces"],
    ["esp", "this kernel has no ESP, or lets us make no network namespaces"],
    ...TOOLS,
  ],
  uml: [["uml", "there is no User-Mode Linux (packages user-mode-linux and kmod)"], ...TOOLS],
  memory: [],
};

const lackOf = (place: Place, facts: Facts): string | undefined => NEEDS[place].find(([fact]) => !facts[fact])?.[1];
