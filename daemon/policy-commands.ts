/**
 * What the control socket tells about the active policy: why a packet meets what it meets, and what should stand in the kernel.
 */
import { includesAddress, parseRange } from "../isakmp/address.ts";
import { compile } from "../policy/compile.ts";
import type { Policy } from "../policy/types.ts";
import { type ExplainedPolicy, type Explanation, explain, explainPolicy, readPacket } from "../policy/why.ts";
import type { StatusDocument } from "../sa-store/view.ts";
import type { Reply, Request } from "./control-protocol.ts";

/** The policy that is followed now, and this host's addresses. */
export interface Situation {
  readonly policy: Policy;
  readonly addresses: readonly string[];
}

/** `why` with what is there already: the child SAs of the rule whose selectors and peer fit. */
export type WhyDocument = Explanation & { readonly installed: StatusDocument["childSas"] };

/** `policy show --specific`. */
export interface PolicyDocument {
  readonly name: string;
  readonly addresses: readonly string[];
  readonly policies: readonly (ExplainedPolicy & { readonly rule: string | null; readonly exempt: string | null })[];
}

/** The replies to a question about the policy. */
export function answerPolicy(
  request: Extract<Request, { command: "why" | "policy" }>,
  { policy, addresses }: Situation,
  status: StatusDocument,
): readonly Reply[] {
  if (request.command === "policy")
    return [
      { type: "document", document: specific(policy, addresses) },
      { type: "end", exit: 0 },
    ];
  const packet = readPacket(request.src, request.dst, request.protocol, request.sport, request.dport);
  if (typeof packet === "string") return [{ type: "end", exit: 2, text: packet }];
  const explanation = explain(policy, addresses, packet);
  const installed = status.childSas.filter(({ rule, local, remote }) => {
    if (rule !== explanation.rule) return false;
    const [ours, theirs] = explanation.direction === "in" ? [packet.destination, packet.source] : [packet.source, packet.destination];
    return includes(local, ours) && includes(remote, theirs);
  });
  return [
    { type: "document", document: { ...explanation, installed } satisfies WhyDocument },
    { type: "end", exit: 0 },
  ];
}

/** What should stand, strongest first. */
export function specific(policy: Policy, addresses: readonly string[]): PolicyDocument {
  const policies = compile(policy, addresses).map((wanted) => ({
    ...explainPolicy(wanted),
    rule: wanted.origin.kind === "rule" ? wanted.origin.rule.name : null,
    exempt: wanted.origin.kind === "exemption" ? wanted.origin.what : null,
  }));
  return { name: policy.name, addresses, policies };
}

function includes(text: string, address: string): boolean {
  const range = parseRange(text);
  return range !== undefined && includesAddress(range, address);
}
