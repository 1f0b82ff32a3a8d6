/** What this machine has for the demo. Looking changes nothing: the one namespace made on the way is gone at the end. */
import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadNative } from "../daemon/native.ts";
import type { Facts } from "./place.ts";

/** `uml-run` beside this file, or in the sources beside dist/. */
export const UML_RUN = fileURLToPath(
  ["uml-run", "../../demo/uml-run"].map((path) => new URL(path, import.meta.url)).find((url) => existsSync(url)) ??
    new URL("uml-run", import.meta.url),
);

/** What this machine offers; tries it rather than guessing from versions. */
export async function lookAround(): Promise<Facts> {
  const root = process.getuid?.() === 0;
  const ip = has("ip");
  return {
    root,
    ip,
    ping: has("ping"),
    native: (await loadNative()).ok,
    esp: root && ip && namespaceHasEsp(),
    uml: has("linux.uml") && has("modprobe") && has("bash") && existsSync(UML_RUN),
  };
}

/** Users other than root often lack the folders of system programs. */
export function completePath(): void {
  const folders = (process.env["PATH"] ?? "").split(delimiter);
  const missing = ["/usr/sbin", "/sbin"].filter((folder) => !folders.includes(folder));
  process.env["PATH"] = [...folders, ...missing].join(delimiter);
}

const has = (program: string): boolean =>
  (process.env["PATH"] ?? "").split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });

/**
 * Gives an ESP SA of zeros to the kernel in a namespace of its own. The first one makes the kernel look for the modules of its ciphers,
 * which takes seconds in a guest: the negotiation's own SAs have to wait for nothing any more.
 */
export function namespaceHasEsp(): boolean {
  const name = `mainmode-demo-${process.pid}-probe`;
  const ip = (...args: readonly string[]): boolean => spawnSync("ip", args, { stdio: "ignore" }).status === 0;
  if (!ip("netns", "add", name)) return false;
  const zeros = (octets: number): string => `0x${"00".repeat(octets)}`;
  const keys = ["auth-trunc", "hmac(sha256)", zeros(32), "128", "enc", "cbc(aes)", zeros(16)];
  const sa = ["src", "192.0.2.1", "dst", "192.0.2.2", "proto", "esp", "spi", "0x1000", "mode", "transport"];
  const done = ip("-n", name, "xfrm", "state", "add", ...sa, ...keys);
  ip("netns", "del", name);
  return done;
}
