/**
 * What the control socket tells about the active policy: why a packet meets what it meets, and what should stand in the kernel.
 */
import { compile } from "../policy/compile.ts";
import { readPacket } from "../policy/decide.ts";
import type { Source } from "../policy/layers.ts";
import type { Policy } from "../policy/types.ts";
import { type ExplainedPolicy, type Explanation, explain, explainPolicy, isBeyond } from "../policy/why.ts";
import { type Exported, exportPolicy } from "../policy/windows/export.ts";
import type { StatusDocument } from "../sa-store/view.ts";
import type { Reply, Request } from "./control-protocol.ts";
import { metNow, type Now } from "./met-now.ts";

/** The policy that is followed now, and this host's addresses. */
export interface Situation {
  readonly policy: Policy;
  /** The same with the tunnel ends that routes have told. */
  readonly inForce: Policy;
  readonly addresses: readonly string[];
  /** Its link-local ones of IPv6. */
  readonly onLink: readonly string[];
  /** UDP ports of IKE. */
  readonly ports: readonly number[];
  /** The policy as written. */
  readonly sources: readonly Source[];
  /** What packets meet in the kernel now. */
  readonly metBy: Now["metBy"];
}

/** `why` with what is there already: the child SAs of the rule that carry such packets, what lets them through in clear for a while, and what keeps them from it. */
export type WhyDocument = Explanation & {
  readonly installed: StatusDocument["childSas"];
  readonly soft: StatusDocument["softSas"];
  readonly guards: StatusDocument["guards"];
};

/** `policy show`: as written, and as it should stand in the kernel. */
export interface PolicyDocument {
  readonly name: string;
  readonly addresses: readonly string[];
  readonly sources: readonly Source[];
  readonly policies: readonly (ExplainedPolicy & { readonly rule: string | null; readonly exempt: string | null })[];
}

/** `policy export`. */
export type ExportDocument = Pick<Exported, "script" | "findings">;

/** The replies to a question about the policy. */
export function answerPolicy(
  request: Extract<Request, { command: "why" | "policy" | "export" }>,
  situation: Situation,
  status: StatusDocument,
): readonly Reply[] {
  if (request.command === "policy")
    return [
      { type: "document", document: policyDocument(situation) },
      { type: "end", exit: 0 },
    ];
  const { policy, inForce, addresses } = situation;
  if (request.command === "export") {
    const mirror = request.mirror === undefined ? undefined : { local: request.mirror, peer: request.peer };
    const { script, findings } = exportPolicy(policy, { mirror });
    return [
      { type: "document", document: { script, findings } },
      { type: "end", exit: 0 },
    ];
  }
  const packet = readPacket(request.src, request.dst, request.protocol, request.sport, request.dport);
  if (typeof packet === "string") return [{ type: "end", exit: 2, text: packet }];
  const { ports, onLink, metBy } = situation;
  const explanation = explain(inForce, addresses, packet, ports, onLink);
  const asksKernel = !isBeyond(inForce, addresses, packet, ports, onLink);
  const { explained, installed, soft, guards } = metNow(explanation, { status, own: [...addresses, ...onLink], metBy }, asksKernel);
  return [
    { type: "document", document: { ...explained, installed, soft, guards } satisfies WhyDocument },
    { type: "end", exit: 0 },
  ];
}

/** Everything that `policy show` tells; the kernel's policies strongest first. */
export function policyDocument({ inForce: policy, addresses, sources }: Situation): PolicyDocument {
  const policies = compile(policy, addresses).map((wanted) => ({
    ...explainPolicy(wanted),
    rule: wanted.origin.kind === "rule" ? wanted.origin.rule.name : null,
    exempt: wanted.origin.kind === "exemption" ? wanted.origin.what : null,
  }));
  return { name: policy.name, addresses, sources, policies };
}
