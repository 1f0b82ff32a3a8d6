/**
 * What a host's kernel holds, as `ip xfrm` tells. Read here anew, not with the project's own reader: this is the judge.
 */
import type { Side } from "./network.ts";
import type { Placed } from "./scenario.ts";
import type { Shell } from "./shell.ts";

export interface KernelState {
  readonly source: string;
  readonly destination: string;
  readonly protocol: string;
  readonly spi: string;
  readonly mode: string;
  /** The kernel's names, in the order printed: `hmac(sha1)`, `cbc(aes)`. */
  readonly algorithms: readonly string[];
  /** Bits of each packet's integrity value, or null where it has no algorithm of its own. */
  readonly icvBits: number | null;
  readonly bytes: number;
  readonly packets: number;
}

/** The SAs that a host holds between the two ends of a scenario, without larval ones (SPI 0, or no algorithms yet). */
export async function states(run: Shell, side: Side, scenario: Placed): Promise<readonly KernelState[]> {
  const { stdout } = await run(["ip", "-n", side, "-s", "xfrm", "state"]);
  const all = stdout.split(/^(?=src )/m).flatMap(parseState);
  const [a, b] = [scenario.us.host, scenario.theirs.host];
  return all.filter(({ source, destination }) => (source === a && destination === b) || (source === b && destination === a));
}

/**
 * Everything that a host's kernel holds, SAs and policies, as text; empty where it holds nothing. Without larval SAs (SPI 0): they are
 * the kernel's own note that it asked for one, do nothing without a policy, and go after 30 s.
 */
export async function everything(run: Shell, side: Side): Promise<string> {
  const [sas, policies] = [await run(["ip", "-n", side, "xfrm", "state"]), await run(["ip", "-n", side, "xfrm", "policy"])];
  const full = sas.stdout.split(/^(?=src )/m).filter((text) => !/ spi 0x00000000 /.test(text));
  return `${full.join("")}${policies.stdout}`.trim();
}

function parseState(text: string): readonly KernelState[] {
  const ends = /^src (\S+) dst (\S+)/.exec(text);
  const id = /proto (\S+) spi (0x[0-9a-f]+).* mode (\w+)/.exec(text);
  const used = /lifetime current:\s+(\d+)\(bytes\), (\d+)\(packets\)/.exec(text);
  const algorithms = [...text.matchAll(/^\s+(?:auth|auth-trunc|enc|aead) (\S+) /gm)].map((match) => match[1] ?? "");
  if (!ends || !id || !used || algorithms.length === 0) return [];
  return [
    {
      source: ends[1] ?? "",
      destination: ends[2] ?? "",
      protocol: id[1] ?? "",
      spi: id[2] ?? "",
      mode: id[3] ?? "",
      algorithms,
      icvBits: Number(/^\s+auth-trunc .* (\d+)$/m.exec(text)?.[1] ?? Number.NaN) || null,
      bytes: Number(used[1]),
      packets: Number(used[2]),
    },
  ];
}
