/** What a script does only under conditions, in loops, behind its end or by other programs is said, and never taken for what it does. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { ImportOptions } from "../../../policy/windows/import.ts";
import { assignedNames, readAssignment } from "../../../policy/windows/variables.ts";
import { refusals } from "./accepted.ts";
import { type Summary, shown, summary } from "./imported.ts";

const HEAD = `netsh ipsec static add policy name=P assign=y mmsec=3DES-SHA1-3
netsh ipsec static add filteraction name=B action=block
netsh ipsec static add filteraction name=A action=negotiate qmsec="ESP[3DES,SHA1]"
netsh ipsec static add filter filterlist=L srcaddr=me dstaddr=192.0.2.1
netsh ipsec static add filter filterlist=L2 srcaddr=me dstaddr=192.0.2.2
netsh ipsec static add rule name=R policy=P filterlist=L filteraction=B
`;
const R2 = "netsh ipsec static add rule name=R2 policy=P filterlist=L2 filteraction=B";
const run = (lines: readonly string[], fileName = "x.cmd", options: Partial<ImportOptions> = {}): Summary =>
  summary(HEAD + lines.join("\n"), { fileName, ...options });
/** Codes of the lines after the frame. */
const codes = (got: Summary): readonly string[] => got.codes.filter((code) => !/^W_(UNUSED|POLL)/.test(code));
const names = (got: Summary): readonly string[] => got.rules.map((rule) => rule.replace(/:.*/, ""));

/** Name, lines (from 7), file, rules that come of it, codes. */
const ROWS: readonly (readonly [string, readonly string[], string, readonly string[], readonly string[]])[] = [
  [
    "a variable set under a condition is not known",
    ["set N=L2", "if x==y set N=L", R2.replace("=L2", "=%N%")],
    "x.cmd",
    ["R"],
    ["E_DYNAMIC_SCRIPT@9"],
  ],
  ["nor one set in a block", ["set N=L2", "if x==y (", "set N=L", ")", R2.replace("=L2", "=%N%")], "x.cmd", ["R"], ["E_DYNAMIC_SCRIPT@11"]],
  [
    "nor one set if another command succeeds",
    ["set N=L2", "find x y && set N=L", R2.replace("=L2", "=%N%")],
    "x.cmd",
    ["R"],
    ["E_DYNAMIC_SCRIPT@9"],
  ],
  ["nor one of PowerShell", ['$n = "L2"', 'if ($x) { $n = "L" }', R2.replace("=L2", "=$n")], "x.ps1", ["R"], ["E_DYNAMIC_SCRIPT@9"]],
  [
    "nor one that a jump passes over",
    ["set N=L2", "if x==y goto a", "set N=L", ":a", R2.replace("=L2", "=%N%")],
    "x.cmd",
    ["R"],
    ["E_DYNAMIC_SCRIPT@11"],
  ],
  ["what a jump passes over is uncertain", ["if x==y goto a", R2, ":a", "echo done"], "x.cmd", ["R", "R2"], ["E_DYNAMIC_SCRIPT@7"]],
  ["what is passed over on failure is not", ["if errorlevel 1 goto a", R2, ":a", "echo done"], "x.cmd", ["R", "R2"], []],
  ["a jump back is a loop", [":next", R2, "if x==y goto next"], "x.cmd", ["R", "R2"], ["E_DYNAMIC_SCRIPT@9"]],
  ["a jump back on failure too", [":next", `${R2} || goto next`], "x.cmd", ["R", "R2"], ["E_DYNAMIC_SCRIPT@8"]],
  ["a loop about something else is none of ours", [R2, ":wait", "ping x", "if errorlevel 1 goto wait"], "x.cmd", ["R", "R2"], []],
  [
    "behind goto :eof what takes away is not played",
    ["goto :eof", ":undo", "netsh ipsec static delete rule name=R policy=P"],
    "x.cmd",
    ["R"],
    ["W_NOT_REACHED@9"],
  ],
  [
    "behind exit /b neither",
    ["exit /b 0", "netsh ipsec static delete rule name=all policy=P", "netsh ipsec static delete all"],
    "x.cmd",
    ["R"],
    ["W_NOT_REACHED@8"],
  ],
  ["what would protect is an error there", ["exit", ":x", R2], "x.cmd", ["R"], ["E_DYNAMIC_SCRIPT@9"]],
  ["goto end goes on at its label", ["goto end", "netsh ipsec static delete all", ":end", R2], "x.cmd", ["R", "R2"], ["W_NOT_REACHED@8"]],
  ["an exit under a condition ends nothing", ["if x==y exit /b", R2], "x.cmd", ["R", "R2"], []],
  ["an exit behind another command", ["echo ready & exit /b & netsh ipsec static delete all"], "x.cmd", ["R"], ["W_NOT_REACHED@7"]],
  ["return ends a script of PowerShell", ["return", R2], "x.ps1", ["R"], ["E_DYNAMIC_SCRIPT@8"]],
  ["exit leaves netsh where that was entered", ["netsh", "exit", R2], "x.cmd", ["R", "R2"], []],
  ["a command beside an assignment", [`set POL=P& ${R2}`], "x.cmd", ["R", "R2"], []],
  ["cmd puts values in before a line runs", [`set POL=P& ${R2.replace("=P", "=%POL%")}`], "x.cmd", ["R"], ["E_DYNAMIC_SCRIPT@7"]],
  ["which are those from before it", ["set N=L2", `set N=L& ${R2.replace("=L2", "=%N%")}`], "x.cmd", ["R", "R2"], []],
  ["a delayed one is that of now", ["set N=L", `set N=L2& ${R2.replace("=L2", "=!N!")}`], "x.cmd", ["R", "R2"], []],
  ["an assignment beside a command", ["set N=L", "echo other & set N=L2", R2.replace("=L2", "=%N%")], "x.cmd", ["R", "R2"], []],
  ["a command beside an assignment of PowerShell", [`$pol = "P"; ${R2.replace("=P", "=$pol")}`], "x.ps1", ["R", "R2"], []],
  ["a command whose output is kept", [`$out = ${R2}`], "x.ps1", ["R", "R2"], []],
  [
    "a condition behind a command",
    [`${R2} & if x==y netsh ipsec static delete rule name=R policy=P`],
    "x.cmd",
    ["R", "R2"],
    ["E_DYNAMIC_SCRIPT@7"],
  ],
  ["the prompt of cmd", [`C:\\>${R2}`], "x.cmd", ["R", "R2"], []],
  ["the prompt of cmd in a folder with blanks", [`C:\\Documents and Settings\\x>${R2}`], "x.cmd", ["R", "R2"], []],
  ["the prompt of PowerShell", [`PS C:\\Users\\x> ${R2}`], "x.ps1", ["R", "R2"], []],
  ["a path that writes to a file is no prompt", [`C:\\Windows\\System32\\${R2} > netsh.log`], "x.cmd", ["R", "R2"], []],
  [
    "netsh in a variable",
    ["set IPS=%SystemRoot%\\System32\\netsh.exe ipsec static", R2.replace("netsh ipsec static", "%IPS%")],
    "x.cmd",
    ["R", "R2"],
    [],
  ],
  ["netsh in a variable that is not known", [R2.replace("netsh ipsec static", "%IPS%")], "x.cmd", ["R"], ["E_DYNAMIC_SCRIPT@7"]],
  ["Start-Process", [`Start-Process netsh -ArgumentList "${R2.slice(6)}" -Wait`], "x.ps1", ["R"], ["E_DYNAMIC_SCRIPT@7"]],
  ["words in a list", ['$a = "ipsec","static"', "& netsh $a", "netsh @a"], "x.ps1", ["R"], ["E_DYNAMIC_SCRIPT@8", "E_DYNAMIC_SCRIPT@9"]],
  ["PowerShell in a batch file", ['powershell -Command "New-NetIPsecRule -DisplayName x"'], "x.cmd", ["R"], ["E_DYNAMIC_SCRIPT@7"]],
  [
    "a firewall's rule that demands IPsec",
    ["New-NetFirewallRule -DisplayName x -Authentication Required"],
    "x.ps1",
    ["R"],
    ["W_FIREWALL_SECURITY@7"],
  ],
  ["commands in a text of several lines", ["$t = @'", R2, "'@"], "x.ps1", ["R"], ["E_DYNAMIC_SCRIPT@7"]],
  [
    "a variable that is cut or changed",
    ["set N=L23", R2.replace("=L2", "=%N:~0,2%"), R2.replace("=L2", "=%N:3=%")],
    "x.cmd",
    ["R"],
    ["E_DYNAMIC_SCRIPT@8", "E_DYNAMIC_SCRIPT@9"],
  ],
  [
    "a range of three and two masks",
    ["netsh ipsec static add filter L2 me 192.0.2.3-192.0.2.4-192.0.2.5", "netsh ipsec static add filter L2 me 10.0.0.0/8/24"],
    "x.cmd",
    ["R"],
    ["E_BAD_VALUE@7", "E_BAD_VALUE@8"],
  ],
];

/** Those that lose protection; the others are only said. */
const WEAKENS = /^(E_|W_FIREWALL_SECURITY)/;
for (const [name, lines, file, rules, wanted] of ROWS)
  test(`control: ${name}`, () => {
    const got = run(lines, file);
    assert.deepEqual([names(got), codes(got)], [rules, wanted], shown(got));
    assert.equal(
      got.weakens,
      wanted.some((code) => WEAKENS.test(code)),
      shown(got),
    );
  });

test("carets stand for the character behind them, in values too", () => {
  const keyed = run([
    R2.replace("=B", "=A psk=abc^>def^&g^^h"),
    "set K=i^|j",
    R2.replace("R2", "R3").replace("=L2", "=L").replace("=B", "=A psk=%K%"),
  ]);
  assert.deepEqual(keyed.secrets, ["r2.psk: abc>def&g^h", "r3.psk: i|j"], shown(keyed));
});

test("in single quotes nothing of PowerShell is a variable, and a value stays one word", () => {
  const got = run(
    [
      '$p = "two words"',
      `${R2.replace("=B", "=A")} psk='my$true $p;#1'`,
      `${R2.replace("R2", "R3").replace("=L2", "=L").replace("=B", "=A")} psk=$p`,
    ],
    "x.ps1",
  );
  assert.deepEqual(got.secrets, ["r2.psk: my$true $p;#1", "r3.psk: two words"], shown(got));
});

test("no word of a line with a key is shown, however the key's tag is written", () => {
  const rule = R2.replace("=B", "=A");
  for (const tail of ["ps=sesame opens doors", "psk=sesame opens=doors", "ps = sesame opens doors", 'psk=%sesame% opens "doors"']) {
    for (const line of [`${rule} ${tail}`, `if x==y ${rule} ${tail}`, `foo || ${rule} ${tail}`]) {
      const got = run([line]);
      assert.doesNotMatch(shown(got), /sesame|opens|doors/, line);
      assert.ok(got.weakens, line);
      assert.deepEqual(names(got), ["R"], line);
    }
  }
});

test("ipsecpol: -x takes the assignment from the policy that had it, and --lenient passes over junk", () => {
  const lines = [
    'ipsecpol -w REG -p "One" -r r -f 0+192.0.2.1 -n BLOCK -x',
    'ipsecpol -w REG -p "Two" -r r -f 0+192.0.2.2 -n BLOCK -x',
  ].join("\n");
  assert.match(summary(lines).toml, /name = "Two"/);
  const junk = 'ipsecpol -w REG -p "One" -r r -f 0+192.0.2.1 -n BLOCK -x junk';
  assert.deepEqual(summary(junk).rules, []);
  assert.deepEqual([summary(junk, { lenient: true }).rules.length, summary(junk, { lenient: true }).codes], [1, ["W_LENIENT@1"]]);
});

test("kerberos=no takes Kerberos away, and no key", () => {
  const got = run([`${R2.replace("=B", "=A")} psk=x`, "netsh ipsec static set rule name=R2 policy=P kerberos=no"]);
  assert.match(got.rules.join(), /R2: require .* by psk/, shown(got));
});

test("ten thousand variables in one text are read in one pass", () => {
  for (const tail of ["", ' + "x"', '" + "', "`"]) {
    for (const value of ["$word".repeat(10_000), "$a $b".repeat(10_000), "`".repeat(60_000), '"'.repeat(60_001), "%".repeat(60_001)]) {
      const line = `$line = "${value}"${tail}`;
      readAssignment(line, "powershell", new Map());
      readAssignment(`set line=${value}${tail}`, "batch", new Map());
      assignedNames(line, "powershell");
    }
  }
  const got = run(
    [`$line = "${"$timestamp $computer ".repeat(3000)}" + "x"`, `${"%".repeat(60_000)}`, `${"!".repeat(60_000)} add`],
    "x.ps1",
  );
  assert.deepEqual(names(got), ["R"]);
});

test("lines of one thing over and over are read in one pass", () => {
  const pieces = [
    " ",
    "^",
    "set ",
    "set\t",
    "$a ",
    "netsh ",
    "-NetFirewallRule ",
    "powersh",
    "%a:",
    "goto ",
    "@'",
    "'",
    "ipsecpol ",
    ", ",
    "(",
    "\u00a0",
  ];
  for (const one of pieces)
    for (const start of ["", "set", "set /a", "$a", "netsh", 'set "', "PS C:\\"])
      for (const file of ["x.cmd", "x.ps1"]) run([`${start}${one.repeat(60_000 / one.length)}x`, R2], file);
  assert.deepEqual(names(run([`${"^".repeat(2_000_000)}x`, R2])), ["R", "R2"]);
});

const piece = fc.constantFrom(
  '"',
  "'",
  "$a",
  "$b:c",
  "$(",
  "`",
  "^",
  "%a%",
  "!a!",
  "set ",
  "=",
  " + ",
  "add rule ",
  "netsh ",
  ";",
  "&",
  ">",
  "(",
  "{",
  "@'",
  "x",
  " ",
);
test("whatever a line is made of, many of it are read as well", () => {
  fc.assert(
    fc.property(fc.array(piece, { minLength: 1, maxLength: 6 }), fc.constantFrom("x.cmd", "x.ps1"), (pieces, file) => {
      run([pieces.join("").repeat(1500), R2], file);
    }),
    { numRuns: 60 },
  );
});

test("where another rule has a filter of one family, the other family is left", () => {
  const of = (first: string, second: string, action = "B") => {
    const got = summary(
      `${HEAD}netsh ipsec static add filter F1 ${first}\nnetsh ipsec static add filter F2 ${second}\nnetsh ipsec static add rule R1 P F1 B\nnetsh ipsec static add rule R2 P F2 ${action}`,
    );
    assert.deepEqual(refusals(got.toml), [], got.toml);
    return [
      got.rules.at(-1),
      codes(got)
        .filter((code) => /SAME/.test(code))
        .join(),
    ];
  };
  assert.deepEqual(of("me 0.0.0.0 dstmask=0", "me any"), ["R2: block me <-> ::/0", "W_SAME_FILTER@10"]);
  assert.deepEqual(of("any me srcaddr=0.0.0.0/0".replace("any me srcaddr", "dstaddr=me srcaddr"), "any me"), [
    "R2: block ::/0 <-> me",
    "W_SAME_FILTER@10",
  ]);
  assert.deepEqual(of("me 0.0.0.0/0 protocol=tcp dstport=80", "me any protocol=tcp dstport=80"), [
    "R2: block me <-> [::/0]:80 tcp",
    "W_SAME_FILTER@10",
  ]);
  assert.deepEqual(of("me any", "me 0.0.0.0/0"), ["# R2: block me <-> 0.0.0.0/0", "W_SAME_FILTER@10"]);
  const oneWay = of("me 0.0.0.0/0 mirrored=no", "me any");
  assert.deepEqual(oneWay, ["R2: block me <- any", "E_SAME_FILTER@10"], "half of a direction is missing, and that is an error");
});

test("the names of filter list and filter action stand first, and survive long descriptions without marks that hide text", () => {
  const got = summary(`${HEAD}netsh ipsec static set rule name=R policy=P description="x\u202e${"y".repeat(600)}"`);
  assert.match(got.toml, /^description = "filter list \\"L\\", filter action \\"B\\"; x y/m);
});

/** Ways to have a command run; `*` stands for it. */
const WAYS: readonly string[] = [
  "*",
  "@*",
  "(*)",
  "*)",
  "call *",
  "start /wait *",
  'start "" /b *',
  "cmd /c *",
  'cmd /c "*"',
  "cmd.exe /s /c *",
  "for %%i in (1 2) do *",
  "if 1==1 *",
  "if 1==1 (*) else echo no",
  "echo y|*",
  "echo y & *",
  "* & echo y",
  "* && echo y",
  "* || echo no",
  "* > nul 2>&1",
  ">nul *",
  "2>nul *",
  "psexec \\\\srv *",
  'schtasks /create /tn x /tr "*"',
  'runas /user:x "*"',
  'wmic process call create "*"',
  'powershell -c "*"',
  "powershell *",
  'pwsh -NoProfile -Command "*"',
  'iex "*"',
  "Invoke-Expression '*'",
  "Invoke-Command -ComputerName srv -ScriptBlock { * }",
  "$null = *",
  "$out = & *",
  "[void](*)",
  "$x = (*)",
  "$x = $(*)",
  "& { * }",
  "& *",
  "* | Out-Null",
  "* ; echo y",
  "try { * } catch { }",
  "$x = 1; *",
  "foreach ($i in 1..2) { * }",
  "1..2 | ForEach-Object { * }",
  "function f { * }",
  "C:\\>*",
  "PS C:\\> *",
  '$c = "*"; iex $c',
  '$c = "*"; & cmd /c $c',
  '$c = "*" + ""; iex $c',
  '$c = "*" -f 1; & $c',
  "set c=*& %c%",
  'set "c=*"& call %c%',
  "* >> a.log & if errorlevel 1 exit /b 1",
];

for (const file of ["x.cmd", "x.ps1"])
  for (const way of WAYS)
    test(`a command is taken over or said to be missing: ${file}: ${way}`, () => {
      for (const netsh of [
        "netsh",
        "netsh.exe",
        "C:\\Windows\\System32\\netsh.exe",
        ...(file === "x.cmd" ? ["%windir%\\system32\\netsh"] : ["$env:windir\\system32\\netsh"]),
      ]) {
        const got = run([way.replace("*", () => R2.replace("netsh", () => netsh))], file);
        assert.ok(names(got).includes("R2") || got.weakens, `${netsh}: ${shown(got)}`);
      }
    });
