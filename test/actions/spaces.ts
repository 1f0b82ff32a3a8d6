/**
 * Network namespaces of a guest, for policies without a daemon: hosts that send and hear UDP, and the kernel's own policies in one of them.
 */
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { chmodSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { kernelTemplates } from "../../ike/install.ts";
import type { KernelCommand, KernelPolicy } from "../../ike/kernel-contract.ts";
import { iproute2Kernel } from "../../kernel/iproute2.ts";
import type { Kernel } from "../../kernel/port.ts";
import { compile } from "../../policy/compile.ts";
import type { Policy } from "../../policy/types.ts";

/** Of the templates of all policies. */
export const REQID = 0x6d6d0001;

export const sh = (command: string): string =>
  execFileSync("/bin/sh", ["-c", command], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });

export const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits for something at most ten seconds. */
export async function until(check: () => boolean): Promise<void> {
  for (let i = 0; i < 2000 && !check(); i++) await wait(5);
}

/** Sends and hears UDP in a namespace: lines of JSON in and out. */
const POST = fileURLToPath(new URL("./post.js", import.meta.url));

export interface Post {
  readonly child: ChildProcess;
  /** The texts of packets that came. */
  readonly heard: Set<string>;
  send(source: string, sourcePort: number, destination: string, destinationPort: number, text: string): Promise<void>;
  /** Resolves when it has heard whatever was there, with the counters of IPsec in its namespace. */
  listened(): Promise<ReadonlyMap<string, number>>;
}

let serial = 0;

/** One that is bound to all ports of all addresses; `groups` are multicast ones with their device. */
export async function post(
  space: string,
  addresses: readonly string[],
  groups: readonly string[],
  ports: readonly number[],
): Promise<Post> {
  const child = spawn("ip", ["netns", "exec", space, process.execPath, POST, JSON.stringify({ addresses, groups, ports })], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const heard = new Set<string>();
  const sent = new Map<string, (counters: string) => void>();
  const ready = new Promise<void>((resolve) => {
    createInterface({ input: child.stdout as NodeJS.ReadableStream }).on("line", (line) => {
      const message = JSON.parse(line) as { heard?: string; sent?: string; counters?: string; ready?: boolean };
      if (message.heard !== undefined) heard.add(message.heard);
      if (message.sent !== undefined) sent.get(message.sent)?.(message.counters ?? "");
      if (message.ready) resolve();
    });
  });
  await ready;
  const told = (order: { readonly text: string }): Promise<string> =>
    new Promise((resolve) => {
      sent.set(order.text, resolve);
      child.stdin?.write(`${JSON.stringify(order)}\n`);
    });
  return {
    ...{ child, heard },
    send: async (source, sourcePort, destination, destinationPort, text) =>
      void (await told({ ...{ source, sourcePort, destination, destinationPort }, text })),
    listened: async () => countersIn(await told({ text: `listened ${++serial}` })),
  };
}

const countersIn = (text: string): ReadonlyMap<string, number> =>
  new Map([...text.matchAll(/^(\w+)\s+(\d+)$/gm)].map(([, name, count]) => [name as string, Number(count)]));

/** The kernel of a namespace. */
export function kernelIn(space: string): Kernel {
  const ip = join(mkdtempSync(join(tmpdir(), "ip-")), "ip");
  writeFileSync(ip, `#!/bin/sh\nexec ip -n ${space} "$@"\n`);
  chmodSync(ip, 0o755);
  return iproute2Kernel({ ip, onDiagnostic: () => {} });
}

/** Lines of `ip` in a namespace. */
export const ipLines = (space: string, lines: readonly string[]): string => sh(`ip -n ${space} -batch - <<'END'\n${lines.join("\n")}\nEND`);

/** What `install` put into a kernel before. */
const standing = new WeakMap<Kernel, readonly KernelPolicy[]>();

/**
 * Puts what a policy comes to on a host with some addresses in place of what it put there before, which comes out weakest first: neighbours are always
 * found. A process for each policy would take longer than all else.
 */
export async function install(kernel: Kernel, policy: Policy, addresses: readonly string[]): Promise<void> {
  const wanted = compile(policy, addresses).map(({ direction, selector, action, priority, protection }): KernelPolicy => {
    const templates = protection ? kernelTemplates(protection, REQID, direction !== "out") : [];
    return { direction, selector, action, priority, templates };
  });
  const before = standing.get(kernel) ?? [];
  standing.set(kernel, wanted);
  const done = await kernel.run([
    ...before.toReversed().map((policy): KernelCommand => ({ do: "remove-policy", policy })),
    ...wanted.map((policy): KernelCommand => ({ do: "add-policy", policy })),
  ]);
  assert.ok(done.ok, JSON.stringify(done));
}
