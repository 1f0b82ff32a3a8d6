/**
 * The NetIPsec cmdlets as tables, in the fields of `consec-grammar.ts`: what each parameter is and what becomes of it.
 */
import type { ConsecKind, ConsecTag, Fate, Field } from "./consec-grammar.ts";

/** `switch` stands alone, `objects` are results of other cmdlets, `reference` is the name of a set. */
export type PsKind = ConsecKind | "switch" | "objects" | "reference";

export interface Parameter {
  readonly name: string;
  readonly aliases: readonly string[];
  readonly kind: PsKind;
  readonly field: Field;
  readonly fate: Fate;
  readonly note: string;
}

/** What a cmdlet works on. */
export type Subject =
  | "rule"
  | "main-rule"
  | "auth"
  | "phase1"
  | "phase2"
  | "main"
  | "quick"
  | "main-proposal"
  | "quick-proposal"
  | "setting";

export interface Cmdlet {
  /** As Microsoft writes it. */
  readonly name: string;
  readonly verb: "new" | "set" | "remove" | "enable" | "disable" | "get";
  readonly subject: Subject;
  readonly parameters: readonly Parameter[];
  readonly required: readonly string[];
}

const parameter =
  (fate: Fate) =>
  (name: string, kind: PsKind, field: Field, note: string, ...aliases: readonly string[]): Parameter => ({
    name,
    kind,
    field,
    fate,
    note,
    aliases: aliases.map((alias) => alias.toLowerCase()),
  });
const [mapped, read, refused] = [parameter("mapped"), parameter("read"), parameter("refused")];

const STORE = [
  read("PolicyStore", "text", "other", "one store is read; a group policy object is said"),
  read("GPOSession", "text", "other", "as `PolicyStore`"),
];
const GROUP = read("Group", "text", "other", "groups of rules have no counterpart; said");
const NAMED = [
  mapped("DisplayName", "name", "name", "`name`"),
  mapped("Description", "text", "description", "`description` of the rule; of a policy a comment"),
  GROUP,
  ...STORE,
];
const SET_NAME = mapped("Name", "name", "group", "how rules refer to it");
const ENABLED = mapped("Enabled", "boolean", "enable", "`False`: the rule is a comment");
const PROFILE = read("Profile", "profiles", "profile", "holds in every network; said unless `Any`");
const PLATFORM = read("Platform", "text", "other", "the version of Windows; said");
const ADDRESSES = [
  mapped("LocalAddress", "sides", "endpoint1", "the local side of `filters`; `Any` is `me`"),
  mapped("RemoteAddress", "sides", "endpoint2", "the remote side of `filters`; words for places (`LocalSubnet`, `Intranet`) are refused"),
];
const PHASE1 = mapped("Phase1AuthSet", "reference", "auth-set", "`auth`");

const RULE: readonly Parameter[] = [
  mapped("IPsecRuleName", "name", "group", "how other commands refer to it", "Name", "ID"),
  ...NAMED,
  ENABLED,
  PROFILE,
  PLATFORM,
  mapped("Mode", "mode", "mode", "`mode`"),
  mapped("InboundSecurity", "security", "inbound", "`action`; see the section on connection security rules", "SecIn"),
  mapped("OutboundSecurity", "security", "outbound", "`action`, `discovery`", "SecOut"),
  mapped("QuickModeCryptoSet", "reference", "quick-set", "`quick-mode`"),
  PHASE1,
  refused("Phase2AuthSet", "reference", "auth2-set", "a second authentication is AuthIP's"),
  refused("KeyModule", "module", "module", "`AuthIP` or `IKEv2` alone is refused; with `IKEv1` or `Default` it is as if not said"),
  read("AllowWatchKey", "boolean", "other", "keys are shown to nobody; said"),
  read("AllowSetKey", "boolean", "other", "keys are set by nobody; said"),
  mapped("LocalTunnelEndpoint", "end", "end1", "`tunnel.local`; `Any`: found by the route"),
  mapped("RemoteTunnelEndpoint", "end", "end2", "`tunnel.remote`; one address"),
  refused("RemoteTunnelHostname", "text", "endname", "tunnels lead to an address"),
  read("ForwardPathLifetime", "number", "other", "no counterpart; said"),
  read("EncryptedTunnelBypass", "boolean", "protected", "protected packets are tunnelled again; said"),
  refused("RequireAuthorization", "boolean", "authorise", "lists of accounts; write `remote-ids`"),
  refused("User", "sddl", "user", "lists of accounts; write `remote-ids`"),
  refused("Machine", "sddl", "machine", "lists of accounts; write `remote-ids`"),
  ...ADDRESSES,
  mapped("Protocol", "protocol", "protocol", "protocol of `filters`"),
  mapped("LocalPort", "ports", "port1", "port of the local side; small ranges are written out"),
  mapped("RemotePort", "ports", "port2", "port of the remote side"),
  read("InterfaceAlias", "text", "interface", "holds on every interface; said"),
  read("InterfaceType", "interfaces", "interface", "holds on every interface; said unless `Any`"),
];
const MAIN_RULE: readonly Parameter[] = [
  mapped("Name", "name", "group", "how other commands refer to it", "ID"),
  ...NAMED,
  ENABLED,
  PROFILE,
  PLATFORM,
  mapped("MainModeCryptoSet", "reference", "main-set", "`main-mode` of the rules with these peers"),
  PHASE1,
  ...ADDRESSES.map((tag) => ({ ...tag, note: "which rules it is for" })),
];
const PROPOSAL = mapped("Proposal", "objects", "other", "its proposals, in their order");
const DEFAULT = mapped("Default", "switch", "other", "what rules have that name no set");
const AUTH_SET = [
  SET_NAME,
  ...NAMED.map((one) => (one === GROUP ? { ...one, note: "groups have no counterpart" } : one)),
  PROPOSAL,
  DEFAULT,
];
const MAIN_SET = [
  ...AUTH_SET,
  mapped("MaxMinutes", "number", "other", "`main-mode.lifetime`"),
  mapped("MaxSessions", "number", "other", "`main-mode.quick-modes`"),
  read("ForceDiffieHellman", "boolean", "forcedh", "IKEv1 has Diffie-Hellman in any case"),
];
const QUICK_SET = [...AUTH_SET, mapped("PerfectForwardSecrecyGroup", "text", "other", "`quick-mode.pfs`; `DH24` is refused", "PfsGroup")];
const AUTH = [
  mapped("Machine", "switch", "other", "the computer proves itself"),
  refused("User", "switch", "other", "users are AuthIP's: the method is left out"),
  mapped("Kerberos", "switch", "other", '`method = "kerberos"`'),
  mapped("PreSharedKey", "secret", "other", "a file with mode 0600", "PSK"),
  mapped("Cert", "switch", "other", '`method = "x509"` with the files that `--certificate`, `--key` and `--ca` name'),
  mapped("Authority", "text", "other", "which CA is meant"),
  read("AuthorityType", "authority", "other", "roots and intermediates are trusted alike"),
  read("Signing", "signing", "other", "the certificate decides what it signs with"),
  read("AccountMapping", "switch", "other", "no accounts; said"),
  read("ExcludeCAName", "switch", "other", "what is asked for follows `ca`"),
  read("FollowRenewal", "switch", "other", "files are read again by `mainmode reload`"),
  read("SelectionCriteria", "switch", "other", "the certificate is named by `--certificate`"),
  read("ValidationCriteria", "switch", "other", "what follows it decides"),
  refused("ExtendedKeyUsage", "text", "other", "demands on certificates; write `remote-ids`", "EKUs"),
  refused("SubjectName", "text", "other", "demands on certificates; write `remote-ids`"),
  refused("SubjectNameType", "text", "other", "belongs to `SubjectName`"),
  refused("Thumbprint", "text", "other", "demands on certificates; write `remote-ids`"),
  refused("Health", "switch", "other", "health certificates are AuthIP's: the method is left out"),
  refused("Ntlm", "switch", "other", "NTLM is AuthIP's: the method is left out"),
  refused("Anonymous", "switch", "other", "proves nothing, and is AuthIP's: the method is left out"),
  read("Proxy", "text", "proxy", "a KDC proxy is set in krb5.conf"),
];
const MAIN_PROPOSAL = [
  mapped("Encryption", "text", "other", "cipher of `main-mode.proposals`"),
  mapped("Hash", "text", "other", "hash"),
  mapped("KeyExchange", "text", "other", "group; `DH24` is left out"),
];
const QUICK_PROPOSAL = [
  mapped("Encapsulation", "text", "other", "`ah:`, `esp:` or both"),
  mapped("AHHash", "text", "other", "integrity of AH; AES-GMAC is left out"),
  mapped("ESPHash", "text", "other", "integrity of ESP; AES-GMAC is left out"),
  mapped("Encryption", "text", "other", "cipher; without integrity the offer is left out"),
  mapped("MaxKiloBytes", "number", "other", "`volume`"),
  mapped("MaxMinutes", "number", "other", "`lifetime`"),
];
const SETTING = [
  mapped("Exemptions", "exemptions", "exempt", "`[policy] exempt`; neighbour discovery always passes"),
  mapped("CertValidationLevel", "crl", "crl", '`RequireCrlCheck`: `crl = "require"`; else `if-present`'),
  read("AllowIPsecThroughNAT", "text", "nat", "NAT traversal is on unless a rule's `nat-traversal` says otherwise; said"),
  read("MaxSAIdleTimeSeconds", "number", "other", "SAs that nothing uses are not renewed; said"),
  read("KeyEncoding", "text", "other", "keys are UTF-8 here; said"),
  read("EnablePacketQueuing", "text", "other", "no counterpart; said"),
  ...[
    "RemoteMachineTransportAuthorizationList",
    "RemoteMachineTunnelAuthorizationList",
    "RemoteUserTransportAuthorizationList",
    "RemoteUserTunnelAuthorizationList",
  ].map((name) => refused(name, "sddl", "authorise", "lists of accounts; write `remote-ids`")),
  read("RequireFullAuthSupport", "text", "other", "no counterpart; said"),
  read("EnableStatefulFtp", "text", "other", "the firewall's; said"),
  read("EnableStatefulPptp", "text", "other", "the firewall's; said"),
  STORE[0] as Parameter,
  STORE[1] as Parameter,
];

const named = (parameters: readonly Parameter[]): readonly Parameter[] => [
  ...parameters,
  mapped("NewDisplayName", "name", "newname", "its new name"),
];
const ALL = mapped("All", "switch", "other", "all rules");
const chosen = (parameters: readonly Parameter[]): readonly Parameter[] => [
  ...parameters.filter(({ name }) => ["Name", "IPsecRuleName", "DisplayName", "PolicyStore", "GPOSession"].includes(name)),
  ALL,
];
const rules = (noun: string, subject: "rule" | "main-rule", parameters: readonly Parameter[]): readonly Cmdlet[] => [
  { name: `New-${noun}`, verb: "new", subject, parameters, required: ["DisplayName"] },
  { name: `Set-${noun}`, verb: "set", subject, parameters: named(parameters), required: [] },
  ...(["Remove", "Enable", "Disable", "Get"] as const).map((verb) => ({
    name: `${verb}-${noun}`,
    verb: verb.toLowerCase() as Cmdlet["verb"],
    subject,
    parameters: chosen(parameters),
    required: [],
  })),
];
const sets = (noun: string, subject: "phase1" | "phase2" | "main" | "quick", parameters: readonly Parameter[]): readonly Cmdlet[] => [
  { name: `New-${noun}`, verb: "new", subject, parameters, required: ["DisplayName", "Proposal"] },
  { name: `Set-${noun}`, verb: "set", subject, parameters: named(parameters.filter(({ name }) => name !== "Default")), required: [] },
  { name: `Remove-${noun}`, verb: "remove", subject, parameters: chosen(parameters), required: [] },
];
const proposal = (noun: string, subject: Subject, parameters: readonly Parameter[]): Cmdlet => ({
  name: `New-${noun}`,
  verb: "new",
  subject,
  parameters,
  required: [],
});

/** Every cmdlet that is followed. `Get-` of anything else, and `Show-`, change nothing and are passed over. */
export const CMDLETS: readonly Cmdlet[] = [
  ...rules("NetIPsecRule", "rule", RULE),
  ...rules("NetIPsecMainModeRule", "main-rule", MAIN_RULE),
  proposal("NetIPsecAuthProposal", "auth", AUTH),
  ...sets("NetIPsecPhase1AuthSet", "phase1", AUTH_SET),
  ...sets("NetIPsecPhase2AuthSet", "phase2", AUTH_SET),
  proposal("NetIPsecMainModeCryptoProposal", "main-proposal", MAIN_PROPOSAL),
  ...sets("NetIPsecMainModeCryptoSet", "main", MAIN_SET),
  proposal("NetIPsecQuickModeCryptoProposal", "quick-proposal", QUICK_PROPOSAL),
  ...sets("NetIPsecQuickModeCryptoSet", "quick", QUICK_SET),
  { name: "Set-NetFirewallSetting", verb: "set", subject: "setting", parameters: SETTING, required: [] },
];

/** Parameters of every cmdlet that say nothing of the policy; true: it stands alone. */
export const COMMON: ReadonlyMap<string, boolean> = new Map([
  ...["asjob", "confirm", "cf", "verbose", "vb", "debug", "db", "passthru", "whatif", "wi"].map((name) => [name, true] as const),
  ...["erroraction", "ea", "errorvariable", "ev", "warningaction", "wa", "warningvariable", "wv", "informationaction", "infa"].map(
    (name) => [name, false] as const,
  ),
  ...["informationvariable", "iv", "outvariable", "ov", "outbuffer", "ob", "pipelinevariable", "pv", "progressaction", "throttlelimit"].map(
    (name) => [name, false] as const,
  ),
  ...["cimsession", "session"].map((name) => [name, false] as const),
]);

/** The tag that `consec-values.ts` reads a parameter's text by; of kinds that have a text only. */
export const tagOf = ({ name, kind, field, fate, note }: Parameter): ConsecTag => ({
  name,
  field,
  fate,
  note,
  kind: kind === "switch" || kind === "objects" || kind === "reference" ? "text" : kind,
});
