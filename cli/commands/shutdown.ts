/** `mainmode shutdown`: a full stop; the peers are told, our SAs and policies removed. `--keep` leaves all of it to the next start. */
import { ask } from "../client.ts";
import { conclude, printLine } from "../report.ts";

/** Resolves with the exit code once the daemon has stopped. */
export const shutdown = async (control: string, keep: boolean): Promise<number> =>
  conclude(await ask({ path: control, request: { command: "shutdown", keep }, onLine: printLine }));
