/** Two daemons on loopback addresses with kernels in memory: everything of the real thing but xfrm. */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { type Daemon, type DaemonParts, startDaemon } from "../../daemon/daemon.ts";
import type { LogRecord } from "../../daemon/log.ts";
import { loadNative } from "../../daemon/native.ts";
import { systemRandom } from "../../daemon/random.ts";
import { opensslCrypto } from "../../ike/crypto/openssl.ts";
import { ok } from "../../isakmp/result.ts";
import { memoryKernel } from "../../kernel/memory.ts";
import { type Configuration, parseConfiguration } from "../../policy/config.ts";

export const PSK = "a secret that no output may hold";

export interface Host {
  readonly daemon: Daemon;
  readonly records: LogRecord[];
  readonly kernelLines: string[];
  readonly kernel: ReturnType<typeof memoryKernel>;
}

/** A folder for control sockets, removed after the test. */
export function scratch(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "mainmode-test-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A UDP port that is free on every given address. Nothing keeps it free: ports are picked at random, far from well-known ones. */
export async function freePort(addresses: readonly string[]): Promise<number> {
  for (let tries = 0; tries < 50; tries++) {
    const port = 20_000 + Math.floor(Math.random() * 10_000);
    const sockets = addresses.map(() => createSocket("udp4"));
    try {
      await Promise.all(
        sockets.map((socket, i) => {
          socket.bind(port, addresses[i]);
          return once(socket, "listening");
        }),
      );
      return port;
    } catch {
      // Taken: the next one, then.
    } finally {
      for (const socket of sockets) socket.close();
    }
  }
  throw new Error("no free UDP port");
}

export const configuration = (local: string, remote: string, port: number, natPort: number, psk = PSK): string => `
[daemon]
addresses = ["${local}"]
port = ${port}
nat-port = ${natPort}
[policy]
name = "test"
[policy.main-mode]
proposals = ["aes128-sha256-ecp256"]
[policy.quick-mode]
proposals = ["esp:aes128-sha1"]
pfs = "none"
[[rule]]
name = "peer"
filters = ["${local} <-> ${remote}"]
action = "require"
auth = [{ method = "psk", secret = "${psk}" }]
`;

/** Starts a daemon from configuration text. It is stopped after the test. */
export async function startHost(t: TestContext, text: string, controlPath: string): Promise<Host> {
  const parsed = parseConfiguration(text, "test.toml", () => ok(undefined));
  if (!parsed.ok) throw new Error(parsed.error.map(({ message }) => message).join("\n"));
  return startConfigured(t, parsed.value, controlPath);
}

/** Starts a daemon that is stopped after the test. */
export async function startConfigured(
  t: TestContext,
  configuration: Configuration,
  controlPath: string,
  more: Partial<DaemonParts> = {},
): Promise<Host> {
  const [records, kernelLines]: [LogRecord[], string[]] = [[], []];
  const native = await loadNative();
  const kernel = memoryKernel({ log: (line) => kernelLines.push(line) });
  const started = await startDaemon({
    configuration,
    crypto: opensslCrypto,
    random: systemRandom,
    kernel,
    log: (record) => records.push(record),
    native: native.ok ? native.value : undefined,
    controlPath,
    ...more,
  });
  if (!started.ok) throw new Error(`${started.error.text} (${started.error.hint})`);
  t.after(() => started.value.stop(1000));
  return { daemon: started.value, records, kernelLines, kernel };
}

export interface Pair {
  readonly a: Host;
  readonly b: Host;
  readonly folder: string;
  readonly port: number;
}

/** 127.0.0.2 and 127.0.0.3, each with a rule named "peer" about the other. */
export async function startPair(t: TestContext, pskOfB = PSK): Promise<Pair> {
  const folder = scratch(t);
  const ends = ["127.0.0.2", "127.0.0.3"] as const;
  const port = await freePort(ends);
  const natPort = await freePort(ends);
  const a = await startHost(t, configuration(ends[0], ends[1], port, natPort), join(folder, "a.sock"));
  const b = await startHost(t, configuration(ends[1], ends[0], port, natPort, pskOfB), join(folder, "b.sock"));
  return { a, b, folder, port };
}
