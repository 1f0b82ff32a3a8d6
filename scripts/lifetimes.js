/** `npm run lifetimes`: weeks of an SA's life in virtual time. Options are those of test/lifetimes/main.ts. */
import { fileURLToPath } from "node:url";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
const { main } = await import("../dist/test/lifetimes/main.js");
process.exitCode = main(process.argv.slice(2));
