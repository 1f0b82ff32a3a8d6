/**
 * SAs of ours in the kernel that no journal explains: a run before this one was in the middle of something. Peers may still send on the
 * inbound ones, so they stay until they expire, and their SPIs stay taken; a full stop takes them out.
 */
import { type Core, count } from "./core.ts";
import { type KernelCommand, type SaKey, saText } from "./kernel-contract.ts";

export class Leftovers {
  readonly #sas = new Map<string, { readonly sa: SaKey; readonly reqid: number }>();
  /** How many each far end has. */
  readonly #peers = new Map<string, number>();

  add(sa: SaKey, peer: string, reqid: number): void {
    this.#sas.set(`${saText(sa)} ${peer}`, { sa, reqid });
    this.#peers.set(peer, (this.#peers.get(peer) ?? 0) + 1);
  }

  /** Whether a peer has met us before, whatever we have forgotten. */
  knows(peer: string): boolean {
    return this.#peers.has(peer);
  }

  /** An SA expired; false where it is none of these. */
  remove(sa: SaKey): boolean {
    for (const peer of [sa.source, sa.destination]) {
      if (!this.#sas.delete(`${saText(sa)} ${peer}`)) continue;
      const left = (this.#peers.get(peer) ?? 0) - 1;
      if (left > 0) this.#peers.set(peer, left);
      else this.#peers.delete(peer);
      return true;
    }
    return false;
  }

  /** Takes all of them: what the kernel has to remove. */
  takeAll(): readonly SaKey[] {
    const all = Array.from(this.#sas.values(), ({ sa }) => sa);
    this.#sas.clear();
    this.#peers.clear();
    return all;
  }

  /** Policies of other runs' find them by these. */
  reqids(): readonly number[] {
    return Array.from(this.#sas.values(), ({ reqid }) => reqid);
  }

  get size(): number {
    return this.#sas.size;
  }
}

/** The kernel expired an SA that is none of the store's. */
export function onUnknownExpire(core: Core, sa: SaKey, hard: boolean): void {
  if (!hard || !core.leftovers.remove(sa)) return count(core, "expire of an unknown spi");
  core.store.releaseSpi(sa.spi);
}

/** For a full stop. */
export function removeLeftovers(core: Core): readonly KernelCommand[] {
  const sas = core.leftovers.takeAll();
  for (const { spi } of sas) core.store.releaseSpi(spi);
  return sas.map((sa) => ({ do: "remove-sa", sa }));
}
