/** `mainmode last-failure`: the last messages and decisions of a negotiation that came to nothing. */
import type { FailureDocument } from "../../daemon/control-protocol.ts";
import { canonicalAddress } from "../../isakmp/address.ts";
import { ask } from "../client.ts";
import { EXIT, Failure } from "../exit.ts";
import { safe } from "../format.ts";
import { conclude } from "../report.ts";
import { entryLines } from "../trace-text.ts";

export interface LastFailureOptions {
  readonly control: string;
  /** Of this peer's; of anybody's where it is undefined. */
  readonly peer: string | undefined;
  readonly json: boolean;
}

/** Resolves with the exit code: 1 where no failure is remembered. */
export async function lastFailure({ control, peer, json }: LastFailureOptions): Promise<number> {
  const address = peer === undefined ? undefined : canonicalAddress(peer);
  if (peer !== undefined && address === undefined) throw new Failure(EXIT.usage, `${peer}: this is no IP address`);
  let found: FailureDocument | undefined;
  const end = await ask({
    path: control,
    request: { command: "last-failure", ...(address === undefined ? {} : { peer: address }) },
    onOther: (reply) => {
      if (reply.type === "failure") found = reply.failure;
    },
  });
  if (end.exit !== EXIT.done) return conclude(end);
  if (!found) throw new Failure(EXIT.failed, "the daemon told no failure", "are daemon and command of the same version?");
  process.stdout.write(json ? `${JSON.stringify(found, undefined, 2)}\n` : `${failureLines(found).join("\n")}\n`);
  return EXIT.done;
}

/** A failure in lines: what went wrong first, then what led to it. */
export function failureLines({ peer, rule, begun, failed, text, reason, failurePoint, hint, entries }: FailureDocument): readonly string[] {
  const where = failurePoint === null ? "" : `, failure point: ${failurePoint}`;
  return [
    `${peer}${rule === null ? "" : `, rule ${safe(rule)}`}: begun ${begun}, failed ${failed}`,
    safe(`${text}${reason === null ? "" : ` (${reason}${where})`}`),
    ...(hint === null ? [] : [safe(`try: ${hint}`)]),
    "",
    ...entries.flatMap(entryLines),
  ];
}
