/**
 * What comes in while a start still asks what the last run left: an engine without a policy would refuse a peer's first message in clear, which ends its
 * negotiation, and forget what traffic asks for, which the kernel does not repeat for 30 s. It waits here, in its order.
 * Invariant: what waits is bounded in number and octets, whoever sends.
 */
import type { Input } from "../ike/input.ts";
import { isFirstMessage } from "./first-message.ts";

type Waiting = Extract<Input, { type: "datagram" | "kernel-event" }>;

/** Where what comes in goes, and who is told of each input that is dropped. */
export interface EarlyParts {
  readonly push: (input: Input) => void;
  readonly onDropped: () => void;
}

/** Their senders repeat them. */
const MOST_DATAGRAMS = 512;
/** Of these, first messages of strangers: a flood of them leaves room for those who are known already. */
const MOST_STRANGERS = 256;
const MOST_OCTETS = 1 << 20;
/** Beyond this a later packet asks for its SA again, and the engine hears that any policy may be gone. */
const MOST_EVENTS = 4096;

export class Early {
  readonly #parts: EarlyParts;
  /** Undefined: nothing waits any more. */
  #held: Waiting[] | undefined = [];
  #datagrams = 0;
  #strangers = 0;
  #octets = 0;
  #events = 0;
  #isLost = false;

  constructor(parts: EarlyParts) {
    this.#parts = parts;
  }

  /** Takes an input: it waits until `open`, and is passed on at once after that. */
  push(input: Waiting): void {
    if (!this.#held) return this.#parts.push(input);
    if (input.type === "datagram" ? this.#takes(input) : this.#takesEvent(input)) this.#held.push(input);
    else this.#parts.onDropped();
  }

  /** The engine has its policy, or will before anything else: passes on what waited. */
  open(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const input of held) this.#parts.push(input);
    if (this.#isLost) this.#parts.push({ type: "kernel-event", event: { type: "policy-gone", policy: null } });
    this.#isLost = false;
  }

  #takes(input: Extract<Waiting, { type: "datagram" }>): boolean {
    const { length } = input.bytes;
    const isStranger = isFirstMessage(input);
    const isFull = this.#datagrams >= MOST_DATAGRAMS || this.#octets + length > MOST_OCTETS;
    if (isFull || (isStranger && this.#strangers >= MOST_STRANGERS)) return false;
    this.#datagrams++;
    this.#octets += length;
    if (isStranger) this.#strangers++;
    return true;
  }

  #takesEvent({ event }: Extract<Waiting, { type: "kernel-event" }>): boolean {
    const fits = this.#events++ < MOST_EVENTS;
    if (!fits && event.type !== "acquire") this.#isLost = true;
    return fits;
  }
}
