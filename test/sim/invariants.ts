/**
 * What must hold in every world after every event. Each check looks only at what the event touched.
 */
import type { KernelCommand, KernelSa } from "../../ike/kernel-contract.ts";
import { saName } from "../../kernel/xfrm-args.ts";
import type { StatusDocument } from "../../sa-store/view.ts";
import type { Host } from "./host.ts";

/** What the invariants need of a world. */
export interface Watched {
  /** The host that has this address, if any. */
  hostAt(address: string): Host | undefined;
  fail(text: string): never;
}

/** Outbound SAs for one use: three where both ends renew, and one more until what the newest replaces is removed. */
const MOST_PAIRS = 4;

/** Remembers every inbound SA that was ever installed in a world, by the host it belongs to. */
export class Invariants {
  readonly #inbound = new Map<string, string>();
  readonly #world: Watched;

  constructor(world: Watched) {
    this.#world = world;
  }

  /** After kernel commands of `host` that were carried out. */
  afterKernel(host: Host, done: readonly KernelCommand[]): void {
    for (const command of done) {
      if (command.do !== "add-sa" || !host.xfrm.states.has(saName(command.sa))) continue;
      if (host.addresses.includes(command.sa.destination)) this.#onInbound(host, command.sa);
      else this.#onOutbound(host, command.sa);
    }
  }

  #onInbound(host: Host, sa: KernelSa): void {
    const name = `${host.name} ${saName(sa)}`;
    const installed = host.xfrm.states.get(saName(sa))?.sa;
    if (installed) this.#inbound.set(name, contentOf(installed));
  }

  /** Both ends hold equal keys, and the receiver had its half before the sender got the other. */
  #onOutbound(host: Host, sa: KernelSa): void {
    const peer = this.#world.hostAt(sa.destination);
    const installed = host.xfrm.states.get(saName(sa))?.sa;
    // One without an end was not negotiated: its keys are from a file.
    if (!peer || !installed || sa.limits.hardSeconds === null) return;
    const theirs = this.#inbound.get(`${peer.name} ${saName(sa)}`);
    if (theirs === undefined) this.#world.fail(`${host.name} sends on ${saName(sa)}, which ${peer.name} never had`);
    if (theirs !== contentOf(installed)) this.#world.fail(`${host.name} and ${peer.name} disagree about ${saName(sa)}`);
    const alike = [...host.xfrm.states.values()].filter(({ sa: other }) => useOf(other) === useOf(sa));
    if (alike.length > MOST_PAIRS) this.#world.fail(`${host.name} has ${alike.length} outbound SAs for ${useOf(sa)}`);
  }
}

/** Everything that both ends of an SA must agree on. */
function contentOf(sa: KernelSa): string {
  const parts = [sa.encryption, sa.integrity, sa.aead].map((part) =>
    part ? `${part.name} ${part.key.use((key) => Buffer.from(key).toString("hex"))}` : "none",
  );
  // Through a NAT each end has addresses of its own.
  if (sa.encap) return ["udp", sa.mode, ...parts].join("|");
  return [sa.source, sa.destination, sa.mode, ...parts, selectorText(sa)].join("|");
}

const selectorText = ({ selector: s }: KernelSa): string =>
  s === "both-families"
    ? s
    : s
      ? `${s.source}/${s.sourceLength}:${s.sourcePort} ${s.destination}/${s.destinationLength}:${s.destinationPort} ${s.protocol}`
      : "any";

const useOf = (sa: KernelSa): string => `${sa.protocol} ${sa.source} ${sa.destination} reqid ${sa.reqid} ${selectorText(sa)}`;

/** The established part of a host's tables, without what time changes. */
export function establishedOf(view: StatusDocument): ReadonlyMap<string, string> {
  return new Map([
    ...view.ikeSas
      .filter((sa) => sa.state !== "negotiating")
      .map(({ secondsLeft: _, quickModes: __, ...sa }) => [`ike ${sa.id}`, JSON.stringify(sa)] as const),
    ...view.childSas
      .filter((sa) => sa.state !== "negotiating")
      .map(({ secondsLeft: _, bytesIn: __, bytesOut: ___, ...sa }) => [`child ${sa.id}`, JSON.stringify(sa)] as const),
  ]);
}

/** What an unauthenticated datagram changed of what was established before it; undefined where it changed nothing. */
export function changedBy(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): string | undefined {
  for (const [name, text] of before) if (after.get(name) !== text) return `${name}: ${text} became ${after.get(name) ?? "nothing"}`;
  return undefined;
}
