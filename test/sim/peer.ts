/**
 * A peer by hand, for everything that a well-behaved engine would never send: it follows RFC 2409 with one suite in both roles,
 * and lets a story change any message before it is hashed, sealed or sent. It checks every digest that the engine sends.
 */
import assert from "node:assert/strict";
import { encryptionNamed } from "../../ike/crypto/suite.ts";
import {
  bodyOf,
  decodeHeader,
  decodePayloads,
  encodeHeader,
  encodePayloads,
  firstType,
  HEADER_SIZE,
  type Header,
} from "../../isakmp/message.ts";
import { EXCHANGE, FLAG, ID_TYPE } from "../../isakmp/numbers.ts";
import { type Payload, type PayloadOf, payload } from "../../isakmp/payloads.ts";
import { seededRandom } from "./crypto.ts";
import { hmac, keymat, type Phase1Material, phase1, sha256, u32 } from "./peer-keys.ts";
import { clear, connected, hostId, offerEsp, offerIke, one } from "./peer-payloads.ts";
import { PSK } from "./policies.ts";
import type { World } from "./world.ts";

export type PeerMessage = "MM1" | "MM2" | "MM3" | "MM4" | "MM5" | "MM6" | "QM1" | "QM2" | "QM3" | "QM4" | "INFO";

/** How this peer strays from the path. */
export interface Script {
  /** Changes payloads before they are hashed (in phase 2 HASH is not among them) and sealed. */
  readonly edit?: Partial<Record<PeerMessage, (payloads: readonly Payload[]) => readonly Payload[]>>;
  /** Replaces the HASH payload of a phase 2 message by these. */
  readonly hash?: Partial<Record<PeerMessage, (digest: Uint8Array) => readonly Payload[]>>;
  /** Changes the finished datagram; null sends nothing. */
  readonly raw?: Partial<Record<PeerMessage, (bytes: Uint8Array) => Uint8Array | null>>;
  /** Flags besides ENCRYPTION. */
  readonly flags?: Partial<Record<PeerMessage, number>>;
  readonly psk?: string;
  /** A name in place of the address as identity. */
  readonly identity?: Uint8Array;
  /** The cookie of this peer. */
  readonly cookie?: Uint8Array;
}

/** A pair of ESP keys as this peer derived it. */
export interface PeerChild {
  readonly spiIn: number;
  readonly spiOut: number;
  readonly keyIn: Uint8Array;
  readonly keyOut: Uint8Array;
  confirmed: boolean;
}

interface Exchange {
  readonly messageId: number;
  readonly initiator: boolean;
  iv: Uint8Array;
  ni: Uint8Array;
  nr: Uint8Array;
  x: Uint8Array;
  spi: number;
  child: PeerChild | undefined;
  sent: number;
}

const MASK = 0x5a;
const EMPTY = new Uint8Array(0);
const AES = encryptionNamed("aes128");

export class Peer {
  /** Decrypted payloads of Informational messages, and clear ones marked so. */
  readonly heard: { readonly sealed: boolean; readonly payloads: readonly Payload[] }[] = [];
  readonly children: PeerChild[] = [];
  readonly address: string;
  /** Both proofs were right. */
  established = false;
  keys: Phase1Material | undefined;
  cookieI: Uint8Array = EMPTY;
  cookieR: Uint8Array = EMPTY;
  /** The IV from which phase 2 starts. */
  lastBlock: Uint8Array = EMPTY;
  script: Script;
  readonly #world: World;
  readonly #to: string;
  readonly #random = seededRandom(4711);
  readonly #exchanges = new Map<number, Exchange>();
  readonly #answers = new Map<string, Uint8Array | null>();
  #answering: string | undefined;
  #weRespond = false;
  #saBody: Uint8Array = EMPTY;
  #x: Uint8Array = EMPTY;
  #publics: { i: Uint8Array; r: Uint8Array } = { i: EMPTY, r: EMPTY };
  #nonces: { i: Uint8Array; r: Uint8Array } = { i: EMPTY, r: EMPTY };

  constructor(world: World, address: string, to: string, script: Script = {}) {
    this.#world = world;
    this.address = address;
    this.#to = to;
    this.script = script;
    world.attach(address, (bytes) => this.#receive(bytes));
  }

  /** Message 1 of Main Mode. */
  start(): void {
    this.cookieI = this.script.cookie ?? this.#random(8);
    this.cookieR = new Uint8Array(8);
    const sa = offerIke();
    this.#saBody = this.#sendClear("MM1", [sa]).find((p) => p.name === "sa")?.raw ?? EMPTY;
  }

  /** Message 1 of Quick Mode, for the two hosts. */
  quick(): void {
    const messageId = new DataView(this.#random(4).buffer).getUint32(0);
    const ex = this.#newExchange(messageId, true);
    this.#sendHashed("QM1", ex, EMPTY, [offerEsp(ex.spi), payload("nonce", { data: ex.ni }), hostId(this.address), hostId(this.#to)]);
  }

  /** An authenticated Informational message, with a message id of its own unless one is given. */
  inform(payloads: readonly Payload[], messageId = new DataView(this.#random(4).buffer).getUint32(0)): Uint8Array {
    const ex = { messageId, iv: this.#phase2Iv(messageId) };
    return this.#sendHashed("INFO", ex, EMPTY, payloads, EXCHANGE.Informational);
  }

  /** Payloads in clear in an Informational message for the present cookies. */
  informClear(payloads: readonly Payload[]): void {
    this.#sendClear("INFO", payloads, EXCHANGE.Informational, 0x01020304);
  }

  /** Notify types that the engine sent, as numbers. */
  get notifies(): readonly number[] {
    return this.heard.flatMap(({ payloads }) => payloads.flatMap((p) => (p.name === "notify" ? [p.value.type] : [])));
  }

  /** SPIs that the engine deleted. */
  get deleted(): readonly string[] {
    return this.heard.flatMap(({ payloads }) =>
      payloads.flatMap((p) => (p.name === "delete" ? p.value.spis.map((spi) => Buffer.from(spi).toString("hex")) : [])),
    );
  }

  #receive(bytes: Uint8Array): void {
    const content = Buffer.from(bytes).toString("latin1");
    const known = this.#answers.get(content);
    if (known) return this.#world.send(this.address, this.#to, known);
    if (known === null) return;
    this.#answers.set(content, null);
    this.#answering = content;
    const header = decodeHeader(bytes);
    assert.ok(header.ok, "the engine sends readable headers");
    const body = bodyOf(header.value, bytes);
    switch (header.value.exchange) {
      case EXCHANGE["Identity Protection"]:
        this.#onMainMode(header.value, body);
        break;
      case EXCHANGE["Quick Mode"]:
        this.#onQuickMode(header.value, body);
        break;
      default:
        this.#onInformational(header.value, body);
    }
    this.#answering = undefined;
  }

  // Main Mode

  #onMainMode(header: Header, body: Uint8Array): void {
    if (header.flags & FLAG.ENCRYPTION) return this.#onProof(header, body);
    const payloads = clear(header, body);
    const sa = payloads.find((p) => p.name === "sa");
    if (sa && header.responderCookie.every((octet) => octet === 0)) return this.#answerOffer(header, sa);
    if (sa) return this.#sendPublicValue(header);
    this.#onPublicValue(one(payloads, "ke").data, one(payloads, "nonce").data);
  }

  #answerOffer(header: Header, sa: PayloadOf<"sa">): void {
    this.#weRespond = true;
    this.cookieI = Uint8Array.from(header.initiatorCookie);
    this.cookieR = this.script.cookie ?? this.#random(8);
    this.#saBody = Uint8Array.from(sa.raw);
    const [proposal] = sa.value.proposals;
    assert.ok(proposal);
    this.#sendClear("MM2", [payload("sa", { ...sa.value, proposals: [{ ...proposal, transforms: proposal.transforms.slice(0, 1) }] })]);
  }

  #sendPublicValue(header: Header): void {
    this.cookieR = Uint8Array.from(header.responderCookie);
    this.#x = this.#random(32);
    this.#publics.i = this.#x.map((octet) => octet ^ MASK);
    this.#nonces.i = this.#random(32);
    this.#sendClear("MM3", [payload("ke", { data: this.#publics.i }), payload("nonce", { data: this.#nonces.i })]);
  }

  #onPublicValue(publicValue: Uint8Array, nonce: Uint8Array): void {
    const weInitiate = !this.#weRespond;
    if (weInitiate) [this.#publics.r, this.#nonces.r] = [publicValue.slice(), nonce.slice()];
    else {
      [this.#publics.i, this.#nonces.i] = [publicValue.slice(), nonce.slice()];
      this.#x = this.#random(32);
      this.#publics.r = this.#x.map((octet) => octet ^ MASK);
      this.#nonces.r = this.#random(32);
    }
    const gxy = this.#x.map((octet, i) => octet ^ (publicValue[i] ?? 0));
    const psk = new TextEncoder().encode(this.script.psk ?? PSK);
    const { i, r } = this.#publics;
    this.keys = phase1(psk, this.#nonces.i, this.#nonces.r, gxy, i, r, this.cookieI, this.cookieR);
    this.lastBlock = this.keys.iv;
    if (weInitiate) this.#sendProof("MM5");
    else this.#sendClear("MM4", [payload("ke", { data: r }), payload("nonce", { data: this.#nonces.r })]);
  }

  #proofOf(initiator: boolean, idBody: Uint8Array): Uint8Array {
    const { i, r } = this.#publics;
    const [own, other, c1, c2] = initiator ? [i, r, this.cookieI, this.cookieR] : [r, i, this.cookieR, this.cookieI];
    return hmac(this.#known.skeyid, own, other, c1, c2, this.#saBody, idBody);
  }

  get #known(): Phase1Material {
    assert.ok(this.keys, "keys are there");
    return this.keys;
  }

  #sendProof(name: "MM5" | "MM6"): void {
    const { identity } = this.script;
    const id = identity ? payload("id", { type: ID_TYPE.ID_FQDN, protocol: 0, port: 0, data: identity }) : hostId(this.address);
    const hash = payload("hash", { data: this.#proofOf(name === "MM5", id.raw) });
    const edited = this.script.edit?.[name]?.([id, hash]) ?? [id, hash];
    const sealed = this.#seal(encodePayloads(edited), this.lastBlock);
    this.lastBlock = sealed.slice(-16);
    this.#emit(name, EXCHANGE["Identity Protection"], 0, firstType(edited), sealed, FLAG.ENCRYPTION);
  }

  #onProof(header: Header, body: Uint8Array): void {
    const payloads = this.#open(header, body, this.lastBlock);
    this.lastBlock = body.slice(-16);
    const weInitiate = !this.#weRespond;
    const id = payloads.find((p) => p.name === "id");
    assert.ok(id);
    assert.deepEqual(one(payloads, "hash").data, this.#proofOf(!weInitiate, id.raw), "the engine's proof");
    this.heard.push({ sealed: true, payloads: payloads.filter((p) => p.name === "notify") });
    if (!weInitiate) this.#sendProof("MM6");
    this.established = true;
  }

  // Quick Mode

  #onQuickMode(header: Header, body: Uint8Array): void {
    const { messageId } = header;
    const ex = this.#exchanges.get(messageId) ?? this.#newExchange(messageId, false);
    const payloads = this.#open(header, body, ex.iv);
    ex.iv = body.slice(-16);
    if (ex.initiator) return this.#onAnswer(ex, payloads);
    if (ex.sent === 0) return this.#answerRequest(ex, payloads);
    assert.deepEqual(one(payloads, "hash").data, hmac(this.#known.a, Uint8Array.of(0), u32(messageId), ex.ni, ex.nr), "HASH(3)");
    if (ex.child) ex.child.confirmed = true;
  }

  #newExchange(messageId: number, initiator: boolean): Exchange {
    const ex: Exchange = {
      messageId,
      initiator,
      iv: this.#phase2Iv(messageId),
      ni: this.#random(32),
      nr: this.#random(32),
      x: this.#random(32),
      spi: 0x2000 + this.#exchanges.size,
      child: undefined,
      sent: 0,
    };
    this.#exchanges.set(messageId, ex);
    return ex;
  }

  #answerRequest(ex: Exchange, payloads: readonly Payload[]): void {
    this.#checkHash(payloads, u32(ex.messageId));
    const sa = one(payloads, "sa");
    ex.ni = one(payloads, "nonce").data.slice();
    const [proposal] = sa.proposals;
    assert.ok(proposal);
    const ke = payloads.find((p) => p.name === "ke");
    const answer: Payload[] = [
      payload("sa", { ...sa, proposals: [{ ...proposal, spi: u32(ex.spi), transforms: proposal.transforms.slice(0, 1) }] }),
      payload("nonce", { data: ex.nr }),
      ...(ke ? [payload("ke", { data: ex.x.map((octet) => octet ^ MASK) })] : []),
      ...payloads.filter((p) => p.name === "id"),
    ];
    const gxy = ke?.name === "ke" ? ex.x.map((octet, i) => octet ^ (ke.value.data[i] ?? 0)) : null;
    this.#addChild(ex, new DataView(proposal.spi.slice().buffer).getUint32(0), gxy);
    this.#sendHashed("QM2", ex, ex.ni, answer);
  }

  #onAnswer(ex: Exchange, payloads: readonly Payload[]): void {
    this.#checkHash(payloads, u32(ex.messageId), ex.ni);
    ex.nr = one(payloads, "nonce").data.slice();
    const [proposal] = one(payloads, "sa").proposals;
    assert.ok(proposal);
    this.#addChild(ex, new DataView(proposal.spi.slice().buffer).getUint32(0), null);
    const digest = hmac(this.#known.a, Uint8Array.of(0), u32(ex.messageId), ex.ni, ex.nr);
    const edited = this.script.hash?.QM3?.(digest) ?? [payload("hash", { data: digest })];
    const sealed = this.#seal(encodePayloads(edited), ex.iv);
    ex.iv = sealed.slice(-16);
    this.#emit("QM3", EXCHANGE["Quick Mode"], ex.messageId, firstType(edited), sealed, FLAG.ENCRYPTION);
  }

  /** CONNECTED as the fourth message of the Quick Mode that came last. */
  connect(): void {
    const ex = [...this.#exchanges.values()].at(-1);
    assert.ok(ex?.child);
    this.#sendHashed("QM4", ex, EMPTY, [connected(ex.child.spiIn)]);
  }

  #addChild(ex: Exchange, spiOut: number, gxy: Uint8Array | null): void {
    const { d } = this.#known;
    ex.child = {
      spiIn: ex.spi,
      spiOut,
      keyIn: keymat(d, gxy, u32(ex.spi), ex.ni, ex.nr),
      keyOut: keymat(d, gxy, u32(spiOut), ex.ni, ex.nr),
      confirmed: false,
    };
    this.children.push(ex.child);
  }

  #onInformational(header: Header, body: Uint8Array): void {
    const sealed = (header.flags & FLAG.ENCRYPTION) !== 0;
    const payloads = sealed ? this.#open(header, body, this.#phase2Iv(header.messageId)) : clear(header, body);
    if (sealed) this.#checkHash(payloads, u32(header.messageId));
    this.heard.push({ sealed, payloads });
  }

  // Sealing and sending

  #phase2Iv = (messageId: number): Uint8Array => sha256(this.lastBlock, u32(messageId)).slice(0, 16);

  /** The engine's HASH(1), or HASH(2) with the nonce. */
  #checkHash(payloads: readonly Payload[], ...prefix: readonly Uint8Array[]): void {
    const [hash, ...rest] = payloads;
    assert.equal(hash?.name, "hash", "HASH comes first");
    assert.deepEqual(hash.value.data, hmac(this.#known.a, ...prefix, encodePayloads(rest)), "HASH of phase 2");
  }

  #sendHashed(
    name: PeerMessage,
    ex: { readonly messageId: number; iv: Uint8Array; sent?: number },
    ni: Uint8Array,
    payloads: readonly Payload[],
    exchange: number = EXCHANGE["Quick Mode"],
  ): Uint8Array {
    const rest = this.script.edit?.[name]?.(payloads) ?? payloads;
    const digest = hmac(this.#known.a, u32(ex.messageId), ni, encodePayloads(rest));
    const hash = this.script.hash?.[name]?.(digest) ?? [payload("hash", { data: digest })];
    const all = [...hash, ...rest];
    const sealed = this.#seal(encodePayloads(all), ex.iv);
    ex.iv = sealed.slice(-16);
    if (ex.sent !== undefined) ex.sent++;
    return this.#emit(name, exchange, ex.messageId, firstType(all), sealed, FLAG.ENCRYPTION);
  }

  #sendClear(
    name: PeerMessage,
    payloads: readonly Payload[],
    exchange: number = EXCHANGE["Identity Protection"],
    messageId = 0,
  ): readonly Payload[] {
    const edited = this.script.edit?.[name]?.(payloads) ?? payloads;
    this.#emit(name, exchange, messageId, firstType(edited), encodePayloads(edited), 0);
    return edited;
  }

  #seal(plain: Uint8Array, iv: Uint8Array): Uint8Array {
    const padded = new Uint8Array((Math.floor(plain.length / 16) + 1) * 16);
    padded.set(plain);
    return this.#world.tap.crypto.encrypt(AES, this.#known.cipher, iv, padded);
  }

  #open(header: Header, body: Uint8Array, iv: Uint8Array): readonly Payload[] {
    const plain = this.#world.tap.crypto.decrypt(AES, this.#known.cipher, iv, body);
    const payloads = decodePayloads(header.nextPayload, plain, { padding: true });
    assert.ok(payloads.ok, "what the engine seals can be read");
    return payloads.value;
  }

  #emit(name: PeerMessage, exchange: number, messageId: number, nextPayload: number, body: Uint8Array, flags: number): Uint8Array {
    const header = encodeHeader({
      initiatorCookie: this.cookieI,
      responderCookie: this.cookieR,
      nextPayload,
      exchange,
      flags: flags | (this.script.flags?.[name] ?? 0),
      messageId,
      length: HEADER_SIZE + body.length,
    });
    const bytes = Uint8Array.from([...header, ...body]);
    const raw = this.script.raw?.[name];
    const out = raw ? raw(bytes) : bytes;
    if (this.#answering !== undefined) this.#answers.set(this.#answering, out);
    if (out) this.#world.send(this.address, this.#to, out);
    return bytes;
  }
}
