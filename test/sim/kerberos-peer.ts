/**
 * A peer with Kerberos by hand, as Windows or another: Main Mode with method 65001 in both roles, written down from RFC 2409 and
 * draft-ietf-ipsec-isakmp-gss-auth-07 for one suite (AES-128, SHA-256). It shares neither digests nor the order of things with the core, says
 * what it expects octet by octet, and knows nothing of where its tokens come from or how its messages travel.
 */
import assert from "node:assert/strict";
import { opensslCrypto } from "../../ike/crypto/openssl.ts";
import { encryptionNamed } from "../../ike/crypto/suite.ts";
import { type Attribute, basic, variable } from "../../isakmp/attributes.ts";
import { bodyOf, decodeHeader, decodePayloads, encodeHeader, encodePayloads, firstType, HEADER_SIZE } from "../../isakmp/message.ts";
import { EXCHANGE, FLAG } from "../../isakmp/numbers.ts";
import { type Payload, payload } from "../../isakmp/payloads.ts";
import { hmac, type Phase1Material, phase1From } from "./peer-keys.ts";
import { hostId, offerIke, one } from "./peer-payloads.ts";

/** How the peer writes, and how the other side has to write to it. */
export interface Habits {
  /** An octet 0 before tokens, names hashed as they stand on the wire; else bare tokens, and names in single octets. */
  readonly windows: boolean;
  /** What it announces, and nothing else. */
  readonly vendorIds: readonly Uint8Array[];
  readonly principal: string;
  /** Whether names are exchanged; they need not be (draft §3.3.2). Then whoever begins knows whom it wants. */
  readonly named?: boolean;
  /** Its address, which is its identity. */
  readonly address: string;
}

/** A Diffie-Hellman group by its number, and fresh octets. */
export interface Means {
  readonly group: number;
  readonly pair: () => { readonly publicValue: Uint8Array; readonly agree: (other: Uint8Array) => Uint8Array };
  readonly random: (octets: number) => Uint8Array;
}

interface Side {
  name: Uint8Array;
  publicValue: Uint8Array;
  nonce: Uint8Array;
  readonly tokens: Uint8Array[];
}

const NOTHING = new Uint8Array(0);
const AES = encryptionNamed("aes128");
const NAME = 16384;
const freshSide = (): Side => ({ name: NOTHING, publicValue: NOTHING, nonce: NOTHING, tokens: [] });

export class KerberosPeer {
  /** Vendor ids that the other side sent. */
  readonly announced: string[] = [];
  /** The other side's principal, from message 1 or 2, or as configured. */
  target = "host/a.example.test@EXAMPLE.TEST";
  readonly #habits: Habits;
  readonly #means: Means;
  readonly #own = freshSide();
  readonly #other = freshSide();
  #initiator = true;
  #cookieI: Uint8Array = NOTHING;
  #cookieR: Uint8Array = new Uint8Array(8);
  #saBody: Uint8Array = NOTHING;
  #answer: Payload | undefined;
  #pair: ReturnType<Means["pair"]> | undefined;
  #keys: Phase1Material | undefined;
  #iv: Uint8Array = NOTHING;

  constructor(habits: Habits, means: Means) {
    this.#habits = habits;
    this.#means = means;
    if (habits.named !== false) this.#own.name = Buffer.from(habits.principal, "utf16le");
  }

  // Initiator

  message1(): Uint8Array {
    this.#cookieI = this.#means.random(8);
    const sa = offerIke([...this.#attributes(), ...this.#nameAttribute()]);
    this.#saBody = sa.raw;
    return this.#clear([sa, ...this.#vendorIds()]);
  }

  /** The transform has to come back as it was, but for the name. */
  onMessage2(bytes: Uint8Array): void {
    const payloads = this.#read(bytes);
    this.#cookieR = bytes.slice(8, 16);
    assert.deepEqual(this.#hearOffer(payloads), this.#attributes().map(copied), "the chosen transform is the offered one");
    this.#hearVendorIds(payloads);
  }

  message3(token: Uint8Array): Uint8Array {
    return this.#exchange(token);
  }

  /** The token of message 4. */
  onMessage4(bytes: Uint8Array): Uint8Array {
    return this.#hearExchange(bytes);
  }

  // Responder

  onMessage1(bytes: Uint8Array): void {
    this.#initiator = false;
    this.#cookieI = bytes.slice(0, 8);
    this.#cookieR = this.#means.random(8);
    const payloads = this.#read(bytes);
    const [sa] = payloads.filter((p) => p.name === "sa");
    assert.ok(sa);
    this.#saBody = Uint8Array.from(sa.raw);
    const attributes = this.#hearOffer(payloads);
    this.#answer = offerIke([...attributes, ...this.#nameAttribute()]);
    this.#hearVendorIds(payloads);
  }

  message2(): Uint8Array {
    assert.ok(this.#answer);
    return this.#clear([this.#answer, ...this.#vendorIds()]);
  }

  /** The token of message 3. */
  onMessage3(bytes: Uint8Array): Uint8Array {
    return this.#hearExchange(bytes);
  }

  message4(token: Uint8Array): Uint8Array {
    return this.#exchange(token);
  }

  // Both

  /** HASH_I or HASH_R of our own, which goes wrapped into `proof`. */
  ownHash(): Uint8Array {
    return this.#hash(this.#initiator, this.#own, this.#other, hostId(this.#habits.address).raw);
  }

  /** Message 5 or 6. */
  proof(wrapped: Uint8Array): Uint8Array {
    return this.sealed([hostId(this.#habits.address), payload("hash", { data: wrapped })]);
  }

  /** Any payloads as message 5 or 6. */
  sealed(payloads: readonly Payload[]): Uint8Array {
    const plain = encodePayloads(payloads);
    const missing = 16 - (plain.length % 16);
    const padded = Buffer.concat([plain, new Uint8Array(missing - 1), Uint8Array.of(missing - 1)]);
    const body = opensslCrypto.encrypt(AES, this.#cipherKey(), this.#iv, padded);
    this.#iv = body.slice(-16);
    return this.#message(firstType(payloads), FLAG.ENCRYPTION, body);
  }

  /** The wrapped hash of the other side's message 5 or 6, and what it has to hold. */
  onProof(bytes: Uint8Array): { readonly wrapped: Uint8Array; readonly expected: Uint8Array } {
    const header = decodeHeader(bytes);
    assert.ok(header.ok && (header.value.flags & FLAG.ENCRYPTION) !== 0, "a sealed message");
    const body = bodyOf(header.value, bytes);
    const payloads = decodePayloads(header.value.nextPayload, opensslCrypto.decrypt(AES, this.#cipherKey(), this.#iv, body), {
      padding: true,
    });
    this.#iv = body.slice(-16);
    assert.ok(payloads.ok);
    const id = payloads.value.find((p) => p.name === "id");
    assert.ok(id);
    const expected = this.#hash(!this.#initiator, this.#other, this.#own, id.raw);
    return { wrapped: Uint8Array.from(one(payloads.value, "hash").data), expected };
  }

  #hash(ofInitiator: boolean, { publicValue, name, tokens }: Side, other: Side, idBody: Uint8Array): Uint8Array {
    assert.ok(this.#keys);
    const cookies = ofInitiator ? [this.#cookieI, this.#cookieR] : [this.#cookieR, this.#cookieI];
    const hashed = this.#habits.windows ? name : Buffer.from(Buffer.from(name).toString("utf16le"), "latin1");
    return hmac(this.#keys.skeyid, publicValue, other.publicValue, ...cookies, this.#saBody, idBody, hashed, ...tokens);
  }

  /** Windows says the lifetime as a variable attribute of four octets. */
  #attributes(): readonly Attribute[] {
    const numbers = [basic(1, 7), basic(14, 128), basic(2, 4), basic(4, this.#means.group), basic(3, 65001), basic(11, 1)];
    return [...numbers, this.#habits.windows ? variable(12, Uint8Array.of(0, 0, 0x70, 0x80)) : basic(12, 28800)];
  }

  #nameAttribute(): readonly Attribute[] {
    return this.#habits.named === false ? [] : [variable(NAME, this.#own.name)];
  }

  #vendorIds(): readonly Payload[] {
    return this.#habits.vendorIds.map((data) => payload("vid", { data }));
  }

  #hearVendorIds(payloads: readonly Payload[]): void {
    for (const p of payloads) if (p.name === "vid") this.announced.push(Buffer.from(p.value.data).toString("hex"));
  }

  /** Takes the name; the other attributes are left. */
  #hearOffer(payloads: readonly Payload[]): readonly Attribute[] {
    const [proposal] = one(payloads, "sa").proposals;
    const attributes = proposal?.transforms[0]?.attributes ?? [];
    const names = attributes.filter(({ type }) => type === NAME);
    // An answer has a name where the offer has one.
    const named = this.#habits.named !== false;
    assert.equal(names.length, named || !this.#initiator ? 1 : 0, "names");
    if (!named) return attributes.filter(({ type }) => type !== NAME).map(copied);
    this.#other.name = Uint8Array.from(names[0]?.value ?? NOTHING);
    this.target = Buffer.from(this.#other.name).toString("utf16le");
    assert.match(this.target, /^[!-~]+$/, "a name in UTF-16LE without an end");
    return attributes.filter(({ type }) => type !== NAME).map(copied);
  }

  #exchange(token: Uint8Array): Uint8Array {
    this.#pair = this.#means.pair();
    this.#own.publicValue = this.#pair.publicValue;
    this.#own.nonce = this.#means.random(32);
    this.#own.tokens.push(token);
    const body = this.#habits.windows ? Uint8Array.from([0, ...token]) : token;
    const message = this.#clear([
      payload("ke", { data: this.#own.publicValue }),
      payload("nonce", { data: this.#own.nonce }),
      payload("gss", { data: body }),
    ]);
    if (!this.#initiator) this.#agree();
    return message;
  }

  #hearExchange(bytes: Uint8Array): Uint8Array {
    const payloads = this.#read(bytes);
    this.#other.publicValue = Uint8Array.from(one(payloads, "ke").data);
    this.#other.nonce = Uint8Array.from(one(payloads, "nonce").data);
    const body = Uint8Array.from(one(payloads, "gss").data);
    assert.deepEqual([...body.subarray(0, 2)], this.#habits.windows ? [0, 0x60] : [0x60, body[1] ?? 0], "how payload 129 begins");
    const token = this.#habits.windows ? body.subarray(1) : body;
    this.#other.tokens.push(token);
    if (this.#initiator) this.#agree();
    return token;
  }

  /** As with signatures: SKEYID from the nonces and g^xy alone. */
  #agree(): void {
    assert.ok(this.#pair);
    const gxy = this.#pair.agree(this.#other.publicValue);
    const [i, r] = this.#initiator ? [this.#own, this.#other] : [this.#other, this.#own];
    const skeyid = hmac(Uint8Array.from([...i.nonce, ...r.nonce]), gxy);
    this.#keys = phase1From(skeyid, gxy, i.publicValue, r.publicValue, this.#cookieI, this.#cookieR);
    this.#iv = this.#keys.iv;
  }

  #cipherKey(): Uint8Array {
    assert.ok(this.#keys);
    return this.#keys.cipher;
  }

  #read(bytes: Uint8Array): readonly Payload[] {
    const header = decodeHeader(bytes);
    assert.ok(header.ok);
    const payloads = decodePayloads(header.value.nextPayload, bodyOf(header.value, bytes));
    assert.ok(payloads.ok);
    return payloads.value;
  }

  #clear(payloads: readonly Payload[]): Uint8Array {
    return this.#message(firstType(payloads), 0, encodePayloads(payloads));
  }

  #message(nextPayload: number, flags: number, body: Uint8Array): Uint8Array {
    const [initiatorCookie, responderCookie] = [this.#cookieI, this.#cookieR];
    const exchange = EXCHANGE["Identity Protection"];
    const length = HEADER_SIZE + body.length;
    return Uint8Array.from([
      ...encodeHeader({ initiatorCookie, responderCookie, nextPayload, exchange, flags, messageId: 0, length }),
      ...body,
    ]);
  }
}

const copied = ({ type, format, value }: Attribute): Attribute => ({ type, format, value: Uint8Array.from(value) });
