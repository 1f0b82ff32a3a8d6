/**
 * Policies that somebody else keeps out of the kernel, or takes from it, in a kernel with a daemon: what is told, what comes back, and what the wire sees.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, test } from "node:test";
import { ask } from "../../cli/client.ts";
import { Lab, wait } from "./lab.ts";

const [US, THEIRS] = ["192.0.2.1", "192.0.2.2"];
const AUTH = 'auth = [{ method = "psk", secret = "a throwaway key for this test" }]';
const ACTIONS = ["require", "request", "block"] as const;
/** Rules of all kinds of selectors, which must all be found again in what `ip` lists. */
const OTHERS = `
[[rule]]
name = "others"
action = "request"
filters = ["me <-> 192.0.2.64/26 89", "me <-> 192.0.2.128-192.0.2.140:80 tcp", "me <-> [2001:db8::/48]:53 udp", "me <-> 192.0.2.200 icmp"]
${AUTH}
[[rule]]
name = "tunnel"
action = "require"
filters = ["10.1.0.0/16 <-> 10.2.0.0/16"]
tunnel = { local = "${US}", remote = "${THEIRS}" }
mode = "tunnel"
${AUTH}
`;

const xfrm = (...words: readonly string[]): string => execFileSync("ip", ["-n", "us", "xfrm", "policy", ...words], { encoding: "utf8" });
const SELECTOR = ["src", `${US}/32`, "dst", `${THEIRS}/32`, "dir", "out"];
const standing = (): readonly string[] =>
  xfrm("list", "nosock")
    .split(/\n(?=\S)/)
    .map((each) => each.trim())
    .sort();

let lab: Lab;
before(() => {
  lab = new Lab({ us: [US, "2001:db8::1"], theirs: [THEIRS, "2001:db8::2"] });
});
after(() => lab.end());

const configuration = (action: string): string => `
[daemon]
control = "${lab.control("us")}"
runtime-directory = "${lab.folder}/us.run"
[policy.main-mode]
proposals = ["aes128-sha256-x25519"]
[[rule]]
name = "peer"
action = "${action}"
filters = ["me <-> ${THEIRS}"]
${action === "block" ? "" : AUTH}
${OTHERS}`;

async function until(what: string, done: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 600; i++) {
    if (await done()) return;
    await wait(100);
  }
  assert.fail(`${what}: not within a minute\n${lab.log("us")}`);
}
const refused = async () => (await lab.status("us")).refusedPolicies.map(({ rule, direction }) => `${rule} ${direction}`);
const reloadLines = async (): Promise<readonly string[]> => {
  const lines: string[] = [];
  await ask({ path: lab.control("us"), request: { command: "reload" }, onLine: (line) => lines.push(line) });
  return lines;
};

for (const action of ACTIONS)
  test(`${action}: a foreign policy is told of and left alone; when it goes, and after flushes and deletes, ours stands`, async () => {
    lab.mayLose = true;
    xfrm("add", ...SELECTOR, "action", "allow", "priority", "500");
    await lab.start("us", configuration(action));
    assert.deepEqual(await refused(), ["peer out"]);
    assert.match(
      (await reloadLines()).join("\n"),
      /warning: rule peer: the kernel has refused the policy out 192\.0\.2\.1\/32 -> 192\.0\.2\.2\/32/,
    );
    assert.equal(standing().filter((each) => each.includes("priority 500")).length, 1);
    xfrm("delete", ...SELECTOR);
    await until("ours stands", async () => (await refused()).length === 0);
    const whole = standing();
    if (action !== "request") assert.equal(await lab.ping("us", US, THEIRS, 2, "doubtful"), 0);
    for (const [take, told] of [
      [["flush"], 1],
      [["delete", ...SELECTOR], 2],
    ] as const) {
      xfrm(...take);
      await until("all is back", () => standing().join("\n") === whole.join("\n"));
      await until("it is told", () => lab.log("us").split("policy.gone").length - 1 === told);
    }
    assert.doesNotMatch((await reloadLines()).join("\n"), /refused/);
    assert.equal(lab.log("us").split("policy.gone").length - 1, 2, "the reload found everything in its place");
    await lab.kill("us", "SIGTERM");
    xfrm("flush");
    // What traffic has asked for, or the next start would ask for it.
    execFileSync("ip", ["-n", "us", "xfrm", "state", "flush"]);
  });
