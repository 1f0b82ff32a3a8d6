/**
 * Two sides of the benchmark as child processes, and what they cost. Everything is measured by the sides themselves.
 */
import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { ENVIRONMENT, V8_OPTIONS } from "../daemon/runtime-options.ts";
import { type BenchRole, benchSecret, type RuleName } from "./pairs.ts";
import type { SideAnswer, SideOptions, SideReady, SideRequest } from "./side-protocol.ts";

export type Both<T> = Readonly<Record<BenchRole, T>>;

export interface Sides {
  /** Both sides do the same at the same time; resolves when both have. */
  perform(request: SideRequest): Promise<Both<SideAnswer>>;
  /** One side does something; the other one may be asked later. */
  tell(role: BenchRole, request: SideRequest): Promise<SideAnswer>;
  /** Ends both processes, and resolves when they have ended. */
  close(): Promise<void>;
}

/** Starts an initiator and a responder that know each other's port. Throws where one does not start. */
export async function startSides(options: Pick<SideOptions, "crypto" | "kernel">): Promise<Sides> {
  const secret = Buffer.from(benchSecret()).toString("hex");
  const start = (role: BenchRole): ChildProcess =>
    fork(ENTRY, [JSON.stringify({ ...options, role, secret } satisfies SideOptions)], {
      execArgv: [
        "--expose-gc",
        ...V8_OPTIONS,
        ...(process.env["BENCH_PROFILE"]
          ? ["--cpu-prof", "--cpu-prof-interval", "250", "--cpu-prof-dir", process.env["BENCH_PROFILE"]]
          : []),
      ],
      env: { ...process.env, ...ENVIRONMENT },
    });
  const children: Both<ChildProcess> = { initiator: start("initiator"), responder: start("responder") };
  const close = async (): Promise<void> => {
    await Promise.all(Object.values(children).map(end));
  };
  const tell = (role: BenchRole, request: SideRequest): Promise<SideAnswer> => ask(children[role], request);
  const perform = (request: SideRequest): Promise<Both<SideAnswer>> => both((role) => tell(role, request));
  try {
    const ready = await both((role) => ask<SideReady>(children[role]));
    await both((role) => tell(role, { do: "meet", port: ready[role === "initiator" ? "responder" : "initiator"].port }));
  } catch (error) {
    await close();
    throw error;
  }
  return { perform, tell, close };
}

/** CPU time of `count` negotiations, in milliseconds. */
export async function establish(sides: Sides, rule: RuleName, first: number, count: number): Promise<Both<number>> {
  const done = await sides.perform({ do: "establish", rule, first, count });
  return { initiator: done.initiator.cpuMs, responder: done.responder.cpuMs };
}

/** The responder hears of everything first, so that it measures from the beginning. */
async function both<T>(ask: (role: BenchRole) => Promise<T>): Promise<Both<T>> {
  const [responder, initiator] = await Promise.all([ask("responder"), ask("initiator")]);
  return { initiator, responder };
}

/** The compiled file beside this one, or its source where Node reads that. */
const ENTRY = fileURLToPath(new URL(import.meta.url.endsWith(".ts") ? "./side.ts" : "./side.js", import.meta.url));

/** No request takes this long anywhere: what is waited for will never come. Milliseconds. */
const PATIENCE = 300_000;
const PATIENCE_AT_END = 5_000;

/** Sends a request, if there is one, and waits for the next message. */
function ask<T extends object>(child: ChildProcess, request?: SideRequest): Promise<T> {
  return new Promise((resolve, reject) => {
    const onExit = (code: number | null): void => fail(`ended with ${code}`);
    const onMessage = (message: T | { readonly error: string }): void => {
      if ("error" in message) return fail(`failed: ${message.error}`);
      done();
      resolve(message);
    };
    const patience = setTimeout(() => fail("did not answer"), PATIENCE);
    const done = (): void => {
      clearTimeout(patience);
      child.off("exit", onExit).off("message", onMessage);
    };
    const fail = (what: string): void => {
      done();
      reject(new Error(`a side of the benchmark ${what} (${request?.do ?? "start"})`));
    };
    child.once("exit", onExit).once("message", onMessage);
    if (request) child.send(request);
  });
}

/** A side ends when nobody speaks to it any more; one that does not is made to. */
function end(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve();
    const kill = setTimeout(() => child.kill("SIGKILL"), PATIENCE_AT_END);
    child.once("exit", () => {
      clearTimeout(kill);
      resolve();
    });
    if (child.connected) child.disconnect();
  });
}
