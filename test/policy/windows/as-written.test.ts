/** Scripts as administrators write them: idioms of cmd, PowerShell and netsh that mean the same as plain lines, or are said where they can't be followed. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ImportOptions } from "../../../policy/windows/import.ts";
import { refusals } from "./accepted.ts";
import { type Summary, shown, summary } from "./imported.ts";

const S = "netsh ipsec static";
const HEAD = [
  `${S} add policy name=P assign=y mmsec=3DES-SHA1-3 activatedefaultrule=no`,
  `${S} add filteraction name=B action=block`,
  `${S} add filteraction name=A action=negotiate qmsec="ESP[3DES,SHA1]"`,
  `${S} add filter filterlist=L srcaddr=me dstaddr=192.0.2.1`,
  `${S} add filter filterlist=L2 srcaddr=me dstaddr=192.0.2.2`,
  `${S} add rule name=R policy=P filterlist=L filteraction=B`,
];
const R2 = `${S} add rule name=R2 policy=P filterlist=L2 filteraction=B`;
const R3 = `${S} add rule name=R3 policy=P filterlist=L2 filteraction=B`;
const KEYED = `${S} add rule name=R2 policy=P filterlist=L2 filteraction=A`;

function run(lines: readonly string[], options: Partial<ImportOptions> = {}, head = HEAD): Summary {
  const got = summary([...head, ...lines].join("\r\n"), { fileName: "x.cmd", ...options });
  assert.deepEqual(refusals(got.toml), [], got.toml);
  return got;
}
const names = (got: Summary): readonly string[] => got.rules.map((rule) => rule.replace(/:.*/, ""));
const codes = (got: Summary): readonly string[] => got.codes.filter((code) => !/^W_(UNUSED|POLL)/.test(code));

/** Name, lines (from 7), file, rules, codes, and whether protection is lost. */
const ROWS: readonly (readonly [string, readonly string[], string, readonly string[], readonly string[], boolean])[] = [
  [
    "a remark of several words ends with its line, whatever its last character",
    ["rem ---- rules ----^", R2],
    "x.cmd",
    ["R", "R2"],
    [],
    false,
  ],
  ["after any other remark, and a label, a caret is uncertain", ["rem ----^", R2], "x.cmd", ["R"], ["E_DYNAMIC_SCRIPT@7"], true],
  ["so it is after two colons", [":: rules ^", R2], "x.cmd", ["R"], ["E_DYNAMIC_SCRIPT@7"], true],
  ["a line that begins with a semicolon is one to cmd", [`;${R2}`], "x.cmd", ["R"], ["E_DYNAMIC_SCRIPT@7"], true],
  [
    "PowerShell's mark that ends its reading",
    [R2.replace("netsh ", "netsh --% "), R3.replace("L2", "L")],
    "x.ps1",
    ["R", "R2", "# R3"],
    ["W_SAME_FILTER@8"],
    false,
  ],
  ["a misspelt context", [R2.replace("static", "statc"), R3.replace("ipsec", "ipsce")], "x.cmd", ["R"], ["E_SYNTAX@7", "E_SYNTAX@8"], true],
  [
    "other commands of netsh are none of ours",
    ["netsh interface show interface", "netsh ipsec dump", "netsh http show urlacl"],
    "x.cmd",
    ["R"],
    ["W_OTHER_COMMAND@7", "W_OTHER_COMMAND@8", "W_OTHER_COMMAND@9"],
    false,
  ],
  [
    "netsh that reads a file",
    ["netsh < rules.txt", "netsh ipsec static < rules.txt"],
    "x.cmd",
    ["R"],
    ["E_DYNAMIC_SCRIPT@7", "E_DYNAMIC_SCRIPT@8"],
    true,
  ],
  [
    "netsh that reads another program",
    ["type rules.txt | netsh", "more rules.txt | netsh ipsec static"],
    "x.cmd",
    ["R"],
    ["E_DYNAMIC_SCRIPT@7", "E_DYNAMIC_SCRIPT@8"],
    true,
  ],
  ["and in PowerShell", ["Get-Content rules.txt | netsh"], "x.ps1", ["R"], ["E_DYNAMIC_SCRIPT@7"], true],
  [
    "other scripts and programs, whatever their names",
    ["call undo.cmd", "more.bat", "cscript //nologo x.vbs", "secedit /configure /db x.sdb", "regedit /s x.reg", "start /wait setup.cmd"],
    "x.cmd",
    ["R"],
    [7, 8, 9, 10, 11, 12].map((line) => `W_CALLED@${line}`),
    false,
  ],
  ["so under a condition", ["if exist undo.cmd call undo.cmd", "if errorlevel 1 call :sub"], "x.cmd", ["R"], ["W_CALLED@7"], false],
  ["and in PowerShell", ["& .\\more.ps1", ". $PSScriptRoot\\more.ps1"], "x.ps1", ["R"], ["W_CALLED@7", "W_CALLED@8"], false],
  [
    "settings in the registry",
    ["reg add HKLM\\SYSTEM\\CurrentControlSet\\Services\\IPSEC /v NoDefaultExempt /t REG_DWORD /d 1 /f"],
    "x.cmd",
    ["R"],
    ["W_REGISTRY@7"],
    false,
  ],
  [
    "a jump ahead is followed",
    ["goto done", ":remove", `${S} delete policy name=P`, ":done", R2],
    "x.cmd",
    ["R", "R2"],
    ["W_NOT_REACHED@9"],
    false,
  ],
  [
    "the usual script with two parts",
    ['if /i "%1"=="remove" goto remove', R2, "goto done", ":remove", `${S} delete policy name=P`, ":done", "echo done"],
    "x.cmd",
    ["R", "R2"],
    ["W_NOT_REACHED@11"],
    false,
  ],
  [
    "what would protect in the other part is an error",
    ["if x==y goto alt", "goto done", ":alt", R2, ":done"],
    "x.cmd",
    ["R"],
    ["E_DYNAMIC_SCRIPT@10"],
    true,
  ],
  ["a jump back is a loop", [":again", R2, "goto again"], "x.cmd", ["R", "R2"], ["E_DYNAMIC_SCRIPT@9"], true],
  ["a jump that is computed", ["goto %1", R2], "x.cmd", ["R", "R2"], ["E_DYNAMIC_SCRIPT@7"], true],
  [
    "netsh by its path in a variable of PowerShell",
    ['$netsh = "$env:SystemRoot\\System32\\netsh.exe"', R2.replace("netsh", "& $netsh")],
    "x.ps1",
    ["R", "R2"],
    [],
    false,
  ],
  ["words in quotes as a whole", [`${S} add rule "name=R2" "policy=P" "filterlist=L2" "filteraction=B"`], "x.cmd", ["R", "R2"], [], false],
  [
    "with a variable in them",
    ['$n = "R2"', `${S} add rule "name=$n" 'policy=P' "filterlist=L2" "filteraction=B"`],
    "x.ps1",
    ["R", "R2"],
    [],
    false,
  ],
  [
    "a value in quotes that only looks like a tag",
    [`${S} add filterlist "a=b"`, `${S} add filter "a=b" me 192.0.2.9`, `${S} add rule R2 P "a=b" B`],
    "x.cmd",
    ["R", "R2"],
    [],
    false,
  ],
  ["percent signs round what can be no name", [`${KEYED} psk="5%0#o%ff"`], "x.cmd", ["R"], ["E_DYNAMIC_SCRIPT@7"], true],
  ["netsh whose words a loop has", ['for /f "delims=" %%a in (x.txt) do netsh %%a'], "x.cmd", ["R"], ["E_DYNAMIC_SCRIPT@7"], true],
  ["and in PowerShell", ["$c | % { netsh $_.Split(' ') }"], "x.ps1", ["R"], ["E_DYNAMIC_SCRIPT@7"], true],
  [
    "commands in a list",
    ["$c = @(", "  'ipsec static add policy name=Q'", ")", 'foreach ($x in $c) { iex "netsh $x" }'],
    "x.ps1",
    ["R"],
    ["E_DYNAMIC_SCRIPT@7", "E_DYNAMIC_SCRIPT@10"],
    true,
  ],
  [
    "in parentheses values are those from before them",
    ["set N=L2", "(", "set N=L", R2.replace("=L2", "=%N%"), ")", R3.replace("=L2", "=%N%").replace("=B", "=A psk=x")],
    "x.cmd",
    ["R", "R2", "# R3"],
    ["E_SAME_FILTER@12"],
    true,
  ],
  [
    "endlocal brings back what was",
    ["set N=L2", "setlocal", "set N=L", "endlocal", R2.replace("=L2", "=%N%")],
    "x.cmd",
    ["R", "R2"],
    [],
    false,
  ],
  [
    "and what was not set before is not known",
    ["setlocal", "set N=L2", "endlocal", R2.replace("=L2", "=%N%")],
    "x.cmd",
    ["R"],
    ["E_DYNAMIC_SCRIPT@10"],
    true,
  ],
  [
    "a block that begins and ends in lines of commands",
    ["if x==y ( echo a", `${R2} )`, R3],
    "x.cmd",
    ["R", "R3"],
    ["E_DYNAMIC_SCRIPT@8"],
    true,
  ],
  ["one with else", ["if x==y (", "echo a ) else (", `${R2})`, R3], "x.cmd", ["R", "R3"], ["E_DYNAMIC_SCRIPT@9"], true],
  ["braces of a name are no block", ['$n = "L2"', R2.replace("=L2", ["=$", "{n}"].join(""))], "x.ps1", ["R", "R2"], [], false],
  ["a line that goes on in the middle of a word", [R2.replace("filteraction", "filter^\r\naction")], "x.cmd", ["R", "R2"], [], false],
  [
    "a command that another one's success decides about",
    [`reg query x | find "1" && ${R2}`, `ping -n 1 x>nul&&${R3}`, `find "ipsec" x.txt && ${R3}`, `${S} show policy P && ${R3}`],
    "x.cmd",
    ["R"],
    ["E_DYNAMIC_SCRIPT@7", "E_DYNAMIC_SCRIPT@8", "E_DYNAMIC_SCRIPT@9", "E_DYNAMIC_SCRIPT@10"],
    true,
  ],
  [
    "commands of netsh succeed",
    [`${R2} && ${S} delete filterlist L9&& echo done`, "set N=S", `cd /d %~dp0 && ${S} add filterlist L4`],
    "x.cmd",
    ["R", "R2"],
    ["W_NOTHING_DELETED@7"],
    false,
  ],
  [
    "a new name that another has",
    [
      R2,
      `${S} set rule name=R policy=P newname=R2`,
      `${S} set filterlist L newname=L2`,
      `${S} set filteraction A newname=B`,
      `${S} add policy Q`,
      `${S} set policy Q newname=P`,
    ],
    "x.cmd",
    ["R", "R2"],
    ["E_DUP_NAME@8", "E_DUP_NAME@9", "E_DUP_NAME@10", "W_OTHER_POLICY@11", "E_DUP_NAME@12"],
    true,
  ],
  ["a jump in parentheses is not followed", ["(goto done)", R2, ":done"], "x.cmd", ["R", "R2"], ["E_DYNAMIC_SCRIPT@7"], true],
  ["an empty key", [`${KEYED} psk=""`], "x.cmd", ["R"], ["E_BAD_VALUE@7"], true],
  ["two masks that differ", [`${S} add filter L2 me 10.0.0.0/8 dstmask=255.255.0.0`, R2], "x.cmd", ["R", "R2"], ["E_BAD_MASK@7"], true],
  ["a host without an address", [`${S} add filter L2 me 0.0.0.0`, R2], "x.cmd", ["R", "R2"], ["E_FILTER@7"], true],
  [
    "delete all of a kind",
    [`${S} add filter L3 me 192.0.2.3`, `${S} delete filterlist all`, `${S} add filter L3 me 192.0.2.4`, `${S} add rule R2 P L3 B`],
    "x.cmd",
    ["R", "R2"],
    ["E_IN_USE@8"],
    false,
  ],
  [
    "a transcript leaves netsh at its prompt",
    [`netsh ipsec static>${R2.slice(S.length + 1)}`, "netsh ipsec static>exit"],
    "x.txt",
    ["R", "R2"],
    [],
    false,
  ],
  [
    "what only shows, and what is only said",
    ["ipseccmd show all", "echo.netsh ipsec static add policy X", "rem.netsh ipsec static add policy X"],
    "x.cmd",
    ["R"],
    [],
    false,
  ],
];

for (const [name, lines, fileName, rules, wanted, weakens] of ROWS)
  test(`as written: ${name}`, () => {
    const got = run(lines, { fileName });
    assert.deepEqual([names(got), codes(got)], [rules, wanted], shown(got));
    assert.equal(got.weakens, weakens, shown(got));
  });

test("cmd takes a single percent sign away, and of two one; netsh itself none", () => {
  const key = (lines: readonly string[]): readonly string[] => run(lines).secrets;
  assert.deepEqual(key([`${KEYED} psk="50%off"`]), ["r2.psk: 50off"]);
  assert.deepEqual(key([`${KEYED} psk="50%%off"`]), ["r2.psk: 50%off"]);
  assert.deepEqual(key(["pushd ipsec static", `${KEYED.slice(S.length + 1)} psk="50%off"`]), ["r2.psk: 50%off"]);
});

test("a command of which a part can't be done changes nothing", () => {
  const got = run([KEYED, `${S} set rule name=R2 policy=P filterlist=nowhere filteraction=B newname=R9 psk=x`]);
  assert.deepEqual([names(got), codes(got)], [["R", "R2"], ["E_NO_SUCH_OBJECT@8"]], shown(got));
  assert.match(got.rules.join(), /R2: require .* by kerberos/);
});

test("the deleted lists of `delete filterlist all` begin anew", () => {
  const got = run([
    `${S} add filter L3 me 192.0.2.3`,
    `${S} delete filterlist all`,
    `${S} add filter L3 me 192.0.2.4`,
    `${S} add rule R2 P L3 B`,
  ]);
  assert.ok(got.rules.includes("R2: block me <-> 192.0.2.4"), got.rules.join("\n"));
});

test("no word of a key is shown, though its tag is one of two or it has none", () => {
  for (const tail of ["p=sesame opens doors", '"p=sesame opens" doors', '"" all yes x no sesame', "x=y all yes x no sesame"]) {
    const got = run([`${KEYED} ${tail}`]);
    assert.doesNotMatch(shown(got), /sesame|opens|doors/, tail);
    assert.ok(got.weakens);
  }
  const cmdlet = run(['$a = New-NetIPsecAuthProposal -Machine -Pres "sesame opens" doors'], { fileName: "x.ps1" });
  assert.doesNotMatch(shown(cmdlet), /sesame|opens|doors/);
});

const TUNNEL = (inwards: string, outwards: string): readonly string[] => [
  `${S} add filteraction name=W action=negotiate inpass=yes qmsec="ESP[3DES,SHA1]"`,
  `${S} add filteraction name=AH action=negotiate qmsec="AH[SHA1]"`,
  `${S} add filter filterlist=out srcaddr=10.1.0.0 srcmask=16 dstaddr=10.2.0.0 dstmask=16 mirrored=no`,
  `${S} add filter filterlist=in srcaddr=10.2.0.0 srcmask=16 dstaddr=10.1.0.0 dstmask=16 mirrored=no`,
  `${S} add rule name=in policy=P filterlist=in filteraction=${inwards} tunnel=192.0.2.1 psk=x`,
  `${S} add rule name=out policy=P filterlist=out filteraction=${outwards} tunnel=192.0.2.9 psk=x`,
];

test("of a tunnel the inbound rule says whether clear text may come in", () => {
  const strict = run(TUNNEL("A", "W"), { local: ["192.0.2.1"] });
  assert.match(strict.rules.join("\n"), /^out: require 10/m, shown(strict));
  assert.ok(!strict.weakens, shown(strict));
  const lax = run(TUNNEL("W", "A"), { local: ["192.0.2.1"] });
  assert.match(lax.rules.join("\n"), /^out: require inbound-clear 10/m, shown(lax));
});

test("what the inbound rule of a tunnel demands and the outbound one does not is lost, and said as a loss", () => {
  const got = run(TUNNEL("A", "AH"), { local: ["192.0.2.1"] });
  assert.match(got.rules.join("\n"), /ah:sha1/);
  assert.deepEqual([codes(got), got.weakens], [["W_TUNNEL_DIFFERENT@12"], true]);
});

test("the words about mirrored filters of tunnels say what was made of them", () => {
  const mirrored = (lines: readonly string[]) =>
    run(
      lines.map((line) => line.replace(" mirrored=no", "")),
      { local: ["192.0.2.1"] },
    )
      .findings.filter(({ code }) => code === "W_TUNNEL_MIRRORED")
      .map(({ text }) => text.replace(/.*; /, ""));
  assert.deepEqual(mirrored(TUNNEL("A", "A")), Array(2).fill("each rule was taken for its own direction"));
  assert.deepEqual(mirrored([`${S} add rule name=T policy=P filterlist=L2 filteraction=A tunnel=192.0.2.9 psk=x`]), [
    "without a rule for the other direction it was taken for both",
  ]);
  assert.deepEqual(mirrored(TUNNEL("A", "A").slice(0, 5)), ["which of them is meant is not known"]);
});

const CMDLETS = [
  "$q = New-NetIPsecQuickModeCryptoSet -DisplayName Q -Proposal @(",
  "  (New-NetIPsecQuickModeCryptoProposal -Encapsulation ESP -ESPHash SHA256 -Encryption AES256), # first (",
  "  (New-NetIPsecQuickModeCryptoProposal -Encapsulation ESP -ESPHash SHA1 -Encryption AES128)",
  ") -PerfectForwardSecrecyGroup SameAsMainMode",
  "$peers = @(",
  '  "192.0.2.7",',
  '  "192.0.2.8"',
  ")",
  "New-NetIPsecMainModeCryptoSet -DisplayName M -Default -Proposal (New-NetIPsecMainModeCryptoProposal -Encryption AES256 -Hash SHA256 -KeyExchange DH14)",
  "[void](New-NetIPsecRule -DisplayName C -InboundSecurity Require -OutboundSecurity Require -RemoteAddress $peers -QuickModeCryptoSet $q.Name -WhatIf:$false)",
];

test("cmdlets over several lines in parentheses, with comments between them", () => {
  const got = run(CMDLETS, { fileName: "x.ps1" }, []);
  const quick = "esp:aes256-sha256 esp:aes128-sha1, 3600s, 100000kB, main-mode";
  assert.deepEqual([got.rules, codes(got)], [[`C: require me <-> 192.0.2.7 | me <-> 192.0.2.8 by kerberos ${quick}`], []], shown(got));
});

test("a script of cmdlets begins by removing all rules, and changes all that it has", () => {
  const begun = run(["Remove-NetIPsecRule -All", ...CMDLETS], { fileName: "x.ps1" }, []);
  assert.deepEqual([names(begun), codes(begun)], [["C"], []], shown(begun));
  const removed = run([...CMDLETS, "Get-NetIPsecRule | Remove-NetIPsecRule"], { fileName: "x.ps1" }, []);
  assert.deepEqual(names(removed), []);
  const off = run([...CMDLETS, "Get-NetIPsecRule -All | Disable-NetIPsecRule"], { fileName: "x.ps1" }, []);
  assert.deepEqual(names(off), ["# C"]);
});

test("thousands of filters that come and go, of lists renamed, of rules that share a list are read to an end, or said to be too many", () => {
  const many = (count: number, line: (i: number) => string): readonly string[] => Array.from({ length: count }, (_, i) => line(i));
  const ip = (i: number): string => `10.1.${i >> 8}.${i & 255}`;
  // Each took half a minute and more for a quarter of this.
  const filters = run([
    ...many(15_000, (i) => `${S} add filter F me ${ip(i)}`),
    ...many(15_000, (i) => `${S} delete filter F me ${ip(i + 1)}`),
    `${S} add rule F P F B`,
  ]);
  assert.ok(filters.rules.includes("F: block me <-> 10.1.0.0"), filters.rules.join("\n").slice(0, 500));
  const lists = run([...many(6000, (i) => `${S} add filterlist F${i}`), ...many(5000, (i) => `${S} set filterlist F${i} newname=G${i}`)]);
  assert.ok(lists.codes.some((code) => code.startsWith("E_LIMIT")));
  const shared = run([...many(4000, (i) => `${S} add filter F me ${ip(i)}`), ...many(4000, (i) => `${S} add rule F${i} P F B`)]);
  assert.ok(shared.codes.some((code) => code.startsWith("E_LIMIT")));
});
