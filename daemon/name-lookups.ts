/**
 * What names stand for, by the system's resolver (`getaddrinfo`: hosts file, DNS with search domains, whatever else it is told to ask). It blocks its thread for
 * seconds where a name server is silent, and Node gives it two threads: a few dead names would keep all others waiting, and what rules about those shut would be
 * open meanwhile. So it runs in a process with threads enough for many.
 */
import { type ChildProcess, fork } from "node:child_process";
import { lookup } from "node:dns/promises";
import { fileURLToPath } from "node:url";

export interface NameAnswer {
  readonly name: string;
  /** None where the name is not known, or nobody answered. */
  readonly addresses: readonly string[];
}

/** Of these libuv gives every second one to look-ups. */
const THREADS = 255;

/** Source files run bare end in .ts, built ones in .js. */
const ENTRY = fileURLToPath(new URL(`./name-process${import.meta.url.slice(import.meta.url.lastIndexOf("."))}`, import.meta.url));

type Addresses = Promise<readonly string[]>;

interface Running {
  readonly done: Addresses;
  readonly answer: (addresses: readonly string[]) => void;
  /** When the process was asked, in milliseconds of the monotonic clock. */
  since: number;
}

/** Milliseconds. The resolver gives up by itself long before; what hangs for longer never comes back, and with it all that the name is about. */
const STUCK = 120_000;

/** Look-ups of names, each at most once at a time: the process is started with the first one, and again where it has ended. */
export class NameLookups {
  readonly #running = new Map<string, Running>();
  /** Look-ups that follow the running ones: who asks meanwhile wants to know what is so now. */
  readonly #next = new Map<string, Addresses>();
  readonly #entry: string;
  readonly #stuckAfter: number;
  #process: ChildProcess | undefined;

  /** `entry`: the program of the process; `stuckAfter`: milliseconds after which it is replaced where somebody asks again for the same name. */
  constructor(entry = ENTRY, stuckAfter = STUCK) {
    this.#entry = entry;
    this.#stuckAfter = stuckAfter;
  }

  /** The addresses of a name as the resolver writes them; none where nothing is known of it. Never rejects. */
  find(name: string): Addresses {
    const known = this.#running.get(name);
    if (known && performance.now() - known.since > this.#stuckAfter) this.#replace(name);
    const running = this.#running.get(name);
    if (!running) return this.#begin(name);
    const process = this.#process;
    const next =
      this.#next.get(name) ??
      running.done.then((addresses) => {
        this.#next.delete(name);
        return this.#process === process ? this.#begin(name) : addresses;
      });
    this.#next.set(name, next);
    return next;
  }

  /** Ends the process until somebody asks again; what it was asked is answered with nothing. */
  close(): void {
    // An exit of its own would wait for the resolver.
    this.#process?.kill("SIGKILL");
    this.#end();
  }

  #begin(name: string): Addresses {
    let answer: (addresses: readonly string[]) => void = () => {};
    const done = new Promise<readonly string[]>((resolve) => {
      answer = resolve;
    });
    this.#running.set(name, { done, answer, since: 0 });
    this.#ask(name);
    return done;
  }

  #ask(name: string): void {
    const running = this.#running.get(name);
    if (running) running.since = performance.now();
    try {
      this.#process ??= this.#fork();
      // A process that is just ending takes nothing more; its end is noticed by itself.
      this.#process.send(name, () => {});
    } catch {
      // Without memory Node throws, where other causes are told of later.
      this.#lookUpHere();
    }
  }

  /** A process in which a look-up hangs; the others are asked for again in the next one. */
  #replace(stuck: string): void {
    this.#process?.kill("SIGKILL");
    this.#process = undefined;
    this.#answer(stuck, []);
    for (const name of [...this.#running.keys()]) this.#ask(name);
  }

  #answer(name: string, addresses: readonly string[]): void {
    const running = this.#running.get(name);
    this.#running.delete(name);
    running?.answer(addresses);
  }

  #fork(): ChildProcess {
    const child = fork(this.#entry, { env: environment(), execArgv: [], stdio: ["ignore", "ignore", "ignore", "ipc"] });
    child.on("message", ({ name, addresses }: NameAnswer) => {
      if (child === this.#process) this.#answer(name, addresses);
    });
    child.on("error", () => {
      if (child.pid === undefined && child === this.#process) this.#lookUpHere();
    });
    child.on("close", () => {
      if (child.pid !== undefined) this.#gone(child);
    });
    return child;
  }

  /** The process can't be started: better slowly than not at all. */
  #lookUpHere(): void {
    this.#process = undefined;
    for (const [name, { answer }] of this.#running) {
      void lookupHere(name).then((found) => {
        if (this.#running.get(name)?.answer === answer) this.#answer(name, found);
      });
    }
  }

  #gone(child: ChildProcess): void {
    if (child === this.#process) this.#end();
  }

  #end(): void {
    this.#process = undefined;
    for (const name of [...this.#running.keys()]) this.#answer(name, []);
  }
}

const lookupHere = async (name: string): Promise<readonly string[]> =>
  (await lookup(name, { all: true, verbatim: true }).catch(() => [])).map(({ address }) => address);

/** What the resolver itself reads from the environment, and nothing else of ours. */
const PASSED_ON = ["LOCALDOMAIN", "RES_OPTIONS", "HOSTALIASES", "PATH", "LD_LIBRARY_PATH"];

function environment(): NodeJS.ProcessEnv {
  const passed = PASSED_ON.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]] as const]));
  return { ...Object.fromEntries(passed), LC_ALL: "C", UV_THREADPOOL_SIZE: String(THREADS) };
}
