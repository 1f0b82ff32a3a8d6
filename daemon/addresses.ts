/**
 * Which addresses this host has, and which of them get sockets; follows `ip monitor`.
 * Addresses count while they are configured, carrier or not: a `require` rule whose policies went with the cable would let clear text
 * out for a moment when it comes back. The monitor's text is only a bell: the list is always read again as a whole.
 *
 * Of an address of IPv6 the kernel tells only when it may be used, and by then its policies have to stand; the list has it from the start of duplicate
 * address detection. So an advertised prefix is a bell as well, and where the kernel makes an address by its own clock (the next temporary one,
 * RFC 8981 §3.4) the list is read until that is there.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { networkInterfaces } from "node:os";
import { canonicalAddress, formatAddress, parseRange } from "../isakmp/address.ts";
import { CHILD_ENVIRONMENT } from "../kernel/ip-text.ts";
import { isOnLink } from "../policy/selector.ts";

export interface LocalAddresses {
  /** Every unicast address but loopback (if there is another) and link-local ones of IPv6; 169.254/16 is as any other. Canonical, sorted. */
  readonly local: readonly string[];
  /** Those that IKE is served on: the configured ones, or all of `local` that may be used already. */
  readonly served: readonly string[];
  /** Link-local ones of IPv6: `why` tells by them which way a packet goes. */
  readonly onLink: readonly string[];
  /** Broadcast addresses of the networks, canonical, sorted, none of them local. */
  readonly broadcasts: readonly string[];
  /** Milliseconds until the list has to be read again although no bell rings. */
  readonly nextLookMs?: number;
}

/** An address as the system has it. */
export interface FoundAddress {
  readonly address: string;
  /** Duplicate address detection is not over, or has failed: nothing can be sent from it, and no socket bound to it. */
  readonly isTentative: boolean;
  /** Those that come with it. */
  readonly broadcasts: readonly string[];
}

/**
 * Sorts the system's addresses out. `configured` restricts what is served but not what is local: a `require` rule about
 * `me` protects every address of the host. Configured addresses count as local, loopback ones included.
 */
export function sortAddresses(found: readonly FoundAddress[], configured: readonly string[] | null): LocalAddresses {
  const all = found.flatMap(({ address }) => canonicalAddress(address) ?? []);
  const tentative = new Set(found.flatMap(({ address, isTentative }) => (isTentative ? (canonicalAddress(address) ?? []) : [])));
  const usable = all.filter((address) => !isOnLink(address));
  const outer = usable.filter((address) => !isLoopback(address));
  const wanted = (configured ?? []).flatMap((text) => canonicalAddress(text) ?? []);
  const local = sorted([...(outer.length > 0 || wanted.length > 0 ? outer : usable), ...wanted]);
  return {
    local,
    served: configured ? sorted(wanted) : local.filter((address) => !tentative.has(address)),
    onLink: sorted(all.filter(isOnLink)),
    broadcasts: sorted(found.flatMap(({ broadcasts }) => broadcasts)).filter((address) => !all.includes(address)),
  };
}

/** What is told when local addresses have changed: without any, all policies about `me` are gone. */
export const addressesEvent = (local: readonly string[]) =>
  ({
    event: "svc.addresses",
    level: local.length > 0 ? "info" : "warning",
    text: `local addresses are now ${local.join(", ") || "none"}`,
  }) as const;

const sameAddresses = (a: LocalAddresses, b: LocalAddresses): boolean => textOf(a) === textOf(b);

const textOf = ({ local, served, onLink, broadcasts }: LocalAddresses): string => [local, served, onLink, broadcasts].map(String).join(" ");

/** Whether an address was tentative at the last look: it may be used by now, and its sockets follow. */
export const awaitsSocket = ({ local, served }: LocalAddresses, address: string): boolean =>
  local.includes(address) && !served.includes(address);

/** The addresses in the text of `ip -o address show`; of a point-to-point link our end. */
export const parseAddressList = (text: string): readonly FoundAddress[] =>
  text.split("\n").flatMap((line) => {
    const address = /^\d+: \S+\s+inet6? ([0-9a-fA-F.:]+)/.exec(line)?.[1];
    if (address === undefined) return [];
    // An optimistic one (RFC 4429) is used before duplicate address detection is over.
    return [{ address, isTentative: / tentative /.test(line) && !/ optimistic /.test(line), broadcasts: broadcastsIn(line) }];
  });

/** What Linux takes for broadcast addresses (`fib_add_ifaddr`): what it is told, and the last address of a network of more than two, told or not. */
function broadcastsIn(line: string): readonly string[] {
  const told = /^.*? brd ([0-9.]+) /.exec(line)?.[1];
  const [, address, network = address, length] = /\sinet ([0-9.]+)(?: peer ([0-9.]+))?\/(\d+) /.exec(line) ?? [];
  const range = length !== undefined && Number(length) < 31 ? parseRange(`${network}/${length}`) : undefined;
  const last = range && formatAddress(4, range.last);
  return [told, last].flatMap((one) => (one === undefined || one === EVERYBODY || isLoopback(one) ? [] : [one]));
}

const EVERYBODY = "255.255.255.255";

export interface LookOptions {
  readonly ip?: string;
  /** What the last look found. */
  readonly known?: LocalAddresses;
  readonly patienceMs?: number;
}

/**
 * The host's addresses now. Where `ip` can't be run, those that were known and those of interfaces that are up have to do: one address too many protects
 * nothing, and one too few lets its traffic out in clear.
 */
export async function readAddresses(configured: readonly string[] | null, options: LookOptions = {}): Promise<LocalAddresses> {
  const { ip = "ip", known, patienceMs = PATIENCE_MS } = options;
  const [text, up] = await Promise.all([listed(ip, [], patienceMs), listed(ip, ["up"], patienceMs)]);
  const found = text === undefined ? [...withoutIp(), ...asFound(known)] : ofUpLinks(parseAddressList(text), up ?? text);
  const sorted = sortAddresses(found, configured);
  const nextLook = text === undefined ? FAILED_MS : nextLookMs(text);
  return nextLook === undefined ? sorted : { ...sorted, nextLookMs: nextLook };
}

const PATIENCE_MS = 5000;

/**
 * The list as `ip` tells it; undefined where it fails, or does not end. It has to end by itself: Node's own time limit for a child, when it passes while the loop
 * is busy, ends in an empty text and no error, and every policy about `me` would go.
 */
const listed = (ip: string, which: readonly string[], patienceMs: number): Promise<string | undefined> =>
  new Promise<string | undefined>((resolve) => {
    const chunks: Buffer[] = [];
    const child = spawn(ip, ["-o", "address", "show", ...which], { stdio: ["ignore", "pipe", "ignore"], env: CHILD_ENVIRONMENT });
    const end = setTimeout(() => child.kill("SIGKILL"), patienceMs);
    const done = (text: string | undefined): void => {
      clearTimeout(end);
      resolve(text);
    };
    child.on("error", () => done(undefined));
    // Without descriptors there is none.
    child.stdout?.on("data", (chunk: Buffer) => chunks.push(chunk));
    child.on("close", (code) => done(code === 0 ? Buffer.concat(chunks).toString() : undefined));
    // Without memory Node throws.
  }).catch(() => undefined);

const asFound = (known: LocalAddresses | undefined): readonly FoundAddress[] =>
  [...(known?.local ?? []), ...(known?.onLink ?? [])].map((address) => ({
    address,
    isTentative: known !== undefined && awaitsSocket(known, address),
    broadcasts: known?.broadcasts ?? [],
  }));

function withoutIp(): readonly FoundAddress[] {
  try {
    return Object.values(networkInterfaces()).flatMap((list) =>
      (list ?? []).map(({ address }) => ({ address, isTentative: false, broadcasts: [] })),
    );
  } catch {
    // Without descriptors it throws.
    return [];
  }
}

/** The same, with broadcast addresses of links that are up alone (`up`, the text of `ip -o address show up`): that of one which is down may be a host elsewhere. */
export function ofUpLinks(found: readonly FoundAddress[], up: string): readonly FoundAddress[] {
  const there = new Set(parseAddressList(up).map(({ address }) => address));
  return found.map((one) => (there.has(one.address) ? one : { ...one, broadcasts: [] }));
}

/**
 * Before a temporary address is deprecated Linux makes the next one: REGEN_ADVANCE earlier (RFC 8981 §3.8), which is 5 s, and 3 s more for each further probe of
 * duplicate address detection that somebody sets, or second between them.
 */
const REGENERATION_MS = 30_000;
/** Duplicate address detection takes a second and more. */
const LOOK_MS = 250;
const LONGEST_LOOK_MS = 86_400_000;
/** After a look that failed. */
const FAILED_MS = 5000;

/** When the text of `ip -o address show` has to be read again, in milliseconds; undefined: when a bell rings. */
export function nextLookMs(text: string): number | undefined {
  const due = text.split("\n").flatMap((line) => {
    const seconds = / temporary .* preferred_lft (\d+)sec/.exec(line)?.[1];
    const left = Number(seconds ?? 0) * 1000;
    return left > 0 ? [Math.min(Math.max(left - REGENERATION_MS, LOOK_MS), LONGEST_LOOK_MS)] : [];
  });
  return due.length > 0 ? due.reduce((least, one) => Math.min(least, one)) : undefined;
}

/** Whether a line of `ip -o monitor address link prefix` may mean that the list, or what can be bound, has changed. */
export const isBell = (line: string): boolean => /^((Deleted )?\d+: |prefix )/.test(line);

/** Runs `act` one at a time; calls meanwhile come to one more run afterwards. */
export function oneAtATime(act: () => Promise<void>): () => Promise<void> {
  let [running, again] = [false, false];
  const run = async (): Promise<void> => {
    again = running;
    if (running) return;
    running = true;
    try {
      await act();
    } finally {
      running = false;
    }
    if (again) await run();
  };
  return run;
}

export interface AddressWatch {
  /**
   * Looks again by `read` when `known` says so, instead of what was due before, and calls when something has changed. Nothing else is worth a call: whoever
   * hears one tries sockets again that can't be opened.
   */
  followUp(known: LocalAddresses, read: () => Promise<LocalAddresses>): void;
  close(): void;
}

export interface WatchOptions {
  readonly onChange: () => void;
  /** The command whose output is the bell, and which of its lines. */
  readonly command?: readonly [string, ...string[]];
  readonly rings?: (line: string) => boolean;
  /** From a call to the next one: changes come in bunches. */
  readonly gatherMs?: number;
  readonly againMs?: number;
}

/**
 * Calls `onChange` at once when something has changed, since until then a new address has no policy, and for what follows within `gatherMs` once more
 * after that. When the monitor ends, or can't be run, `onChange` is called every `againMs`
 * until one stays.
 */
export function watchAddresses(options: WatchOptions): AddressWatch {
  const {
    onChange,
    command = ["ip", "-o", "monitor", "address", "link", "prefix"],
    rings = isBell,
    gatherMs = 50,
    againMs = 5000,
  } = options;
  let child: ChildProcess | undefined;
  let closed = false;
  let rang = false;
  let [gathering, again]: (NodeJS.Timeout | undefined)[] = [];
  const ring = (): void => {
    rang = true;
    if (gathering) return;
    rang = false;
    gathering = setTimeout(() => {
      gathering = undefined;
      if (rang) ring();
    }, gatherMs);
    onChange();
  };
  const start = (): void => {
    const [program, ...words] = command;
    child = spawn(program, words, { stdio: ["ignore", "pipe", "ignore"], env: CHILD_ENVIRONMENT });
    child.stdout?.on(
      "data",
      lineReader((line) => rings(line) && ring()),
    );
    let ended = false;
    const restart = (): void => {
      if (closed || ended) return;
      ended = true;
      again = setTimeout(() => {
        onChange();
        start();
      }, againMs);
    };
    child.on("error", restart);
    child.on("close", restart);
  };
  start();
  const looks = new Looks(onChange);
  return {
    followUp: (known, read) => looks.follow(known, read),
    close: () => {
      closed = true;
      looks.close();
      clearTimeout(gathering);
      clearTimeout(again);
      child?.kill();
    },
  };
}

/** Looks that are due without a bell. */
class Looks {
  readonly #onChange: () => void;
  #due: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  follow(known: LocalAddresses, read: () => Promise<LocalAddresses>): void {
    clearTimeout(this.#due);
    this.#due = undefined;
    if (this.#closed || known.nextLookMs === undefined) return;
    const timer = setTimeout(async () => {
      const now = await read();
      // Who was called meanwhile has followed up himself.
      if (this.#due !== timer) return;
      if (sameAddresses(known, now)) this.follow(now, read);
      else this.#onChange();
    }, known.nextLookMs);
    this.#due = timer;
  }

  close(): void {
    clearTimeout(this.#due);
    this.#due = undefined;
    this.#closed = true;
  }
}

/** Cuts chunks into lines. A line of more than 4096 characters is given up: `ip` prints none. */
function lineReader(onLine: (line: string) => void): (chunk: Buffer) => void {
  let rest = "";
  return (chunk) => {
    const lines = (rest + chunk.toString("latin1")).split("\n");
    rest = (lines.pop() ?? "").slice(0, 4096);
    for (const line of lines) onLine(line);
  };
}

const isLoopback = (address: string): boolean => address.startsWith("127.") || address === "::1";

const sorted = (addresses: readonly string[]): readonly string[] => [...new Set(addresses)].sort();
