/**
 * Runs a script of this folder, `node scripts/searched.js NAME ARGUMENTS`, and looks afterwards whether anything that was said shows a secret: what
 * NAME.js printed, and what daemons and commands said below .lab/NAME. The secrets are all that any of our processes held (test/secrets-ledger.ts).
 */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
const [name = "", ...args] = process.argv.slice(2);
const script = join("scripts", `${name}.js`);
if (!existsSync(script)) fail(`no such script: ${script}`);
const ledger = resolve(".lab/secrets", name);
rmSync(ledger, { recursive: true, force: true });
mkdirSync(ledger, { recursive: true, mode: 0o700 });

/** What it printed, on both streams. */
let printed = "";
const status = await new Promise((ended) => {
  const child = spawn(process.execPath, ["--import", "./dist/test/secrets-ledger.js", script, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, MAINMODE_LEDGER: ledger },
  });
  for (const [from, to] of [
    [child.stdout, process.stdout],
    [child.stderr, process.stderr],
  ])
    from.setEncoding("utf8").on("data", (text) => {
      printed += text;
      to.write(text);
    });
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => child.kill(signal));
  child.on("error", (error) => fail(error.message));
  child.on("close", (code) => ended(code ?? 1));
});
const { readLedger, secretsIn, whatWasLeft } = await import("../dist/test/secrets-scan.js");
const own = readLedger(ledger);
rmSync(ledger, { recursive: true });
const left = existsSync(`.lab/${name}`) ? whatWasLeft(`.lab/${name}`) : { secrets: [], outputs: new Map() };
const secrets = new Set([...own, ...left.secrets]);
const outputs = new Map([["what was printed", printed], ...left.outputs]);
const found = [...outputs].flatMap(([file, text]) => secretsIn([text], secrets).map((one) => ({ file, ...one })));
for (const { file, form, around } of found) console.error(`${file}: a secret as ${form}: … ${around} …`);
if (found.length > 0) fail(`npm run ${name}: output shows secrets`);
if (status !== 0) process.exit(status);
// A short run may use none.
if (secrets.size === 0 && process.env["CI"]) fail(`npm run ${name}: nothing was written down of the secrets that it used`);
const letters = [...outputs.values()].reduce((sum, text) => sum + text.length, 0);
console.log(`none of ${secrets.size} secrets in ${letters} letters of ${outputs.size} outputs`);

function fail(text) {
  console.error(text);
  process.exit(1);
}
