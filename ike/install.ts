/**
 * From a negotiated child to kernel commands: SAs, and the policies that lead packets to them.
 * Templates stand innermost first. AH and ESP together: AH covers ESP; in tunnel mode ESP makes the tunnel and AH guards the outer packet.
 */
import type { Protection } from "../policy/compile.ts";
import { outwardSelectors as kernelSelectors, priorityOf, turned } from "../policy/packet-selector.ts";
import type { TrafficSelector } from "../policy/types.ts";
import type { ChildSa, ChildSpec } from "../sa-store/child-sa.ts";
import type { Secret } from "./crypto/secret.ts";
import type { ProtocolSuite } from "./crypto/suite.ts";
import type { KernelCommand, KernelPolicy, KernelSa, KernelSelector, KernelTemplate, PolicyDirection, SaKey } from "./kernel-contract.ts";
import { splitKeymat } from "./keys.ts";
import type { Encapsulation } from "./nat.ts";
import type { ChildKeys } from "./quick-mode.ts";

export { kernelSelectors, priorityOf };

const REPLAY_WINDOW = 32;
const OCTETS_PER_KILOBYTE = 1000;

/** What the SAs of a pair are for. A selector of null narrows nothing, but to the family of the ends: policies do. */
export type SaSpec = Pick<ChildSpec, "local" | "remote" | "reqid"> & {
  readonly rule: Pick<ChildSpec["rule"], "mode" | "shortSha256">;
  readonly selector: TrafficSelector | "both-families" | null;
};

/** null: none. */
export interface Limits {
  readonly softSeconds: number | null;
  readonly hardSeconds: number | null;
  readonly kilobytes: number | null;
  /** Packets after which a new SA is wanted, and after which nothing may be sent any more. */
  readonly softPackets: number | null;
  readonly hardPackets: number | null;
  /** Share of the volume after which a new SA is wanted. */
  readonly softShare: number;
}

/** The SAs of one direction, one for each protocol. The keys are new secrets; the caller wipes them with `destroySa`. */
export function kernelSas(
  spec: SaSpec,
  keys: readonly ChildKeys[],
  direction: "in" | "out",
  limits: Limits,
  encap: Encapsulation | null,
): readonly KernelSa[] {
  return innerFirst(keys, (key) => key.suite).map((key, i) => kernelSa(spec, key, direction, limits, encap, i));
}

function kernelSa(
  spec: SaSpec,
  key: ChildKeys,
  direction: "in" | "out",
  limits: Limits,
  encap: Encapsulation | null,
  layer: number,
): KernelSa {
  const inbound = direction === "in";
  const source = inbound ? spec.remote : spec.local;
  const destination = inbound ? spec.local : spec.remote;
  const { cipher, integrity } = key.suite;
  const [cipherKey, integrityKey] = splitKeymat(inbound ? key.inbound : key.outbound, [
    cipher?.keyOctets ?? 0,
    integrity?.keyOctets ?? 0,
  ]) as [Secret, Secret];
  const hard = limits.kilobytes === null ? null : limits.kilobytes * OCTETS_PER_KILOBYTE;
  if (!integrity) integrityKey.destroy();
  if (!cipher) cipherKey.destroy();
  return {
    source,
    destination,
    protocol: key.suite.protocol,
    spi: inbound ? key.spiIn : key.spiOut,
    reqid: spec.reqid,
    mode: layerMode(spec, layer),
    encryption: cipher && cipher.icvBits === null ? { name: cipher.xfrm, key: cipherKey } : null,
    integrity: integrity
      ? {
          name: integrity.xfrm,
          key: integrityKey,
          truncateBits: spec.rule.shortSha256 && integrity.name === "sha256" ? 96 : integrity.truncateBits,
        }
      : null,
    aead: cipher && cipher.icvBits !== null ? { name: cipher.xfrm, key: cipherKey, icvBits: cipher.icvBits } : null,
    replayWindow: inbound ? REPLAY_WINDOW : 0,
    limits: {
      softSeconds: limits.softSeconds,
      hardSeconds: limits.hardSeconds,
      softOctets: hard === null ? null : Math.floor(hard * limits.softShare),
      softPackets: limits.softPackets,
      // A peer that ignores kilobytes keeps sending: only our own sending stops at the limits.
      hardOctets: inbound ? null : hard,
      hardPackets: inbound ? null : limits.hardPackets,
    },
    encap: encap && (inbound ? ports(encap.remote, encap.local) : ports(encap.local, encap.remote)),
    selector: layer === 0 ? spec.selector && saSelector(spec.selector, direction) : outerSelector(spec),
  };
}

const ports = (sourcePort: number, destinationPort: number) => ({ sourcePort, destinationPort });

/** Wipes the keys of a kernel SA. */
export function destroySa(sa: KernelSa): void {
  for (const part of [sa.encryption, sa.integrity, sa.aead]) part?.key.destroy();
}

/** Wipes what commands hold that were carried out, or never will be. */
export function wipe(commands: readonly KernelCommand[]): void {
  for (const command of commands) if (command.do === "update-sa") destroySa(command.sa);
}

/** The names by which the SAs of one direction are removed. */
export const saKeys = (
  spec: Pick<ChildSpec, "local" | "remote">,
  protections: readonly { readonly suite: ProtocolSuite; readonly spiIn: number; readonly spiOut: number }[],
  direction: "in" | "out",
): readonly SaKey[] =>
  protections.map(({ suite, spiIn, spiOut }) =>
    direction === "in"
      ? { source: spec.remote, destination: spec.local, protocol: suite.protocol, spi: spiIn }
      : { source: spec.local, destination: spec.remote, protocol: suite.protocol, spi: spiOut },
  );

/** What a set of policies is for: the selector, the shape of its templates, and their reqid. */
export interface PolicySpec {
  readonly selector: TrafficSelector;
  readonly mode: "transport" | "tunnel";
  /** Tunnel ends; null in transport mode, where the packet's own addresses hold. */
  readonly tunnel: { readonly local: string; readonly remote: string } | null;
  readonly protocols: readonly ProtocolSuite["protocol"][];
  readonly reqid: number;
}

/** Policies in, out and (tunnels) fwd; a range that is no prefix becomes several. */
export function kernelPolicies(spec: PolicySpec): readonly KernelPolicy[] {
  const directions: readonly PolicyDirection[] = spec.mode === "tunnel" ? ["out", "in", "fwd"] : ["out", "in"];
  const policies: KernelPolicy[] = [];
  for (const selector of kernelSelectors(spec.selector))
    for (const direction of directions) policies.push(kernelPolicy(spec, selector, direction));
  return policies;
}

/** The policies that a child wants for itself. */
export function policiesOf({ spec, protections }: Pick<ChildSa, "spec" | "protections">): readonly KernelPolicy[] {
  const tunnel = spec.rule.mode === "tunnel" ? { local: spec.local, remote: spec.remote } : null;
  const protocols = protections.map(({ suite }) => suite.protocol);
  return kernelPolicies({ selector: spec.selector, mode: spec.rule.mode, tunnel, protocols, reqid: spec.reqid });
}

/** A policy with all its templates at a level: whether packets without that protection pass. */
export const atLevel = (policy: KernelPolicy, level: "required" | "use"): KernelPolicy => ({
  ...policy,
  templates: policy.templates.map((template) => ({ ...template, level })),
});

/** The same policy, for SAs with another reqid. */
export const withReqid = (policy: KernelPolicy, reqid: number): KernelPolicy => ({
  ...policy,
  templates: policy.templates.map((template) => ({ ...template, reqid })),
});

/** Whether a policy asks for just these protocols, in whatever order. */
export const sameProtocols = (policy: KernelPolicy | undefined, protocols: readonly string[]): boolean =>
  policy !== undefined && policy.templates.length === protocols.length && policy.templates.every((t) => protocols.includes(t.protocol));

function kernelPolicy(spec: PolicySpec, outward: KernelSelector, direction: PolicyDirection): KernelPolicy {
  const inward = direction !== "out";
  const templates = kernelTemplates({ tunnel: spec.tunnel, protocols: spec.protocols, level: "required" }, spec.reqid, inward);
  return { direction, selector: inward ? turned(outward) : outward, action: "allow", priority: priorityOf(outward), templates };
}

/** The templates that ask for a protection; `inward`: of packets that come from the remote side. */
export function kernelTemplates(
  { tunnel, protocols, level }: Omit<Protection, "mode">,
  reqid: number,
  inward: boolean,
): readonly KernelTemplate[] {
  return innerFirst(protocols, (protocol) => ({ protocol })).map((protocol, layer): KernelTemplate => {
    const [source, destination] = !tunnel ? [null, null] : inward ? [tunnel.remote, tunnel.local] : [tunnel.local, tunnel.remote];
    return { source, destination, protocol, reqid, mode: tunnel && layer === 0 ? "tunnel" : "transport", level };
  });
}

/**
 * An SA holds one selector; where a range needs several, the policies alone narrow it. It always has one: a tunnel whose inside is of
 * the other family than its ends drops everything without.
 */
function saSelector(selector: NonNullable<SaSpec["selector"]>, direction: "in" | "out"): NonNullable<KernelSa["selector"]> {
  if (selector === "both-families") return selector;
  const [first, ...more] = kernelSelectors(selector);
  if (!first) throw new Error("a selector without prefixes");
  const any = selector.local.family === 4 ? "0.0.0.0" : "::";
  const one = more.length === 0 ? first : { ...first, source: any, sourceLength: 0, destination: any, destinationLength: 0 };
  return direction === "out" ? one : turned(one);
}

/** Around an inner SA another one narrows nothing. Linux asks it about the packet inside, though, and so it has to take both families where those differ. */
const outerSelector = ({ selector, local }: SaSpec): KernelSa["selector"] =>
  selector !== null && (selector === "both-families" || (selector.local.family === 6) !== local.includes(":")) ? "both-families" : null;

const layerMode = (spec: SaSpec, layer: number): "transport" | "tunnel" =>
  spec.rule.mode === "tunnel" && layer === 0 ? "tunnel" : "transport";

/** ESP before AH: the order in which an outgoing packet meets them. */
const innerFirst = <T>(items: readonly T[], suite: (item: T) => { readonly protocol: "esp" | "ah" }): readonly T[] =>
  items.length < 2 ? items : [...items].sort((a, b) => Number(suite(a).protocol === "ah") - Number(suite(b).protocol === "ah"));
