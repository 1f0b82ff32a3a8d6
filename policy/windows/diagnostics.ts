/**
 * What an import has to say: numbered findings with a line, what was found and what to do. Nothing of a script is lost in silence;
 * what would leave traffic less protected than the script meant is marked, and decides the exit code.
 */

/** Where in the script; both from 1, columns in UTF-16 units. */
export interface Place {
  readonly line: number;
  readonly column: number;
}

export interface Finding extends Place {
  readonly code: Code;
  readonly severity: "error" | "warning" | "note";
  /** The result protects less than the script meant. */
  readonly weakens: boolean;
  readonly text: string;
  readonly hint: string;
}

interface Row {
  readonly severity: Finding["severity"];
  readonly weakens: boolean;
  readonly hint: string;
}

const row = (severity: Finding["severity"], weakens: boolean, hint: string): Row => ({ severity, weakens, hint });

/** One row per finding: its weight, and what a person can do. */
export const CODES = {
  E_ENCODING: row("error", true, "give the encoding, such as --encoding windows-1252"),
  E_SYNTAX: row("error", true, "compare the line with the syntax in docs/windows-migration.md"),
  E_UNKNOWN_VERB: row("error", true, "add, set, delete, show, exportpolicy and importpolicy are known"),
  E_UNKNOWN_TAG: row("error", true, "correct the tag, or use --lenient to go on without it"),
  E_AMBIGUOUS_TAG: row("error", true, "write the tag in full"),
  E_BAD_VALUE: row("error", true, "correct the value"),
  E_JUNK: row("error", true, "take the word out, or use --lenient to go on without it"),
  E_DUP_NAME: row("error", true, "names are unique in a store; rename one, or use set instead of add"),
  E_NO_SUCH_OBJECT: row("error", true, "define it in an earlier line"),
  E_IN_USE: row("error", false, "delete the rules that use it first"),
  E_DYNAMIC_SCRIPT: row(
    "error",
    true,
    "scripts are not executed; run it on Windows and import the output of the commands it issued, or a .reg export of the policy",
  ),
  E_BINARY_IMPORT: row(
    "error",
    true,
    "the .ipsec format is not published; export the policy's registry key to a .reg file and import that",
  ),
  E_TUNNEL_UNPAIRED: row("error", true, "a tunnel needs two one-way rules; add the other direction, or name our address with --local"),
  E_TUNNEL_END: row("error", true, "a tunnel leads from one address to another of its family; write addresses for names"),
  E_SERVER_TYPE_NEEDS_ME: row("error", true, "with dns, wins, dhcp or gateway on one side the other has to be me"),
  E_RANGE_MASK: row("error", true, "a range has no mask; leave it out"),
  E_BAD_MASK: row("error", true, "a mask is a prefix length or dotted with its ones first"),
  E_PORT_WITHOUT_TCPUDP: row("error", true, "ports need protocol=TCP or protocol=UDP"),
  E_ESP_NONE_NONE: row("error", true, "ESP[NONE,NONE] protects nothing; name a cipher or an integrity algorithm"),
  E_NO_INTEGRITY: row("error", true, "encryption without integrity can be forged; name MD5 or, better, SHA1"),
  E_NO_METHOD: row("error", true, "nothing that we may offer is left; use --upgrade-crypto or --allow-weak"),
  E_FILTER: row("error", true, "write a filter that can be expressed: one host, subnet or range on either side"),
  E_WINS: row("error", true, "there is no list of WINS servers on Linux; name the servers' addresses"),
  E_REGISTRY: row("error", true, "export the whole key of the policy store again, as text"),
  E_SUBSET: row("error", true, "only what IKEv1 and our rules can do is taken over; see docs/windows-migration.md"),
  E_AUTHIP: row(
    "error",
    true,
    "IKEv1 proves the computer once; take the second authentication or health certificate out, or keep Windows there",
  ),
  E_AUTHORISATION: row("error", true, "lists of accounts can't be read here; write whom you mean as remote-ids, see docs/policy.md"),
  E_SAME_FILTER: row("error", true, "one of two rules for the same traffic decides; take one out, or make it narrower"),
  E_LIMIT: row("error", true, "take out what you don't need"),
  W_SAME_FILTER: row("warning", false, "take one of them out"),
  W_AUTHIP: row("warning", false, "IKEv1 has Kerberos of computers, certificates and pre-shared keys; the rule's other methods stay"),
  W_UNKNOWN_ALGORITHM: row("warning", false, "offer AES-CBC or AES-GCM with SHA-1 or SHA-2, and groups 14, 19 or 20"),
  W_PROFILE: row("warning", false, "kinds of networks do not exist here; it holds in all of them"),
  W_SETTING: row("note", false, "there is nothing like it to set here, or nothing to be set"),
  W_TUNNEL_STRICT: row("warning", false, "tunnels have no way round them here: packets wait until the tunnel stands"),
  W_TUNNEL_MAIN_MODE: row(
    "warning",
    false,
    "Windows was seen to offer AES-128 and 3DES with SHA-1 and group 2 in tunnel rules whatever is set; if the peer does, use --allow-weak",
  ),
  W_CLEAR_ANSWERS: row("warning", false, "who doesn't speak IPsec can't answer; use action = \"request\", or a permit rule for such peers"),
  W_DEFAULT_SECURITY: row(
    "warning",
    false,
    "Microsoft's pages disagree about what it means then; the stricter reading was taken: request out, require in",
  ),
  W_FIREWALL_SECURITY: row("warning", true, 'write a rule with action = "require" for its ports'),
  W_MAIN_MODE_AUTH: row("warning", false, "the main mode rule's authentication was taken, as Windows does"),
  W_SPLIT: row("note", false, "a rule has at most 64 filters here"),
  W_ENCODING: row("note", false, "if names look wrong give --encoding, such as --encoding gbk"),
  W_PSK_CHARACTERS: row(
    "warning",
    false,
    "which octets Windows makes of them is not certain; if the two do not agree take a key of ASCII at both ends",
  ),
  W_WEAK_ALGORITHM: row("warning", false, "use --upgrade-crypto to put better offers in front, or --allow-weak to take it as it is"),
  W_PSK_CLEARTEXT: row("warning", false, "the script holds the key in clear: protect or destroy it"),
  W_CONNTYPE: row("warning", false, "rules for one kind of interface do not exist here; it holds for all"),
  W_DOMAIN_STORE: row("warning", false, "the domain's store is not consulted; only what the script says is taken over"),
  W_DEFAULT_RULE: row("warning", false, "whether it was in use depends on the version of Windows; remove the rule if you don't want it"),
  W_TUNNEL_MIRRORED: row(
    "warning",
    false,
    "filters of tunnel rules are one-way on Windows; write mirrored=no, and a rule for each direction",
  ),
  W_TUNNEL_PORTS: row("warning", false, "Windows' own tunnels do not honour ports; test it"),
  W_TUNNEL_DIFFERENT: row(
    "warning",
    true,
    "there is one tunnel for both here, and the outbound rule's settings were taken; make them the same",
  ),
  W_UNUSED_OBJECT: row("warning", false, "no rule of the policy uses it; it was left out"),
  W_NOT_ASSIGNED: row("warning", false, "no policy of the script is assigned; choose one with --policy"),
  W_OTHER_POLICY: row("warning", false, "one policy is active at a time; import the other with --policy into a file of its own"),
  W_INACTIVE_RULE: row("warning", false, "it is in the file as a comment"),
  W_SOFT_FALLBACK: row("warning", false, 'peers that do not answer are spoken to in clear; use action = "require" to end that'),
  W_CERTMAP: row("warning", true, "certificates are not mapped to accounts; list the identities allowed as remote-id"),
  W_CA: row("warning", true, "put the CA's certificate where the rule's ca names it"),
  W_CERTIFICATE: row("warning", true, "put this host's certificate and key where the rule names them"),
  W_KEYTAB: row(
    "warning",
    false,
    "create a keytab for this host, see docs/authentication.md; with --keytab and --principal the result is good before there is one",
  ),
  W_LIFETIME: row("warning", false, "lifetimes of 5 minutes to 48 hours and volumes from 20 MB are usual"),
  W_POLLING: row("note", false, "files are read again by mainmode reload; nothing is polled"),
  W_MIXED_OFFERS: row("warning", false, "offers have one lifetime for all here; the shortest was taken"),
  W_REMOTE: row("warning", false, "the command is for another machine; it was taken as if for this one"),
  W_CALLED: row("warning", false, "nothing of it was read, nor what it may set; import that file, too, if it makes or removes policy"),
  W_REGISTRY: row(
    "warning",
    false,
    "the registry is not read; what passes without IPsec is [policy] exempt here, see docs/configuration.md",
  ),
  W_DYNAMIC_CONTEXT: row("warning", true, "rules of netsh ipsec dynamic are gone at the next start of Windows and are not taken over"),
  W_LENIENT: row("warning", false, "look at the line"),
  W_SKIPPED_VALUE: row("warning", true, "look at the line: what it said is missing in the result"),
  W_CA_NAME: row("note", false, "make sure that the files of --ca are of this CA"),
  E_ONLY_SOME: row("error", true, "it would let pass everywhere what was let pass there; write the addresses that it is for"),
  W_NOTHING_DELETED: row("note", false, "scripts often clear away what an earlier run may have left; nothing was there"),
  W_OTHER_COMMAND: row("note", false, "it is not about IPsec policy"),
  W_NOT_ON_WINDOWS: row("note", false, "static policies of Windows have nothing like it; a policy of connection security rules may have"),
  W_EXEMPT: row(
    "warning",
    false,
    "Windows has a setting of the registry for it (NoDefaultExempt), the same for all; write permit rules for what matters",
  ),
  W_OTHERS: row("warning", false, "it is about other hosts than the one that the script is for; write there what that host needs"),
  W_SEVERAL_PEERS: row("warning", true, "they are for several peers; make a script for each, named with --peer"),
  W_OVERLAP: row("warning", true, "here the first decides, and for two hosts either may; make one of them narrower"),
  W_PFS_GROUP: row("warning", true, 'use pfs = "main-mode" here, or the same group in Main Mode, or the two will not agree'),
  W_NOT_REACHED: row("warning", false, "it takes protection away, and runs only where something jumps to it; it was left out"),
  W_NAME: row("note", false, "names here have at most 64 visible characters"),
} as const satisfies Record<string, Row>;

export type Code = keyof typeof CODES;

/** Collects findings; `atMost` bounds what a hostile script can make us say. */
export interface Findings {
  readonly all: readonly Finding[];
  readonly say: (code: Code, place: Place, text: string) => void;
}

/** Where in a line of a script a pre-shared key may begin, however its tag is shortened; undefined: it has none. */
export const mayHoldKey = (line: string): number | undefined =>
  /psk|-pres|preshare|sharedkey|\bps?\s*=|\bauth\dp\w*\s*=/i.exec(line)?.index;

/** The same findings for a line that may hold a key: no word of the line is shown, as any may be a part of the key. */
export const withoutWords = (findings: Findings): Findings => ({
  all: findings.all,
  say: (code, place, text) => findings.say(code, place, text.replace(/"(?:[^"\\]|\\.)*"/g, '"..."')),
});

const AT_MOST = 1000;

/** An empty collection. After a thousand findings more are counted and not kept. */
export function startFindings(): Findings {
  const all: Finding[] = [];
  return {
    all,
    say: (code, { line, column }, text) => {
      const { severity, weakens, hint } = CODES[code];
      if (all.length < AT_MOST) all.push({ code, severity, weakens, line, column, text, hint });
      else if (all.length === AT_MOST)
        all.push({ code: "E_SYNTAX", severity: "error", weakens: true, line, column, text: "there is more wrong than is shown", hint });
    },
  };
}

/** `FILE:LINE:COL: E_CODE: what; what to do`. */
export const formatFinding = (file: string, { line, column, code, severity, text, hint }: Finding): string =>
  `${file}:${line}:${column}: ${severity}: ${code}: ${text}; ${hint}`;
