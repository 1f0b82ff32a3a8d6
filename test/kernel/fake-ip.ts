/**
 * A stand-in for the `ip` program, for tests of the child processes without a kernel. It behaves as iproute2 6.1 was seen to:
 * it ends at the first refusal with status 2 and loses what follows, forgives only commands that it does not know, and names lines for those.
 */
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface FakeIp {
  /** The program. */
  readonly path: string;
  /** Lines carried out so far by all its batch children, in order. */
  executed(): readonly string[];
  /** Arguments, environment and process id of every start, in order. */
  starts(): readonly { readonly args: readonly string[]; readonly env: Readonly<Record<string, string>>; readonly pid: number }[];
  /** What the nth start of `ip xfrm monitor` (from 0) prints; one without text stays silent. It ends after it if `ends`. */
  monitor(nth: number, text: string, ends: boolean): void;
  /** The same of `ip xfrm monitor policy`. */
  policyMonitor(nth: number, text: string, ends: boolean): void;
  /** What `ip xfrm state list` prints, and its status; `hangs`: it does not end. */
  list(text: string, status?: number | "hangs"): void;
  remove(): void;
}

/** Priorities of policies that make it misbehave. */
export const MISBEHAVE = { hang: 901, die: 902, warn: 903, fail: 904, forbid: 905, quit: 906, repeatKey: 907 } as const;
/** An SPI for which it answers about another SA. */
export const WRONG_ANSWER = 0x908;
/** An SPI for which its answer on stdout comes well after the barrier on stderr: two pipes have no common order. */
export const LATE_ANSWER = 0x909;

/** Makes the program in a folder of its own. */
export function fakeIp(): FakeIp {
  const folder = mkdtempSync(join(tmpdir(), "fake-ip-"));
  const path = join(folder, "ip");
  const parts = [main, printList, printMonitor, batch, carryOut, misbehaves].map(String);
  writeFileSync(
    path,
    [`#!${process.execPath}`, ...parts, `main(${JSON.stringify({ MISBEHAVE, WRONG_ANSWER, LATE_ANSWER })});`, ""].join("\n"),
  );
  chmodSync(path, 0o755);
  const linesOf = (name: string): readonly string[] =>
    existsSync(join(folder, name)) ? readFileSync(join(folder, name), "utf8").split("\n").slice(0, -1) : [];
  return {
    path,
    executed: () => linesOf("executed"),
    starts: () => linesOf("starts").map((line) => JSON.parse(line)),
    monitor: (nth, text, ends) => writeFileSync(join(folder, `monitor-${nth}`), JSON.stringify({ text, ends })),
    policyMonitor: (nth, text, ends) => writeFileSync(join(folder, `policy-monitor-${nth}`), JSON.stringify({ text, ends })),
    list: (text, status = 0) => writeFileSync(join(folder, "list"), JSON.stringify({ text, status })),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

// From here on: the program. Its functions are written out as text, so they use nothing of this file but each other, and are CommonJS.

interface Io {
  readonly fs: typeof import("node:fs");
  readonly odd: { readonly MISBEHAVE: typeof MISBEHAVE; readonly WRONG_ANSWER: number; readonly LATE_ANSWER: number };
  /** An answer still to be printed. */
  late: string;
  read(name: string): string;
  write(name: string, text: string): void;
  append(name: string, text: string): void;
  say(text: string): void;
  end(text: string, status: number): never;
}

function main(odd: Io["odd"]): void {
  const fs: Io["fs"] = require("node:fs");
  const at = (name: string) => `${__dirname}/${name}`;
  const io: Io = {
    fs,
    odd,
    late: "",
    read: (name) => (fs.existsSync(at(name)) ? fs.readFileSync(at(name), "utf8") : ""),
    write(name, text) {
      fs.writeFileSync(at(`${name}.${process.pid}`), text);
      fs.renameSync(at(`${name}.${process.pid}`), at(name));
    },
    append: (name, text) => fs.appendFileSync(at(name), text),
    say: (text) => void fs.writeSync(2, `${text}\n`),
    end(text, status) {
      fs.writeSync(2, `${text}\n`);
      process.exit(status);
    },
  };
  const args = process.argv.slice(2);
  io.append("starts", `${JSON.stringify({ args, env: process.env, pid: process.pid })}\n`);
  if (args.includes("monitor")) printMonitor(io);
  else if (args.includes("list")) printList(io);
  else batch(io);
}

function printMonitor(io: Io): void {
  const isOfPolicies = process.argv.includes("policy");
  const starts = io.read("starts").split("\n");
  const nth = starts.filter((line) => line.includes('"monitor"') && line.includes('"monitor","policy"') === isOfPolicies).length - 1;
  const { text, ends } = JSON.parse(io.read(`${isOfPolicies ? "policy-" : ""}monitor-${nth}`) || '{"text":"","ends":false}');
  io.fs.writeSync(1, text);
  if (ends) io.end("netlink receive error Connection refused (111)", 1);
  setInterval(() => {}, 1_000_000);
}

function printList(io: Io): void {
  const { text, status } = JSON.parse(io.read("list") || '{"text":"","status":0}');
  io.fs.writeSync(1, text);
  if (status === "hangs") setInterval(() => {}, 1_000_000);
  else if (status) io.end("Dump terminated", status);
}

function batch(io: Io): void {
  const chunk = Buffer.alloc(4096);
  let rest = "";
  let number = 0;
  for (let length = io.fs.readSync(0, chunk); length > 0; length = io.fs.readSync(0, chunk)) {
    const lines = (rest + chunk.toString("latin1", 0, length)).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      number++;
      if (line.startsWith("xfrm ")) {
        if (!misbehaves(io, line, number)) carryOut(io, line);
        continue;
      }
      io.say(`Object "${line}" is unknown, try "ip help".\nCommand failed -:${number}`);
      if (io.late) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
      io.fs.writeSync(1, io.late);
      io.late = "";
    }
  }
}

function carryOut(io: Io, line: string): void {
  const refuse = (what: string) => io.end(`RTNETLINK answers: ${what}`, 2);
  const present = new Set<string>(JSON.parse(io.read("present") || "[]"));
  const [, object, verb = "", ...rest] = line.split(" ");
  const name = object === "state" ? `${rest[3]} ${rest[5]} ${rest[7]}` : rest.slice(0, rest.indexOf("dir") + 2).join(" ");
  if (verb === "add" && present.has(name)) refuse("File exists");
  if (verb === "get" && !present.has(name)) refuse("No such process");
  if (verb === "delete" && !present.has(name)) refuse(object === "state" ? "No such process" : "No such file or directory");
  if (verb === "get") {
    const spi = Number(rest[7]) === io.odd.WRONG_ANSWER ? "0x00000001" : rest[7];
    const head = `src ${rest[1]} dst ${rest[3]}\n\tproto ${rest[5]} spi ${spi}(1) reqid 1(0x1) mode transport\n\tenc cbc(aes) 0x00\n`;
    const answer = `${head}\tlifetime current:\n\t  84(bytes), 1(packets)\n`;
    if (Number(rest[7]) === io.odd.LATE_ANSWER) io.late = answer;
    else io.fs.writeSync(1, answer);
  }
  if (verb === "delete") present.delete(name);
  else present.add(name);
  io.write("present", JSON.stringify([...present]));
  io.append("executed", `${line}\n`);
}

/** Whether a command was answered by misbehaviour alone. */
function misbehaves(io: Io, line: string, number: number): boolean {
  const odd = io.odd.MISBEHAVE;
  switch (Number(/priority (\d+)/.exec(line)?.[1])) {
    case odd.hang:
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
      return true;
    case odd.die:
      return process.kill(process.pid, "SIGKILL");
    case odd.warn:
      io.say("Warning: this is only a warning.");
      return false;
    case odd.fail:
      io.say(`Command failed -:${number}`);
      return true;
    case odd.forbid:
      return io.end("RTNETLINK answers: Operation not permitted", 2);
    case odd.quit:
      return process.exit(0);
    case odd.repeatKey:
      return io.end('Error: argument "0x00112233445566778899aabbccddeeff" is wrong: unknown', 255);
    default:
      return false;
  }
}
