/**
 * Sends and hears UDP on every address and port that it is told, by lines of JSON, and says when it has heard what was there before it was asked, and
 * what IPsec has counted. For `spaces.ts`, in a namespace.
 */
import { createSocket, type Socket } from "node:dgram";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

const { addresses, groups, ports } = JSON.parse(process.argv[2] ?? "{}") as {
  readonly addresses: readonly string[];
  /** Multicast ones that it hears, with their device. */
  readonly groups: readonly string[];
  readonly ports: readonly number[];
};
const sockets = new Map<string, Socket>();
const say = (message: object): void => void process.stdout.write(`${JSON.stringify(message)}\n`);

async function open(address: string, port: number): Promise<void> {
  const socket = createSocket(address.includes(":") ? "udp6" : "udp4");
  socket.on("message", (message) => say({ heard: message.toString() }));
  socket.on("error", () => {});
  await new Promise<void>((resolve) => socket.bind(port, address, resolve));
  const [group = "", device] = address.split("%");
  if (groups.includes(address)) socket.addMembership(group, `::%${device}`);
  sockets.set(`${address} ${port}`, socket);
}

for (const address of [...addresses, ...groups]) for (const port of ports) await open(address, port);
/** Each round of the loop reads from every socket that has something. */
const rounds = (count: number, then: () => void): void => void setImmediate(() => (count === 0 ? then() : rounds(count - 1, then)));
createInterface({ input: process.stdin }).on("line", (line) => {
  const { source, sourcePort, destination, destinationPort, text } = JSON.parse(line);
  if (source === undefined) return rounds(3, () => say({ sent: text, counters: readFileSync("/proc/net/xfrm_stat", "utf8") }));
  sockets.get(`${source} ${sourcePort}`)?.send(text, destinationPort, destination, () => say({ sent: text }));
});
say({ ready: true });
