/**
 * Authentication jobs under way: bounded in all and for each peer, so that nobody fills a provider's queue, and that one peer's slow Kerberos
 * server costs nobody else anything. A negotiation has one job at most; the follow-up of a job takes its place.
 */
import type { AuthJob, JobId } from "../auth/method.ts";
import type { Negotiation } from "../sa-store/ike-sa.ts";
import { type Core, emit } from "./core.ts";
import { type MainModeState, settledState } from "./main-mode-states.ts";

/** Jobs that strangers may have made us start. */
const MOST_JOBS = 256;
const MOST_PER_PEER = 4;
/** Messages of one negotiation that jobs may find wanting. */
const MOST_REFUSED = 4;

/** Which negotiation waits for which job. */
export class Jobs {
  readonly #owners = new Map<JobId, { readonly ike: number; readonly peer: string }>();
  readonly #byPeer = new Map<string, number>();

  add(job: JobId, ike: number, peer: string): void {
    this.#owners.set(job, { ike, peer });
    this.#byPeer.set(peer, this.ofPeer(peer) + 1);
  }

  /** The negotiation that waits for a job, which is over; undefined for one that nobody waits for. */
  take(job: JobId): number | undefined {
    const owner = this.#owners.get(job);
    if (!owner) return undefined;
    this.#owners.delete(job);
    const left = this.ofPeer(owner.peer) - 1;
    if (left > 0) this.#byPeer.set(owner.peer, left);
    else this.#byPeer.delete(owner.peer);
    return owner.ike;
  }

  ofPeer(peer: string): number {
    return this.#byPeer.get(peer) ?? 0;
  }

  get size(): number {
    return this.#owners.size;
  }
}

/** Starts a job of a negotiation, about `message` of the peer's, or about none. */
export function startJob(core: Core, n: Negotiation, job: AuthJob, message: Uint8Array | null): void {
  const id = ++core.nextOp;
  core.jobs.add(id, n.id, n.path.remote.address);
  n.working = { job: id, message };
  emit(core, { type: "job", id, job });
}

/** Why a message that may need a job is not worked on now, or undefined. The peer repeats it. */
export function jobRefusal(core: Core, n: Negotiation): string | undefined {
  const settled = settledState(n.state);
  if ("auth" in settled && settled.auth.method === "psk") return undefined;
  if (n.refused.count >= MOST_REFUSED) return "too many refused proofs";
  // What we began is bounded by what is wished here.
  if (n.role === "initiator") return undefined;
  if (core.jobs.size >= MOST_JOBS) return "too many jobs";
  return core.jobs.ofPeer(n.path.remote.address) >= MOST_PER_PEER ? "too many jobs of one peer" : undefined;
}

/** Ends the GSS context that a state has begun, if any. */
export function dropContext(core: Core, state: MainModeState): void {
  const auth = "keyed" in state ? state.keyed.auth : "auth" in state ? state.auth : undefined;
  if (auth?.method !== "kerberos") return;
  const { context, own, peer } = auth.gss;
  if (state.kind === "ticketing" || own.tokens.length + peer.tokens.length > 0)
    emit(core, { type: "job", id: ++core.nextOp, job: { kind: "gss-drop", context } });
}
