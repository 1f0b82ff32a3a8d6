/**
 * `mainmode decode`: a capture as text or JSON, decrypted where a key file in Wireshark's form has the key.
 * Captures and key files may be large or broken; both are read whole, up to a limit.
 */
import { readFileSync, statSync } from "node:fs";
import { opensslCrypto } from "../../ike/crypto/openssl.ts";
import { Secret } from "../../ike/crypto/secret.ts";
import { describeFault, type Traced, type TraceKeys, Tracer } from "../../ike/trace.ts";
import { formatEndpoint } from "../../isakmp/address.ts";
import { describeMessage, messageJson } from "../../isakmp/describe.ts";
import { fromHex } from "../../isakmp/hex.ts";
import { rungMaker } from "../../isakmp/ladder-rungs.ts";
import { drawSvg } from "../../isakmp/ladder-svg.ts";
import { type Capture, type CapturedDatagram, decodePcap, type Endpoint, isakmpOf } from "../../isakmp/pcap.ts";
import { EXIT, Failure } from "../exit.ts";
import { safe } from "../format.ts";

export interface DecodeOptions {
  readonly file: string;
  readonly keys: string | undefined;
  readonly json: boolean;
  /** Draws the first two ends of the capture and what went between them. */
  readonly svg: boolean;
  readonly port: number;
  readonly natPort: number;
}

const LARGEST_CAPTURE = 1 << 30;
const LARGEST_KEY_FILE = 1 << 20;

/** Prints the capture; the exit code. A capture that ends in the middle is shown as far as it goes. */
export function decodeCapture({ file, keys, json, svg, port, natPort }: DecodeOptions): number {
  const secrets = keys === undefined ? new Map<string, Secret>() : parseKeys(read(keys, LARGEST_KEY_FILE).toString("utf8"), keys);
  try {
    const capture = decodePcap(read(file, LARGEST_CAPTURE));
    const messages = messagesOf(capture, secrets, port, natPort);
    if (capture.problem && capture.packets === 0) throw new Failure(EXIT.failed, `${file}: ${describeFault(capture.problem)}`);
    if (capture.problem) process.stderr.write(`${safe(file)}: ${describeFault(capture.problem)}; shown is what comes before\n`);
    if (svg) return drawCapture(file, messages);
    process.stdout.write(json ? jsonText(capture, messages) : plainText(capture, messages));
    return EXIT.done;
  } finally {
    for (const secret of secrets.values()) secret.destroy();
  }
}

/**
 * Keys of phase 1 ciphers by initiator cookie, from lines `COOKIE,KEY` in hex (Wireshark's ikev1_decryption_table).
 * Quotes, blank lines and lines that begin with # are let through. Errors name the line, never what stands in it.
 */
export function parseKeys(text: string, file: string): Map<string, Secret> {
  const keys = new Map<string, Secret>();
  for (const [i, line] of text.split(/\r?\n/).entries()) {
    const bare = line.replace(/["\s]/g, "");
    if (bare === "" || bare.startsWith("#")) continue;
    const [cookie = "", key = "", ...more] = bare.split(",");
    const octets = fromHex(key);
    if (!/^[0-9a-fA-F]{16}$/.test(cookie) || !octets || octets.length === 0 || more.length > 0)
      throw new Failure(EXIT.failed, `${file}:${i + 1}: no line of the form COOKIE,KEY (16 and more hex digits)`);
    keys.set(cookie.toLowerCase(), new Secret(octets));
  }
  return keys;
}

interface Message {
  readonly datagram: CapturedDatagram;
  readonly bytes: Uint8Array;
  readonly traced: Traced | undefined;
  readonly lines: readonly string[];
  readonly json: Readonly<Record<string, unknown>>;
}

function messagesOf(capture: Capture, keys: TraceKeys, port: number, natPort: number): readonly Message[] {
  const tracer = new Tracer(opensslCrypto, keys);
  return capture.datagrams.flatMap((datagram): readonly Message[] => {
    const bytes = isakmpOf(datagram, port, natPort);
    if (!bytes) return [];
    const cut = datagram.complete ? [] : ["the capture holds a part of this datagram only"];
    const traced = tracer.take(bytes);
    if (!traced.ok) {
      const note = describeFault(traced.error);
      return [{ datagram, bytes, traced: undefined, lines: [...cut, note], json: { note } }];
    }
    const { header, payloads, decrypted } = traced.value;
    return [
      {
        datagram,
        bytes,
        traced: traced.value,
        lines: [...cut, ...describeMessage(header, payloads)],
        json: { ...messageJson(header, payloads), decrypted },
      },
    ];
  });
}

function drawCapture(file: string, messages: readonly Message[]): number {
  const [first] = messages;
  if (!first) throw new Failure(EXIT.failed, `${file} has no ISAKMP message to draw`);
  const [left, right] = [first.datagram.source.address, first.datagram.destination.address];
  const between = messages.filter(
    ({ datagram: { source, destination } }) => [left, right].sort().join() === [source.address, destination.address].sort().join(),
  );
  if (between.length < messages.length)
    process.stderr.write(
      `mainmode: drawn is what went between ${left} and ${right}; ${messages.length - between.length} messages of others are not\n`,
    );
  const rung = rungMaker();
  const rungs = between.map(({ datagram, bytes, traced }) =>
    rung({
      at: datagram.time - first.datagram.time,
      from: datagram.source.address === left ? "left" : "right",
      bytes,
      header: traced?.header,
      payloads: traced?.payloads ?? "not ISAKMP",
    }),
  );
  process.stdout.write(drawSvg({ title: `ISAKMP between ${left} and ${right}`, left, right, rungs }));
  return EXIT.done;
}

function plainText(capture: Capture, messages: readonly Message[]): string {
  const begin = messages[0]?.datagram.time ?? 0;
  const blocks = messages.map(({ datagram, lines }) => {
    const { number, time, source, destination } = datagram;
    const head = `#${number} ${((time - begin) / 1000).toFixed(6)} ${end(source)} > ${end(destination)}`;
    return [head, ...lines.map((line) => `  ${safe(line)}`)].join("\n");
  });
  const summary = `${messages.length} ISAKMP messages in ${capture.packets} packets`;
  return `${[...blocks, summary].join("\n")}\n`;
}

function jsonText({ packets, problem }: Capture, messages: readonly Message[]): string {
  const list = messages.map(({ datagram: { number, time, source, destination, complete }, json }) => ({
    number,
    time: time / 1000,
    source: end(source),
    destination: end(destination),
    complete,
    ...json,
  }));
  return `${JSON.stringify({ packets, problem: problem ? describeFault(problem) : null, messages: list }, undefined, 2)}\n`;
}

const end = ({ address, port }: Endpoint): string => formatEndpoint(address, port);

function read(file: string, limit: number): Buffer {
  try {
    const { size } = statSync(file);
    if (size > limit) throw new Failure(EXIT.failed, `${file}: ${size} octets, at most ${limit} are read`);
    return readFileSync(file);
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw new Failure(EXIT.failed, `${file} can't be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}
