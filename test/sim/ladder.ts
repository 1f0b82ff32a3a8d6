/**
 * What happened in a world, as a diagram to read when a story fails: datagrams with their contents, log lines, replies.
 */
import { describePayload } from "../../isakmp/describe.ts";
import { bodyOf, decodeHeader, decodePayloads } from "../../isakmp/message.ts";
import { FLAG, PAYLOAD } from "../../isakmp/numbers.ts";
import type { Payload } from "../../isakmp/payloads.ts";
import { payloadType } from "../../isakmp/payloads.ts";
import { nameOf } from "../../isakmp/registry.ts";
import type { Tap } from "./crypto.ts";

/** One line of the diagram. */
export type Rung =
  | {
      readonly at: number;
      readonly kind: "datagram";
      readonly from: string;
      readonly to: string;
      readonly what: string;
      readonly bytes: Uint8Array;
    }
  | { readonly at: number; readonly kind: "note"; readonly host: string; readonly text: string };

/** Only the end of a long run is of interest. */
const SHOWN = 120;

/** The last rungs in lines; first messages of an exchange with all their contents. */
export function drawLadder(rungs: readonly Rung[], tap: Tap): string {
  const left = rungs.length - SHOWN;
  const head = left > 0 ? [`... ${left} lines before`] : [];
  return [...head, ...rungs.slice(-SHOWN).flatMap((rung) => draw(rung, tap))].join("\n");
}

function draw(rung: Rung, tap: Tap): readonly string[] {
  const time = `${(rung.at / 1000).toFixed(3).padStart(9)} `;
  if (rung.kind === "note") return [`${time} ${rung.host.padEnd(3)} ${rung.text}`];
  const payloads = payloadsOf(rung.bytes, tap);
  const names = payloads?.map((p) => nameOf(PAYLOAD, payloadType(p))).join(" ") ?? "(unreadable)";
  const line = `${time} ${rung.from} ---> ${rung.to}  ${rung.what}: ${names}`;
  const details = payloads?.filter(isTelling).flatMap(describePayload) ?? [];
  return [line, ...details.map((detail) => `${" ".repeat(17)}${detail}`)];
}

const TELLING: ReadonlySet<string> = new Set(["sa", "id", "notify", "delete"]);
const isTelling = (p: Payload): boolean => TELLING.has(p.name);

/** The payloads of a datagram, decrypted where this world encrypted it. */
export function payloadsOf(bytes: Uint8Array, tap: Tap): readonly Payload[] | undefined {
  const header = decodeHeader(bytes);
  if (!header.ok) return undefined;
  const body = bodyOf(header.value, bytes);
  const sealed = (header.value.flags & FLAG.ENCRYPTION) !== 0;
  const plain = sealed ? tap.plaintextOf(body) : body;
  const payloads = plain && decodePayloads(header.value.nextPayload, plain, { padding: sealed });
  return payloads?.ok ? payloads.value : undefined;
}
