/**
 * Two hosts on one wire: the namespaces `us` and `theirs`, and between them a bridge in a third one, where the capture is taken.
 * On an end's own interface it would show decapsulated packets of tunnel mode next to the protected ones.
 */
import type { ChildProcess } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { BEHIND, OUR_HOST, type Placed } from "./scenario.ts";
import { eventually, type Shell, start } from "./shell.ts";

export type Side = "us" | "theirs";

/** Makes both hosts with the addresses of all scenarios. */
export async function makeNetwork(run: Shell, placed: readonly Placed[]): Promise<void> {
  for (const name of ["us", "theirs", "wire"]) await run(["ip", "netns", "add", name]);
  const hosts = ["us", "theirs"].flatMap((name) => [
    `link add ${name} netns wire type veth peer name wire netns ${name}`,
    `link add behind netns ${name} type dummy`,
  ]);
  await batch(run, [], ["link add bridge netns wire type bridge forward_delay 0", ...hosts]);
  await batch(run, ["-n", "wire"], ["link set bridge up", ...["us", "theirs"].map((name) => `link set ${name} master bridge up`)]);
  for (const side of ["us", "theirs"] as const) await batch(run, ["-n", side], hostLines(side, placed));
}

/** Starts the capture of the wire; resolves when it captures. `octets`: of each packet; 0: all. */
export async function capture(run: Shell, file: string, log: string, octets = 0): Promise<ChildProcess> {
  const argv = ["ip", "netns", "exec", "wire", "tcpdump", "-i", "bridge", "-U", "-s", `${octets}`, "-Z", "root", "-w", file];
  const child = start(argv, log);
  if (!(await eventually(10, () => existsSync(file) && statSync(file).size > 0))) throw new Error(`tcpdump does not start, see ${log}`);
  await run(["ip", "-n", "wire", "link", "show", "bridge"]);
  return child;
}

/** Runs a command on one of the hosts. */
export const on = (side: Side, argv: readonly string[]): readonly string[] => ["ip", "netns", "exec", side, ...argv];

/** Pings an address of a flow from the other one; how many answers came. */
export async function ping(run: Shell, side: Side, from: string, to: string, count: number, seconds: number): Promise<number> {
  const argv = ["ping", "-n", "-c", `${count}`, "-i", "0.3", "-w", `${seconds}`, "-I", from, to];
  const { stdout } = await run(on(side, argv), { mayFail: true, seconds: seconds + 10 });
  return Number(/(\d+) received/.exec(stdout)?.[1] ?? 0);
}

const KNOCK = fileURLToPath(new URL(`./knock.${import.meta.url.endsWith(".ts") ? "ts" : "js"}`, import.meta.url));

/** Answers TCP on the one port that some scenarios protect; ends with the guest. */
export async function answerTcp(log: string): Promise<void> {
  start(on("theirs", [process.execPath, KNOCK, "listen"]), log);
  if (!(await eventually(30, () => existsSync(log) && statSync(log).size > 0))) throw new Error(`nobody listens, see ${log}`);
}

/** Opens TCP connections from our side to theirs; how many were answered. */
export async function knock(run: Shell, from: string, to: string, count: number, seconds: number): Promise<number> {
  const argv = on("us", [process.execPath, KNOCK, "knock", from, to, `${count}`, `${seconds}`]);
  const { stdout } = await run(argv, { mayFail: true, seconds: seconds + 20 });
  return Number(/(\d+) answered/.exec(stdout)?.[1] ?? 0);
}

/** Lets both hosts put IP fragments together, or drop them as some firewalls do. */
export async function reassemble(run: Shell, passes: boolean): Promise<void> {
  const files = ["ipfrag_low_thresh", "ipfrag_high_thresh"].map((name) => `/proc/sys/net/ipv4/${name}`);
  // The low one must never be above the high one.
  const writes = passes ? [`${4 << 20} > ${files[1]}`, `${3 << 20} > ${files[0]}`] : files.map((file) => `0 > ${file}`);
  for (const side of ["us", "theirs"] as const) await run(on(side, ["sh", "-ec", writes.map((write) => `echo ${write}`).join("; ")]));
}

/** The addresses, and the ways to the subnets behind the other host. Without duplicate address detection, which takes seconds. */
function hostLines(side: Side, placed: readonly Placed[]): readonly string[] {
  const own = side === "us" ? placed.map((one) => one.us) : placed.map((one) => one.theirs);
  const hosts = [...Object.values(ROUTER[side]), ...(side === "us" ? [] : own.map((end) => end.host))];
  const behind = own.flatMap((end) => end.flows.filter((flow) => flow.net.includes("/")).map((flow) => flow.address));
  const otherSide = side === "us" ? "theirs" : "us";
  const [other, via] = [BEHIND[otherSide], ROUTER[otherSide]];
  return [
    "link set lo up",
    "link set wire up",
    "link set behind up",
    ...hosts.map((host) => addressLine(host, "wire", 24, 64)),
    ...[...new Set(behind)].map((address) => addressLine(address, "behind", 32, 128)),
    `route add ${other.v4} via ${via.v4}`,
    `route add ${other.v6} via ${via.v6}`,
  ];
}

/** Where the way to the subnets behind a side leads. */
const ROUTER = { us: OUR_HOST, theirs: { v4: "192.0.2.2", v6: "2001:db8::2" } } as const;

const addressLine = (address: string, device: string, v4: number, v6: number): string =>
  `address add ${address}/${address.includes(":") ? `${v6} nodad` : v4} dev ${device}`;

const batch = (run: Shell, options: readonly string[], lines: readonly string[]) =>
  run(["ip", ...options, "-batch", "-"], { input: `${lines.join("\n")}\n` });
