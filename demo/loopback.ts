/**
 * Two hosts on loopback addresses of this machine, each with a kernel in memory: the negotiation is real, protected traffic is not.
 * Needs no right at all.
 */
import { createSocket } from "node:dgram";
import type { Stage } from "./stage.ts";

/** Both addresses belong to this machine; both daemons use the same two free ports. */
export async function buildLoopback(): Promise<Stage> {
  const [ike, nat] = [await freePort(), await freePort()];
  return {
    name: "two addresses of the loopback interface",
    hosts: { left: { address: "127.0.0.1", enter: [] }, right: { address: "127.0.0.2", enter: [] } },
    ports: { ike, nat },
    kernel: "memory",
    wire: undefined,
    close: () => Promise.resolve(),
  };
}

/** A UDP port that nobody uses on either address. */
async function freePort(): Promise<number> {
  for (let tries = 0; tries < 20; tries++) {
    const port = await tryPort("127.0.0.1", 0);
    if (port !== undefined && (await tryPort("127.0.0.2", port)) !== undefined) return port;
  }
  throw new Error("no UDP port is free on 127.0.0.1 and 127.0.0.2");
}

function tryPort(address: string, port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket("udp4");
    socket.on("error", () => resolve(undefined));
    socket.bind({ address, port, exclusive: true }, () => {
      const bound = socket.address().port;
      socket.close(() => resolve(bound));
    });
  });
}
