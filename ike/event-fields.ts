/**
 * The machine fields of events: who and what, by SA. Everything here is shown to administrators; keys and secrets are not.
 */
import { methodWord } from "../auth/choice.ts";
import { formatEndpoint } from "../isakmp/address.ts";
import { hex32 } from "../isakmp/hex.ts";
import { formatIdentity } from "../policy/identity.ts";
import { formatSelector } from "../policy/selector.ts";
import type { ChildSa } from "../sa-store/child-sa.ts";
import type { IkeSa, Negotiation } from "../sa-store/ike-sa.ts";
import { hex, peerName, ruleOf, spiText } from "./core.ts";
import { protocolSuiteName } from "./crypto/suite.ts";
import type { EventFields } from "./effect.ts";
import type { Path } from "./input.ts";
import { responderCookieOf } from "./main-mode-states.ts";

/** The fields that name an IKE SA, or the Main Mode that may become one. */
export function ikeFields(entry: Negotiation | IkeSa): EventFields {
  if (entry.phase === "established") return saFields(entry);
  const cookieR = responderCookieOf(entry.state);
  return {
    rule: ruleOf(entry).name,
    ...pathFields(entry.path),
    initiatorCookie: hex(entry.cookieI),
    ...(cookieR ? { responderCookie: hex(cookieR) } : {}),
    ike: entry.id,
    exchange: "main-mode",
    role: entry.role,
    state: entry.state.kind,
  };
}

/** Several of each renewal's events have them: no spread, which costs as much as all of the texts. */
const saFields = ({ id, path, sa }: IkeSa) => ({
  rule: sa.rule.name,
  peer: peerName(path),
  local: formatEndpoint(path.local.address, path.local.port),
  initiatorCookie: hex(sa.cookieI),
  responderCookie: hex(sa.cookieR),
  ike: id,
});

/** What was agreed on and proved, for the event that says so. */
export function establishedFields(entry: IkeSa): EventFields {
  const { suite, proof, ownId, peerId, lifetimeSeconds } = entry.sa;
  return {
    exchange: "main-mode",
    role: entry.role,
    localId: formatIdentity(ownId),
    remoteId: formatIdentity(peerId),
    auth: methodWord(proof.entry),
    encryption: suite.encryption.name,
    hash: suite.hash.name,
    group: suite.group.name,
    lifetimeSeconds,
    ...ikeFields(entry),
  };
}

/** Both ends of a path. */
export const pathFields = (path: Path): EventFields => ({
  peer: peerName(path),
  local: formatEndpoint(path.local.address, path.local.port),
});

/** The fields that name a Quick Mode under an IKE SA. */
export function quickFields(ike: IkeSa, messageId: number, role: "initiator" | "responder"): EventFields {
  const { rule, peer, local, initiatorCookie, responderCookie, ike: id } = saFields(ike);
  return {
    exchange: "quick-mode",
    role,
    messageId: messageIdText(messageId),
    rule,
    peer,
    local,
    initiatorCookie,
    responderCookie,
    ike: id,
  };
}

/** A message id as the header has it. */
export const messageIdText = (id: number): string => hex32(id);

/** The fields that name a child SA. */
export function childFields(child: ChildSa): EventFields {
  const { spec, protections, group, lifetimeKilobytes } = child;
  const [first] = protections;
  return {
    rule: spec.rule.name,
    peer: spec.remote,
    local: spec.local,
    ...(first ? { spiIn: spiText(first.spiIn), spiOut: spiText(first.spiOut) } : {}),
    child: child.id,
    ...(child.ike === null ? {} : { ike: child.ike }),
    role: child.role,
    mode: spec.rule.mode,
    selector: formatSelector(spec.selector),
    protection: protections.map(({ suite }) => protocolSuiteName(suite)).join("+"),
    ...(group === null ? {} : { group }),
    lifetimeSeconds: child.lifetimeSeconds,
    ...(lifetimeKilobytes === null ? {} : { lifetimeKilobytes }),
  };
}
