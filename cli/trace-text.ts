/**
 * Entries of a trace as lines of text. What peers sent is described, never printed as it came.
 */
import type { TraceDocument } from "../daemon/control-protocol.ts";
import { formatEndpoint } from "../isakmp/address.ts";
import { fromHex } from "../isakmp/hex.ts";
import { showMessage } from "../isakmp/trace-lines.ts";
import { safe } from "./format.ts";

/** The lines of one entry; none for keys, which belong in a file. */
export function entryLines(entry: TraceDocument): readonly string[] {
  const time = new Date(entry.at).toISOString().slice(11, 23);
  switch (entry.kind) {
    case "message":
      return messageLines(entry, time);
    case "note":
      return [`${time}   - ${safe(entry.text)}`];
    case "event":
      return [`${time}   * ${safe(`${entry.event}: ${entry.text}${entry.hint === undefined ? "" : ` (${entry.hint})`}`)}`];
    default:
      return [];
  }
}

function messageLines(
  { local, remote, way, bytes, plain, assembled }: Extract<TraceDocument, { kind: "message" }>,
  time: string,
): readonly string[] {
  const [own, peer] = [formatEndpoint(local.address, local.port), formatEndpoint(remote.address, remote.port)];
  const { before, after } = showMessage(fromHex(bytes) ?? new Uint8Array(0), plain === null ? null : (fromHex(plain) ?? null));
  const lines = [...before, ...(after.length > 0 ? ["  decrypted:", ...after.map((line) => `    ${line}`)] : [])];
  return [
    `${time} ${way === "out" ? `${own} > ${peer}` : `${peer} > ${own}`}${assembled ? ", put together from fragments" : ""}`,
    ...lines.map((line) => `  ${safe(line)}`),
  ];
}
