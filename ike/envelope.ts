/**
 * Encryption of messages: CBC with the IV chain of the exchange (RFC 2409 §5 and appendix B).
 * The chain is a value in the exchange's state: opening returns the next IV, and the caller keeps the old one on error.
 */

import { type Addressing, chainLength, decodePayloads, firstType, type Header, putHeader, withEncoded } from "../isakmp/message.ts";
import { FLAG } from "../isakmp/numbers.ts";
import { copyOf } from "../isakmp/octets.ts";
import type { Payload } from "../isakmp/payloads.ts";
import { err, ok, type Result } from "../isakmp/result.ts";
import type { Crypto } from "./crypto/provider.ts";
import type { Secret } from "./crypto/secret.ts";
import type { Encryption } from "./crypto/suite.ts";
import type { IkeError } from "./errors.ts";

/** What sealing and opening need; `iv` is one block. */
export interface Chain {
  readonly cipher: Encryption;
  readonly key: Secret;
  readonly iv: Uint8Array;
}

const HEADER_OCTETS = 28;

/** A sealed message and the IV that follows it. */
export function seal(
  crypto: Crypto,
  chain: Chain,
  to: Addressing,
  payloads: readonly Payload[],
): { readonly bytes: Uint8Array; readonly iv: Uint8Array } {
  const { blockOctets } = chain.cipher;
  const length = chainLength(payloads);
  const missing = blockOctets - (length % blockOctets);
  // RFC 2409 appendix B: zeros, the last octet counts those before it; always at least one octet.
  const sealed = withEncoded(payloads, length + missing, (plain) => {
    plain[plain.length - 1] = missing - 1;
    return chain.key.use((key) => crypto.encrypt(chain.cipher, key, chain.iv, plain));
  });
  const bytes = new Uint8Array(HEADER_OCTETS + sealed.length);
  putHeader(to, FLAG.ENCRYPTION, firstType(payloads), bytes);
  bytes.set(sealed, HEADER_OCTETS);
  return { bytes, iv: bytes.subarray(bytes.length - chain.cipher.blockOctets) };
}

/** The payloads of a sealed message and the IV that follows it. `plain` is what the payloads' offsets refer to. */
export function open(
  crypto: Crypto,
  chain: Chain,
  header: Header,
  bytes: Uint8Array,
): Result<{ readonly payloads: readonly Payload[]; readonly plain: Uint8Array; readonly iv: Uint8Array }, IkeError> {
  const sealed = bytes.subarray(HEADER_OCTETS, header.length);
  const block = chain.cipher.blockOctets;
  if (sealed.length === 0 || sealed.length % block !== 0)
    return err({ kind: "undecryptable", what: `${sealed.length} encrypted octets are no multiple of the cipher's block of ${block}` });
  const plain = chain.key.use((key) => crypto.decrypt(chain.cipher, key, chain.iv, sealed));
  const payloads = decodePayloads(header.nextPayload, plain, { padding: true });
  if (!payloads.ok)
    return err({ kind: "undecryptable", what: `decrypts to no payloads: ${payloads.error.what} at octet ${payloads.error.offset}` });
  return ok({ payloads: payloads.value, plain, iv: copyOf(sealed.subarray(sealed.length - block)) });
}
