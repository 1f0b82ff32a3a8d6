/**
 * Scripts written from the grammar, each with what has to come of it. A row's script stands in a frame (`framed`) where only a part is of interest.
 */
import type { ImportOptions } from "../../../policy/windows/import.ts";

export interface ScriptRow {
  readonly name: string;
  readonly script: string;
  readonly options?: Partial<ImportOptions>;
  readonly rules: readonly string[];
  readonly codes?: readonly string[];
}

const POLICY = 'netsh ipsec static add policy name=P activatedefaultrule=no mmsecmethods="3DES-SHA1-3" assign=yes';
const ACTIONS = [
  "netsh ipsec static add filteraction name=Permit action=permit",
  "netsh ipsec static add filteraction name=Block action=block",
  'netsh ipsec static add filteraction name=Secure action=negotiate qmsecmethods="ESP[3DES,SHA1]"',
].join("\n");
const QUICK = "esp:3des-sha1, 3600s, 100000kB, none";

/** Lines 1 to 4 make a policy and three actions; the row's lines begin at 5. */
export const framed = (...lines: readonly string[]): string => [POLICY, ACTIONS, ...lines].join("\n");

/** A filter in line 5, blocked by a rule in line 6. */
const blocked = (filter: string): string =>
  framed(
    `netsh ipsec static add filter filterlist=L ${filter}`,
    "netsh ipsec static add rule name=R policy=P filterlist=L filteraction=Block",
  );
/** A rule in line 6 that protects everything with 192.0.2.2. */
const secured = (rule: string): string =>
  framed(
    "netsh ipsec static add filter L me 192.0.2.2",
    `netsh ipsec static add rule name=R policy=P filterlist=L filteraction=Secure ${rule}`,
  );
/** An action in line 5, its rule in line 7. */
const acting = (action: string): string =>
  framed(
    `netsh ipsec static add filteraction name=A ${action}`,
    "netsh ipsec static add filter L me 192.0.2.2",
    "netsh ipsec static add rule R P L A psk=not-a-real-key",
  );

const FILTERS: readonly ScriptRow[] = (
  [
    ["a mirrored filter to a host", "srcaddr=me dstaddr=192.0.2.9", "me <-> 192.0.2.9"],
    ["a one-way filter to a port of ours", "srcaddr=any dstaddr=me protocol=TCP dstport=445 mirrored=no", "any -> me:445 tcp"],
    ["a port on both sides", "srcaddr=me dstaddr=any protocol=UDP srcport=500 dstport=500", "me:500 <-> any:500 udp"],
    ["a dotted mask", "srcaddr=me dstaddr=10.1.0.0 dstmask=255.255.0.0", "me <-> 10.1.0.0/16"],
    ["a prefix length", "srcaddr=me dstaddr=10.1.0.0 dstmask=16", "me <-> 10.1.0.0/16"],
    ["a prefix length in the address", "srcaddr=me dstaddr=10.1.0.0/16", "me <-> 10.1.0.0/16"],
    ["host bits below the mask", "srcaddr=me dstaddr=10.1.2.3 dstmask=255.255.0.0", "me <-> 10.1.0.0/16"],
    ["a range", "srcaddr=me dstaddr=192.0.2.5-192.0.2.9", "me <-> 192.0.2.5-192.0.2.9"],
    ["an IPv6 subnet", "srcaddr=me dstaddr=2001:db8:: dstmask=32", "me <-> 2001:db8::/32"],
    ["an IPv6 host with a port", "srcaddr=me dstaddr=2001:db8::1 protocol=tcp dstport=80", "me <-> [2001:db8::1]:80 tcp"],
    ["a name", "srcaddr=me dstaddr=server.example.test", "me <-> server.example.test"],
    ["servers of names", "srcaddr=me dstaddr=DNS", "me <-> dns"],
    ["the gateway", "srcaddr=me dstaddr=gateway", "me <-> gateway"],
    ["ICMP", "srcaddr=me dstaddr=any protocol=ICMP", "me <-> any icmp"],
    ["ICMP of IPv6", "srcaddr=me dstaddr=2001:db8::1 protocol=icmp", "me <-> 2001:db8::1 icmpv6"],
    ["a protocol by number", "srcaddr=me dstaddr=any protocol=47", "me <-> any 47"],
    ["the raw protocol", "srcaddr=me dstaddr=any protocol=raw", "me <-> any 255"],
    ["shortened tags", "srca=me dsta=10.0.0.1 proto=tcp mir=no dstp=80", "me -> 10.0.0.1:80 tcp"],
    ["blanks round the equals sign", "srcaddr = me dstaddr= 192.0.2.1 mirrored =no", "me -> 192.0.2.1"],
    ["values without tags", 'me 192.0.2.1 "a comment" TCP yes dstport=80', "me <-> 192.0.2.1:80 tcp"],
    ["a mask of all ones on me", "srcaddr=me srcmask=255.255.255.255 dstaddr=any", "me <-> any"],
  ] as const
).map(([name, filter, ours]) => ({ name, script: blocked(filter), rules: [`R: block ${ours}`] }));

const BAD_FILTERS: readonly ScriptRow[] = (
  [
    ["a mask with holes", "srcaddr=me dstaddr=10.0.0.0 dstmask=255.0.255.0", "E_BAD_MASK@5"],
    ["a mask on a range", "srcaddr=me dstaddr=192.0.2.1-192.0.2.9 dstmask=24", "E_RANGE_MASK@5"],
    ["a port without a protocol", "srcaddr=me dstaddr=any dstport=80", "E_PORT_WITHOUT_TCPUDP@5"],
    ["servers on one side and no me on the other", "srcaddr=any dstaddr=DNS", "E_SERVER_TYPE_NEEDS_ME@5"],
    ["a tag that does not exist", "srcaddr=me dstaddr=any colour=red", "E_UNKNOWN_TAG@5"],
    ["a tag that can mean several", "srcaddr=me dstaddr=any src=x", "E_AMBIGUOUS_TAG@5"],
    ["an address that is none", "srcaddr=me dstaddr=10.0.0.256", "E_BAD_VALUE@5"],
    ["a missing side", "srcaddr=me", "E_SYNTAX@5"],
  ] as const
).map(([name, filter, code]) => ({ name, script: blocked(filter), rules: [], codes: [code, "E_NO_SUCH_OBJECT@6"] }));

const RULES: readonly ScriptRow[] = [
  { name: "a pre-shared key", script: secured('psk="not-a-real-key"'), rules: [`R: require me <-> 192.0.2.2 by psk ${QUICK}`] },
  { name: "Kerberos where no method is named", script: secured(""), rules: [`R: require me <-> 192.0.2.2 by kerberos ${QUICK}`] },
  {
    name: "methods in their order",
    script: secured('psk="not-a-real-key" kerberos=yes'),
    rules: [`R: require me <-> 192.0.2.2 by psk>kerberos ${QUICK}`],
  },
  {
    name: "a CA whose files are named",
    script: secured('rootca="C=US, CN=Root certmap:no excludecaname:yes" kerberos=y'),
    options: { certificate: "host.pem", key: "host.key", ca: ["root.pem"] },
    rules: [`R: require me <-> 192.0.2.2 by x509>kerberos ${QUICK}`],
    codes: ["W_SETTING@6"],
  },
  {
    name: "a CA alone without its files: the rule is a comment",
    script: secured('rootca="CN=Root"'),
    rules: [`# R: require me <-> 192.0.2.2 ${QUICK}`],
    codes: ["W_CERTIFICATE@6", "E_NO_METHOD@6"],
  },
  {
    name: "mapping of certificates",
    script: secured('rootca="CN=Root certmap:yes" psk=not-a-real-key'),
    options: { certificate: "host.p12", ca: ["root.pem"] },
    rules: [`R: require me <-> 192.0.2.2 by x509>psk ${QUICK}`],
    codes: ["W_CERTMAP@6"],
  },
  {
    name: "a rule that is switched off",
    script: secured("activate=no psk=not-a-real-key"),
    rules: [`# R: require me <-> 192.0.2.2 by psk ${QUICK}`],
    codes: ["W_INACTIVE_RULE@6"],
  },
  {
    name: "a kind of connection",
    script: secured("conntype=lan psk=not-a-real-key"),
    rules: [`R: require me <-> 192.0.2.2 by psk ${QUICK}`],
    codes: ["W_CONNTYPE@6"],
  },
];

const ACTION_ROWS: readonly ScriptRow[] = (
  [
    [
      "request with clear text inbound",
      'inpass=yes soft=yes qmsec="ESP[3DES,SHA1]"',
      `R: request inbound-clear me <-> 192.0.2.2 by psk ${QUICK}`,
      [],
    ],
    ["a boundary", 'inp=y soft=n qmsec="ESP[3DES,SHA1]"', `R: require inbound-clear me <-> 192.0.2.2 by psk ${QUICK}`, []],
    [
      "volumes and times, and the same group again",
      'qmpfs=yes qmsec="AH[SHA1]+ESP[3DES,SHA1]:50000k/1800s"',
      "R: require me <-> 192.0.2.2 by psk ah:sha1+esp:3des-sha1, 1800s, 50000kB, main-mode",
      [],
    ],
    ["seconds alone", 'qmsec="ESP[NONE,SHA1]:900s"', "R: require me <-> 192.0.2.2 by psk esp:null-sha1, 900s, 100000kB, none", []],
    [
      "offers with lifetimes of their own",
      'qmsec="ESP[3DES,SHA1]:100000k/3600s AH[SHA1]:200000k/900s"',
      "R: require me <-> 192.0.2.2 by psk esp:3des-sha1 ah:sha1, 900s, 100000kB, none",
      ["W_MIXED_OFFERS@5"],
    ],
    [
      "very short lifetimes",
      'qmsec="ESP[3DES,SHA1]:1000k/60s"',
      "R: require me <-> 192.0.2.2 by psk esp:3des-sha1, 60s, 1000kB, none",
      ["W_LIFETIME@5"],
    ],
    ["Windows' own offers: what is not weak among them", "action=negotiate", `R: require me <-> 192.0.2.2 by psk ${QUICK}`, []],
    ["weak offers only", 'qmsec="ESP[DES,MD5]"', "# R: require me <-> 192.0.2.2 by psk", ["E_NO_METHOD@5"]],
  ] as const
).map(([name, action, rule, codes]) => ({
  name,
  script: acting(action),
  rules: [rule],
  codes: codes.map((code) => code.replace("@5", "@7")),
}));

const SHAPES: readonly ScriptRow[] = [
  {
    name: "the body of netsh -f",
    script:
      "# a policy\npushd ipsec static\nadd policy P assign=yes\nadd filter L any me\nadd filteraction B action=block\nadd rule R P L B\npopd\n",
    rules: ["R: block any <-> me"],
  },
  {
    name: "a context of its own line",
    script: "ipsec static\nadd policy P assign=yes\nadd filter L any me\nadd filteraction B action=block\nadd rule R P L B\nexit",
    rules: ["R: block any <-> me"],
  },
  {
    name: "a transcript with its prompt",
    script: ["add policy P assign=yes", "add filter L any me", "add filteraction B action=block", "add rule R P L B"]
      .map((line) => `netsh ipsec static>${line}`)
      .join("\r\n"),
    rules: ["R: block any <-> me"],
  },
  {
    name: "one line with -c, an at sign, an ending, redirections",
    script: [
      '@netsh.exe -c "ipsec static" add policy P assign=y >nul',
      "netsh ipsec static add filter L any me 2>&1 > log.txt",
      "C:\\Windows\\System32\\netsh ipsec static add filteraction B action=block && echo done",
      "netsh ipsec static add rule R P L B >> log.txt",
    ].join("\n"),
    rules: ["R: block any <-> me"],
  },
  {
    name: "verbs, objects and contexts shortened",
    script:
      "netsh ip st a pol P ass=y\nnetsh ips s add filter L any me\nnetsh ipsec static ad filtera B action=b\nnetsh ipsec static add r R P L B",
    rules: ["R: block any <-> me"],
  },
  {
    name: "continued lines and variables of a batch file",
    script: [
      "setlocal",
      "set NAME=P",
      'set "HOST=192.0.2.7"',
      "netsh ipsec static add policy %NAME% ^",
      "  assign=y",
      "netsh ipsec static add filter L %host% me",
      "netsh ipsec static add filteraction B action=block",
      "netsh ipsec static add rule R %NAME% L B",
    ].join("\r\n"),
    rules: ["R: block 192.0.2.7 <-> me"],
  },
  {
    name: "PowerShell with backticks and variables",
    script: [
      "<# a block",
      "comment #>",
      '$name = "P"   # a comment',
      "netsh ipsec static add policy name=$name `",
      "  assign=y; netsh ipsec static add filter L any me",
      "netsh ipsec static add filteraction 'B' action=block 2>$null",
      'netsh ipsec static add rule name="R" policy="$name" filterlist=L filteraction=B',
    ].join("\n"),
    options: { fileName: "policy.ps1" },
    rules: ["R: block any <-> me"],
  },
  {
    name: "what was deleted again",
    script: framed(
      "netsh ipsec static add filter L any me",
      "netsh ipsec static add filter L any me protocol=TCP dstport=80",
      "netsh ipsec static delete filter L any me protocol=TCP dstport=80",
      "netsh ipsec static add rule R P L Block",
      "netsh ipsec static add rule S P L Permit",
      "netsh ipsec static delete rule S P",
    ),
    rules: ["R: block any <-> me"],
  },
  {
    name: "delete all begins anew",
    script: `netsh ipsec static add policy Old assign=y\nnetsh ipsec static delete all\n${framed("netsh ipsec static add filter L any me", "netsh ipsec static add rule R P L Block")}`,
    rules: ["R: block any <-> me"],
  },
  {
    name: "new names, new settings",
    script: framed(
      "netsh ipsec static add filter L any me",
      "netsh ipsec static add rule R P L Block",
      "netsh ipsec static set filterlist L newname=List",
      "netsh ipsec static set filteraction Block newname=B action=permit",
      "netsh ipsec static set rule r p newname=Renamed",
    ),
    rules: ["Renamed: permit any <-> me"],
  },
];

const TROUBLE: readonly ScriptRow[] = [
  {
    name: "netsh called in other ways, and ways that can't be followed",
    script: framed(
      "call netsh ipsec static add filter L any me",
      "cmd /c netsh ipsec static add rule R P L Block",
      'cmd /c "netsh ipsec static add filter L 192.0.2.9 me"',
      "psexec \\\\other netsh ipsec static add filter L 192.0.2.9 me",
      "netsh exec more.txt",
      "netsh -f more.txt",
      "add filter L 192.0.2.9 me",
      "echo netsh ipsec static add filter L 192.0.2.9 me",
      "netsh ipsec static s policy P assign=no",
      "netsh ipsec static d rule R P",
    ),
    rules: ["R: block any <-> me"],
    codes: [
      "E_DYNAMIC_SCRIPT@7",
      "E_DYNAMIC_SCRIPT@8",
      "E_DYNAMIC_SCRIPT@9",
      "E_DYNAMIC_SCRIPT@10",
      "E_SYNTAX@11",
      "E_UNKNOWN_VERB@13",
      "E_UNKNOWN_VERB@14",
    ],
  },
  {
    name: "what is deleted and was never there",
    script: `netsh ipsec static delete policy P\nnetsh ipsec static delete filterlist L\n${framed("netsh ipsec static delete rule R P", "netsh ipsec static add filter L any me", "netsh ipsec static add rule R P L Block")}`,
    rules: ["R: block any <-> me"],
    codes: ["W_NOTHING_DELETED@1", "W_NOTHING_DELETED@2", "W_NOTHING_DELETED@7"],
  },
  {
    name: "a permit for one kind of interface would hold on all: it is a comment",
    script: framed("netsh ipsec static add filter L any me", "netsh ipsec static add rule R P L Permit conntype=lan"),
    rules: ["# R: permit any <-> me"],
    codes: ["E_ONLY_SOME@6"],
  },
  {
    name: "two rules for one filter: the block stays, as on Windows",
    script: framed(
      "netsh ipsec static add filter L me 192.0.2.2",
      "netsh ipsec static add filter M me 192.0.2.2",
      "netsh ipsec static add rule R P L Secure psk=not-a-real-key",
      "netsh ipsec static add rule S P M Block",
    ),
    rules: [`# R: require me <-> 192.0.2.2 by psk ${QUICK}`, "S: block me <-> 192.0.2.2"],
    codes: ["E_SAME_FILTER@7"],
  },
  {
    name: "a permit and a block of the same forwarded packets, each with the other side first: the block stays",
    script: framed(
      "netsh ipsec static add filter L 10.1.0.0 10.2.0.0 srcmask=16 dstmask=16",
      "netsh ipsec static add filter M 10.2.0.0 10.1.0.0 srcmask=16 dstmask=16",
      "netsh ipsec static add rule R P L Permit",
      "netsh ipsec static add rule S P M Block",
    ),
    rules: ["# R: permit 10.1.0.0/16 <-> 10.2.0.0/16", "S: block 10.2.0.0/16 <-> 10.1.0.0/16"],
    codes: ["E_SAME_FILTER@7"],
  },
  {
    name: "a one-way block within a mirrored filter leaves it the other way",
    script: framed(
      "netsh ipsec static add filter L me any protocol=TCP srcport=445",
      "netsh ipsec static add filter M any me protocol=TCP dstport=445 mirrored=no",
      "netsh ipsec static add rule R P L Permit",
      "netsh ipsec static add rule S P M Block",
    ),
    rules: ["R: permit me:445 -> any tcp", "S: block any -> me:445 tcp"],
    codes: ["E_SAME_FILTER@7"],
  },
  {
    name: "words that nothing of ipsecpol takes, and what is not taken over",
    script:
      "ipsecpol -w REG -p P:30 stray -r R -f *=0:1434:UDP -n BLOCK ESP[3DES,SHA] -x -1e 60\nipsecpol -w REG -p P -r S -f *=0:1435:UDP -n PASS -1f 0+*",
    rules: ["R: block any -> me:1434 udp", "S: permit any -> me:1435 udp"],
    codes: ["E_JUNK@1", "E_JUNK@1", "W_SETTING@1", "E_SUBSET@2"],
  },
  {
    name: "limits between forests: a short Main Mode, seconds alone",
    script: [
      'netsh ipsec static add policy name="Forest" mmlifetime=10 activatedefaultrule=no mmsec="3DES-SHA1-3" assign=yes',
      "netsh ipsec static add filter filterlist=DCs srcaddr=me dstaddr=192.0.2.40 mirrored=yes",
      'netsh ipsec static add filteraction name=F action=negotiate qmsecmethods="ESP[3DES,SHA1]:3600s"',
      'netsh ipsec static add rule name=Trust policy="Forest" filterlist=DCs filteraction=F psk="not-a-real-key"',
    ].join("\n"),
    rules: [`Trust: require me <-> 192.0.2.40 by psk ${QUICK}`],
  },
  {
    name: "a name twice",
    script: `${framed("netsh ipsec static add filterlist L", "netsh ipsec static add filterlist l")}`,
    rules: [],
    codes: ["W_UNUSED_OBJECT@2", "W_UNUSED_OBJECT@3", "W_UNUSED_OBJECT@4", "W_UNUSED_OBJECT@5", "E_DUP_NAME@6"],
  },
  { name: "no policy at all", script: "echo hello", rules: [], codes: ["E_NO_SUCH_OBJECT@1"] },
  {
    name: "a loop",
    script: framed(
      "for %%p in (80 443) do netsh ipsec static add filter L any me TCP dstport=%%p",
      "netsh ipsec static add filter L any me",
      "netsh ipsec static add rule R P L Block",
    ),
    rules: ["R: block any <-> me"],
    codes: ["E_DYNAMIC_SCRIPT@5"],
  },
  {
    name: "a block under a condition",
    script: framed(
      "if exist x (",
      "  netsh ipsec static add filter L any me",
      ")",
      "netsh ipsec static add filter L 192.0.2.1 me",
      "netsh ipsec static add rule R P L Block",
    ),
    rules: ["R: block 192.0.2.1 <-> me"],
    codes: ["E_DYNAMIC_SCRIPT@6"],
  },
  {
    name: "a variable that only running it would tell",
    script: framed(
      "netsh ipsec static add filter L %1 me",
      "netsh ipsec static add filter L 192.0.2.1 me",
      "netsh ipsec static add rule R P L Block",
    ),
    rules: ["R: block 192.0.2.1 <-> me"],
    codes: ["E_DYNAMIC_SCRIPT@5"],
  },
  {
    name: "a binary import",
    script: "netsh ipsec static importpolicy file = ./x.ipsec",
    rules: [],
    codes: ["E_NO_SUCH_OBJECT@1", "E_BINARY_IMPORT@1"],
  },
  {
    name: "an open quote",
    script: framed('netsh ipsec static add filter L me "192.0.2.1'),
    rules: [],
    codes: ["W_UNUSED_OBJECT@2", "W_UNUSED_OBJECT@3", "W_UNUSED_OBJECT@4", "E_SYNTAX@5"],
  },
  {
    name: "a wrong word, tolerated",
    script:
      "netsh ipsec static add policy P mmsec=3DES-SHA1-3 activatedefaultrule=yes assign=y\nnetsh ipsec static add filteraction B action=request",
    options: { lenient: true },
    rules: [`Default response: respond me <-> any by kerberos ${QUICK}`],
    codes: ["W_UNUSED_OBJECT@2", "W_SKIPPED_VALUE@2"],
  },
  {
    name: "rules of the dynamic context and other commands",
    script: framed(
      "netsh ipsec dynamic set config property=ipsecexempt value=3",
      "netsh interface ip show config",
      "netsh ipsec static add filter L any me",
      "netsh ipsec static add rule R P L Block",
    ),
    rules: ["R: block any <-> me"],
    codes: ["W_DYNAMIC_CONTEXT@5", "W_OTHER_COMMAND@6"],
  },
  {
    name: "ipsecpol",
    script: 'ipsecpol -w REG -p "Block UDP 1434 Filter" -r "Block Inbound UDP 1434 Rule" -f *=0:1434:UDP -n BLOCK -x',
    rules: ["Block Inbound UDP 1434 Rule: block any -> me:1434 udp"],
  },
  {
    name: "ipseccmd with offers, keys and several filters",
    script:
      'ipseccmd -w REG -p P:30 -r R -f 0+10.1.*.*::TCP 0+192.0.2.0/24 -n ESP[3DES,SHA]100000K/900SP AH[SHA] -a KERBEROS PRESHARE:"not-a-real-key" -1s 3DES-SHA-3 -x',
    rules: ["R: require me <-> 10.1.0.0/16 tcp | me <-> 192.0.2.0/24 by kerberos>psk esp:3des-sha1 ah:sha1, 900s, 100000kB, main-mode"],
    codes: ["W_MIXED_OFFERS@1"],
  },
];

export const SCRIPTS: readonly ScriptRow[] = [...FILTERS, ...BAD_FILTERS, ...RULES, ...ACTION_ROWS, ...SHAPES, ...TROUBLE];
