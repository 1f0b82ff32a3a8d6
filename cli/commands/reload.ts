/** `mainmode reload`: the daemon reads its configuration again; SAs that the change does not touch stay. */
import { ask } from "../client.ts";
import { conclude, printLine } from "../report.ts";

/** Resolves with the exit code: 78 where the file is wrong, and nothing was changed. */
export const reload = async (control: string): Promise<number> =>
  conclude(await ask({ path: control, request: { command: "reload" }, onLine: printLine }));
