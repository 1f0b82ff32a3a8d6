/**
 * A peer that behaves as Windows is documented to (MS-IKEE, MS-AIPS §7 and `windows-releases.ts`), in both roles, with a pre-shared key: AuthIP beside
 * Main Mode under one cookie, messages repeated by the initiator alone and cut when they go unanswered, deletes that want an answer, cookies under
 * attack. It checks every digest that the engine sends, and that it never hears of AuthIP from us.
 */
import assert from "node:assert/strict";
import { attributeNumber } from "../../isakmp/attributes.ts";
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
import { CERT_ENCODING, EXCHANGE, FLAG, NOTIFY, PROTOCOL } from "../../isakmp/numbers.ts";
import { type Payload, type PayloadOf, payload, type Transform } from "../../isakmp/payloads.ts";
import { knownVendor } from "../../isakmp/vendor-ids.ts";
import { seededRandom } from "./crypto.ts";
import { u32 } from "./peer-keys.ts";
import { clear, hostId, notify, one } from "./peer-payloads.ts";
import { PSK } from "./policies.ts";
import { mathOf, type Phase1Keys, type Phase1Math, phase1Keys } from "./windows-keys.ts";
import { WindowsNat } from "./windows-nat.ts";
import { NLBS, offerPhase1, type Phase1Suite, type Phase2Suite, type Release } from "./windows-releases.ts";
import type { World } from "./world.ts";

type Octets = Uint8Array;

export interface WindowsOptions {
  /** Member of a cluster. */
  readonly cluster?: boolean;
  /** Under attack: wants its cookie in message 1. */
  readonly attacked?: boolean;
  /** Octets of a certificate that goes with its proof, to make that long. */
  readonly ballast?: number;
  /** Repeats its deletes until they are answered, as towards other Windows hosts. */
  readonly insistent?: boolean;
  /** Its deletes are hashed over the nonce without its header, or over something else. */
  readonly bareNonce?: "yes" | "wrong";
  /** Milliseconds after which a pair that nobody used is deleted. */
  readonly idle?: number;
  /** It stands behind a NAT with this address, and its own is known to nobody but itself. */
  readonly knownAs?: string;
}

const EMPTY = new Uint8Array(0);
const ZERO = new Uint8Array(8);
const AUTHIP_MAIN = 243;
/** Payload types of AuthIP's first message: Crypto, Auth. */
const [CRYPTO, AUTH] = [0x85, 0x87];
const PSK_OCTETS = new TextEncoder().encode(PSK);
/** Waits before each repetition. Milliseconds. */
const WAITS = [1000, 2000, 4000, 8000, 16_000];
/** Octets of a datagram's UDP payload that still fit 576 on the wire (MS-IKEE note 16). */
const LONGEST = 576 - 20 - 8;

export abstract class WindowsEnd {
  /** Notifies that came under encryption or in clear. */
  readonly notifies: number[] = [];
  /** Names of the vendor ids that the engine sent. */
  readonly vendors: (string | undefined)[] = [];
  established = false;
  /** How often message 1 came without and with the cookie that was asked for. */
  readonly offers = { without: 0, with: 0 };
  authipSent = 0;
  protected readonly world: World;
  protected readonly address: string;
  protected readonly to: string;
  protected readonly release: Release;
  protected readonly options: WindowsOptions;
  protected readonly random = seededRandom(815);
  protected readonly answers = new Map<string, readonly Octets[]>();
  protected answering: string | undefined;
  protected initiator = false;
  protected cookieI: Octets = ZERO;
  protected cookieR: Octets = ZERO;
  protected saBody: Octets = EMPTY;
  protected math: Phase1Math | undefined;
  protected keys: Phase1Keys | undefined;
  protected x: Octets = EMPTY;
  protected publics: { i: Octets; r: Octets } = { i: EMPTY, r: EMPTY };
  protected nonces: { i: Octets; r: Octets } = { i: EMPTY, r: EMPTY };
  protected lastBlock: Octets = EMPTY;
  protected demanded: Octets | undefined;
  protected readonly nat: WindowsNat | undefined;
  /** What waits for an answer; a later one takes its place. */
  protected waiting: { readonly send: (again: boolean) => void } | undefined;

  constructor(world: World, address: string, to: string, release: Release, options: WindowsOptions = {}) {
    this.world = world;
    this.address = address;
    this.to = to;
    this.release = release;
    this.options = options;
    if (options.knownAs) this.nat = new WindowsNat(release.authip, address, to);
    world.attach(address, (bytes) => this.receive(bytes));
  }

  /** AuthIP and Main Mode, side by side under one cookie. */
  begin(): void {
    this.forget();
    this.initiator = true;
    this.cookieI = this.random(8);
    const sa = offerPhase1(this.release.phase1);
    this.saBody = sa.raw;
    const offer = this.datagram(EXCHANGE["Identity Protection"], 0, [sa, ...this.vids()]);
    this.insist(() => {
      if (this.release.authip) this.authip();
      this.out([offer]);
    });
  }

  protected vids(): readonly Payload[] {
    return this.options.cluster ? [...this.release.vids, NLBS] : this.release.vids;
  }

  /** The first message of AuthIP under the same cookie: Crypto with a number, SA, Auth, nonce. */
  protected authip(): void {
    this.authipSent++;
    const parts: readonly Payload[] = [
      { name: "unknown", type: CRYPTO, raw: u32(0), start: -1, end: -1 },
      offerPhase1(this.release.phase1),
      { name: "unknown", type: AUTH, raw: Uint8Array.of(0, 2, 0, 0), start: -1, end: -1 },
      payload("nonce", { data: this.random(32) }),
    ];
    this.out([this.datagram(AUTHIP_MAIN, 0, parts)]);
  }

  /** Sends now, and again until something else is waited for. */
  protected insist(send: (again: boolean) => void): void {
    const mine = { send };
    this.waiting = mine;
    send(false);
    const again = (tries: number): void => {
      const wait = WAITS[tries];
      if (wait === undefined) return;
      this.world.after(wait, () => {
        if (this.waiting !== mine) return;
        send(true);
        again(tries + 1);
      });
    };
    again(0);
  }

  protected out(datagrams: readonly Octets[]): void {
    if (this.answering !== undefined) this.answers.set(this.answering, datagrams);
    for (const bytes of datagrams) this.transmit(bytes);
  }

  protected transmit(bytes: Octets): void {
    this.world.send(this.address, this.to, bytes, this.nat?.ports);
  }

  protected receive(bytes: Octets): void {
    const content = Buffer.from(bytes).toString("latin1");
    const known = this.answers.get(content);
    if (known) return this.out(known);
    const header = decodeHeader(bytes);
    assert.ok(header.ok, "the engine sends readable headers");
    assert.ok(header.value.exchange < AUTHIP_MAIN, "the engine never speaks AuthIP");
    const body = Uint8Array.from(bodyOf(header.value, bytes));
    this.answering = content;
    if (header.value.exchange === EXCHANGE["Identity Protection"]) this.onMainMode(header.value, body);
    else if (header.value.exchange === EXCHANGE["Quick Mode"]) this.onQuickMode(header.value, body, content);
    else this.onInformational(header.value, body);
    this.answering = undefined;
  }

  // Main Mode

  protected onMainMode(header: Header, body: Octets): void {
    if (this.established && !(header.flags & FLAG.ENCRYPTION)) this.forget();
    if (header.flags & FLAG.ENCRYPTION) return this.onProof(header, body);
    const payloads = clear(header, body);
    for (const p of payloads) if (p.name === "vid") this.vendors.push(knownVendor(p.value.data));
    for (const name of ["MamieExists", "Key Mods", "AuthIP DH", "MS NT5"] as const)
      assert.ok(!this.vendors.includes(name), `we say ${name}`);
    const sa = payloads.find((p) => p.name === "sa");
    if (sa && !this.initiator) return this.answerOffer(header, sa);
    if (sa) return this.onAnswer(header, sa);
    if (!this.keys) this.nat?.look(payloads, this.needed, this.cookies);
    this.onPublicValue(one(payloads, "ke").data, one(payloads, "nonce").data);
  }

  /** A new Main Mode of the engine's: the pairs stay. */
  protected forget(): void {
    this.established = false;
    this.initiator = false;
    this.onForgotten();
    this.keys = undefined;
    this.math = undefined;
    this.cookieR = ZERO;
    this.nat?.forget();
  }

  /** Both, as NAT-D hashes them. */
  protected get cookies(): Octets {
    return Uint8Array.from([...this.cookieI, ...this.cookieR]);
  }

  protected answerOffer(header: Header, sa: PayloadOf<"sa">): void {
    if (this.options.attacked && !this.isDemanded(header)) return;
    this.cookieI = Uint8Array.from(header.initiatorCookie);
    this.cookieR = this.random(8);
    this.saBody = Uint8Array.from(sa.raw);
    const [proposal] = sa.value.proposals;
    const transform = proposal?.transforms.find((candidate) => this.release.phase1.some((suite) => isPhase1(candidate, suite)));
    assert.ok(proposal && transform, "one of our suites");
    this.choose(transform);
    const answer = payload("sa", { ...sa.value, proposals: [{ ...proposal, transforms: [transform] }] });
    this.out([this.datagram(EXCHANGE["Identity Protection"], 0, [answer, ...this.vids()])]);
  }

  /** Without the cookie: an Informational message with nothing but the demand, and nothing is remembered but the cookie. */
  protected isDemanded(header: Header): boolean {
    if (this.demanded && Buffer.compare(this.demanded, header.responderCookie) === 0) return ++this.offers.with > 0;
    this.offers.without++;
    this.demanded ??= this.random(8);
    this.cookieI = Uint8Array.from(header.initiatorCookie);
    const demand = notify(NOTIFY["DOS-COOKIE"], PROTOCOL.ISAKMP, EMPTY, this.demanded);
    this.out([this.datagram(EXCHANGE.Informational, 0x0d05, [demand])]);
    return false;
  }

  protected onAnswer(header: Header, sa: PayloadOf<"sa">): void {
    if (this.math) return;
    this.cookieR = Uint8Array.from(header.responderCookie);
    const [transform] = sa.value.proposals[0]?.transforms ?? [];
    assert.ok(transform);
    const life = transform.attributes.find(({ type }) => type === 12);
    assert.deepEqual([life?.format, life?.value.length], ["variable", 4], "the transform comes back as it was written");
    this.choose(transform);
    const math = this.needed;
    this.x = this.random(math.publicOctets);
    this.publics.i = math.publicOf(this.x);
    this.nonces.i = this.random(20);
    const bytes = this.datagram(EXCHANGE["Identity Protection"], 0, [
      payload("ke", { data: this.publics.i }),
      payload("nonce", { data: this.nonces.i }),
      ...(this.nat?.detection(math, this.cookies) ?? []),
    ]);
    this.insist(() => this.out([bytes]));
  }

  protected choose(transform: Transform): void {
    const suite = this.release.phase1.find((candidate) => isPhase1(transform, candidate));
    assert.ok(suite, "the answer is one of ours");
    this.math = mathOf(suite);
  }

  protected get needed(): Phase1Math {
    assert.ok(this.math);
    return this.math;
  }

  protected get secret(): Phase1Keys {
    assert.ok(this.keys, "keys are there");
    return this.keys;
  }

  protected onPublicValue(theirs: Octets, nonce: Octets): void {
    if (this.keys) return;
    const math = this.needed;
    if (this.initiator) [this.publics.r, this.nonces.r] = [theirs.slice(), nonce.slice()];
    else {
      [this.publics.i, this.nonces.i] = [theirs.slice(), nonce.slice()];
      this.x = this.random(math.publicOctets);
      [this.publics.r, this.nonces.r] = [math.publicOf(this.x), this.random(20)];
    }
    const gxy = math.shared(this.x, theirs);
    this.keys = phase1Keys(math, PSK_OCTETS, this.nonces.i, this.nonces.r, gxy, this.cookieI, this.cookieR);
    this.lastBlock = math.hash(this.publics.i, this.publics.r).slice(0, math.block);
    if (this.initiator) return this.sendProof();
    this.out([
      this.datagram(EXCHANGE["Identity Protection"], 0, [
        payload("ke", { data: this.publics.r }),
        payload("nonce", { data: this.nonces.r }),
        ...(this.nat?.detection(math, this.cookies) ?? []),
      ]),
    ]);
  }

  protected proofOf(initiator: boolean, id: Octets): Octets {
    const { i, r } = this.publics;
    const [own, other, c1, c2] = initiator ? [i, r, this.cookieI, this.cookieR] : [r, i, this.cookieR, this.cookieI];
    return this.needed.prf(this.secret.skeyid, own, other, c1, c2, this.saBody, id);
  }

  protected sendProof(): void {
    this.nat?.float();
    const id = hostId(this.address);
    const hash = payload("hash", { data: this.proofOf(this.initiator, id.raw) });
    const { ballast } = this.options;
    const more = ballast ? [payload("cert", { encoding: CERT_ENCODING["X.509 - Signature"], data: new Uint8Array(ballast) })] : [];
    const ex = { messageId: 0, iv: this.lastBlock };
    const bytes = this.sealed(ex, EXCHANGE["Identity Protection"], [id, ...more, hash]);
    this.lastBlock = ex.iv;
    if (!this.initiator) return this.out(this.release.cutsAnswers ? cutUp(bytes) : [bytes]);
    this.insist((again) => this.out(again ? cutUp(bytes) : [bytes]));
  }

  protected onProof(header: Header, body: Octets): void {
    if (this.established) return;
    const payloads = this.opened(header, body, this.lastBlock);
    this.lastBlock = body.slice(-this.needed.block);
    const id = payloads.find((p) => p.name === "id");
    assert.ok(id);
    assert.deepEqual(one(payloads, "hash").data, this.proofOf(!this.initiator, id.raw), "the engine's proof");
    this.waiting = undefined;
    if (!this.initiator) this.sendProof();
    this.established = true;
  }

  // Sealing

  protected phase2Iv = (messageId: number): Octets => this.needed.hash(this.lastBlock, u32(messageId)).slice(0, this.needed.block);

  protected hash = (...parts: readonly Octets[]): PayloadOf<"hash"> => payload("hash", { data: this.needed.prf(this.secret.a, ...parts) });

  protected check(payloads: readonly Payload[], ...prefix: readonly Octets[]): void {
    const [hash, ...rest] = payloads;
    assert.equal(hash?.name, "hash", "HASH comes first");
    assert.deepEqual(hash.value.data, this.hash(...prefix, encodePayloads(rest)).value.data, "HASH of phase 2");
  }

  protected sealed(ex: { readonly messageId: number; iv: Octets }, exchange: number, payloads: readonly Payload[]): Octets {
    const { cipher, block } = this.needed;
    const plain = encodePayloads(payloads);
    const padded = new Uint8Array(Math.ceil((plain.length + 1) / block) * block);
    padded.set(plain);
    const body = this.world.tap.crypto.encrypt(cipher, this.secret.cipher, ex.iv, padded);
    ex.iv = body.slice(-block);
    return this.bytes(exchange, ex.messageId, firstType(payloads), body, FLAG.ENCRYPTION);
  }

  protected opened(header: Header, body: Octets, iv: Octets): readonly Payload[] {
    const plain = this.world.tap.crypto.decrypt(this.needed.cipher, this.secret.cipher, iv, body);
    const payloads = decodePayloads(header.nextPayload, plain, { padding: true });
    assert.ok(payloads.ok, "what the engine seals can be read");
    return payloads.value;
  }

  protected datagram = (exchange: number, messageId: number, payloads: readonly Payload[]): Octets =>
    this.bytes(exchange, messageId, firstType(payloads), encodePayloads(payloads), 0);

  protected bytes(exchange: number, messageId: number, nextPayload: number, body: Octets, flags: number): Octets {
    const cookies = { initiatorCookie: this.cookieI, responderCookie: this.cookieR };
    return Uint8Array.from([
      ...encodeHeader({ ...cookies, nextPayload, exchange, flags, messageId, length: HEADER_SIZE + body.length }),
      ...body,
    ]);
  }

  protected abstract onQuickMode(header: Header, body: Octets, content: string): void;
  protected abstract onInformational(header: Header, body: Octets): void;
  /** The engine began a new Main Mode. */
  protected abstract onForgotten(): void;
}

/** MS-IKEE §2.2.3, written down once more: header of the whole in clear, one payload 132 with id, number from 1 and flags. */
function cutUp(bytes: Octets): readonly Octets[] {
  if (bytes.length <= LONGEST) return [bytes];
  const size = LONGEST - HEADER_SIZE - 8;
  const count = Math.ceil(bytes.length / size);
  return Array.from({ length: count }, (_, i) => {
    const data = bytes.slice(i * size, (i + 1) * size);
    const out = new Uint8Array(HEADER_SIZE + 8 + data.length);
    out.set(bytes.subarray(0, HEADER_SIZE));
    out[16] = 132;
    out[19] = 0;
    new DataView(out.buffer).setUint32(24, out.length);
    out.set([0, 0, (data.length + 8) >> 8, (data.length + 8) & 0xff, 0, 1, i + 1, i + 1 === count ? 1 : 0], HEADER_SIZE);
    out.set(data, HEADER_SIZE + 8);
    return out;
  });
}

const numberOf = (transform: Transform, type: number): number | null => {
  const found = transform.attributes.find((attribute) => attribute.type === type);
  return found ? (attributeNumber(found) ?? null) : null;
};
const isPhase1 = (t: Transform, { cipher, bits, hash, group }: Phase1Suite): boolean =>
  numberOf(t, 1) === cipher && numberOf(t, 14) === bits && numberOf(t, 2) === hash && numberOf(t, 4) === group && numberOf(t, 3) === 1;
/** Encapsulation Mode. */
export const modeOf = (transform: Transform): number | null => numberOf(transform, 4);
export const isPhase2 = (t: Transform, { esp, bits, integrity }: Phase2Suite): boolean =>
  t.id === esp && numberOf(t, 6) === bits && numberOf(t, 5) === integrity;
