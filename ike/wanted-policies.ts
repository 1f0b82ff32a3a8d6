/**
 * The policies that the rules want standing, with the numbers by which acquires and SAs find them.
 */
import { compile } from "../policy/compile.ts";
import { selectorKey } from "../policy/packet-selector.ts";
import type { Rule, TrafficSelector } from "../policy/types.ts";
import type { Core } from "./core.ts";
import { kernelTemplates } from "./install.ts";
import type { KernelPolicy } from "./kernel-contract.ts";
import { inboundKey, standingKey } from "./reqid-keys.ts";
import type { Reqids } from "./reqids.ts";

/** What a reqid stands for: acquires name it. */
export interface Standing {
  readonly reqid: number;
  readonly rule: Rule;
  readonly selector: TrafficSelector;
  readonly policies: readonly KernelPolicy[];
}

/** What should stand. */
export interface Wanted {
  readonly standing: ReadonlyMap<number, Standing>;
  readonly plain: ReadonlyMap<string, Plain>;
  readonly inbound: ReadonlyMap<number, string>;
}

/** A permit, a block or (without a rule) an exemption. */
export interface Plain {
  readonly rule: string | null;
  readonly policies: readonly KernelPolicy[];
}

/** What the kernel keys a policy by. */
export const keyOf = ({ direction, selector }: Pick<KernelPolicy, "direction" | "selector">): string =>
  `${direction} ${selectorKey(selector)}`;

/** `policy/compile.ts` says what; here policies that protect get the reqid by which acquires and SAs find them. */
export function wantedPolicies(core: Core, reqids: Reqids): Wanted {
  const standing = new Map<number, Standing & { readonly policies: KernelPolicy[] }>();
  const plain = new Map<string, Plain>();
  const inbound = new Map<number, string>();
  for (const { direction, selector, action, priority, protection, origin } of compile(core.policy, core.addresses, core.broadcasts)) {
    const base = { direction, selector, action, priority };
    if (!protection || origin.kind !== "rule") {
      const rule = origin.kind === "rule" ? origin.rule.name : null;
      plain.set(keyOf({ direction, selector }), { rule, policies: [{ templates: [], ...base }] });
      continue;
    }
    const { rule, pair } = origin;
    // All filters of a manual SA share it.
    const reqid = reqids.of(rule.auth.length === 0 ? rule.name : standingKey(rule, pair));
    const fromThem = rule.auth.length === 0 || rule.mode === "tunnel" ? reqid : reqids.of(inboundKey(rule));
    if (fromThem !== reqid) inbound.set(fromThem, rule.name);
    const templates = kernelTemplates(protection, direction === "out" ? reqid : fromThem, direction !== "out");
    const known = standing.get(reqid);
    if (known) known.policies.push({ templates, ...base });
    else standing.set(reqid, { reqid, rule, selector: pair, policies: [{ templates, ...base }] });
  }
  return { standing, plain, inbound };
}
