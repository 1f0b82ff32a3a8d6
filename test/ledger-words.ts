/** For tests that start daemons of their own: what to put behind `node` so that a daemon's secrets are written down and looked for. */
import { fileURLToPath } from "node:url";

const LEDGER = fileURLToPath(new URL("./secrets-ledger.js", import.meta.url));

/** Nothing, where the run that we belong to (MAINMODE_LEDGER) looks for no secrets. */
export const ledgerWords = (): readonly string[] => (process.env["MAINMODE_LEDGER"] === undefined ? [] : ["--import", LEDGER]);
