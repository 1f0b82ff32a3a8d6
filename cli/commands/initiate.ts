/** `mainmode initiate`: negotiate now, one line a step. */
import { canonicalAddress } from "../../isakmp/address.ts";
import { ask } from "../client.ts";
import { EXIT, Failure } from "../exit.ts";
import { conclude, printLine } from "../report.ts";

export interface InitiateOptions {
  readonly control: string;
  readonly rule: string;
  readonly peer: string | undefined;
  readonly wait: number;
}

/** The daemon answers when its time is up; this long after that it is taken to be stuck. */
const GRACE_SECONDS = 2;

/** Resolves with the exit code. Ctrl-C ends the waiting, not the negotiation. */
export async function initiate({ control, rule, peer, wait }: InitiateOptions): Promise<number> {
  const address = peer === undefined ? undefined : canonicalAddress(peer);
  if (peer !== undefined && address === undefined) throw new Failure(EXIT.usage, `--peer ${peer}: this is no IP address`);
  process.once("SIGINT", () => {
    process.stderr.write("mainmode: not waiting any longer; the negotiation goes on in the daemon\n");
    process.exit(130);
  });
  const end = await ask({
    path: control,
    request: { command: "initiate", rule, wait, ...(address === undefined ? {} : { peer: address }) },
    onLine: printLine,
    patienceSeconds: wait + GRACE_SECONDS,
    impatience: new Failure(EXIT.noAnswer, `rule ${rule} is not up after ${wait} s`, "look at `mainmode status` and the daemon's log"),
  });
  return conclude(end);
}
