/**
 * A host of the demo, a process of its own: mainmode's daemon as `mainmode daemon` runs it, on a real kernel or on one in memory, with the demo
 * looking over its shoulder. What it tells holds no key: plaintexts of IKE messages, and salted digests of what the in-memory kernel got.
 */
import { createHash } from "node:crypto";
import { runDaemon } from "../daemon/main.ts";
import type { Crypto } from "../ike/crypto/provider.ts";
import type { Path } from "../ike/input.ts";
import type { KernelCommand, KernelSa } from "../ike/kernel-contract.ts";
import { memoryKernel } from "../kernel/memory.ts";
import type { Kernel } from "../kernel/port.ts";
import { describeCommand } from "../kernel/xfrm-args.ts";
import type { HostMessage, HostOptions } from "./host-protocol.ts";

const options = JSON.parse(process.argv[2] ?? "{}") as HostOptions;
// Without the demo there is nothing to show; the daemon is asked to stop as by any other signal.
process.on("disconnect", () => process.kill(process.pid, "SIGTERM"));
const exit = await runDaemon(
  { configFile: options.configFile, logFormat: "json" },
  { crypto: shown, ...(options.kernel === "memory" ? { kernel: shownKernel(), onSent: tellSent } : {}) },
);
// What was told last may still be on its way; a stop that was given up leaves handles open which would keep the process.
setTimeout(() => process.exit(exit), 100);

function tell(message: HostMessage): void {
  if (process.connected) process.send?.(message);
}

/** The same cryptography; what is sealed is told. */
function shown(crypto: Crypto): Crypto {
  return {
    ...crypto,
    encrypt(cipher, key, iv, data) {
      const sealed = crypto.encrypt(cipher, key, iv, data);
      tell({ type: "sealed", sealed: hex(sealed), plain: hex(data) });
      return sealed;
    },
  };
}

function shownKernel(): Kernel {
  const kernel = memoryKernel();
  return {
    ...kernel,
    async run(commands) {
      // Digests are taken before: the keys are wiped once the kernel has its copies.
      const told = commands.map(described);
      const done = await kernel.run(commands);
      for (const message of told.slice(0, done.ok ? told.length : done.error.index)) tell(message);
      return done;
    },
  };
}

function described(command: KernelCommand): HostMessage {
  const line = describeCommand(command);
  return command.do === "add-sa" ? { type: "kernel", line, keys: digest(command.sa), spi: command.sa.spi } : { type: "kernel", line };
}

function digest({ encryption, integrity, aead }: KernelSa): string {
  const hash = createHash("sha256").update(options.salt);
  for (const part of [encryption, integrity, aead]) part?.key.use((key) => hash.update(key));
  return hash.digest("hex");
}

function tellSent({ local, remote }: Path, bytes: Uint8Array): void {
  tell({ type: "sent", time: Date.now(), source: local.address, destination: remote.address, octets: hex(bytes) });
}

function hex(octets: Uint8Array): string {
  return Buffer.from(octets).toString("hex");
}
