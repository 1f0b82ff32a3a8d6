/**
 * Two routers that translate addresses, and hosts before and behind them:
 *
 *   alice 10.0.0.5 ─┐                                              ┌─ hidden 10.1.0.2 (10.8.0.1)
 *   bob   10.0.0.6 ─┴ nat 198.51.100.1 ── wire ── forward 203.0.113.1 (500 and 4500 lead to hidden)
 *                                          ├───── open 192.0.2.2 (10.9.0.1 to 10.9.3.1)
 *                                          └───── plain 192.0.3.2 to 192.0.3.4
 *
 * `nat` gives every flow a random port of a range, so that a port that happens to stay the same proves nothing, and forgets what was silent for
 * 25 s, as many do. The capture is taken on the wire between the routers.
 */
import type { ChildProcess } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { eventually, type Shell, start } from "../interop/shell.ts";

export type HostName = "alice" | "bob" | "hidden" | "open" | "plain";

export const ADDRESS = { alice: "10.0.0.5", bob: "10.0.0.6", hidden: "10.1.0.2", open: "192.0.2.2", plain: "192.0.3.2" } as const;
/** Of the routers, towards the wire. */
export const OUTER = { nat: "198.51.100.1", forward: "203.0.113.1" } as const;
/** Addresses behind the two that serve tunnels. */
export const BEHIND = { hidden: "10.8.0.1", open: "10.9.0.1", second: "10.9.1.1", third: "10.9.2.1", fourth: "10.9.3.1" } as const;
/** More hosts of the wire, without a NAT anywhere. */
export const PLAIN = ["192.0.3.2", "192.0.3.3", "192.0.3.4"] as const;

/** Runs a command on a host. */
export const on = (host: string, argv: readonly string[]): readonly string[] => ["ip", "netns", "exec", host, ...argv];

const NAMESPACES = ["alice", "bob", "nat", "wire", "forward", "hidden", "open", "plain"];

/** Interfaces: namespace, name, address, the other namespace, name, address. */
const LINKS = [
  ["nat", "out0", `${OUTER.nat}/24`, "wire", "to-nat", "198.51.100.254/24"],
  ["forward", "out0", `${OUTER.forward}/24`, "wire", "to-forward", "203.0.113.254/24"],
  ["open", "out0", `${ADDRESS.open}/24`, "wire", "to-open", "192.0.2.254/24"],
  ["plain", "out0", `${PLAIN[0]}/24`, "wire", "to-plain", "192.0.3.254/24"],
  ["hidden", "out0", `${ADDRESS.hidden}/24`, "forward", "to-hidden", "10.1.0.1/24"],
  ["alice", "out0", `${ADDRESS.alice}/32`, "nat", "to-alice", "10.0.0.1/32"],
  ["bob", "out0", `${ADDRESS.bob}/32`, "nat", "to-bob", "10.0.0.1/32"],
] as const;

const MORE = [
  ["open", [BEHIND.open, BEHIND.second, BEHIND.third, BEHIND.fourth]],
  ["hidden", [BEHIND.hidden]],
  ["plain", PLAIN.slice(1)],
] as const;

const ROUTES = {
  nat: ["default via 198.51.100.254", `${ADDRESS.alice} dev to-alice`, `${ADDRESS.bob} dev to-bob`],
  forward: ["default via 203.0.113.254"],
  open: ["default via 192.0.2.254"],
  plain: ["default via 192.0.3.254"],
  hidden: ["default via 10.1.0.1"],
  alice: ["10.0.0.1 dev out0", "default via 10.0.0.1"],
  bob: ["10.0.0.1 dev out0", "default via 10.0.0.1"],
} as const;

/** Makes everything; what an earlier file of the same guest left is gone then. */
export async function makeNetwork(run: Shell): Promise<void> {
  const batch = (options: readonly string[], lines: readonly string[]) =>
    run(["ip", ...options, "-batch", "-"], { input: `${lines.join("\n")}\n` });
  for (const name of NAMESPACES) await run(["ip", "netns", "del", name], { mayFail: true });
  for (const name of NAMESPACES) await run(["ip", "netns", "add", name]);
  await batch(
    [],
    LINKS.map(([one, name, , other, otherName]) => `link add ${name} netns ${one} type veth peer name ${otherName} netns ${other}`),
  );
  for (const host of NAMESPACES) {
    const ends: readonly (readonly [string, string])[] = LINKS.flatMap(
      ([one, name, address, other, otherName, otherAddress]): readonly (readonly [string, string])[] =>
        one === host ? [[name, address]] : other === host ? [[otherName, otherAddress]] : [],
    );
    const more = MORE.flatMap(([one, addresses]) => (one === host ? addresses : []));
    await batch(
      ["-n", host],
      [
        "link set lo up",
        ...ends.flatMap(([name, address]) => [`address add ${address} dev ${name}`, `link set ${name} up`]),
        ...more.map((address) => `address add ${address}/32 dev lo`),
        ...(ROUTES[host as keyof typeof ROUTES] ?? []).map((route) => `route add ${route}`),
      ],
    );
  }
  // The plain host's other addresses are its own interface's neighbours to the wire.
  await batch(
    ["-n", "wire"],
    PLAIN.slice(1).map((address) => `route add ${address}/32 via ${PLAIN[0]}`),
  );
  for (const name of ["nat", "wire", "forward"]) await write(run, name, "net/ipv4/ip_forward", 1);
  await masquerade(run, "-A", 0);
  for (const name of ["nf_conntrack_udp_timeout", "nf_conntrack_udp_timeout_stream"])
    await write(run, "nat", `net/netfilter/${name}`, FORGETS_SECONDS);
  for (const port of ["500", "4500"])
    await table(run, "forward", `-A PREROUTING -i out0 -p udp --dport ${port} -j DNAT --to-destination ${ADDRESS.hidden}`);
  await table(run, "forward", "-A POSTROUTING -o out0 -j MASQUERADE");
}

/** Seconds of silence after which `nat` forgets a flow. */
const FORGETS_SECONDS = 25;

const write = (run: Shell, host: string, file: string, value: number) => run(on(host, ["sh", "-c", `echo ${value} > /proc/sys/${file}`]));
const table = (run: Shell, host: string, line: string) => run(on(host, ["iptables-legacy", "-t", "nat", ...line.split(" ")]));

const masquerade = (run: Shell, how: "-A" | "-D", turn: number) =>
  table(run, "nat", `${how} POSTROUTING -o out0 -p udp -j MASQUERADE --to-ports ${20_000 + 1000 * turn}-${20_999 + 1000 * turn} --random`);

let turn = 0;

/** The router forgets every mapping, and gives ports of another range from now on. Masquerading forgets with its interface. */
export async function rebind(run: Shell): Promise<void> {
  await masquerade(run, "-D", turn);
  await masquerade(run, "-A", ++turn);
  await run(["ip", "-n", "nat", "link", "set", "out0", "down"]);
  await run(["ip", "-n", "nat", "link", "set", "out0", "up"]);
  await run(["ip", "-n", "nat", "route", "replace", "default", "via", "198.51.100.254"]);
}

/** Captures everything that crosses the wire, once. */
export async function capture(run: Shell, file: string, log: string): Promise<ChildProcess> {
  const argv = ["tcpdump", "-i", "any", "-Q", "in", "-U", "--immediate-mode", "-s", "400", "-Z", "root", "-w", file];
  const child = start(on("wire", argv), log);
  if (!(await eventually(10, () => existsSync(file) && statSync(file).size > 0))) throw new Error(`tcpdump does not start, see ${log}`);
  await run(["ip", "-n", "wire", "link"]);
  return child;
}

/** Packets of a capture that a filter picks, as tcpdump tells them. */
export async function packetsOf(run: Shell, file: string, filter: string): Promise<readonly string[]> {
  const { stdout } = await run(["tcpdump", "-n", "-tt", "-r", file, filter], { seconds: 60, mayFail: true });
  return stdout.split("\n").filter((line) => line !== "");
}

/** The UDP payloads of those packets. */
export async function datagramsOf(run: Shell, file: string, filter: string): Promise<readonly Buffer[]> {
  const { stdout } = await run(["tcpdump", "-n", "-t", "-x", "-r", file, filter], { seconds: 60, mayFail: true });
  return stdout
    .split(/\n(?=\S)/)
    .map((text) =>
      Buffer.from(
        text
          .replace(/^\S.*$/gm, "")
          .replace(/^\s+0x\w+:/gm, "")
          .replace(/\s/g, ""),
        "hex",
      ),
    )
    .map((packet) => packet.subarray(4 * ((packet[0] ?? 0) & 15) + 8));
}

/** Pings; how many were answered. */
export async function ping(run: Shell, host: HostName, from: string, to: string, count = 3): Promise<number> {
  const argv = ["ping", "-n", "-c", `${count}`, "-i", "0.2", "-w", `${count + 2}`, "-I", from, to];
  const { stdout } = await run(on(host, argv), { mayFail: true, seconds: 20 });
  return Number(/(\d+) received/.exec(stdout)?.[1] ?? 0);
}
