/**
 * The page of every verb, tag and parameter with what becomes of it (docs/windows-commands.md), made from the tables that the import reads by.
 */
import { CONSEC_COMMANDS, type ConsecKind, type ConsecTag, type Fate, GLOBALS, LISTS, WORDS } from "./consec-grammar.ts";
import { COMMANDS, type CommandRow, type Kind } from "./grammar.ts";
import { CMDLETS, type Cmdlet, type Parameter } from "./netipsec-grammar.ts";

/** The page, as Markdown. */
export function commandsPage(): string {
  const lines = [
    "# Every command of Windows, and what becomes of it",
    "",
    "What [mainmode policy import](windows-migration.md) does with each command, tag and parameter. The page is printed from the tables that the",
    "import itself reads by (`node scripts/windows-commands.js`); a test fails when they differ.",
    "",
    "- **mapped**: it becomes part of the configuration.",
    "- **read**: understood, and without counterpart. Where it could matter the import says so.",
    "- **refused**: it can't be kept. The import says why; the rule stays a comment, or the method or offer is left out.",
    "",
    "Words, verbs and tags may be shortened as far as they stay unambiguous. `show`, `dump`, `help`, `Get-…` and `Show-…` change nothing and are passed",
    "over. Any other command of these contexts is refused (`E_UNKNOWN_VERB`), and so is any other tag (`E_UNKNOWN_TAG`).",
    "",
    "## netsh ipsec static",
    "",
    "Values may stand without their tags, in the order of the table.",
    ...COMMANDS.flatMap(staticSection),
    "",
    "`ipsecpol` and `ipseccmd` are mapped in their static form: `-w -p -r -f -n -t -a -1s -1k -1p -soft -lan -dialup -x -y -o`. `-1f` and `-1e` are",
    "refused (main mode filters and the time of a soft SA), and so is everything without `-w`.",
    "",
    "## netsh advfirewall consec and mainmode",
    "",
    "Every value has its tag. `firewall`, `set …profile` and the like are the firewall's, and are said; `reset` begins anew; `import` is refused.",
    ...CONSEC_COMMANDS.flatMap(({ context, verb, keys, tags }) => [
      ...(keys.length > 0
        ? section(
            `${verb} rule${tags.length > 0 ? " … new …" : ""} (${context})${tags.length > 0 ? ": which rule" : ""}`,
            "tag",
            keys.map(tagRow),
          )
        : []),
      ...(tags.length > 0 && verb !== "set" ? section(`${verb} rule (${context})`, "tag", tags.map(tagRow)) : []),
      ...(verb === "set" ? ["", `Behind \`new\` stand the tags of \`add rule\`.`] : []),
    ]),
    ...Object.entries(GLOBALS).flatMap(([name, tags]) => section(`set global ${name}`, "parameter", tags.map(tagRow))),
    "",
    "## The NetIPsec cmdlets",
    "",
    "Parameters may be shortened, too. `-ErrorAction` and the other common ones say nothing of the policy; with `-WhatIf` a cmdlet does nothing, and",
    "`-CimSession` is said. Variables hold texts, lists and what `New-…` makes; loops, conditions, functions and tables of parameters are refused.",
    ...cmdletSections(),
  ];
  return `${lines.join("\n")}\n`;
}

const cell = (text: string): string => text.replaceAll("|", "\\|");
const section = (title: string, first: string, rows: readonly string[]): readonly string[] => [
  "",
  `### ${title}`,
  "",
  `| ${first} | values | | here |`,
  "| --- | --- | --- | --- |",
  ...rows,
];
const row = (name: string, values: string, fate: Fate, note: string): string =>
  `| \`${name}\` | ${cell(values)} | ${fate} | ${cell(note)} |`;

const tagRow = ({ name, kind, fate, note }: ConsecTag): string => row(name, valuesOf(kind), fate, note);

const KINDS: Readonly<Record<string, string>> = {
  name: "a name",
  text: "text",
  secret: "the key",
  boolean: "yes, no",
  number: "a number",
  sides: "addresses, subnets, ranges, `any`, `dns`, `dhcp`, `defaultgateway`; several with commas",
  ports: "ports, ranges, `any`; several with commas",
  protocol: "`any`, `tcp`, `udp`, ICMP, a number",
  end: "an address, `any`",
  cas: "names of CAs with their options, between bars",
  "main-methods": "`dhgroup14:aes256-sha256,…`, `default`",
  "quick-methods": "`esp:sha1-aes128+60min+100000kb,…`, `ah:`, `authnoencap:`, `default`",
  life: "`480min,0sess`",
  sddl: "a list of accounts",
  switch: "stands alone",
  objects: "proposals",
  reference: "a set's name",
  address: "`me`, `any`, an address, range, name, `dns`, `wins`, `dhcp`, `gateway`",
  mask: "a dotted mask, a length",
  port: "a port, 0 for any",
  action: "permit, block, negotiate",
  connection: "all, lan, dialup",
  ca: "a CA's name, `certmap:`, `excludecaname:`",
  guid: "a GUID",
  location: "local, domain, persistent",
};

/** What the cmdlets call the numbers of `strongcrlcheck`. */
const CRL = "None, AttemptCrlCheck, RequireCrlCheck";

function valuesOf(kind: ConsecKind | Parameter["kind"]): string {
  const words: readonly string[] | undefined = WORDS[kind as keyof typeof WORDS];
  if (!words) return KINDS[kind] ?? kind;
  return `${words.filter((word) => word !== "wiresless").join(", ")}${LISTS.has(kind as ConsecKind) ? "; several with commas" : ""}`;
}

const STATIC_KINDS: Partial<Readonly<Record<Kind, string>>> = {
  "main-methods": "`3DES-SHA1-3 …`: DES, 3DES; MD5, SHA1; groups 1, 2, 3",
  "quick-methods": "`ESP[3DES,SHA1]:100000k/3600s AH[SHA1] AH[…]+ESP[…]`",
};

/** What becomes of the tags of `ipsec static`, by tag; `verb object tag` is more particular. */
export const STATIC_FATES: Readonly<Record<string, readonly [Fate, string]>> = {
  name: ["mapped", "names keep what they are on Windows"],
  "delete policy name": ["mapped", "which one; `all` is every one"],
  "delete filterlist name": ["mapped", "which one; `all` is every one that no rule uses"],
  "delete filteraction name": ["mapped", "which one; `all` is every one that no rule uses"],
  "delete rule name": ["mapped", "which one; `all` is every one of the policy"],
  guid: ["refused", "what a GUID stands for only Windows knows"],
  newname: ["mapped", "its new name"],
  description: ["mapped", "`description` of the rule; of a policy a comment"],
  mmpfs: ["mapped", "`main-mode.master-pfs`"],
  qmpermm: ["mapped", "`main-mode.quick-modes`"],
  mmlifetime: ["mapped", "`main-mode.lifetime`, minutes"],
  activatedefaultrule: ["mapped", "the rule `Default response`, if the script says that it is active"],
  pollinginterval: ["read", "nothing is polled; said"],
  assign: ["mapped", "the policy that is imported"],
  mmsecmethods: ["mapped", "`main-mode.proposals`"],
  gponame: ["read", "no store of a domain is consulted; said"],
  filterlist: ["mapped", "`filters`"],
  srcaddr: ["mapped", "left side of a filter; `wins` is refused"],
  dstaddr: ["mapped", "right side of a filter; `wins` is refused"],
  protocol: ["mapped", "protocol of a filter"],
  mirrored: ["mapped", "`<->`, or `->` with `no`"],
  srcmask: ["mapped", "prefix of the left side"],
  dstmask: ["mapped", "prefix of the right side"],
  srcport: ["mapped", "port of the left side"],
  dstport: ["mapped", "port of the right side"],
  qmpfs: ["mapped", '`quick-mode.pfs = "main-mode"`'],
  inpass: ["mapped", "`inbound-clear`"],
  soft: ["mapped", '`action = "request"`'],
  action: ["mapped", "`action`; `negotiate` is `require`"],
  qmsecmethods: ["mapped", "`quick-mode.proposals`, `lifetime`, `volume`; ESP without integrity is refused"],
  policy: ["mapped", "which policy it belongs to"],
  filteraction: ["mapped", "`action`, `quick-mode`"],
  tunnel: ["mapped", '`mode = "tunnel"`, `tunnel`; two one-way rules become one'],
  conntype: ["read", "holds on every interface; said unless `all`"],
  activate: ["mapped", "`no`: the rule is a comment"],
  kerberos: ["mapped", '`method = "kerberos"`'],
  psk: ["mapped", "a file with mode 0600"],
  rootca: ["mapped", '`method = "x509"` with the files that `--certificate`, `--key` and `--ca` name'],
  id: ["mapped", "which rule is meant, from 1"],
  location: ["read", "`domain` is said"],
  domain: ["read", "as `location`"],
  mode: ["read", "a hint for netsh alone"],
  "exportpolicy  file": ["read", "writes a file on Windows"],
  "importpolicy  file": ["refused", "the format of `.ipsec` files is not published; import a `.reg` export"],
  release: ["read", "the stock policies are in examples/; said"],
};

/** What becomes of a tag of a command of `ipsec static`. */
export const staticFate = ({ verb, object }: Pick<CommandRow, "verb" | "object">, tag: string): readonly [Fate, string] | undefined =>
  STATIC_FATES[`${verb} ${object} ${tag}`] ?? STATIC_FATES[tag];

function staticSection(command: CommandRow): readonly string[] {
  const { verb, object, tags } = command;
  const title = `${verb} ${object}`.trim();
  if (tags.length === 0) return ["", `### ${title}`, "", "mapped: the script begins anew."];
  return section(
    title,
    "tag",
    tags.map(({ name, kind }) => {
      const [fate, note] = staticFate(command, name) ?? (["read", ""] as const);
      return row(name, STATIC_KINDS[kind] ?? KINDS[kind] ?? kind, fate, note);
    }),
  );
}

/** Cmdlets with the same parameters share a table. */
function cmdletSections(): readonly string[] {
  const groups = new Map<string, Cmdlet[]>();
  for (const cmdlet of CMDLETS) {
    const key = JSON.stringify(cmdlet.parameters);
    groups.set(key, [...(groups.get(key) ?? []), cmdlet]);
  }
  return [...groups.values()].flatMap((cmdlets) => {
    const [first] = cmdlets as [Cmdlet, ...Cmdlet[]];
    return section(
      cmdlets.map(({ name }) => name).join(", "),
      "parameter",
      first.parameters.map(({ name, aliases, kind, fate, note }) =>
        row(
          `-${name}`,
          `${kind === "crl" ? CRL : valuesOf(kind)}${aliases.length > 0 ? `; also ${aliases.map((alias) => `\`-${alias}\``).join(", ")}` : ""}`,
          fate,
          note,
        ),
      ),
    );
  });
}
