/**
 * What the Windows-like peer does behind a NAT (MS-IKEE §2.2.1, §2.2.2, §3.2): draft 02 until Server 2003, RFC 3947 since Vista; transport mode only;
 * the original address is told by the side behind the NAT alone. Written down without the core's own code for it.
 */
import assert from "node:assert/strict";
import { ID_TYPE } from "../../isakmp/numbers.ts";
import { type Payload, payload } from "../../isakmp/payloads.ts";
import type { Phase1Math } from "./windows-keys.ts";

type Octets = Uint8Array;

interface Ports {
  readonly from: number;
  readonly to: number;
}

/** Numbers of Encapsulation Mode: transport mode, and the same in UDP by the RFC and by the draft. */
const [TRANSPORT, TRANSPORT_RFC, TRANSPORT_DRAFT] = [2, 4, 61_444];

const ip = (address: string): Octets => Uint8Array.from(address.split(".").map(Number));
const be16 = (value: number): Octets => Uint8Array.of(value >> 8, value & 255);
const same = (a: Octets, b: Octets): boolean => Buffer.compare(a, b) === 0;

export class WindowsNat {
  ports: Ports = { from: 500, to: 500 };
  /** A NAT was found. */
  found = false;
  readonly #rfc: boolean;
  readonly #own: string;
  readonly #far: string;

  constructor(rfc: boolean, own: string, far: string) {
    this.#rfc = rfc;
    this.#own = own;
    this.#far = far;
  }

  forget(): void {
    this.ports = { from: 500, to: 500 };
    this.found = false;
  }

  #hash(math: Phase1Math, cookies: Octets, address: string, port: number): Octets {
    return math.hash(cookies, ip(address), be16(port));
  }

  /** The NAT-D payloads of message 3 or 4: the far end, then our own. */
  detection(math: Phase1Math, cookies: Octets): readonly Payload[] {
    const { from, to } = this.ports;
    return [this.#hash(math, cookies, this.#far, to), this.#hash(math, cookies, this.#own, from)].map((data) =>
      payload(this.#rfc ? "natD" : "natDDraft", { data }),
    );
  }

  /** Those of the engine: in the dialect that both know best, the first about us, the second about itself. */
  look(payloads: readonly Payload[], math: Phase1Math, cookies: Octets): void {
    const hashes = payloads.flatMap((p) => (p.name === "natD" || p.name === "natDDraft" ? [p] : []));
    assert.deepEqual(
      hashes.map(({ name }) => name),
      new Array(2).fill(this.#rfc ? "natD" : "natDDraft"),
      "NAT-D",
    );
    const [about, own] = hashes.map(({ value }) => value.data);
    assert.ok(about && own && same(own, this.#hash(math, cookies, this.#far, this.ports.to)), "nothing stands before the engine");
    this.found = !same(about, this.#hash(math, cookies, this.#own, this.ports.from));
  }

  /** With message 5. */
  float(): void {
    if (this.found) this.ports = { from: 4500, to: 4500 };
  }

  /** Encapsulation Mode of transport mode as it has to be now. */
  get mode(): number {
    return this.found ? (this.#rfc ? TRANSPORT_RFC : TRANSPORT_DRAFT) : TRANSPORT;
  }

  /** The engine's NAT-OA: by the RFC both ends, the initiator's first; by the draft its own alone. */
  hear(payloads: readonly Payload[], known: string, engineBegan: boolean): void {
    const got = payloads.flatMap((p) => (p.name === "natOa" || p.name === "natOaDraft" ? [p] : []));
    const ends = engineBegan ? [this.#far, known] : [known, this.#far];
    const expected = !this.found ? [] : this.#rfc ? ends : [this.#far];
    assert.deepEqual(
      got.map(({ name, value }) => [name, [...value.address].join(".")]),
      expected.map((address) => [this.#rfc ? "natOa" : "natOaDraft", address]),
      "NAT-OA",
    );
  }

  /** NAT-OA of a Quick Mode. */
  originals(): readonly Payload[] {
    if (!this.found) return [];
    return [payload(this.#rfc ? "natOa" : "natOaDraft", { type: ID_TYPE.ID_IPV4_ADDR, address: ip(this.#own) })];
  }
}
