/**
 * Kernel policies: those that stand because a rule requires protection, and those that come and go with a child.
 * The kernel keys policies by selector and direction, so this table knows for each key what stands there and what lies over it.
 * What others put there is never replaced: `add-policy` refuses, and the refusal names it.
 */
import { concreteSelectors, formatSelector } from "../policy/selector.ts";
import type { Rule, TrafficSelector } from "../policy/types.ts";
import type { ChildSa } from "../sa-store/child-sa.ts";
import { type Core, kernel, log } from "./core.ts";
import { kernelPolicies } from "./install.ts";
import { type KernelCommand, type KernelPolicy, type KernelRefusal, type KernelSelector, REQID_BASE } from "./kernel-contract.ts";

/** What a reqid stands for: acquires name it. */
export interface Standing {
  readonly rule: Rule;
  readonly selector: TrafficSelector;
  readonly policies: readonly KernelPolicy[];
}

interface Owned {
  /** The policy of a rule, or null where only children need one. */
  base: KernelPolicy | null;
  /** What the children want here, newest last. */
  readonly overlays: { readonly child: number; readonly policy: KernelPolicy }[];
}

const keyOf = ({ direction, selector: s }: Pick<KernelPolicy, "direction" | "selector">): string =>
  `${direction} ${s.source}/${s.sourceLength}:${s.sourcePort} ${s.destination}/${s.destinationLength}:${s.destinationPort} ${s.protocol}`;

/** Neighbour discovery (RFC 4861) must stay in clear, or no IPv6 peer is ever found. ICMPv6 types. */
const NEIGHBOUR_DISCOVERY: readonly number[] = [133, 134, 135, 136, 137];

const REQIDS = 0xffff;

export class PolicyTable {
  readonly #owned = new Map<string, Owned>();
  readonly #reqids = new Map<string, number>();
  readonly #standing = new Map<number, Standing>();
  readonly #reqidsInUse = new Set<number>();
  #exempt = false;
  #lastReqid = REQID_BASE;

  /** The rule and selector that a reqid in an acquire stands for. */
  byReqid(reqid: number): Standing | undefined {
    return this.#standing.get(reqid);
  }

  /** The reqid of a child: that of the standing policy it serves, or one of its own. */
  reqidFor(rule: Rule, covering: TrafficSelector, selector: TrafficSelector, remote: string): number {
    return rule.action === "require"
      ? this.#reqid(`${rule.name}|${formatSelector(covering)}`)
      : this.#reqid(childKey(rule, selector, remote));
  }

  #reqid(key: string): number {
    const known = this.#reqids.get(key);
    if (known !== undefined) return known;
    if (this.#reqidsInUse.size >= REQIDS) return REQID_BASE;
    // Old numbers come round again only after all others.
    do this.#lastReqid = this.#lastReqid + 1 >= REQID_BASE + REQIDS ? REQID_BASE + 1 : this.#lastReqid + 1;
    while (this.#reqidsInUse.has(this.#lastReqid));
    this.#reqidsInUse.add(this.#lastReqid);
    this.#reqids.set(key, this.#lastReqid);
    return this.#lastReqid;
  }

  /** Policies in the kernel, ours. */
  get size(): number {
    return this.#owned.size;
  }

  /** What the rules want standing now, against what stands: removals first, one group of additions for each selector. */
  sync(core: Core): void {
    const wanted = new Map<number, Standing>();
    for (const rule of core.policy.rules) {
      // A tunnel without its own end waits for the route that names it.
      if (rule.action !== "require" || rule.tunnel?.local === null) continue;
      for (const filter of rule.filters)
        for (const selector of concreteSelectors(filter, rule, core.addresses)) {
          const reqid = this.#reqid(`${rule.name}|${formatSelector(selector)}`);
          const protocols = (rule.quickMode.proposals[0] ?? []).map((suite) => suite.protocol);
          const tunnel = rule.tunnel && { local: rule.tunnel.local ?? "", remote: rule.tunnel.remote };
          wanted.set(reqid, { rule, selector, policies: kernelPolicies({ selector, mode: rule.mode, tunnel, protocols, reqid }) });
        }
    }
    for (const [reqid, standing] of this.#standing) if (!wanted.has(reqid)) this.#removeStanding(core, reqid, standing);
    this.#syncExemptions(
      core,
      [...wanted.values()].some((standing) => standing.selector.remote.family === 6),
    );
    for (const [reqid, standing] of wanted) {
      if (sameStanding(this.#standing.get(reqid), standing)) this.#standing.set(reqid, standing);
      else this.#addStanding(core, reqid, standing);
    }
  }

  #addStanding(core: Core, reqid: number, standing: Standing): void {
    this.#standing.set(reqid, standing);
    const commands = standing.policies.flatMap((policy): KernelCommand[] => {
      const key = keyOf(policy);
      const owned = this.#owned.get(key);
      if (owned) owned.base = policy;
      else this.#owned.set(key, { base: policy, overlays: [] });
      return owned ? (owned.overlays.length > 0 ? [] : [{ do: "update-policy", policy }]) : [{ do: "add-policy", policy }];
    });
    kernel(core, commands, { kind: "standing", rule: standing.rule.name, reqid });
  }

  #removeStanding(core: Core, reqid: number, standing: Standing): void {
    this.#standing.delete(reqid);
    kernel(
      core,
      standing.policies.flatMap((policy) => this.#dropBase(policy)),
      { kind: "removal" },
    );
  }

  #dropBase(policy: KernelPolicy): KernelCommand[] {
    const owned = this.#owned.get(keyOf(policy));
    if (!owned) return [];
    owned.base = null;
    if (owned.overlays.length > 0) return [];
    this.#owned.delete(keyOf(policy));
    return [{ do: "remove-policy", policy }];
  }

  /** The kernel refused a standing policy: those of the group from there on are not ours. */
  onRefused(core: Core, rule: string, reqid: number, refusal: KernelRefusal): void {
    const standing = this.#standing.get(reqid);
    for (const policy of standing?.policies.slice(refusal.index) ?? []) this.#owned.delete(keyOf(policy));
    const why = refusal.exists
      ? "a policy of somebody else has this selector; remove it (`ip xfrm policy`) or change the rule"
      : refusal.reason;
    log(core, "policy.failed", "error", `rule ${rule}: the kernel refused "${refusal.command}": ${why}`, {
      rule,
      reason: "kernel-refused",
      failurePoint: "me",
    });
  }

  #syncExemptions(core: Core, wanted: boolean): void {
    if (wanted === this.#exempt) return;
    this.#exempt = wanted;
    // One question each: where somebody else's stands already, it stays, and the others are added all the same.
    for (const policy of exemptions()) {
      if (!wanted) kernel(core, this.#dropBase(policy), { kind: "removal" });
      else {
        this.#owned.set(keyOf(policy), { base: policy, overlays: [] });
        kernel(core, [{ do: "add-policy", policy }], { kind: "exemption", policy });
      }
    }
  }

  /** What a child still needs in the kernel: nothing where the rule's own policy leads to it. */
  take(child: ChildSa): readonly KernelCommand[] {
    const { spec } = child;
    const protocols = child.protections.map(({ suite }) => suite.protocol);
    const standing = this.#standing.get(spec.reqid);
    if (standing && sameProtocols(standing.policies[0], protocols)) return [];
    const tunnel = spec.rule.mode === "tunnel" ? { local: spec.local, remote: spec.remote } : null;
    return kernelPolicies({ selector: spec.selector, mode: spec.rule.mode, tunnel, protocols, reqid: spec.reqid }).map(
      (policy): KernelCommand => {
        const owned = this.#owned.get(keyOf(policy));
        if (owned) owned.overlays.push({ child: child.id, policy });
        else this.#owned.set(keyOf(policy), { base: null, overlays: [{ child: child.id, policy }] });
        return { do: owned ? "update-policy" : "add-policy", policy };
      },
    );
  }

  /** The kernel refused to add these for a child: they are not ours to remove. */
  disown(commands: readonly KernelCommand[]): void {
    for (const command of commands) if (command.do === "add-policy") this.#owned.delete(keyOf(command.policy));
  }

  /** What goes, or comes back, when a child ends. `last`: no other child has the same selectors, so its reqid is free again. */
  release(child: ChildSa, last: boolean): readonly KernelCommand[] {
    const { spec } = child;
    if (last && !this.#standing.has(spec.reqid)) {
      this.#reqids.delete(childKey(spec.rule, spec.selector, spec.remote));
      this.#reqidsInUse.delete(spec.reqid);
    }
    const tunnel = spec.rule.mode === "tunnel" ? { local: spec.local, remote: spec.remote } : null;
    const protocols = child.protections.map(({ suite }) => suite.protocol);
    return kernelPolicies({ selector: spec.selector, mode: spec.rule.mode, tunnel, protocols, reqid: spec.reqid }).flatMap((policy) =>
      this.#dropOverlay(policy, child.id),
    );
  }

  #dropOverlay(policy: KernelPolicy, child: number): KernelCommand[] {
    const owned = this.#owned.get(keyOf(policy));
    const index = owned?.overlays.findIndex((overlay) => overlay.child === child) ?? -1;
    if (!owned || index < 0) return [];
    const wasTop = index === owned.overlays.length - 1;
    owned.overlays.splice(index, 1);
    const top = owned.overlays.at(-1)?.policy ?? owned.base;
    if (!top) this.#owned.delete(keyOf(policy));
    if (!top) return [{ do: "remove-policy", policy }];
    return wasTop ? [{ do: "update-policy", policy: top }] : [];
  }

  /** Everything of ours: for a full stop. */
  removeAll(): readonly KernelCommand[] {
    const commands = [...this.#owned.values()].flatMap(({ base, overlays }): KernelCommand[] => {
      const policy = overlays.at(-1)?.policy ?? base;
      return policy ? [{ do: "remove-policy", policy }] : [];
    });
    this.#owned.clear();
    this.#standing.clear();
    this.#exempt = false;
    return commands;
  }
}

/** Whether the kernel's policies would be the same: a tunnel's own end may have moved. */
const sameStanding = (a: Standing | undefined, b: Standing): boolean =>
  a !== undefined && JSON.stringify(a.policies) === JSON.stringify(b.policies);

const childKey = (rule: Rule, selector: TrafficSelector, remote: string): string => `${rule.name}|${formatSelector(selector)}|${remote}`;

const sameProtocols = (policy: KernelPolicy | undefined, protocols: readonly string[]): boolean =>
  policy !== undefined &&
  policy.templates
    .map((t) => t.protocol)
    .sort()
    .join() === [...protocols].sort().join();

function exemptions(): readonly KernelPolicy[] {
  return NEIGHBOUR_DISCOVERY.flatMap((type) =>
    (["in", "out"] as const).map((direction): KernelPolicy => {
      const selector: KernelSelector = {
        source: "::",
        sourceLength: 0,
        destination: "::",
        destinationLength: 0,
        protocol: 58,
        sourcePort: type,
        destinationPort: 0,
      };
      return { direction, selector, action: "allow", priority: 1000, templates: [] };
    }),
  );
}
