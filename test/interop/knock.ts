/**
 * TCP on one port, where a rule is about that only. `listen` answers on every address of the namespace it runs in; `knock FROM TO COUNT SECONDS`
 * opens that many connections, one after the other, and prints how many were answered.
 */
import { connect, createServer } from "node:net";

/** The port that scenarios with `only: "tcp"` protect, at their end. */
export const PORT = 7000;

function listen(): void {
  createServer((connection) => connection.on("error", () => {}).pipe(connection)).listen(PORT, "::", () => console.log("listening"));
}

function once(localAddress: string, host: string, deadline: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, localAddress, port: PORT });
    const end = (answered: boolean): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answered);
    };
    const timer = setTimeout(() => end(false), Math.max(0, deadline - Date.now()));
    socket.on("connect", () => socket.write("?"));
    socket.on("data", () => end(true));
    socket.on("error", () => end(false));
  });
}

async function knock(from: string, to: string, count: number, seconds: number): Promise<void> {
  const deadline = Date.now() + seconds * 1000;
  let answered = 0;
  for (let i = 0; i < count; i++) if (await once(from, to, deadline)) answered++;
  console.log(`${answered} answered`);
}

const [, , role, from = "", to = "", count = "", seconds = ""] = process.argv;
if (role === "listen") listen();
else if (role === "knock") await knock(from, to, Number(count), Number(seconds));
