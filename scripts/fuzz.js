/** `npm run fuzz`: mutated messages for the decoder and for whole exchanges. Options are those of test/fuzz/main.ts. */
import { fileURLToPath } from "node:url";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
const { main } = await import("../dist/test/fuzz/main.js");
process.exitCode = main(process.argv.slice(2));
