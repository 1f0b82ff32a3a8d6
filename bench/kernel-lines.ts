/**
 * How fast the kernel takes what `kernel/iproute2.ts` tells it, one `ip` line a command: in a network namespace of its own, made by unshare(1),
 * so that nothing of this machine is touched. This file is both halves: the caller, and the process inside.
 */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Secret } from "../ike/crypto/secret.ts";
import { type KernelCommand, type KernelPolicy, type KernelSa, REQID_BASE, type SaKey } from "../ike/kernel-contract.ts";
import { err, ok, type Result } from "../isakmp/result.ts";
import { iproute2Kernel } from "../kernel/iproute2.ts";

/** What the kernel was given in a run: policies alone where it has no ESP. CPU in microseconds a line. */
export interface KernelCost {
  readonly what: "SAs and policies" | "policies";
  readonly lines: number;
  readonly linesPerSecond: number;
  readonly ourMicroseconds: number;
  readonly ipMicroseconds: number;
}

/** Measures with `peers` peers, or says why that can't be done here. */
export function measureKernel(peers: number): Result<KernelCost, string> {
  const failures: string[] = [];
  for (const [program, ...words] of WAYS) {
    try {
      const argv = [...words, process.execPath, ENTRY, String(peers)];
      const printed = execFileSync(program as string, argv, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], timeout: 120_000 });
      return ok(JSON.parse(printed) as KernelCost);
    } catch (error) {
      failures.push(firstLine(error));
    }
  }
  return err(`no network namespace can be used here (${failures.join("; ")}); run it as root, with iproute2 installed`);
}

/** As root, or as root of a user namespace where the system lets everybody make one. */
const WAYS = [
  ["unshare", "--net"],
  ["unshare", "--map-root-user", "--net"],
] as const;
const ENTRY = fileURLToPath(import.meta.url);

function firstLine(error: unknown): string {
  const said = (error as { readonly stderr?: string }).stderr?.trim() || String(error);
  return said.split("\n").at(-1) ?? said;
}

async function inside(peers: number): Promise<KernelCost> {
  const diagnostics: string[] = [];
  const kernel = iproute2Kernel({ onDiagnostic: (text) => diagnostics.push(text) });
  const first = await kernel.run([{ do: "add-sa", sa: saOf(MOST, "out") }]);
  const groups = Array.from({ length: peers }, (_, n) => linesFor(n, first.ok));
  const undo = Array.from({ length: peers }, (_, n) => removalsFor(n, first.ok));
  const [cpu, ip, start] = [process.cpuUsage(), childrenMs(), performance.now()];
  for (const all of [groups, undo]) {
    const refused = (await Promise.all(all.map((group) => kernel.run(group)))).find((result) => !result.ok);
    if (refused && !refused.ok) throw new Error(`${refused.error.command}: ${refused.error.reason}`);
  }
  const [ours, seconds] = [process.cpuUsage(cpu), (performance.now() - start) / 1000];
  await kernel.close();
  const lines = [...groups, ...undo].reduce((sum, group) => sum + group.length, 0);
  return {
    what: first.ok ? "SAs and policies" : "policies",
    lines,
    linesPerSecond: lines / seconds,
    ourMicroseconds: (ours.user + ours.system) / lines,
    ipMicroseconds: ((childrenMs() - ip) * 1000) / lines,
  };
}

const MOST = 0xffff;

/** One peer: an SA and a policy for each direction. */
const linesFor = (n: number, esp: boolean): readonly KernelCommand[] =>
  DIRECTIONS.flatMap((direction): KernelCommand[] => [
    ...(esp ? [{ do: "add-sa", sa: saOf(n, direction) } as const] : []),
    { do: "add-policy", policy: policyOf(n, direction) },
  ]);

const removalsFor = (n: number, esp: boolean): readonly KernelCommand[] =>
  DIRECTIONS.flatMap((direction): KernelCommand[] => [
    ...(esp ? [{ do: "remove-sa", sa: keyOf(n, direction) } as const] : []),
    { do: "remove-policy", policy: policyOf(n, direction) },
  ]);

const DIRECTIONS = ["in", "out"] as const;
type Direction = (typeof DIRECTIONS)[number];

/** Source and destination of a direction. */
function endsOf(n: number, direction: Direction): readonly [string, string] {
  const [here, there] = ["10.0.0.1", `10.1.${n >> 8}.${n & 255}`];
  return direction === "out" ? [here, there] : [there, here];
}

function keyOf(n: number, direction: Direction): SaKey {
  const [source, destination] = endsOf(n, direction);
  return { source, destination, protocol: "esp", spi: 0x10000 + 2 * n + (direction === "in" ? 0 : 1) };
}

function saOf(n: number, direction: Direction): KernelSa {
  return {
    ...keyOf(n, direction),
    reqid: REQID_BASE + (n & 0xffff),
    mode: "transport",
    encryption: { name: "cbc(aes)", key: new Secret(new Uint8Array(16).fill(n)) },
    integrity: { name: "hmac(sha1)", key: new Secret(new Uint8Array(20).fill(n)), truncateBits: 96 },
    aead: null,
    replayWindow: direction === "in" ? 32 : 0,
    limits: { softSeconds: 3000, hardSeconds: 3600, softPackets: null, hardPackets: null, softOctets: null, hardOctets: null },
    encap: null,
    selector: null,
  };
}

function policyOf(n: number, direction: Direction): KernelPolicy {
  const [source, destination] = endsOf(n, direction);
  const selector = { source, sourceLength: 32, destination, destinationLength: 32, protocol: 0, sourcePort: 0, destinationPort: 0 };
  const template = { source: null, destination: null, protocol: "esp", mode: "transport", level: "required" } as const;
  return { direction, selector, action: "allow", priority: 1000, templates: [{ ...template, reqid: REQID_BASE + (n & 0xffff) }] };
}

/** CPU time of children that have ended, in milliseconds: fields 16 and 17 of proc(5)'s stat, in ticks of 10 ms. */
function childrenMs(): number {
  const fields = readFileSync("/proc/self/stat", "latin1")
    .replace(/^.*\) /, "")
    .split(" ");
  return (Number(fields[13]) + Number(fields[14])) * 10;
}

const peers = process.argv[1] === ENTRY ? Number(process.argv[2]) : 0;
if (peers > 0) process.stdout.write(JSON.stringify(await inside(peers)));
