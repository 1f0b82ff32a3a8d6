/** `npm run interop`: strongSwan, libreswan and ourselves on both ends of a wire, in guests with ESP. Options are those of test/interop/main.ts. */
import { fileURLToPath } from "node:url";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
const { main } = await import("../dist/test/interop/main.js");
process.exitCode = await main(process.argv.slice(2));
