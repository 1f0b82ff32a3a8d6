/** Scripts that are right, with every word of them replaced in turn, and cut and mixed at random: nothing is lost in silence, nothing breaks. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { importScript } from "../../../policy/windows/import.ts";
import { refusals } from "./accepted.ts";
import { CONSEC_SCRIPTS } from "./consec-scripts.ts";
import { OPTIONS, type Summary, summary } from "./imported.ts";
import { SCRIPTS } from "./scripts.ts";

const ALL = [...SCRIPTS, ...CONSEC_SCRIPTS];
const outcome = ({ toml, secrets, findings }: Summary): string =>
  JSON.stringify([toml.replace(/^# .*$/gm, ""), secrets, findings.map(({ code, line, text }) => [code, line, text])]);

/** Words whose loss changes nothing: comments, output and its redirection, what only shows, what has no effect, defaults said again. */
const IDLE =
  /^(#|rem\b|::|<#|comment #>|show\b|@?echo|setlocal|pause|popd|exit|netsh\S* (.*)?show)|out-null|format-table|-erroraction|silentlycontinue/i;
const IDLE_WORD =
  /^(>+\S*|2>\S*|\d?>&\d|log\.txt|nul|&&|\|\|?|echo|done|failed|`|\^|=|#|its|name|a|comment|block|@?netsh(\.exe)?|C:\\.*|type=static|profile=any|enable=yes|mirrored=yes|protocol=any|ispsec|catype:intermediate"?|ExemptIPsecProtectedConnections=No|ApplyAuthz=No|interfacetype=any)$/i;

/** A line that was refused or left out as a whole has said so. */
const TOLD = /^(E_|W_OTHER_COMMAND|W_SETTING|W_DOMAIN_STORE|W_FIREWALL_SECURITY)/;
/** Rules that a script takes away again, a condition around a block that is said line by line, a table whose use is said. */
const GONE: ReadonlySet<string> = new Set([
  "4: New-NetIPsecRule",
  "5: exist",
  "5: x",
  "5: $params",
  "5: @{",
  "5: DisplayName",
  "5: InboundSecurity",
  "5: 'b';",
  "5: 'Require'",
]);

for (const { name, script, options = {} } of ALL)
  test(`every word matters: ${name}`, () => {
    const right = summary(script, options);
    const whole = outcome(right);
    const told = new Set(right.codes.filter((code) => TOLD.test(code)).map((code) => Number(code.replace(/.*@/, ""))));
    const lines = script.split(/\r?\n/);
    const silent: string[] = [];
    for (const [i, line] of lines.entries()) {
      if (IDLE.test(line.trim()) || told.has(i + 1)) continue;
      for (const found of line.matchAll(/\S+/g)) {
        const [word] = found;
        if (IDLE_WORD.test(word)) continue;
        const quotes = [...line.slice(0, found.index)].filter((c) => c === '"').length % 2;
        const label = /(Set|MainModeRule) -DisplayName $|-Name $/.test(line.slice(0, found.index));
        if (label || quotes === 1 || word.includes('"')) continue;
        const other = `${line.slice(0, found.index)}zz9=q${line.slice(found.index + word.length)}`;
        if (outcome(summary(lines.with(i, other).join("\n"), options)) === whole) silent.push(`${i + 1}: ${word}`);
      }
    }
    assert.deepEqual(
      silent.filter((word) => !GONE.has(word)),
      [],
    );
  });

const pieces = fc.constantFrom(...ALL.map(({ script }) => script));
const mutated = fc
  .tuple(
    pieces,
    fc.array(
      fc.record({
        at: fc.nat(),
        cut: fc.nat(12),
        put: fc.oneof(
          fc.constantFrom(
            "",
            '"',
            "'",
            "(",
            ")",
            "{",
            "}",
            "=",
            ",",
            "-",
            "$",
            "`",
            "^",
            "\n",
            " ",
            "@",
            "0",
            "any",
            "new ",
            "|",
            ";",
            "\u0000",
            "\ud800",
          ),
          fc.string({ maxLength: 4 }),
        ),
      }),
      { minLength: 1, maxLength: 6 },
    ),
    pieces,
    fc.boolean(),
  )
  .map(([text, changes, more, joined]) => {
    let script = joined ? `${text}\n${more}` : text;
    for (const { at, cut, put } of changes) {
      const place = at % (script.length + 1);
      script = script.slice(0, place) + put + script.slice(place + cut);
    }
    return script;
  });

test("scripts that were damaged end in a configuration that check accepts, or in findings", () => {
  fc.assert(
    fc.property(
      mutated,
      fc.constantFrom("x.cmd", "x.ps1"),
      fc.record({ lenient: fc.boolean(), allowWeak: fc.boolean(), upgradeCrypto: fc.boolean() }),
      (script, fileName, choices) => {
        const read = importScript(new TextEncoder().encode(script), {
          ...OPTIONS,
          ...choices,
          fileName,
          local: ["192.0.2.1"],
          certificate: "h.pem",
          key: "h.key",
          ca: ["r.pem"],
        });
        if (!read.ok) return assert.ok(read.error.length > 0);
        assert.deepEqual(refusals(read.value.toml), [], `${script}\n----\n${read.value.toml}`);
      },
    ),
    { numRuns: Number(process.env["MUTATIONS"] ?? 1000) },
  );
});
