/**
 * A conversation over connected UDP and over one TCP connection, for `flows.policy.ts`, in a namespace: one end listens, the other one speaks
 * every 50 ms over sockets that it opens once. Tells in lines of JSON what came back.
 */
import { createSocket } from "node:dgram";
import { createServer, connect as toServer } from "node:net";

const PORT = 7000;
const [role, own = "", other = ""] = process.argv.slice(2);
const say = (message: object): void => void process.stdout.write(`${JSON.stringify(message)}\n`);

function listen(): void {
  const socket = createSocket("udp4");
  socket.on("message", (message, { address, port }) => socket.send(message, port, address));
  socket.bind(PORT, own);
  createServer((connection) => connection.on("error", () => {}).pipe(connection)).listen(PORT, own, () => say({ ready: true }));
}

function speak(): void {
  const udp = createSocket("udp4");
  udp.on("error", () => {});
  udp.on("message", (message) => say({ udp: Number(message.toString()) }));
  const tcp = toServer({ host: other, port: PORT, localAddress: own, noDelay: true });
  tcp.on("error", (error) => say({ error: error.message }));
  tcp.on("data", (chunk: Buffer) => {
    for (const word of chunk.toString().split(" ").filter(Boolean)) say({ tcp: Number(word) });
  });
  let count = 0;
  udp.bind(0, own, () =>
    udp.connect(PORT, other, () => {
      setInterval(() => {
        count++;
        udp.send(`${count}`, () => {});
        tcp.write(`${count} `);
      }, 50);
    }),
  );
}

if (role === "listen") listen();
else speak();
