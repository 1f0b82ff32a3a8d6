/**
 * A peer that behaves as Windows is documented to (`windows-end.ts` has its Main Mode): Quick Modes with EXCHANGE_INFO, pairs deleted when they idle,
 * deletes that want an answer.
 */
import assert from "node:assert/strict";
import { encodePayloads, type Header } from "../../isakmp/message.ts";
import { DOI, EXCHANGE, FLAG, NOTIFY, PROTOCOL } from "../../isakmp/numbers.ts";
import { type Payload, type PayloadOf, payload } from "../../isakmp/payloads.ts";
import { u32 } from "./peer-keys.ts";
import { clear, hostId, notify, one } from "./peer-payloads.ts";
import { isPhase2, modeOf, WindowsEnd } from "./windows-end.ts";

export type { WindowsOptions } from "./windows-end.ts";

import { espKeys } from "./windows-keys.ts";
import { offerPhase2, type Phase2Suite } from "./windows-releases.ts";

type Octets = Uint8Array;

const EMPTY = new Uint8Array(0);
const IDLE = 5 * 60_000;

export interface WindowsChild {
  readonly spiIn: number;
  readonly spiOut: number;
  readonly keyIn: Octets;
  readonly keyOut: Octets;
  usedAt: number;
  deleted: boolean;
}

interface Exchange {
  readonly messageId: number;
  readonly initiator: boolean;
  readonly spi: number;
  iv: Octets;
  ni: Octets;
  nr: Octets;
  step: number;
}

export class WindowsPeer extends WindowsEnd {
  readonly children: WindowsChild[] = [];
  /** Reliable deletes that were answered rightly, by message id. */
  readonly acknowledged = new Set<number>();
  readonly #exchanges = new Map<number, Exchange>();
  readonly #deletes = new Map<number, { readonly nonce: Octets; iv: Octets; readonly body: Octets }>();

  /** A Quick Mode for the two hosts. */
  quick(): void {
    const ex = this.#open(new DataView(this.random(4).buffer).getUint32(0), true);
    const sa = offerPhase2(this.release.phase2, ex.spi, this.nat?.mode);
    const ids = [hostId(this.address), hostId(this.to)];
    const rest = [sa, payload("nonce", { data: ex.ni }), ...ids, ...(this.nat?.originals() ?? []), ...this.#exchangeInfo()];
    const bytes = this.sealed(ex, EXCHANGE["Quick Mode"], [this.hash(u32(ex.messageId), encodePayloads(rest)), ...rest]);
    this.insist(() => this.out([bytes]));
  }

  /** A packet on the newest pair. */
  use(): void {
    const child = this.children.at(-1);
    if (child) child.usedAt = this.world.now;
  }

  /** Deletes the IKE SA; its pairs live on. */
  removeIke(): void {
    this.#delete(
      payload("delete", { doi: DOI.IPSEC, protocol: PROTOCOL.ISAKMP, spiSize: 16, spis: [Buffer.concat([this.cookieI, this.cookieR])] }),
    );
  }

  /** A status under encryption, about the Quick Mode that the engine began last: its message id stands behind the number. */
  refuse(status: number): void {
    const ex = [...this.#exchanges.values()].at(-1);
    assert.ok(ex && !ex.initiator);
    this.inform([notify(NOTIFY.NOTIFY_STATUS, PROTOCOL.ESP, new Uint8Array(8), Uint8Array.from([...u32(status), ...u32(ex.messageId)]))]);
  }

  /** An authentic Informational message. */
  inform(rest: readonly Payload[]): void {
    const messageId = new DataView(this.random(4).buffer).getUint32(0);
    const ex = { messageId, iv: this.phase2Iv(messageId) };
    this.out([this.sealed(ex, EXCHANGE.Informational, [this.hash(u32(messageId), encodePayloads(rest)), ...rest])]);
  }

  /** It answers no Quick Mode from now on. */
  deaf = false;

  protected override onForgotten(): void {
    this.#exchanges.clear();
  }

  #exchangeInfo(): readonly Payload[] {
    return this.release.discovery ? [notify(NOTIFY.EXCHANGE_INFO, PROTOCOL.ESP, EMPTY, u32(2))] : [];
  }

  // Quick Mode

  #open(messageId: number, initiator: boolean): Exchange {
    const spi = 0x4000 + this.children.length * 16 + this.#exchanges.size;
    const ex: Exchange = { messageId, initiator, spi, iv: this.phase2Iv(messageId), ni: this.random(20), nr: this.random(20), step: 0 };
    this.#exchanges.set(messageId, ex);
    return ex;
  }

  protected override onQuickMode(header: Header, body: Octets, content: string): void {
    if (!this.established) return;
    const known = this.#exchanges.get(header.messageId);
    const ex = known ?? this.#open(header.messageId, false);
    if (ex.step > 1 || (this.deaf && !ex.initiator)) return;
    const payloads = this.opened(header, body, ex.iv);
    ex.iv = body.slice(-this.needed.block);
    ex.step++;
    if (ex.initiator) {
      ex.step = 2;
      return this.#finish(ex, payloads, content);
    }
    if (ex.step === 1) return this.#answerRequest(ex, payloads);
    const proof = this.needed.prf(this.secret.a, Uint8Array.of(0), u32(ex.messageId), ex.ni, ex.nr);
    assert.deepEqual(one(payloads, "hash").data, proof, "HASH(3)");
  }

  #answerRequest(ex: Exchange, payloads: readonly Payload[]): void {
    this.check(payloads, u32(ex.messageId));
    ex.ni = one(payloads, "nonce").data.slice();
    const sa = one(payloads, "sa");
    const pairs = sa.proposals.flatMap((proposal) => proposal.transforms.map((transform) => ({ proposal, transform })));
    const chosen = this.release.phase2.flatMap((suite) =>
      pairs.filter(({ transform }) => isPhase2(transform, suite)).map((pair) => ({ ...pair, suite })),
    )[0];
    assert.ok(chosen, "one of our suites");
    const { proposal, transform, suite } = chosen;
    assert.equal(modeOf(transform), this.nat?.mode ?? 2, "the mode that a NAT asks for");
    this.nat?.hear(payloads, this.options.knownAs ?? this.address, true);
    const answer = [
      payload("sa", { ...sa, proposals: [{ ...proposal, spi: u32(ex.spi), transforms: [transform] }] }),
      payload("nonce", { data: ex.nr }),
      ...payloads.filter((p) => p.name === "id"),
      ...(this.nat?.originals() ?? []),
      ...this.#exchangeInfo(),
    ];
    this.#addChild(ex, suite, new DataView(proposal.spi.slice().buffer).getUint32(0));
    const hash = this.hash(u32(ex.messageId), ex.ni, encodePayloads(answer));
    this.out([this.sealed(ex, EXCHANGE["Quick Mode"], [hash, ...answer])]);
  }

  #finish(ex: Exchange, payloads: readonly Payload[], content: string): void {
    this.check(payloads, u32(ex.messageId), ex.ni);
    this.waiting = undefined;
    ex.nr = one(payloads, "nonce").data.slice();
    const [proposal] = one(payloads, "sa").proposals;
    const [transform] = proposal?.transforms ?? [];
    const suite = this.release.phase2.find((candidate) => transform && isPhase2(transform, candidate));
    assert.ok(proposal && transform && suite, "the answer is one of ours");
    assert.equal(modeOf(transform), this.nat?.mode ?? 2, "the mode that was offered");
    this.nat?.hear(payloads, this.options.knownAs ?? this.address, false);
    assert.ok(
      transform.attributes.some(({ type }) => type === 32_767),
      "the private attribute comes back",
    );
    this.#addChild(ex, suite, new DataView(proposal.spi.slice().buffer).getUint32(0));
    this.answering = content;
    this.out([this.sealed(ex, EXCHANGE["Quick Mode"], [this.hash(Uint8Array.of(0), u32(ex.messageId), ex.ni, ex.nr)])]);
  }

  #addChild(ex: Exchange, suite: Phase2Suite, spiOut: number): void {
    const keys = (spi: number) => espKeys(this.needed, this.secret.d, suite, u32(spi), ex.ni, ex.nr);
    const child: WindowsChild = {
      spiIn: ex.spi,
      spiOut,
      keyIn: keys(ex.spi),
      keyOut: keys(spiOut),
      usedAt: this.world.now,
      deleted: false,
    };
    this.children.push(child);
    this.#watch(child);
  }

  /** Deletes the pair when nobody has used it for long. */
  #watch(child: WindowsChild): void {
    const idle = this.options.idle ?? IDLE;
    this.world.after(child.usedAt + idle - this.world.now, () => {
      if (child.deleted || !this.established) return;
      if (this.world.now - child.usedAt < idle) return this.#watch(child);
      child.deleted = true;
      this.#delete(payload("delete", { doi: DOI.IPSEC, protocol: PROTOCOL.ESP, spiSize: 4, spis: [u32(child.spiIn)] }));
    });
  }

  // Informational

  /** MS-IKEE §3.8: HASH, NONCE, DELETE since XP; a plain delete before. */
  #delete(remove: PayloadOf<"delete">): void {
    if (!this.release.reliable) return this.inform([remove]);
    const messageId = new DataView(this.random(4).buffer).getUint32(0);
    const nonce = this.random(32);
    const rest = [payload("nonce", { data: nonce }), remove];
    const { bareNonce } = this.options;
    const covered = bareNonce ? [bareNonce === "yes" ? nonce : nonce.subarray(1), encodePayloads([remove])] : [encodePayloads(rest)];
    const ex = { messageId, iv: this.phase2Iv(messageId) };
    const bytes = this.sealed(ex, EXCHANGE.Informational, [this.hash(u32(messageId), ...covered), ...rest]);
    this.#deletes.set(messageId, { nonce, iv: ex.iv, body: remove.raw });
    const again = (tries: number): void => {
      if (this.acknowledged.has(messageId) || tries > 4) return;
      this.transmit(bytes);
      if (this.options.insistent) this.world.after(1000 * 2 ** tries, () => again(tries + 1));
    };
    again(0);
  }

  protected override onInformational(header: Header, body: Octets): void {
    if (!(header.flags & FLAG.ENCRYPTION)) {
      for (const p of clear(header, body)) if (p.name === "notify") this.notifies.push(p.value.type);
      return;
    }
    if (!this.keys) return;
    const reliable = this.#deletes.get(header.messageId);
    const payloads = this.opened(header, body, reliable?.iv ?? this.phase2Iv(header.messageId));
    if (reliable) return this.#onAcknowledged(header.messageId, reliable, payloads);
    this.check(payloads, u32(header.messageId));
    for (const p of payloads) {
      if (p.name === "notify") this.notifies.push(p.value.type);
      if (p.name === "delete")
        for (const child of this.children) if (p.value.spis.some((spi) => same(spi, u32(child.spiOut)))) child.deleted = true;
    }
  }

  /** HASH(2) = prf(SKEYID_a, Ni_b | M-ID | Nr | Delete). */
  #onAcknowledged(
    messageId: number,
    { nonce, body }: { readonly nonce: Octets; readonly body: Octets },
    payloads: readonly Payload[],
  ): void {
    assert.deepEqual(
      payloads.map(({ name }) => name),
      ["hash", "nonce", "delete"],
    );
    this.check(payloads, nonce, u32(messageId));
    assert.deepEqual(Uint8Array.from(payloads[2]?.raw ?? EMPTY), Uint8Array.from(body), "the delete comes back as it was");
    this.acknowledged.add(messageId);
  }
}

const same = (a: Octets, b: Octets): boolean => Buffer.compare(a, b) === 0;
