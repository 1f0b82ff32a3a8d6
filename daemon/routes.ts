/**
 * Follows routes for tunnels that leave their own end to them: it may move between two addresses of this host that both stay. Only where there is such
 * a tunnel, since a router with many routes has much to tell.
 */
import type { Policy } from "../policy/types.ts";
import { type AddressWatch, type WatchOptions, watchAddresses } from "./addresses.ts";

/** Between two questions; milliseconds. */
const GATHER_MS = 1000;

const COMMAND = ["ip", "-o", "monitor", "route", "rule"] as const;

export class RouteWatch {
  readonly #options: WatchOptions;
  #watch: AddressWatch | undefined;
  #closed = false;

  /** `onChange`: routes may have changed; also where nobody can tell, every few seconds. */
  constructor(options: WatchOptions) {
    this.#options = { command: COMMAND, rings: (line) => line !== "", gatherMs: GATHER_MS, ...options };
  }

  /** The policy that is followed from now on, as it is written. */
  follow({ rules }: Policy): void {
    const isWanted = !this.#closed && rules.some(({ tunnel }) => tunnel?.local === null);
    if (isWanted) this.#watch ??= watchAddresses(this.#options);
    else this.#end();
  }

  /** For good. */
  close(): void {
    this.#closed = true;
    this.#end();
  }

  #end(): void {
    this.#watch?.close();
    this.#watch = undefined;
  }
}
