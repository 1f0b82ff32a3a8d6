/**
 * Windows' reliable delete (MS-IKEE §3.8): HASH, NONCE, DELETE; the answer has the same message id, a nonce of ours and the same delete. Windows
 * waits for it only where we announce ourselves as Windows, which we don't; we answer whoever asks, and send plain deletes ourselves.
 * Invariant: answers are made for authentic deletes alone, and kept for their repeats, which may come when the SA is gone, within bounds.
 */
import { encodePayloads, type Header } from "../isakmp/message.ts";
import { EXCHANGE } from "../isakmp/numbers.ts";
import { uint32Octets } from "../isakmp/octets.ts";
import { type Payload, type PayloadOf, payload } from "../isakmp/payloads.ts";
import type { IkeSa } from "../sa-store/ike-sa.ts";
import { type Core, count, hex, send } from "./core.ts";
import { sameDigest, sameOctets } from "./crypto/compare.ts";
import { seal } from "./envelope.ts";
import type { Path } from "./input.ts";
import { badNonce } from "./main-mode.ts";
import { NONCE_OCTETS } from "./main-mode-table.ts";
import { addressing } from "./quick-mode.ts";

/** Answers that are kept; the oldest makes room. */
const MOST_ANSWERS = 256;

/** An answer, for the same message from the same peer. */
export interface DeleteAnswer {
  readonly path: Path;
  readonly received: Uint8Array;
  readonly answer: Uint8Array;
}

interface ReliableDelete {
  readonly nonce: Uint8Array;
  readonly payload: PayloadOf<"delete">;
}

/** The nonce and the delete of a reliable delete; undefined for any other message. */
export function reliableDelete(payloads: readonly Payload[]): ReliableDelete | undefined {
  const [, nonce, remove] = payloads;
  if (payloads.length !== 3 || nonce?.name !== "nonce" || remove?.name !== "delete" || badNonce(nonce.value.data)) return undefined;
  return { nonce: nonce.value.data, payload: remove };
}

/** HASH over the nonce alone instead of its payload: the text of MS-IKEE §3.8 allows either reading, and both are made with our common key. */
export function hasBareNonce(core: Core, ike: IkeSa, messageId: number, payloads: readonly Payload[]): boolean {
  const [hash] = payloads;
  const reliable = reliableDelete(payloads);
  if (!reliable || hash?.name !== "hash") return false;
  return sameDigest(digest(core, ike, [uint32Octets(messageId), reliable.nonce, encodePayloads([reliable.payload])]), hash.value.data);
}

const digest = (core: Core, ike: IkeSa, parts: readonly Uint8Array[]): Uint8Array =>
  ike.sa.keys.a.use((key) => core.crypto.hmac(ike.sa.suite.hash.name, key, ...parts));

/** Answers an authentic reliable delete; `iv` follows its message. To be called before the delete is obeyed, since that may take the keys. */
export function acknowledge(core: Core, ike: IkeSa, header: Header, bytes: Uint8Array, payloads: readonly Payload[], iv: Uint8Array): void {
  const reliable = reliableDelete(payloads);
  if (!reliable) return;
  const { messageId } = header;
  const nonce = payload("nonce", { data: core.random(NONCE_OCTETS, "nonce") });
  // The same body as it came, its place in the chain is our own.
  const rest = [nonce, reliable.payload];
  const hash = payload("hash", { data: digest(core, ike, [reliable.nonce, uint32Octets(messageId), encodePayloads(rest)]) });
  const chain = { cipher: ike.sa.suite.encryption, key: ike.sa.keys.cipher, iv };
  const { bytes: answer } = seal(core.crypto, chain, addressing(ike.sa, messageId, EXCHANGE.Informational), [hash, ...rest]);
  core.deleteAnswers.set(keyOf(header), { path: ike.path, received: Uint8Array.from(bytes), answer });
  if (core.deleteAnswers.size > MOST_ANSWERS) core.deleteAnswers.delete(core.deleteAnswers.keys().next().value ?? "");
  count(core, "reliable delete acknowledged");
  send(core, ike.path, answer);
}

/** Answers the repeat of a reliable delete; false for any other message. */
export function answersDelete(core: Core, path: Path, header: Header, bytes: Uint8Array): boolean {
  const known = core.deleteAnswers.size > 0 ? core.deleteAnswers.get(keyOf(header)) : undefined;
  if (!known || known.path.remote.address !== path.remote.address || !sameOctets(known.received, bytes)) return false;
  count(core, "repeat");
  send(core, known.path, known.answer);
  return true;
}

const keyOf = ({ initiatorCookie, responderCookie, messageId }: Header): string =>
  `${hex(initiatorCookie)}${hex(responderCookie)} ${messageId}`;
