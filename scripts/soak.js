/** `npm run soak`: traffic through SAs with short lives, against strongSwan and libreswan in guests. Options are those of test/soak/main.ts. */
import { fileURLToPath } from "node:url";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
const { main } = await import("../dist/test/soak/main.js");
process.exitCode = await main(process.argv.slice(2));
