/**
 * A flow of datagrams with numbers, held at a rate, in a process of its own so that nothing else disturbs its clock.
 *
 *   node flow.js send FROM TO OCTETS-A-SECOND SECONDS     node flow.js receive AT
 *
 * The receiver runs until it is told SIGTERM. Both end with one line of JSON: what was sent, or what arrived.
 */
import { createSocket } from "node:dgram";

const PORT = 7000;
const SIZE = 1250;
/** Datagrams go out in small handfuls: a timer for each would cost more than the datagram. */
const EVERY_MS = 20;

function send(from: string, to: string, rate: number, seconds: number): void {
  const socket = createSocket({ type: from.includes(":") ? "udp6" : "udp4" });
  socket.bind(0, from);
  const started = performance.now();
  const datagram = Buffer.alloc(SIZE);
  let sent = 0;
  let failed = 0;
  const timer = setInterval(() => {
    const elapsed = (performance.now() - started) / 1000;
    if (elapsed >= seconds) {
      clearInterval(timer);
      setTimeout(() => {
        console.log(JSON.stringify({ sent, failed }));
        process.exit(0);
      }, 500);
      return;
    }
    // Not more than a sixteenth of a second at once after a pause: a burst would lose what no SA lost.
    const due = Math.min(Math.floor((elapsed * rate) / SIZE), sent + Math.ceil(rate / SIZE / 16));
    for (; sent < due; sent++) {
      datagram.writeUInt32BE(sent, 0);
      socket.send(Buffer.from(datagram), PORT, to, (error) => {
        if (error) failed++;
      });
    }
  }, EVERY_MS);
}

function receive(at: string): void {
  const socket = createSocket({ type: at.includes(":") ? "udp6" : "udp4", recvBufferSize: 8 << 20 });
  const seen = new Set<number>();
  let octets = 0;
  socket.on("message", (message) => {
    seen.add(message.readUInt32BE(0));
    octets += message.length;
  });
  socket.bind(PORT, at);
  process.on("SIGTERM", () => {
    const highest = Math.max(-1, ...[...seen].slice(-1000));
    console.log(JSON.stringify({ received: seen.size, octets, highest }));
    process.exit(0);
  });
}

const [, , verb = "", first = "", second = "", rate = "0", seconds = "0"] = process.argv;
if (verb === "send") send(first, second, Number(rate), Number(seconds));
else receive(first);
