/**
 * `npm run interop`: negotiations with strongSwan, libreswan and ourselves over a wire between real kernels.
 *
 *   npm run interop -- [--only PATTERN] [--list] [--as PEER] [--guests N] [-w DIR]
 */
import { existsSync } from "node:fs";
import { parseArgs } from "node:util";
import type { Outcome } from "./guest.ts";
import { LIBRESWAN_ROOT } from "./libreswan.ts";
import { runMatrix } from "./matrix.ts";
import type { PeerKind, Scenario } from "./scenario.ts";
import { scenarios } from "./scenarios.ts";

const HELP = `npm run interop -- [--only PATTERN] [--list] [--as PEER] [--guests N] [-w DIR]
  --only PATTERN  scenarios whose name this regular expression finds
  --list          print the names and end
  --as PEER       who plays our part: mainmode, or strongswan to try the lab itself
  --guests N      guests at a time (2)
  -w DIR          where captures, logs and transcripts go (.lab/interop)`;

/** Runs what the command line asks for; resolves with the exit code. */
export async function main(argv: readonly string[]): Promise<number> {
  const options = readOptions(argv);
  if (typeof options === "string") return say(options, 2);
  const { only, as, list, guests, directory } = options;
  const chosen = scenarios().filter((one) => only.test(one.name) && canPlay(as, one));
  if (list) return say(chosen.map(({ name }) => name).join("\n"), 0);
  if (chosen.length === 0) return say(`no scenario's name has ${only.source}`, 2);
  const missing = missingFor(new Set([as, ...chosen.map(({ peer }) => peer)]));
  if (missing.length > 0) return say(`not here: ${missing.join(", ")}. To get them, as root: node scripts/setup.js interop`, 1);
  process.once("SIGTERM", () => process.exit(143));
  const started = performance.now();
  const outcomes = await runMatrix({ scenarios: chosen, directory, as, guests, tell: print });
  const failed = outcomes.filter(({ wrong }) => wrong.length > 0);
  if (failed.length > 0)
    say(`\nfailed, with what happened in ${directory}/*/NAME.txt:\n${failed.map(({ name }) => `  ${name}`).join("\n")}`, 1);
  say(`\n${chosen.length} scenarios in ${((performance.now() - started) / 60_000).toFixed(1)} min`, 0);
  return say(`${outcomes.length - failed.length} passed, ${failed.length} failed`, failed.length === 0 ? 0 : 1);
}

interface Options {
  readonly only: RegExp;
  readonly as: PeerKind;
  readonly list: boolean;
  readonly guests: number;
  readonly directory: string;
}

/** The options, or what is wrong with them. */
function readOptions(argv: readonly string[]): Options | string {
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: {
        only: { type: "string", default: "" },
        as: { type: "string", default: "mainmode" },
        guests: { type: "string", default: "2" },
        list: { type: "boolean", default: false },
        directory: { type: "string", short: "w", default: ".lab/interop" },
      },
    });
    const { only, as, list, directory } = values;
    const guests = Number(values.guests);
    if (!Number.isInteger(guests) || guests < 1) return HELP;
    if (as !== "mainmode" && as !== "strongswan") return HELP;
    return { only: new RegExp(only), as, list, guests, directory };
  } catch (error) {
    return `${error instanceof Error ? error.message : error}\n${HELP}`;
  }
}

/** strongSwan in our place: it has no bundles, and its traps stop neighbour discovery on IPv6. */
const canPlay = (as: PeerKind, { role, protect, trigger, family, mode }: Scenario): boolean =>
  as === "mainmode" || !(protect.includes("+") || (role === "initiator" && trigger === "traffic" && family === 6 && mode === "transport"));

/** What has to be on this machine for the lab and for each peer. */
const NEEDED: Readonly<Record<PeerKind | "lab", readonly string[]>> = {
  lab: ["/usr/bin/linux.uml", "/usr/bin/tcpdump"],
  mainmode: [],
  strongswan: ["/usr/sbin/charon-systemd", "/usr/sbin/swanctl", "/usr/bin/tshark"],
  libreswan: [`${LIBRESWAN_ROOT}/usr/libexec/ipsec/pluto`],
};

const missingFor = (peers: ReadonlySet<PeerKind>): readonly string[] =>
  [...NEEDED.lab, ...[...peers].flatMap((peer) => NEEDED[peer])].filter((file) => !existsSync(file));

function print({ name, wrong, seconds }: Outcome): void {
  const lines = wrong.map((line) => `\n     ${line.replaceAll("\n", "\n     ")}`);
  say(`${wrong.length === 0 ? "ok  " : "FAIL"} ${name} (${seconds.toFixed(1)} s)${lines.join("")}`, 0);
}

function say(text: string, exit: number): number {
  process.stdout.write(`${text}\n`);
  return exit;
}
