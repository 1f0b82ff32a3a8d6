/**
 * Which addresses this host has, and which of them get sockets; follows `ip monitor address`.
 * The monitor's text is only a bell: the list itself is always read again as a whole, so a lost line costs a delay and nothing else.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { type NetworkInterfaceInfo, networkInterfaces } from "node:os";
import { canonicalAddress } from "../isakmp/address.ts";

export interface LocalAddresses {
  /** Every unicast address but loopback (if there is another) and link-local ones: what `me` means. Sorted. */
  readonly local: readonly string[];
  /** Those that IKE is served on: the configured ones, or all of `local`. */
  readonly served: readonly string[];
}

/**
 * Sorts the system's interfaces out. `configured` restricts what is served but not what is local: a `require` rule about
 * `me` protects every address of the host. Configured addresses count as local, loopback ones included.
 */
export function sortAddresses(
  interfaces: NodeJS.Dict<readonly NetworkInterfaceInfo[]>,
  configured: readonly string[] | null,
): LocalAddresses {
  const found = Object.values(interfaces).flatMap((list) => list ?? []);
  const usable = found.flatMap((info) => {
    const address = canonicalAddress(info.address);
    return address === undefined || isLinkLocal(address) ? [] : [{ address, loopback: info.internal || isLoopback(address) }];
  });
  const outer = usable.filter((each) => !each.loopback);
  const wanted = (configured ?? []).flatMap((text) => canonicalAddress(text) ?? []);
  const local = sorted([...(outer.length > 0 || wanted.length > 0 ? outer : usable).map((each) => each.address), ...wanted]);
  return { local, served: configured ? sorted(wanted) : local };
}

/** The host's addresses now. */
export const readAddresses = (configured: readonly string[] | null): LocalAddresses => sortAddresses(networkInterfaces(), configured);

/** Whether a line of `ip -o monitor address` may mean that the list changed. */
export const isAddressLine = (line: string): boolean => /\binet6? [0-9a-fA-F.:]+/.test(line);

export interface AddressWatch {
  close(): void;
}

export interface WatchOptions {
  readonly onChange: () => void;
  /** The command whose output lines are the bell. */
  readonly command?: readonly [string, ...string[]];
  readonly quietMs?: number;
  readonly againMs?: number;
}

/**
 * Calls `onChange` once things have been quiet for `quietMs` after an address changed. When the monitor ends, or can't be run,
 * `onChange` is called every `againMs` until one stays.
 */
export function watchAddresses(options: WatchOptions): AddressWatch {
  const { onChange, command = ["ip", "-o", "monitor", "address"], quietMs = 200, againMs = 5000 } = options;
  let child: ChildProcess | undefined;
  let closed = false;
  let [quiet, again]: (NodeJS.Timeout | undefined)[] = [];
  const ring = (): void => {
    clearTimeout(quiet);
    quiet = setTimeout(onChange, quietMs);
  };
  const start = (): void => {
    const [program, ...words] = command;
    child = spawn(program, words, { stdio: ["ignore", "pipe", "ignore"], env: { ...process.env, LC_ALL: "C" } });
    child.stdout?.on(
      "data",
      lineReader((line) => isAddressLine(line) && ring()),
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
  return {
    close: () => {
      closed = true;
      clearTimeout(quiet);
      clearTimeout(again);
      child?.kill();
    },
  };
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

/** fe80::/10: such an address means nothing without its zone, which no ID payload can carry. 169.254/16 is served like any other. */
const isLinkLocal = (address: string): boolean => /^fe[89ab][0-9a-f]:/.test(address);

const sorted = (addresses: readonly string[]): readonly string[] => [...new Set(addresses)].sort();
