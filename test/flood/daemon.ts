/** The daemon with a kernel in memory: `node daemon.js FILE`. */
import { runDaemon } from "../../daemon/main.ts";
import { memoryKernel } from "../../kernel/memory.ts";

process.exitCode = await runDaemon({ configFile: process.argv[2] ?? "", logFormat: "json" }, { kernel: memoryKernel() });
