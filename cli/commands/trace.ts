/**
 * `mainmode trace`: a running daemon's negotiations, message by message, before and after decryption, and why it did what it did.
 * Files are opened before the daemon is asked, without following links, for their owner only; keys are warned about.
 */
import { closeSync, statSync, writeSync } from "node:fs";
import type { Request, TraceDocument } from "../../daemon/control-protocol.ts";
import { canonicalAddress } from "../../isakmp/address.ts";
import { exportedHeader, exportedRecord, inClear } from "../../isakmp/exported-pdu.ts";
import { fromHex } from "../../isakmp/hex.ts";
import type { Datagram } from "../../isakmp/pcap.ts";
import { pcapHeader, pcapRecord } from "../../isakmp/pcap-writer.ts";
import { ask } from "../client.ts";
import { EXIT, Failure } from "../exit.ts";
import { espKeyLine, ikeKeyLine } from "../key-files.ts";
import { openOwn } from "../own-file.ts";
import { conclude } from "../report.ts";
import { entryLines } from "../trace-text.ts";

export interface TraceOptions {
  readonly control: string;
  readonly peer: string | undefined;
  /** The messages as they were on the wire. */
  readonly pcap: string | undefined;
  /** The messages decrypted, as Wireshark's exported PDUs. */
  readonly decrypted: string | undefined;
  /** Keys of IKE; those of ESP go beside it, with `.esp` at the end. A folder gets both under Wireshark's own names. */
  readonly keys: string | undefined;
  readonly json: boolean;
  /** Seconds after which it ends; undefined: with Ctrl-C. */
  readonly seconds: number | undefined;
}

/** Resolves with the exit code, after Ctrl-C, the time, or the daemon's end. */
export async function trace(options: TraceOptions): Promise<number> {
  const { control, peer, seconds } = options;
  const address = peer === undefined ? undefined : canonicalAddress(peer);
  if (peer !== undefined && address === undefined) throw new Failure(EXIT.usage, `--peer ${peer}: this is no IP address`);
  const files = new Files(options);
  try {
    const request: Request = { command: "trace", keys: files.wantsKeys, ...(address === undefined ? {} : { peer: address }) };
    process.stderr.write(
      `mainmode: tracing ${address ?? "every peer"}${seconds === undefined ? "; Ctrl-C ends it" : ` for ${seconds} s`}\n`,
    );
    const end = await ask({
      path: control,
      request,
      enough: enough(seconds),
      patienceSeconds: null,
      onOther: (reply) => {
        if (reply.type === "lost")
          process.stderr.write(`mainmode: ${reply.count} entries are missing here: they came faster than they were read\n`);
        else if (reply.type === "trace") files.take(reply.entry, options.json);
      },
    });
    if (end.exit !== EXIT.done) return conclude(end);
    process.stderr.write(`mainmode: ${files.summary()}\n`);
    return EXIT.done;
  } finally {
    files.close();
  }
}

/** Aborts when somebody has seen enough. */
function enough(seconds: number | undefined): AbortSignal {
  const controller = new AbortController();
  const done = (): void => controller.abort();
  process.once("SIGINT", done);
  process.once("SIGTERM", done);
  if (seconds !== undefined) setTimeout(done, seconds * 1000).unref();
  return controller.signal;
}

/** Everything that is written, stdout included. */
class Files {
  readonly #pcap: number | undefined;
  readonly #decrypted: number | undefined;
  readonly #ike: number | undefined;
  readonly #esp: number | undefined;
  readonly #known = new Set<string>();
  #messages = 0;

  constructor({ pcap, decrypted, keys }: TraceOptions) {
    this.#pcap = open(pcap);
    this.#decrypted = open(decrypted);
    const [ike, esp] = keys === undefined ? [] : keyPaths(keys);
    this.#ike = open(ike);
    this.#esp = open(esp);
    if (this.#pcap !== undefined) writeSync(this.#pcap, pcapHeader());
    if (this.#decrypted !== undefined) writeSync(this.#decrypted, exportedHeader());
    if (ike !== undefined)
      process.stderr.write(
        `mainmode: warning: ${ike} and ${esp} get keys that open everything said under them, recorded by whomever; remove both when you are done\n`,
      );
  }

  get wantsKeys(): boolean {
    return this.#ike !== undefined;
  }

  take(entry: TraceDocument, json: boolean): void {
    if (entry.kind === "ike-key") return this.#once(this.#ike, ikeKeyLine(entry));
    if (entry.kind === "esp-key") return this.#once(this.#esp, espKeyLine(entry));
    process.stdout.write(json ? `${JSON.stringify(entry)}\n` : `${entryLines(entry).join("\n")}\n`);
    if (entry.kind !== "message") return;
    if (!entry.assembled) this.#messages++;
    this.#record(entry);
  }

  #once(file: number | undefined, line: string): void {
    if (file === undefined || this.#known.has(line)) return;
    this.#known.add(line);
    writeSync(file, line);
  }

  #record({ at, way, local, remote, bytes, plain, marked, assembled }: Extract<TraceDocument, { kind: "message" }>): void {
    const octets = fromHex(bytes) ?? new Uint8Array(0);
    const [source, destination] = way === "out" ? [local, remote] : [remote, local];
    const datagram = (payload: Uint8Array): Datagram => ({ time: at, source, destination, payload });
    if (this.#pcap !== undefined && !assembled)
      writeSync(this.#pcap, pcapRecord(datagram(marked ? Uint8Array.of(0, 0, 0, 0, ...octets) : octets)));
    if (this.#decrypted === undefined) return;
    const clear = plain === null ? undefined : inClear(octets, fromHex(plain) ?? new Uint8Array(0));
    writeSync(this.#decrypted, exportedRecord(datagram(clear ?? octets)));
  }

  summary(): string {
    return `${this.#messages} messages${this.wantsKeys ? `, ${this.#known.size} keys` : ""}`;
  }

  close(): void {
    for (const file of [this.#pcap, this.#decrypted, this.#ike, this.#esp]) if (file !== undefined) closeSync(file);
  }
}

/** Where keys of IKE and of ESP go. */
function keyPaths(path: string): readonly [string, string] {
  const isFolder = statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  return isFolder ? [`${path}/ikev1_decryption_table`, `${path}/esp_sa`] : [path, `${path}.esp`];
}

const open = (path: string | undefined): number | undefined => (path === undefined ? undefined : openOwn(path));
