/** What a packet meets in the kernel: the secret-free answer of the core to `why`. */
import type { PacketSelector } from "../policy/packet-selector.ts";

export interface Met {
  readonly policy: {
    readonly direction: "in" | "out" | "fwd";
    readonly selector: PacketSelector;
    readonly priority: number;
    readonly action: "allow" | "block";
    readonly level: "required" | "use" | null;
  };
  /** Whose it is where it stands in front of the rules' own: the id of a child, a soft SA or a guard. */
  readonly front: number | null;
  /** The children whose SAs it leads to. */
  readonly children: readonly number[];
}
