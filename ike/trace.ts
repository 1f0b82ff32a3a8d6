/**
 * Follows other people's negotiations: messages one after the other, decrypted where the key of their SA is known.
 * Suite and IVs come from the messages themselves (RFC 2409 appendix B); the key is Wireshark's: that of the phase 1 cipher.
 * Bounded: SAs and exchanges beyond a limit push out the oldest. Nothing is verified, so what is shown is what was said, not what is true.
 */
import { toHex } from "../isakmp/hex.ts";
import { bodyOf, decodeHeader, decodePayloads, type Header, type Malformed } from "../isakmp/message.ts";
import { EXCHANGE, FLAG } from "../isakmp/numbers.ts";
import type { Payload } from "../isakmp/payloads.ts";
import { err, ok, type Result } from "../isakmp/result.ts";
import { sameOctets } from "./crypto/compare.ts";
import type { Crypto } from "./crypto/provider.ts";
import type { Secret } from "./crypto/secret.ts";
import type { IkeSuite } from "./crypto/suite.ts";
import { open } from "./envelope.ts";
import { phase1Iv, phase2Iv } from "./keys.ts";
import { readIkeTransform } from "./negotiate-ike.ts";

/** A message as it can be shown: its payloads, or in words why there are none. `decrypted`: they were under encryption. */
export interface Traced {
  readonly header: Header;
  readonly payloads: readonly Payload[] | string;
  readonly decrypted: boolean;
}

/** Keys of phase 1 ciphers by the initiator's cookie, 16 lower-case hex digits. They stay the caller's. */
export type TraceKeys = ReadonlyMap<string, Secret>;

const LIMITS = { sas: 4096, exchanges: 1024, repeats: 8 } as const;

/** An exchange's IV, and the messages that moved it: a repeat is decrypted as it was the first time. */
interface Chain {
  iv: Uint8Array;
  readonly seen: { readonly sealed: Uint8Array; readonly iv: Uint8Array }[];
}

interface TracedSa {
  suite: IkeSuite | undefined;
  readonly publicValues: Uint8Array[];
  mainMode: Chain | undefined;
  readonly others: Map<number, Chain>;
}

export class Tracer {
  readonly #crypto: Crypto;
  readonly #keys: TraceKeys;
  readonly #sas = new Map<string, TracedSa>();

  constructor(crypto: Crypto, keys: TraceKeys) {
    this.#crypto = crypto;
    this.#keys = keys;
  }

  /** The next message, ISAKMP header first. Malformed where not even the header can be read. */
  take(bytes: Uint8Array): Result<Traced, Malformed> {
    const decoded = decodeHeader(bytes);
    if (!decoded.ok) return decoded;
    const header = decoded.value;
    const sa = this.#saOf(header);
    if ((header.flags & FLAG.ENCRYPTION) !== 0) {
      const opened = this.#open(sa, header, bytes);
      return ok({ header, payloads: opened.ok ? opened.value : opened.error, decrypted: opened.ok });
    }
    const payloads = decodePayloads(header.nextPayload, bodyOf(header, bytes), { base: 28 });
    if (!payloads.ok) return ok({ header, payloads: describeFault(payloads.error), decrypted: false });
    if (header.exchange === EXCHANGE["Identity Protection"]) this.#learn(sa, header, payloads.value);
    return ok({ header, payloads: payloads.value, decrypted: false });
  }

  /** Message 1 belongs to the SA too, though it names no responder: it is kept by the initiator's cookie alone. */
  #saOf(header: Header): TracedSa {
    const cookie = toHex(header.initiatorCookie);
    const known = this.#sas.get(cookie);
    if (known) return known;
    const sa: TracedSa = { suite: undefined, publicValues: [], mainMode: undefined, others: new Map() };
    return remember(this.#sas, cookie, sa, LIMITS.sas);
  }

  /** The suite of message 2, and the public values of messages 3 and 4: they make the first IV. */
  #learn(sa: TracedSa, header: Header, payloads: readonly Payload[]): void {
    const answered = header.responderCookie.some((octet) => octet !== 0);
    for (const payload of payloads) {
      if (payload.name === "sa" && answered) {
        const transform = payload.value.proposals[0]?.transforms[0];
        const offer = transform && readIkeTransform(transform);
        if (offer?.ok) sa.suite ??= offer.value.suite;
      } else if (payload.name === "ke" && sa.publicValues.length < 2 && !sa.publicValues.some((value) => sameOctets(value, payload.raw)))
        sa.publicValues.push(payload.raw);
    }
  }

  #open(sa: TracedSa, header: Header, bytes: Uint8Array): Result<readonly Payload[], string> {
    const sealed = bodyOf(header, bytes);
    const size = `${sealed.length} encrypted octets`;
    const key = this.#keys.get(toHex(header.initiatorCookie));
    if (!key) return err(`${size}; no key for this initiator cookie`);
    const { suite } = sa;
    const chain = suite && this.#chainOf(sa, suite, header);
    if (!suite || !chain) return err(`${size}; the messages before it, which choose the algorithms, are missing`);
    const { encryption } = suite;
    if (key.length !== encryption.keyOctets)
      return err(`${size}; the key has ${key.length} octets, ${encryption.name} needs ${encryption.keyOctets}`);
    const repeat = chain.seen.find((each) => sameOctets(each.sealed, sealed));
    const opened = open(this.#crypto, { cipher: encryption, key, iv: repeat?.iv ?? chain.iv }, header, bytes);
    if (!opened.ok) return err(`${size}; ${opened.error.what}`);
    if (!repeat) {
      chain.seen.push({ sealed, iv: chain.iv });
      if (chain.seen.length > LIMITS.repeats) chain.seen.shift();
      chain.iv = opened.value.iv;
    }
    return ok(opened.value.payloads);
  }

  #chainOf(sa: TracedSa, suite: IkeSuite, header: Header): Chain | undefined {
    const [gxi, gxr] = sa.publicValues;
    if (!gxi || !gxr) return undefined;
    sa.mainMode ??= { iv: phase1Iv(this.#crypto, suite, gxi, gxr), seen: [] };
    if (header.exchange === EXCHANGE["Identity Protection"]) return sa.mainMode;
    const known = sa.others.get(header.messageId);
    if (known) return known;
    const chain: Chain = { iv: phase2Iv(this.#crypto, suite, sa.mainMode.iv, header.messageId), seen: [] };
    return remember(sa.others, header.messageId, chain, LIMITS.exchanges);
  }
}

/** `malformed at octet 40: …`. */
export const describeFault = ({ offset, what }: Malformed): string => `malformed at octet ${offset}: ${what}`;

function remember<K, V>(map: Map<K, V>, key: K, value: V, limit: number): V {
  const [oldest] = map.keys();
  if (map.size >= limit && oldest !== undefined) map.delete(oldest);
  map.set(key, value);
  return value;
}
