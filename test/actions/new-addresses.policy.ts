/**
 * Addresses of IPv6 that nobody announces before they may be used, in a kernel with a daemon: one by a router's advertisement, and the temporary ones that
 * follow each other. Under `require` for `me` an application that never stops sends nothing in clear from any of them.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Lab, wait } from "./lab.ts";

const [PREFIX, THEIRS] = ["2001:db8:7::", "2001:db8:7::2"];
const ROTATIONS = 4;
const ADVERTISE = fileURLToPath(new URL("advertise.js", import.meta.url));

/**
 * A new address every three or four seconds: with three probes the next one is made 11 seconds before one is deprecated. Three probes also take three seconds: the
 * one second that is usual may be too short for a daemon in an emulated kernel on a busy machine.
 */
const SETTINGS = [
  "dad_transmits=3",
  "accept_ra=2",
  "use_tempaddr=2",
  "max_desync_factor=1",
  "temp_prefered_lft=15",
  "temp_valid_lft=300",
  // They shall all stay.
  "max_addresses=64",
].map((one) => `net.ipv6.conf.eth0.${one}`);

const configuration = (lab: Lab): string =>
  `[daemon]\ncontrol = "${lab.control("us")}"\nkeep-across-restart = false\n[policy]\nexempt = []\n[policy.main-mode]\nproposals = ["aes128-sha256-x25519"]
[[rule]]\nname = "all"\nfilters = ["me <-> ${PREFIX}/64"]\naction = "require"\nauth = [{ method = "psk", secret = "a throwaway key for this test" }]\n`;

/** Temporary addresses that may be used, or have been. */
const temporary = (): readonly string[] =>
  execFileSync("ip", ["-n", "us", "-6", "-o", "address", "show", "dev", "eth0"], { encoding: "utf8" })
    .split("\n")
    .flatMap((line) => (/ tentative /.test(line) ? [] : (/ inet6 (\S+)\/64 .* temporary /.exec(line)?.[1] ?? [])));

let lab: Lab;
let seen: readonly string[] = [];

before(async () => {
  lab = new Lab({ us: [], theirs: [THEIRS] });
  execFileSync("ip", ["netns", "exec", "us", "sysctl", "-qw", ...SETTINGS]);
  await lab.watch();
  await lab.start("us", configuration(lab));
  lab.run("us", "bash", "-c", `while :; do { echo text >/dev/udp/${THEIRS}/9999; } 2>/dev/null; sleep 0.01; done`);
  await new Promise((resolve) => lab.run("theirs", process.execPath, ADVERTISE, PREFIX).once("close", resolve));
  for (let i = 0; i < 600 && seen.length <= ROTATIONS; i++) {
    await wait(200);
    seen = temporary();
  }
  // What the last one has to say.
  await wait(1000);
});

after(() => lab.end());

test(`an address by a router's advertisement and ${ROTATIONS} temporary ones after it send nothing in clear`, async () => {
  assert.ok(seen.length > ROTATIONS, `only ${seen.join(", ")}`);
  assert.deepEqual(await lab.lines("ip6", "and", "udp", "port", "9999"), []);
});

test("each of them has asked for protection from its own socket", async () => {
  const ike = await lab.lines("ip6", "and", "udp", "port", "500");
  const silent = seen.filter((address) => !ike.some((line) => line.includes(`IP6 ${address}.500 >`)));
  assert.deepEqual(silent, []);
  assert.doesNotMatch(lab.log("us"), /EADDRNOTAVAIL|no socket on/);
});
