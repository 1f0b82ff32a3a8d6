/** What stories of a Windows-like peer share: the offers that one of its releases takes, and both phases begun by either end. */
import assert from "node:assert/strict";
import type { WindowsPeer } from "./windows-peer.ts";
import type { World } from "./world.ts";

export const SECOND = 1000;

/** Offers among which each release finds one. */
export const OFFERS = {
  mainMode: ["aes256-sha1-ecp384", "aes128-sha1-modp1024", "3des-sha1-modp2048", "3des-sha1-modp1024"],
  quickMode: ["esp:aes256-sha1", "esp:aes128-sha1", "esp:3des-sha1"],
  mainLife: "480m",
  quickLife: "60m",
  volume: "250MB",
};

export const hex = (octets: Uint8Array): string => Buffer.from(octets).toString("hex");

/** Both phases, begun by one of the two. */
export function bothPhases(world: World, windows: WindowsPeer, begins: "us" | "windows"): void {
  if (begins === "us") {
    const id = world.host("A").initiate();
    world.run(SECOND);
    assert.equal(world.host("A").outcome(id).exit, 0);
    return;
  }
  windows.begin();
  world.run(SECOND);
  assert.ok(windows.established, "Main Mode");
  windows.quick();
  world.run(SECOND);
}
