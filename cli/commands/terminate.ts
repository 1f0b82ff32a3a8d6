/** `mainmode terminate`: delete SAs and tell the peers. */
import type { Request } from "../../daemon/control-protocol.ts";
import { ask } from "../client.ts";
import { EXIT, Failure } from "../exit.ts";
import { conclude, printLine } from "../report.ts";

export interface TerminateOptions {
  readonly control: string;
  readonly rule: string | undefined;
  readonly ike: number | undefined;
  readonly child: number | undefined;
  readonly all: boolean;
}

type Target = Extract<Request, { command: "terminate" }>["target"];

/** Resolves with the exit code. Exactly one target has to be named. */
export async function terminate({ control, rule, ike, child, all }: TerminateOptions): Promise<number> {
  const targets: Target[] = [
    ...(rule === undefined ? [] : [{ kind: "rule", rule } as const]),
    ...(ike === undefined ? [] : [{ kind: "ike", id: ike } as const]),
    ...(child === undefined ? [] : [{ kind: "child", id: child } as const]),
    ...(all ? [{ kind: "all" } as const] : []),
  ];
  const [target] = targets;
  if (!target || targets.length > 1) throw new Failure(EXIT.usage, "terminate needs one of: RULE, --ike ID, --child ID, --all");
  return conclude(await ask({ path: control, request: { command: "terminate", target }, onLine: printLine }));
}
