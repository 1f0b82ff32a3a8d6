/** Stand-ins for the parts around the daemon's shell. */
import type { StatsDocument } from "../../daemon/control-protocol.ts";
import type { Effect, SaEvent } from "../../ike/effect.ts";
import type { Engine } from "../../ike/engine.ts";
import type { Input, Instant } from "../../ike/input.ts";
import type { KernelCommand } from "../../ike/kernel-contract.ts";
import { ok } from "../../isakmp/result.ts";
import type { Kernel } from "../../kernel/port.ts";
import { NO_POLICY } from "../../policy/traffic-keys.ts";
import type { LiveView } from "../../sa-store/live-view.ts";
import type { StatusDocument } from "../../sa-store/view.ts";

export interface FakeEngine extends Engine {
  readonly inputs: Input[];
  wake: Instant | undefined;
}

/** An engine that does what `script` says and remembers what it was given. */
export function fakeEngine(
  script: (input: Input, now: Instant, engine: FakeEngine) => readonly Effect[] = () => [],
  status: StatusDocument = { ikeSas: [], childSas: [], softSas: [], guards: [], refusedPolicies: [], policiesUnknown: null },
): FakeEngine {
  const engine: FakeEngine = {
    inputs: [],
    wake: undefined,
    handle: (input, now) => {
      engine.inputs.push(input);
      return script(input, now, engine);
    },
    nextWake: () => engine.wake,
    inForce: () => NO_POLICY,
    metBy: () => undefined,
    view: () => status,
    live: () => NOTHING_LIVE,
    counters: () => new Map(),
    size: 0,
  };
  return engine;
}

/** A kernel that grants everything and remembers the commands. */
export function fakeKernel(): Kernel & { readonly commands: KernelCommand[] } {
  const commands: KernelCommand[] = [];
  return {
    commands,
    run: async (more) => {
      commands.push(...more);
      return ok([]);
    },
    counters: async () => new Map(),
    list: async () => ({ sas: [], policies: [] }),
    listPolicies: async () => [],
    listen: () => {},
    close: async () => {},
  };
}

export const event = (text: string, more: Partial<SaEvent> = {}): SaEvent => ({ event: "ike.failed", level: "warning", text, ...more });

export const datagram = (bytes: Uint8Array, remote = "127.0.0.9"): Input => ({
  type: "datagram",
  path: { local: { address: "127.0.0.1", port: 500 }, remote: { address: remote, port: 500 } },
  bytes,
});

/** Resolves once `check` holds. Fails loudly after ten seconds: a test that hangs says nothing. */
export async function until(check: () => boolean, what: string | (() => string)): Promise<void> {
  for (const deadline = Date.now() + 10_000; !check(); ) {
    if (Date.now() > deadline) throw new Error(`waited in vain for ${typeof what === "string" ? what : what()}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export const NOTHING_LIVE: LiveView = {
  negotiations: [],
  rules: [],
  wishes: 0,
  retries: 0,
  halfOpen: 0,
  reassembling: 0,
  kernelRequests: 0,
};
export const NO_STATS: StatsDocument = { since: "2026-01-01T00:00:00.000Z", metrics: [], windows: [] };
