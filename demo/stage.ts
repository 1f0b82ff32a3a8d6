/**
 * Where the demo plays: two hosts that can reach each other, somewhere. `namespaces.ts` and `loopback.ts` build one each.
 */
import type { Seen } from "./wire.ts";

export type Side = "left" | "right";
export const SIDES: readonly Side[] = ["left", "right"];

export const otherSide = (side: Side): Side => (side === "left" ? "right" : "left");

export interface HostPlace {
  readonly address: string;
  /** Words in front of a command that make it run on this host; none where the host is this machine. */
  readonly enter: readonly string[];
}

export interface Stage {
  /** "two network namespaces": for "the hosts are …". */
  readonly name: string;
  readonly hosts: Readonly<Record<Side, HostPlace>>;
  /** UDP ports of IKE. */
  readonly ports: { readonly ike: number; readonly nat: number };
  readonly kernel: "real" | "memory";
  /** Packets seen on the wire between the hosts since the last call; undefined where nobody can listen, and the hosts tell what they send. */
  readonly wire: (() => readonly Seen[]) | undefined;
  /** Takes everything down. */
  close(): Promise<void>;
}
