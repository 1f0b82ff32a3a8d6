/**
 * What shares a reqid: the kernel finds SAs by it, and the journal keeps which number stands for what.
 */
import { formatSelector } from "../policy/selector.ts";
import type { Rule, TrafficSelector } from "../policy/types.ts";

/** A tunnel may be written as two rules, one for each direction: they share its SAs. */
export const standingKey = (rule: Rule, pair: TrafficSelector): string =>
  `${rule.mode === "tunnel" ? `tunnel ${rule.tunnel?.remote}` : rule.name}|${formatSelector(pair)}`;

/** That of a child by itself, whose rule has no policy that leads to it. */
export const childKey = (rule: Rule, selector: TrafficSelector, remote: string): string =>
  `${rule.name}|${formatSelector(selector)}|${remote}`;

/** That of what comes in under a rule in transport mode, whatever filter it is for. */
export const inboundKey = (rule: Rule): string => `${rule.name}|in`;
