/**
 * Two sides of the benchmark as child processes, and what they cost. Everything is measured by the sides themselves.
 */
import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { type BenchRole, benchSecret, type RuleName } from "./pairs.ts";
import type { SideAnswer, SideOptions, SideReady, SideRequest } from "./side-protocol.ts";

export type Both<T> = Readonly<Record<BenchRole, T>>;

export interface Sides {
  /** Both sides do the same at the same time; resolves when both have. */
  perform(request: SideRequest): Promise<Both<SideAnswer>>;
  /** Ends both processes. */
  close(): void;
}

/** Starts an initiator and a responder that know each other's port. Throws where one does not start. */
export async function startSides(options: Pick<SideOptions, "crypto" | "kernel">): Promise<Sides> {
  const secret = Buffer.from(benchSecret()).toString("hex");
  const start = (role: BenchRole): ChildProcess =>
    fork(ENTRY, [JSON.stringify({ ...options, role, secret } satisfies SideOptions)], {
      execArgv: [
        "--expose-gc",
        ...(process.env["BENCH_PROFILE"]
          ? ["--cpu-prof", "--cpu-prof-interval", "250", "--cpu-prof-dir", process.env["BENCH_PROFILE"]]
          : []),
      ],
    });
  const children: Both<ChildProcess> = { initiator: start("initiator"), responder: start("responder") };
  const close = (): void => {
    for (const child of Object.values(children)) child.disconnect();
  };
  const perform = async (of: (role: BenchRole) => SideRequest): Promise<Both<SideAnswer>> => {
    const [initiator, responder] = await Promise.all(ROLES.map((role) => ask<SideAnswer>(children[role], of(role))));
    return { initiator, responder } as Both<SideAnswer>;
  };
  const [initiator, responder] = await Promise.all(ROLES.map((role) => ask<SideReady>(children[role])));
  const ports: Both<number> = { initiator: responder?.port ?? 0, responder: initiator?.port ?? 0 };
  await perform((role) => ({ do: "meet", port: ports[role] }));
  return { perform: (request) => perform(() => request), close };
}

/** CPU time of `count` negotiations, in milliseconds. */
export async function establish(sides: Sides, rule: RuleName, first: number, count: number): Promise<Both<number>> {
  const done = await sides.perform({ do: "establish", rule, first, count });
  return { initiator: done.initiator.cpuMs, responder: done.responder.cpuMs };
}

const ROLES = ["initiator", "responder"] as const;
/** The compiled file beside this one, or its source where Node reads that. */
const ENTRY = fileURLToPath(new URL(import.meta.url.endsWith(".ts") ? "./side.ts" : "./side.js", import.meta.url));

/** Sends a request, if there is one, and waits for the next message. */
function ask<T extends object>(child: ChildProcess, request?: SideRequest): Promise<T> {
  return new Promise((resolve, reject) => {
    const onExit = (code: number | null): void => reject(new Error(`a side of the benchmark ended with ${code}`));
    child.once("exit", onExit);
    child.once("message", (message: T | { readonly error: string }) => {
      child.off("exit", onExit);
      if ("error" in message) reject(new Error(message.error));
      else resolve(message);
    });
    if (request) child.send(request);
  });
}
