/**
 * `netsh advfirewall consec` and `mainmode` as tables: each tag with what its value is, the field of a rule that it fills, and what becomes of it.
 * docs/windows-commands.md is printed from these tables (`reference.ts`), so that it can't say anything else.
 */

/** mapped: it becomes part of the configuration. read: understood, without counterpart, and said. refused: the rule stays a comment. */
export type Fate = "mapped" | "read" | "refused";

/** What a value is; `consec-values.ts` reads each. */
export type ConsecKind =
  | "name"
  | "text"
  | "secret"
  | "boolean"
  | "number"
  | "sides"
  | "ports"
  | "protocol"
  | "end"
  | "cas"
  | "main-methods"
  | "quick-methods"
  | "life"
  | "sddl"
  | Enumeration;

export type Enumeration = keyof typeof WORDS;

/** Kinds whose values are words: one of them, or where `LISTS` says so several with commas. */
export const WORDS = {
  action: ["requireinrequestout", "requestinrequestout", "requireinrequireout", "requireinclearout", "noauthentication"],
  mode: ["transport", "tunnel"],
  profiles: ["public", "private", "domain", "any", "notapplicable"],
  lifespan: ["dynamic", "static"],
  interfaces: ["any", "wireless", "wiresless", "lan", "ras", "wired", "remoteaccess"],
  auth1: ["computerkerb", "computercert", "computercertecdsap256", "computercertecdsap384", "computerpsk", "computerntlm", "anonymous"],
  auth2: [
    "computercert",
    "computercertecdsap256",
    "computercertecdsap384",
    "userkerb",
    "usercert",
    "usercertecdsap256",
    "usercertecdsap384",
    "userntlm",
    "anonymous",
  ],
  pfs: ["none", "mainmode", "dhgroup1", "dhgroup2", "dhgroup14", "dhgroup24", "ecdhp256", "ecdhp384"],
  crl: ["0", "1", "2", "notconfigured"],
  exemptions: ["none", "neighbordiscovery", "icmp", "dhcp", "notconfigured"],
  nat: ["never", "serverbehindnat", "serverandclientbehindnat", "notconfigured"],
  security: ["none", "request", "require"],
  authority: ["root", "intermediate"],
  signing: ["rsa", "ecdsa256", "ecdsa384"],
  module: ["default", "ikev1", "authip", "ikev2"],
} as const;
export const LISTS: ReadonlySet<ConsecKind> = new Set<ConsecKind>(["profiles", "auth1", "auth2", "exemptions", "module"]);

/** Where a value goes; the vocabularies of netsh and of the cmdlets share these. */
export type Field =
  | "name"
  | "newname"
  | "description"
  | "group"
  | "enable"
  | "endpoint1"
  | "endpoint2"
  | "port1"
  | "port2"
  | "protocol"
  | "action"
  | "inbound"
  | "outbound"
  | "mode"
  | "end1"
  | "end2"
  | "endname"
  | "auth1"
  | "psk"
  | "ca"
  | "ca256"
  | "ca384"
  | "health"
  | "health256"
  | "health384"
  | "auth2"
  | "proxy"
  | "pfs"
  | "quick"
  | "main"
  | "life"
  | "profile"
  | "lifespan"
  | "interface"
  | "protected"
  | "authorise"
  | "machine"
  | "user"
  | "module"
  | "auth-set"
  | "auth2-set"
  | "quick-set"
  | "main-set"
  | "forcedh"
  | "crl"
  | "exempt"
  | "nat"
  | "other";

export interface ConsecTag {
  readonly name: string;
  readonly kind: ConsecKind;
  readonly field: Field;
  readonly fate: Fate;
  readonly note: string;
}

const mapped = (name: string, kind: ConsecKind, field: Field, note: string): ConsecTag => ({ name, kind, field, fate: "mapped", note });
const read = (name: string, kind: ConsecKind, field: Field, note: string): ConsecTag => ({ name, kind, field, fate: "read", note });
const refused = (name: string, kind: ConsecKind, field: Field, note: string): ConsecTag => ({ name, kind, field, fate: "refused", note });

const NAME = mapped("name", "name", "name", "`name`");
const ENDPOINTS = [
  mapped("endpoint1", "sides", "endpoint1", "the local side of `filters`; `any` is `me`"),
  mapped("endpoint2", "sides", "endpoint2", "the remote side of `filters`; `localsubnet` and `wins` are refused"),
];
const PORTS = [
  mapped("port1", "ports", "port1", "port of the local side; small ranges are written out"),
  mapped("port2", "ports", "port2", "port of the remote side"),
  mapped("protocol", "protocol", "protocol", "protocol of `filters`"),
];
const PROFILE = read("profile", "profiles", "profile", "holds in every network; said unless `any`");
const TYPE = read("type", "lifespan", "lifespan", "`dynamic` rules are gone when Windows starts again; said");
const FIRST_AUTH = [
  mapped("auth1", "auth1", "auth1", "`auth`, in its order; `computerntlm` and `anonymous` are left out, as only AuthIP has them"),
  mapped("auth1psk", "secret", "psk", "a file with mode 0600"),
  read("auth1kerbproxyfqdn", "text", "proxy", "a KDC proxy is set in krb5.conf"),
  mapped("auth1ca", "cas", "ca", '`method = "x509"` with the files that `--certificate`, `--key` and `--ca` name'),
  refused("auth1healthcert", "boolean", "health", "health certificates are AuthIP's"),
  mapped("auth1ecdsap256ca", "cas", "ca256", "as `auth1ca`; the certificate decides what it signs with"),
  refused("auth1ecdsap256healthcert", "boolean", "health256", "health certificates are AuthIP's"),
  mapped("auth1ecdsap384ca", "cas", "ca384", "as `auth1ca`"),
  refused("auth1ecdsap384healthcert", "boolean", "health384", "health certificates are AuthIP's"),
];
const SECOND_AUTH = ["auth2kerbproxyfqdn", "auth2ca", "auth2ecdsap256ca", "auth2ecdsap384ca"].map((name) =>
  read(name, "text", "other", "belongs to `auth2`"),
);
const COMMON = [
  mapped("description", "text", "description", "`description` of the rule; of a policy a comment"),
  mapped("enable", "boolean", "enable", "`no`: the rule is a comment"),
];

/** Tags of a connection security rule. */
export const RULE_TAGS: readonly ConsecTag[] = [
  NAME,
  ...ENDPOINTS,
  mapped("action", "action", "action", "`action`, `discovery`; see the section on connection security rules"),
  ...COMMON,
  mapped("mode", "mode", "mode", "`mode`"),
  PROFILE,
  TYPE,
  mapped("localtunnelendpoint", "end", "end1", "`tunnel.local`; `any`: found by the route"),
  mapped("remotetunnelendpoint", "end", "end2", "`tunnel.remote`; `any` is refused"),
  ...PORTS,
  read("interfacetype", "interfaces", "interface", "holds on every interface; said unless `any`"),
  ...FIRST_AUTH,
  refused("auth2", "auth2", "auth2", "a second authentication is AuthIP's"),
  ...SECOND_AUTH,
  mapped("qmpfs", "pfs", "pfs", "`pfs`; `dhgroup24` is refused"),
  mapped("qmsecmethods", "quick-methods", "quick", "`quick-mode.proposals`, `lifetime`, `volume`; AES-GMAC and `authnoencap` are left out"),
  read("exemptipsecprotectedconnections", "boolean", "protected", "protected packets are tunnelled again; said"),
  refused("applyauthz", "boolean", "authorise", "lists of accounts; write `remote-ids`"),
];

/** Tags of a main mode rule. */
export const MAIN_TAGS: readonly ConsecTag[] = [
  NAME,
  mapped("mmsecmethods", "main-methods", "main", "`main-mode.proposals` of the rules with these peers"),
  mapped("mmkeylifetime", "life", "life", "`main-mode.lifetime` and `quick-modes`"),
  ...COMMON,
  PROFILE,
  ...ENDPOINTS.map((tag) => ({ ...tag, note: "which rules it is for" })),
  ...FIRST_AUTH,
  TYPE,
];

const GROUP = read("group", "text", "group", "chooses rules by their group; a script can't make one");
const keys = (tags: readonly ConsecTag[], names: readonly string[]): readonly ConsecTag[] => [
  GROUP,
  ...tags.filter(({ name }) => names.includes(name)).map((tag) => ({ ...tag, fate: "mapped" as const, note: "which rule is meant" })),
];
const KEYS = ["name", "type", "profile", "endpoint1", "endpoint2", "port1", "port2", "protocol"];

export interface ConsecCommand {
  readonly context: "consec" | "mainmode";
  readonly verb: "add" | "set" | "delete";
  /** Which rule is meant: all tags of `delete`, those before `new` of `set`. */
  readonly keys: readonly ConsecTag[];
  /** What it says of the rule. */
  readonly tags: readonly ConsecTag[];
  readonly required: readonly string[];
}

/** Every command that changes connection security or main mode rules; its object is always `rule`. */
export const CONSEC_COMMANDS: readonly ConsecCommand[] = [
  { context: "consec", verb: "add", keys: [], tags: RULE_TAGS, required: ["name", "endpoint1", "endpoint2", "action"] },
  { context: "consec", verb: "set", keys: keys(RULE_TAGS, KEYS), tags: RULE_TAGS, required: [] },
  { context: "consec", verb: "delete", keys: keys(RULE_TAGS, KEYS), tags: [], required: ["name"] },
  { context: "mainmode", verb: "add", keys: [], tags: MAIN_TAGS, required: ["name"] },
  { context: "mainmode", verb: "set", keys: keys(MAIN_TAGS, ["name", "type", "profile"]), tags: MAIN_TAGS, required: [] },
  { context: "mainmode", verb: "delete", keys: keys(MAIN_TAGS, ["name", "type", "profile"]), tags: [], required: ["name"] },
];

/** `set global mainmode|ipsec PARAMETER VALUE`. */
export const GLOBALS: Readonly<Record<"mainmode" | "ipsec", readonly ConsecTag[]>> = {
  mainmode: [
    mapped("mmkeylifetime", "life", "life", "`[policy.main-mode] lifetime`, `quick-modes`"),
    mapped("mmsecmethods", "main-methods", "main", "`[policy.main-mode] proposals`"),
    read("mmforcedh", "boolean", "forcedh", "IKEv1 has Diffie-Hellman in any case; said"),
  ],
  ipsec: [
    mapped("strongcrlcheck", "crl", "crl", '`2`: `crl = "require"`; else `if-present`'),
    read("saidletimemin", "text", "other", "SAs that nothing uses are not renewed; said"),
    mapped("defaultexemptions", "exemptions", "exempt", "`[policy] exempt`; neighbour discovery always passes"),
    read("ipsecthroughnat", "nat", "nat", "NAT traversal is on unless a rule's `nat-traversal` says otherwise; said"),
    ...["authzcomputergrp", "authzusergrp", "authzcomputergrptransport", "authzusergrptransport"].map((name) =>
      refused(name, "sddl", "authorise", "lists of accounts; write `remote-ids`"),
    ),
  ],
};
