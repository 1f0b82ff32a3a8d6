/** `npm run flood`: a flood from forged addresses against a daemon, and honest peers in it. Options are those of test/flood/main.ts. */
import { fileURLToPath } from "node:url";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
const { main } = await import("../dist/test/flood/main.js");
process.exitCode = await main(process.argv.slice(2));
