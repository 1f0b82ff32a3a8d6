#!/usr/bin/env node
/**
 * The command line (interface.md §1): what each word means, and which exit code it ends with.
 * Starts fast: a command's own module, and everything behind it, is loaded when the command is run.
 */
import { readFileSync } from "node:fs";
import { Argument, Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { controlPath, DEFAULT_CONTROL } from "./client.ts";
import { addInsight } from "./commands/declare-insight.ts";
import { hasDemo } from "./commands/demo.ts";
import { EXIT, Failure } from "./exit.ts";
import { printFailure, reportFailure } from "./report.ts";

/** Runs one command line (without node and script); resolves with the exit code. */
async function runCommandLine(words: readonly string[]): Promise<number> {
  let exit: number = EXIT.done;
  const program = buildProgram((code) => {
    exit = code;
  });
  try {
    await program.parseAsync([...words], { from: "user" });
    return exit;
  } catch (error) {
    if (error instanceof Failure) return reportFailure(error);
    // Commander has printed its own message; help and version are no errors.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
    printFailure(`unexpected error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`, "please report this line");
    return EXIT.failed;
  }
}

type Finish = (code: number) => void;

function buildProgram(finish: Finish): Command {
  const program = new Command("mainmode");
  program
    .description("An IKEv1 keying daemon: Main Mode, Quick Mode, and the kernel's IPsec")
    .version(version(), "-V, --version", "print the version")
    .option("--control <path>", `the daemon's control socket (MAINMODE_CONTROL; ${DEFAULT_CONTROL})`)
    .helpOption("-h, --help", "print this help")
    .helpCommand(false)
    .configureHelp({ showGlobalOptions: true })
    .addHelpText("after", EXIT_CODES)
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, "mainmode: ")) })
    .exitOverride();
  addDaemon(program);
  addOffline(program, finish);
  addPolicy(program, finish);
  addWhy(program, finish);
  addSaCommands(program, finish);
  addInsight(program, () => controlPath(program.opts()["control"]), finish);
  addMonitoring(program, finish);
  addRules(program, finish);
  if (hasDemo()) addDemo(program, finish);
  addCompletion(program, finish);
  return program;
}

const EXIT_CODES = `
Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 69 daemon not reachable,
75 no answer in time, 77 not permitted, 78 configuration error`;

function addDaemon(program: Command): void {
  program
    .command("daemon")
    .description("run in the foreground and log to stderr")
    .requiredOption("-c, --config <file>", "configuration file")
    .addOption(
      new Option("--log-format <format>", "one line of text or one JSON object a record").choices(["text", "json"]).default("text"),
    )
    .addOption(new Option("--log-level <level>", "least important records to write").choices(LEVELS).default("info"))
    .action(async ({ config, logFormat, logLevel }) => {
      const { runDaemon } = await import("./commands/daemon.ts");
      const { control } = program.opts();
      const override = control === undefined ? {} : { controlPath: control };
      // A stop that was given up leaves handles open which would keep the process.
      process.exit(await runDaemon({ configFile: config, logFormat, logLevel, ...override }));
    });
}

/** The policy as a whole: from Windows and to it. */
function addPolicy(program: Command, finish: Finish): void {
  const policy = program.command("policy").description("the active policy, and policies of Windows");
  policy
    .command("show")
    .description("the policy as written, each value with the file and line it comes from")
    .option("--specific", "the kernel policies that it comes to, strongest first")
    .option("-c, --config <file>", "of this configuration instead of the daemon's")
    .option("--local <address>", "with -c and --specific: an address of the host that is meant; repeatable", collect, [])
    .option("--json", "one JSON document")
    .action(async ({ specific = false, json = false, config, local }) => {
      const { showPolicy } = await import("./commands/policy-show.ts");
      finish(await showPolicy({ control: controlPath(program.opts()["control"]), config, local, specific, json }));
    });
  policy
    .command("export")
    .description("the policy as a script of netsh ipsec static; keys become variables that whoever runs it sets")
    .option("-c, --config <file>", "of this configuration instead of the daemon's")
    .option("--mirror <address>", "for the peer of this host, which it knows by that address")
    .option("--peer <address>", "with --mirror: what concerns this peer, and nothing else")
    .option("-o, --output <file>", "the script to write; without it stdout")
    .action(async ({ config, mirror, peer, output }) => {
      const { exportWindows } = await import("./commands/policy-export.ts");
      finish(await exportWindows({ control: controlPath(program.opts()["control"]), config, mirror, peer, output }));
    });
  policy
    .command("import")
    .description(
      "turn a script of netsh ipsec static, netsh advfirewall or the NetIPsec cmdlets into a configuration; keys go to files of their own",
    )
    .argument("<file>", "the script: batch, PowerShell, netsh -f, or a transcript")
    .option("-o, --output <file>", "the configuration to write; without it stdout")
    .option("--secrets <folder>", "where the files with keys go; else beside the configuration")
    .option("--policy <name>", "which policy, where the script makes several")
    .option("--local <address>", "an address of this host, to tell a tunnel's ends apart; repeatable", collect, [])
    .option("--keytab <file>", "this host's keytab, for rules that authenticate by Kerberos; it may be made later")
    .option("--principal <name>", "its principal, with the realm")
    .option("--certificate <file>", "this host's certificate, for rules that authenticate by one")
    .option("--key <file>", "its key")
    .option("--ca <file>", "a CA that such rules trust; repeatable", collect, [])
    .option("--upgrade-crypto", "put AES, SHA-256 and modp2048 in front of every list of offers")
    .option("--allow-weak", "take over DES, MD5 and groups 1 and 2")
    .option("--lenient", "go on after words that netsh would refuse")
    .option("--encoding <name>", "of the script, where it is neither UTF-8 nor marked")
    .action(async (file: string, options) => {
      const { importPolicy } = await import("./commands/policy-import.ts");
      const { allowWeak = false, upgradeCrypto = false, lenient = false } = options;
      finish(importPolicy({ ...EMPTY_IMPORT, ...options, file, allowWeak, upgradeCrypto, lenient }));
    });
}

const EMPTY_IMPORT = {
  output: undefined,
  secrets: undefined,
  policy: undefined,
  encoding: undefined,
  keytab: undefined,
  principal: undefined,
  certificate: undefined,
  key: undefined,
};

const collect = (value: string, before: readonly string[]): readonly string[] => [...before, value];

/** Which rule decides: of the daemon, or of a file. */
function addWhy(program: Command, finish: Finish): void {
  program
    .command("why")
    .description("which rule decides about a packet, what would happen to it, and why the other rules do not apply")
    .requiredOption("--src <address>", "the packet's source")
    .requiredOption("--dst <address>", "its destination")
    .option("--proto <protocol>", "tcp, udp, icmp, ... or a number; with ports, tcp unless said otherwise")
    .option("--sport <port>", "its source port", portNumber, 0)
    .option("--dport <port>", "its destination port", portNumber, 0)
    .option("-c, --config <file>", "ask this configuration instead of the daemon")
    .option(
      "--local <address>",
      "with -c: an address of the host that is meant, else those of [daemon] addresses, own ends of tunnels and manual SAs, or --src; repeatable",
      collect,
      [],
    )
    .option("--json", "one JSON document")
    .action(async ({ json = false, ...options }) => {
      const { why } = await import("./commands/why.ts");
      const { src, dst, proto, sport, dport, config, local } = options;
      finish(await why({ control: controlPath(program.opts()["control"]), config, local, src, dst, proto, sport, dport, json }));
    });
}

/** Commands that work without a daemon. */
function addOffline(program: Command, finish: Finish): void {
  program
    .command("check")
    .description("validate a configuration; prints every error as FILE:LINE:COL: message")
    .argument("<file>", "configuration file")
    .action(async (file: string) => finish((await import("./commands/check.ts")).check(file)));
  program
    .command("decode")
    .description("print the ISAKMP messages of a capture")
    .argument("<file>", "pcap or pcapng")
    .option("--keys <file>", "decrypt with keys in Wireshark's form: initiator cookie, comma, key")
    .addOption(new Option("--json", "one JSON document").conflicts("svg"))
    .option("--svg", "draw the exchange as a picture (SVG on stdout)")
    .option("--port <number>", "the port of IKE", portNumber, 500)
    .option("--nat-port <number>", "the port of IKE behind NAT", portNumber, 4500)
    .action(async (file: string, { keys, json = false, svg = false, port, natPort }) => {
      const { decodeCapture } = await import("./commands/decode.ts");
      finish(decodeCapture({ file, keys, json, svg, port, natPort }));
    });
}

const LEVELS = ["error", "warning", "notice", "info", "debug"];

/** Commands that ask the daemon. */
function addSaCommands(program: Command, finish: Finish): void {
  const control = (): string => controlPath(program.opts()["control"]);
  program
    .command("initiate")
    .alias("up")
    .description("negotiate now, one line a step, until the SAs are in the kernel")
    .argument("<rule>", "name of the rule; all its filters are negotiated")
    .option("--peer <address>", "the peer, where the rule does not name it")
    .option("--wait <seconds>", "how long to wait", seconds, 30)
    .action(async (rule: string, { peer, wait }) => {
      const { initiate } = await import("./commands/initiate.ts");
      finish(await initiate({ control: control(), rule, peer, wait }));
    });
  program
    .command("terminate")
    .alias("down")
    .description("delete SAs and tell the peers")
    .argument("[rule]", "everything of this rule")
    .option("--ike <id>", "one IKE SA and its child SAs", identifier)
    .option("--child <id>", "one child SA", identifier)
    .option("--all", "everything")
    .action(async (rule: string | undefined, { ike, child, all = false }) => {
      const { terminate } = await import("./commands/terminate.ts");
      finish(await terminate({ control: control(), rule, ike, child, all }));
    });
  program
    .command("status")
    .description("print the SA tables")
    .addArgument(new Argument("[table]", "only one of the tables").choices(["ike", "child"]))
    .option("--json", "one JSON document")
    .action(async (only: "ike" | "child" | undefined, { json = false }) => {
      const { status } = await import("./commands/status.ts");
      finish(await status({ control: control(), only, json }));
    });
  program
    .command("shutdown")
    .description("stop the daemon: tell the peers, remove our SAs and policies")
    .option("--keep", "leave kernel and peers as they are, for the next start to take over")
    .action(async ({ keep = false }) => finish(await (await import("./commands/shutdown.ts")).shutdown(control(), keep)));
  program
    .command("reload")
    .description("read the configuration again; SAs that the change does not touch stay")
    .action(async () => finish(await (await import("./commands/reload.ts")).reload(control())));
}

function addCompletion(program: Command, finish: Finish): void {
  program
    .command("completion")
    .description("print a script that completes command lines: source <(mainmode completion bash)")
    .argument("[shell]", "bash, zsh or fish")
    .addOption(new Option("--rules", "the names of the daemon's rules").hideHelp())
    .action(async (shell: string | undefined, { rules = false }) => {
      const { completeRules, completion } = await import("./commands/completion.ts");
      finish(rules ? await completeRules(controlPath(program.opts()["control"])) : completion(program, shell));
    });
}

/** What the daemon counts and what it does. */
function addMonitoring(program: Command, finish: Finish): void {
  program
    .command("monitor")
    .description(
      "a live screen: SAs with what is left of them, negotiations in flight, events, statistics; plain text where stdout is no terminal",
    )
    .option("--interval <seconds>", "between two pictures", seconds, 2)
    .option("--once", "one picture as text")
    .option("--json", "what the daemon tells, one JSON object a line")
    .action(async ({ interval, once = false, json = false }) => {
      const { monitor } = await import("./commands/monitor.ts");
      finish(await monitor({ control: controlPath(program.opts()["control"]), interval, once, json }));
    });
  program
    .command("stats")
    .description("print the statistics: negotiations, failures, SAs, octets, what the kernel dropped")
    .addOption(new Option("--windows-names", "those of Windows' IP Security Monitor, under its names").conflicts(["json", "prometheus"]))
    .addOption(new Option("--json", "one JSON document, with both").conflicts("prometheus"))
    .option("--prometheus", "as Prometheus reads them")
    .action(async ({ windowsNames, json, prometheus }) => {
      const { stats } = await import("./commands/stats.ts");
      const form = json ? "json" : prometheus ? "prometheus" : windowsNames ? "windows" : "table";
      finish(await stats({ control: controlPath(program.opts()["control"]), form }));
    });
}

/** Rules that come and go while the daemon runs. */
function addRules(program: Command, finish: Finish): void {
  const control = (): string => controlPath(program.opts()["control"]);
  const rule = program.command("rule").description("rules at run time: until the daemon stops, beside those of its files");
  rule
    .command("add")
    .description("add the rules of a file; one that was added under the same name is replaced. The daemon's own files are not read again")
    .argument(
      "<file>",
      "TOML with [[rule]] tables, as in the configuration; - is stdin. Relative paths start at the configuration's folder",
    )
    .action(async (file: string) => finish(await (await import("./commands/rule.ts")).addRules(control(), file)));
  rule
    .command("delete")
    .description("delete a rule that was added at run time; its SAs end")
    .argument("<name>", "its name")
    .action(async (name: string) => finish(await (await import("./commands/rule.ts")).deleteRule(control(), name)));
}

function addDemo(program: Command, finish: Finish): void {
  program
    .command("demo")
    .description("two hosts on this machine negotiate and pass traffic")
    .addOption(new Option("--place <place>", "where, instead of the best place that there is").choices(["namespaces", "uml", "memory"]))
    .addOption(new Option("--auth <method>", "how they prove themselves").choices(["psk", "x509", "kerberos"]).default("psk"))
    .addOption(new Option("--inside", "this is the guest").hideHelp())
    .addOption(new Option("--colours", "of the guest: the outer terminal shows them").hideHelp())
    .action(async (options) => finish(await (await import("./commands/demo.ts")).demo(options)));
}

/** An option's value as a whole number; commander prints the message and ends with a usage error. */
function wholeNumber(text: string, least: number, most: number): number {
  const number = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (!(number >= least && number <= most)) throw new InvalidArgumentError(`It has to be a number from ${least} to ${most}.`);
  return number;
}

const seconds = (text: string): number => wholeNumber(text, 1, 86_400);
const identifier = (text: string): number => wholeNumber(text, 0, 999_999_999);
const portNumber = (text: string): number => wholeNumber(text, 1, 65_535);

/** package.json stands beside the sources, and above dist/ once built. */
function version(): string {
  for (const path of ["../package.json", "../../package.json"]) {
    try {
      return JSON.parse(readFileSync(new URL(path, import.meta.url), "utf8")).version;
    } catch {
      // The other place, then.
    }
  }
  return "unknown";
}

// `mainmode status | head` closes the pipe early; that is no failure worth a stack.
process.stdout.on("error", () => process.exit());
process.exitCode = await runCommandLine(process.argv.slice(2));
