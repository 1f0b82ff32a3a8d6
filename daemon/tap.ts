/**
 * Watches the core at its only doors: inputs, effects, what it enciphers and deciphers, and the reasons that it gives. From that it makes the
 * entries of a trace. Because it sees the octets that the core itself read, SAs older than the trace are readable too.
 * Invariant: memory is bounded, keys are looked at only while somebody asked for them, and nothing here changes what the core does.
 */
import type { Crypto } from "../ike/crypto/provider.ts";
import type { Secret } from "../ike/crypto/secret.ts";
import type { Effect } from "../ike/effect.ts";
import type { Input, Path } from "../ike/input.ts";
import type { KernelSa } from "../ike/kernel-contract.ts";
import type { Note } from "../ike/note.ts";
import { toHex } from "../isakmp/hex.ts";
import { FLAG, PAYLOAD } from "../isakmp/numbers.ts";
import { describeCommand, formatSpi } from "../kernel/xfrm-args.ts";
import { isFirstMessage } from "./first-message.ts";
import type { KeyEntry, MessageEntry, NoteEntry, TapEntry } from "./trace-entry.ts";

/** Hears entries; those of one peer's address only, or of all where it is null. */
export interface TapListener {
  readonly peer: string | null;
  readonly take: (entry: TapEntry) => void;
  /** Wants keys; null: does not. */
  readonly takeKey: ((entry: KeyEntry) => void) | null;
  /** Wants first messages that came to nothing, too: a flood is made of them. */
  readonly strangers: boolean;
}

export interface Tap {
  /** To be given to the core in place of the one wrapped. */
  readonly crypto: Crypto;
  readonly note: Note;
  begin(input: Input): void;
  end(effects: readonly Effect[]): void;
  /** From now on; the answer ends it. */
  listen(listener: TapListener): () => void;
}

/** Decisions that one input may make us write down: a stranger's hundreds of transforms must not cost hundreds of sentences. */
const MOST_NOTES = 32;
const LONGEST_NOTE = 1024;
const HEADER_OCTETS = 28;

/** A tap around `crypto`. Messages on `natPort` are marked ones. `time`: milliseconds since 1970. */
export function createTap(crypto: Crypto, natPort: number, time: () => number = preciseTime): Tap {
  const listeners = new Set<TapListener>();
  const plains = new Plains();
  let keys: { readonly tail: string; readonly key: string }[] = [];
  let notes: string[] = [];
  let input: Input | undefined;
  let opened: Uint8Array | undefined;
  const wantsKeys = (): boolean => [...listeners].some(({ takeKey }) => takeKey !== null);
  const see = (sealed: Uint8Array, plain: Uint8Array, key: Uint8Array): void => {
    plains.put(sealed, plain);
    if (wantsKeys()) keys.push({ tail: tailOf(sealed), key: toHex(key) });
  };
  const publish = (to: readonly TapListener[], entries: readonly TapEntry[], effects: readonly Effect[]): void => {
    for (const listener of to) {
      const { peer, take, takeKey } = listener;
      const heard = entries.filter((entry) => peer === null || entry.peer === peer);
      if (takeKey) for (const entry of keyEntries(heard, effects, keys, peer, time())) takeKey(entry);
      for (const entry of heard) take(entry);
    }
  };
  return {
    crypto: watched(crypto, see, (sealed) => {
      opened = sealed;
    }),
    note(text) {
      if (notes.length < MOST_NOTES) notes.push(text().slice(0, LONGEST_NOTE));
    },
    begin(next) {
      [input, notes, keys, opened] = [next, [], [], undefined];
    },
    end(effects) {
      const idle = input !== undefined && effects.length === 0 && isFirstMessage(input);
      const hearing = [...listeners].filter(({ strangers }) => strangers || !idle);
      const whole = input?.type === "datagram" && opened ? wholeOf(input.bytes, opened) : undefined;
      if (input && hearing.length > 0) publish(hearing, entriesOf({ input, notes, effects, whole }, plains, natPort, time()), effects);
      [input, notes, keys, opened] = [undefined, [], [], undefined];
    },
    listen(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}

const preciseTime = (): number => performance.timeOrigin + performance.now();

type See = (sealed: Uint8Array, plain: Uint8Array, key: Uint8Array) => void;

/** The same cryptography, seen. */
const watched = (crypto: Crypto, see: See, open: (sealed: Uint8Array) => void): Crypto => ({
  ...crypto,
  encrypt(cipher, key, iv, data) {
    const sealed = crypto.encrypt(cipher, key, iv, data);
    see(sealed, data, key);
    return sealed;
  },
  decrypt(cipher, key, iv, data) {
    const plain = crypto.decrypt(cipher, key, iv, data);
    see(data, plain, key);
    open(data);
    return plain;
  },
});

/** Two messages with the same last blocks are the same message: they are ciphertext under a chain. */
const tailOf = (sealed: Uint8Array): string => `${sealed.length} ${toHex(sealed.subarray(-16))}`;

/** What stood under encryption, by ciphertext. The oldest make room: messages are sent again for a minute at most. */
class Plains {
  readonly #kept = new Map<string, Uint8Array>();
  #octets = 0;

  put(sealed: Uint8Array, plain: Uint8Array): void {
    const tail = tailOf(sealed);
    if (this.#kept.has(tail)) return;
    // A copy: the core works on octets that it uses again.
    this.#kept.set(tail, new Uint8Array(plain));
    this.#octets += plain.length + OVERHEAD;
    for (const [oldest, { length }] of this.#kept) {
      if (this.#octets <= MOST_OCTETS) break;
      this.#kept.delete(oldest);
      this.#octets -= length + OVERHEAD;
    }
  }

  of(sealed: Uint8Array): Uint8Array | null {
    return this.#kept.get(tailOf(sealed)) ?? null;
  }
}

const MOST_OCTETS = 1 << 20;
const OVERHEAD = 150;

const isSealed = (bytes: Uint8Array): boolean => ((bytes[19] ?? 0) & FLAG.ENCRYPTION) !== 0;
const bodyOf = (bytes: Uint8Array): Uint8Array => {
  const length = new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint32(24);
  return bytes.subarray(HEADER_OCTETS, Math.min(bytes.length, length));
};

const isFragment = (bytes: Uint8Array): boolean => bytes[16] === PAYLOAD.FRAGMENT;

/** The message in whose octets `sealed` lies, where `piece` was a fragment of it: the core puts it together with its header in front. */
function wholeOf(piece: Uint8Array, sealed: Uint8Array): Uint8Array | undefined {
  if (!isFragment(piece) || sealed.byteOffset < HEADER_OCTETS) return undefined;
  const whole = new Uint8Array(sealed.buffer, sealed.byteOffset - HEADER_OCTETS, sealed.length + HEADER_OCTETS);
  return cookieOf(whole) === cookieOf(piece) && !isFragment(whole) ? whole : undefined;
}

/** The octets that fragments carry, one behind the other. */
const joined = (effects: readonly Effect[]): Uint8Array =>
  Uint8Array.from(effects.flatMap((effect) => (effect.type === "send" ? [...effect.bytes.subarray(FRAGMENT_OVERHEAD)] : [])));

/** Header, generic header, id, number and flags. */
const FRAGMENT_OVERHEAD = HEADER_OCTETS + 8;

/** Whom an input, or else what came of it, is about. */
interface Subject {
  readonly peer: string;
  readonly cookie: string;
}

/** `whole`: the message that the input, a fragment, completed. */
interface Turn {
  readonly input: Input;
  readonly notes: readonly string[];
  readonly effects: readonly Effect[];
  readonly whole: Uint8Array | undefined;
}

/** One input and what it came to, in the order in which it happened. */
function entriesOf({ input, notes, effects, whole }: Turn, plains: Plains, natPort: number, at: number): readonly TapEntry[] {
  const subject = subjectOf(input, effects);
  const note = (text: string): NoteEntry => ({ kind: "note", at, ...subject, text });
  const message = (way: "in" | "out", { local, remote }: Path, bytes: Uint8Array, assembled = false): MessageEntry => ({
    ...{ kind: "message", at, peer: remote.address, cookie: cookieOf(bytes), way, local, remote, bytes },
    plain: bytes.length > HEADER_OCTETS && isSealed(bytes) ? plains.of(bodyOf(bytes)) : null,
    marked: local.port === natPort,
    assembled,
  });
  const entries: TapEntry[] = [];
  if (input.type === "datagram") entries.push(message("in", input.path, input.bytes));
  if (input.type === "datagram" && whole) entries.push(message("in", input.path, whole, true));
  const said = saidOf(input);
  if (said !== undefined) entries.push(note(said));
  for (const text of notes) entries.push(note(text));
  const pieces = effects.filter((effect) => effect.type === "send" && isFragment(effect.bytes));
  for (const effect of effects) {
    if (effect.type === "send" && effect === pieces[0]) entries.push(message("out", effect.path, joined(pieces), true));
    if (effect.type === "send") entries.push(message("out", effect.path, effect.bytes));
    else if (effect.type === "kernel" && subject.cookie !== "")
      for (const command of effect.commands) entries.push(note(`kernel: ${describeCommand(command)}`));
    else if (effect.type === "job") entries.push(note(`asks the provider of authentication: ${effect.job.kind}`));
    else if (effect.type === "event") {
      const { peer, ...rest } = effect.event;
      const cookie = rest.initiatorCookie ?? subject.cookie;
      entries.push({ kind: "event", at, peer: peer === undefined ? subject.peer : addressOf(peer), cookie, ...rest });
    }
  }
  return entries;
}

function subjectOf(input: Input, effects: readonly Effect[]): Subject {
  if (input.type === "datagram") return { peer: input.path.remote.address, cookie: cookieOf(input.bytes) };
  if (input.type === "send-failed") return { peer: input.path.remote.address, cookie: "" };
  for (const effect of effects) {
    if (effect.type === "send") return { peer: effect.path.remote.address, cookie: cookieOf(effect.bytes) };
    if (effect.type === "event" && effect.event.peer !== undefined)
      return { peer: addressOf(effect.event.peer), cookie: effect.event.initiatorCookie ?? "" };
  }
  if (input.type === "kernel-event" && input.event.type === "acquire") return { peer: input.event.destination, cookie: "" };
  for (const effect of effects)
    for (const command of effect.type === "kernel" ? effect.commands : [])
      if (command.do === "add-sa") return { peer: command.sa.destination, cookie: "" };
  return { peer: "", cookie: "" };
}

const cookieOf = (bytes: Uint8Array): string => toHex(bytes.subarray(0, 8));

/** `192.0.2.1:500` and `[2001:db8::1]:500` without the port. */
const addressOf = (peer: string): string => peer.replace(/^\[(.*)\]:\d+$/, "$1").replace(/^([\d.]+):\d+$/, "$1");

/** What an input says that nobody sees on the wire; undefined where it says nothing. */
function saidOf(input: Input): string | undefined {
  if (input.type === "send-failed") return `a message was not sent: ${input.why}`;
  if (input.type === "kernel-done")
    return input.outcome.ok ? undefined : `the kernel refused ${input.outcome.error.command}: ${input.outcome.error.reason}`;
  if (input.type === "job-done")
    return input.outcome.ok ? "the provider of authentication answered" : `the provider refused: ${input.outcome.error.what}`;
  if (input.type !== "kernel-event" || input.event.type === "policy-gone" || input.event.type === "policy-changed") return undefined;
  const { event } = input;
  if (event.type === "acquire") return `the kernel asks for an SA: a packet from ${event.source} to ${event.destination} waits`;
  if (event.type === "unknown-spis") return `the kernel met ${event.packets} packets with unknown SPIs`;
  if (event.type === "mapping")
    return `the kernel hears ${event.sa.protocol} ${formatSpi(event.sa.spi)} from ${event.from.address}:${event.from.port} now`;
  return `the kernel says that ${event.sa.protocol} ${formatSpi(event.sa.spi)} ${event.hard ? "has expired" : "nears its end"}`;
}

/** Keys of the messages that a listener hears, and of the SAs that go into the kernel. */
function keyEntries(
  entries: readonly TapEntry[],
  effects: readonly Effect[],
  keys: readonly { readonly tail: string; readonly key: string }[],
  peer: string | null,
  at: number,
): readonly KeyEntry[] {
  const found: KeyEntry[] = [];
  for (const entry of entries) {
    if (entry.kind !== "message" || !isSealed(entry.bytes) || entry.bytes.length <= HEADER_OCTETS) continue;
    const tail = tailOf(bodyOf(entry.bytes));
    const used = keys.find((each) => each.tail === tail);
    if (used) found.push({ kind: "ike-key", at, peer: entry.peer, cookie: entry.cookie, key: used.key });
  }
  for (const effect of effects)
    for (const command of effect.type === "kernel" ? effect.commands : []) {
      if (command.do !== "add-sa" || command.sa.protocol !== "esp") continue;
      const { source, destination } = command.sa;
      if (peer === null || peer === source || peer === destination) found.push(espKey(command.sa, peer ?? "", at));
    }
  return found;
}

function espKey(sa: KernelSa, peer: string, at: number): KeyEntry {
  const { source, destination, spi, encryption, integrity, aead } = sa;
  const cipher = aead ?? encryption;
  return {
    ...{ kind: "esp-key", at, peer, cookie: "", source, destination, spi: formatSpi(spi) },
    encryption: cipher?.name ?? "",
    encryptionKey: cipher ? keyText(cipher.key) : "",
    integrity: integrity?.name ?? "",
    integrityBits: integrity?.truncateBits ?? 0,
    integrityKey: integrity ? keyText(integrity.key) : "",
  };
}

const keyText = (key: Secret): string => key.use(toHex);
