/** `mainmode shutdown`: a full stop; the peers are told, our SAs and policies removed. */
import { ask } from "../client.ts";
import { conclude, printLine } from "../report.ts";

/** Resolves with the exit code once the daemon has stopped. */
export const shutdown = async (control: string): Promise<number> =>
  conclude(await ask({ path: control, request: { command: "shutdown", keep: false }, onLine: printLine }));
