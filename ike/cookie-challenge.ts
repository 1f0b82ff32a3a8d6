/**
 * Windows' defence against floods (MS-IKEE §3.9), as responder: under load a message 1 of Windows is answered with a cookie alone and forgotten;
 * repeated with the cookie as the responder's, it comes from where it says. Others would take the notify for a refusal, so only who announced
 * Windows' vendor id gets one. Nothing is kept: the cookie is a MAC over what it stands for, and good for one to two minutes.
 */
import { encodeMessage, type Header } from "../isakmp/message.ts";
import { DOI, EXCHANGE, NOTIFY, PAYLOAD, PROTOCOL } from "../isakmp/numbers.ts";
import { payload } from "../isakmp/payloads.ts";
import { VENDOR_IDS } from "../isakmp/vendor-ids.ts";
import { sameDigest } from "./crypto/compare.ts";
import type { Instant, Path } from "./input.ts";
import type { Tools } from "./main-mode-table.ts";

const COOKIE = 8;
const EPOCH_MS = 60_000;
const WINDOWS = Buffer.from(VENDOR_IDS["MS NT5"].bytes);
const EMPTY = new Uint8Array(0);

export class Challenge {
  readonly #tools: Pick<Tools, "crypto" | "random">;
  /** Made when it is first needed. */
  #key: Uint8Array | undefined;

  constructor(tools: Pick<Tools, "crypto" | "random">) {
    this.#tools = tools;
  }

  /** The demand for a cookie, shorter than any message 1 with this vendor id; undefined for a peer that is not Windows. */
  demandFor(path: Path, header: Header, bytes: Uint8Array, now: Instant): Uint8Array | undefined {
    if (header.nextPayload !== PAYLOAD.SA || !announcesWindows(bytes.subarray(0, header.length))) return undefined;
    const [messageId = 0] = new Uint32Array(Uint8Array.from(this.#tools.random(4)).buffer);
    const data = this.#cookie(path, header, Math.floor(now / EPOCH_MS));
    return encodeMessage(
      {
        initiatorCookie: header.initiatorCookie,
        responderCookie: new Uint8Array(COOKIE),
        exchange: EXCHANGE.Informational,
        flags: 0,
        messageId: messageId || 1,
      },
      [payload("notify", { doi: DOI.IPSEC, protocol: PROTOCOL.ISAKMP, spi: EMPTY, type: NOTIFY["DOS-COOKIE"], data })],
    );
  }

  /** Whether a message 1 bears a cookie that we demanded from this address for this initiator's cookie. */
  isOurs(path: Path, header: Header, now: Instant): boolean {
    if (!this.#key || header.nextPayload !== PAYLOAD.SA) return false;
    const epoch = Math.floor(now / EPOCH_MS);
    return [epoch, epoch - 1].some((at) => sameDigest(this.#cookie(path, header, at), header.responderCookie));
  }

  #cookie({ local, remote }: Path, { initiatorCookie }: Header, epoch: number): Uint8Array {
    this.#key ??= this.#tools.random(32);
    const about = Buffer.from(`${epoch} ${local.address} ${remote.address} `);
    const cookie = this.#tools.crypto.hmac("sha256", this.#key, about, initiatorCookie).slice(0, COOKIE);
    // Eight zeros would mean that there is none.
    cookie[0] = (cookie[0] ?? 0) | 1;
    return cookie;
  }
}

const announcesWindows = (message: Uint8Array): boolean =>
  Buffer.from(message.buffer, message.byteOffset, message.length).includes(WINDOWS);
