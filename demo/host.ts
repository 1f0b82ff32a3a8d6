/**
 * One of the demo's hosts: the daemon as `mainmode daemon -c FILE` runs it, logging JSON. In addition it tells the process that started it
 * the key of its phase 1 cipher, over the channel that only those two have, and stops when that process is gone.
 */
import { runDaemon } from "../daemon/main.ts";
import { toHex } from "../isakmp/hex.ts";
import { tapped } from "./tap.ts";

const [, , configFile = ""] = process.argv;
process.on("disconnect", () => process.kill(process.pid, "SIGTERM"));
const exit = await runDaemon(
  { configFile, logFormat: "json" },
  { crypto: (crypto) => tapped(crypto, (key) => process.send?.({ key: toHex(key) })) },
);
process.exit(exit);
