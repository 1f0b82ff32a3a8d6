/**
 * What the control socket tells about the active policy: why a packet meets what it meets, and what should stand in the kernel.
 */
import { compile } from "../policy/compile.ts";
import { readPacket } from "../policy/decide.ts";
import type { Source } from "../policy/layers.ts";
import type { Policy } from "../policy/types.ts";
import { type ExplainedPolicy, type Explanation, explain, explainPolicy, isBeyond } from "../policy/why.ts";
import { type Exported, exportPolicy } from "../policy/windows/export.ts";
import type { PoliciesUnknownView, RefusedPolicyView, StatusDocument } from "../sa-store/view.ts";
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
  /** Broadcast addresses of its networks. */
  readonly broadcasts: readonly string[];
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
  /** The kernel has refused the policy that should decide; null: it has it. */
  readonly refused: RefusedPolicyView | null;
  /** Nobody knows whether it has it; null: it is known. */
  readonly unknown: PoliciesUnknownView | null;
};

/** `policy show`: as written, and as it should stand in the kernel. */
export interface PolicyDocument {
  readonly name: string;
  readonly addresses: readonly string[];
  readonly sources: readonly Source[];
  readonly policies: readonly ShownPolicy[];
  /** Nobody knows which of them stand; null: it is known. */
  readonly unknown: PoliciesUnknownView | null;
}

/** `refused`: why the kernel does not have it, in its own words. */
export type ShownPolicy = ExplainedPolicy & {
  readonly rule: string | null;
  readonly exempt: string | null;
  readonly refused: string | null;
};

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
      { type: "document", document: policyDocument(situation, status) },
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
  const { ports, onLink, broadcasts, metBy } = situation;
  const explanation = explain(inForce, addresses, packet, ports, onLink, broadcasts);
  const asksKernel = !isBeyond(inForce, addresses, packet, ports, onLink, broadcasts);
  const { explained, installed, soft, guards } = metNow(explanation, { status, own: [...addresses, ...onLink], metBy }, asksKernel);
  const refused = explained.policy ? refusalsIn(status)(explained.policy) : null;
  const unknown = explained.policy && asksKernel ? status.policiesUnknown : null;
  const document: WhyDocument = {
    ...explained,
    ...(refused || unknown ? { says: withDoubt(explained.says, refused, unknown) } : {}),
    installed,
    soft,
    guards,
    refused,
    unknown,
  };
  return [
    { type: "document", document },
    { type: "end", exit: 0 },
  ];
}

/** Everything that `policy show` tells; the kernel's policies strongest first. */
export function policyDocument({ inForce: policy, addresses, broadcasts, sources }: Situation, status: StatusDocument): PolicyDocument {
  const refusal = refusalsIn(status);
  const policies = compile(policy, addresses, broadcasts).map((wanted): ShownPolicy => {
    const explained = explainPolicy(wanted);
    return {
      ...explained,
      rule: wanted.origin.kind === "rule" ? wanted.origin.rule.name : null,
      exempt: wanted.origin.kind === "exemption" ? wanted.origin.what : null,
      refused: refusal(explained)?.reason ?? null,
    };
  });
  return { name: policy.name, addresses, sources, policies, unknown: status.policiesUnknown };
}

/** What the kernel has said to a policy. */
function refusalsIn({ refusedPolicies }: StatusDocument): (policy: ExplainedPolicy) => RefusedPolicyView | null {
  const nameOf = ({ direction, selector, priority }: Pick<ExplainedPolicy, "direction" | "selector" | "priority">): string =>
    `${direction} ${priority} ${selector}`;
  const known = new Map(refusedPolicies.map((refused) => [nameOf(refused), refused]));
  return (policy) => known.get(nameOf(policy)) ?? null;
}

function withDoubt(says: string, refused: RefusedPolicyView | null, unknown: PoliciesUnknownView | null): string {
  const other = refused?.foreign ? "the other one of its selector" : "whatever else it has";
  return [
    says,
    ...(refused ? [`but the kernel has refused this policy (${refused.reason}), so that ${other} decides`] : []),
    ...(unknown ? [`but nobody knows at present whether the kernel has this policy (${unknown.reason})`] : []),
  ].join("; ");
}

/** Warnings of the answer to a change of the policy: what of it does not stand, or may not. Not more than a person reads. */
export function refusalLines({ refusedPolicies, policiesUnknown: unknown }: StatusDocument): readonly string[] {
  const blind = unknown
    ? [`warning: nobody knows which policies stand, for ${unknown.seconds} s now: ${unknown.reason}; ${unknown.hint}`]
    : [];
  return [...blind, ...refusedLines(refusedPolicies)];
}

function refusedLines(refusedPolicies: readonly RefusedPolicyView[]): readonly string[] {
  const lines = refusedPolicies.slice(0, MOST_TOLD).map(({ rule, direction, selector, reason, hint }) => {
    const whose = rule === null ? "an exemption" : `rule ${rule}`;
    return `warning: ${whose}: the kernel has refused the policy ${direction} ${selector}: ${reason}; ${hint}`;
  });
  const more = refusedPolicies.length - lines.length;
  return more > 0 ? [...lines, `warning: and ${more} more policies; \`mainmode status\` lists them`] : lines;
}

const MOST_TOLD = 8;
