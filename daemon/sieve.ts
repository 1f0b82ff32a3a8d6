/**
 * First messages under a flood: more of them than a processor can answer would fill the receive buffer, and every other message be lost with them.
 * So the kernel is told to let only a share of them through, chosen at random, before they cost anything. Whoever has a responder's cookie has been
 * answered before and always comes through; an honest first message that was dropped is repeated.
 * The share follows what comes, which is what came through and what the kernel says that it dropped, and shrinks for as long as the receive buffers
 * fill with first messages: how much a processor can answer is not known beforehand.
 */
import { bearsNoCookie, RESPONDER_COOKIE_AT } from "./first-message.ts";
import type { LogRecord } from "./log.ts";
import type { Native } from "./native.ts";

/** First messages a second that are let through at most, where the processor keeps up with them: that many cost most of it. */
const MOST_EACH_SECOND = 20_000;
/** Of a receive buffer: above the one there is no keeping up, below the other there is room for more. */
const [FULL, EMPTY] = [1 / 16, 1 / 64];
/** How fast the share shrinks and grows, from look to look. */
const [SHRINKING, GROWING] = [0.6, 1.15];
/** Between two looks. Milliseconds. */
const LOOK = 250;
/** Of the share; less is closed to honest peers as well. */
const LEAST_SHARE = 1 / 500;

export interface SieveOptions {
  readonly native: Pick<Native, "attachFilter" | "detachFilter" | "receiveBuffer"> | undefined;
  /** The share that comes through has changed: 1 is everything. */
  readonly onChange: (share: number) => void;
  readonly now?: () => number;
  readonly later?: (ms: number, act: () => void) => void;
}

export class Sieve {
  readonly #options: SieveOptions;
  /** Sockets, how many octets stand before a message there, and how many packets the kernel has dropped. */
  readonly #sockets = new Map<number, { readonly marker: number; drops: number }>();
  #share = 1;
  /** First messages, and others, since the last look. */
  #count = 0;
  #others = 0;
  #since = 0;
  #looking = false;

  constructor(options: SieveOptions) {
    this.#options = options;
  }

  /** A socket is open. `marker`: octets between the UDP header and the message (RFC 3948 §2.2). */
  add(fd: number, marker: number): void {
    this.#sockets.set(fd, { marker, drops: 0 });
    // One that an earlier run left in the descriptor store may have that run's program.
    this.#set(fd, marker);
  }

  remove(fd: number): void {
    this.#sockets.delete(fd);
  }

  /** Takes note of a message. */
  see(message: Uint8Array): void {
    // Without system calls nothing could be done about it.
    if (!this.#options.native || this.#sockets.size === 0) return;
    if (!bearsNoCookie(message)) {
      this.#others++;
      return;
    }
    this.#count++;
    if (this.#looking) return;
    this.#looking = true;
    this.#since = this.#now();
    // What was dropped before, in hours perhaps, did not come now.
    this.#measure();
    this.#others = 0;
    this.#later();
  }

  #now(): number {
    return (this.#options.now ?? performance.now.bind(performance))();
  }

  #later(): void {
    const act = (): void => this.#look();
    if (this.#options.later) this.#options.later(LOOK, act);
    else setTimeout(act, LOOK).unref();
  }

  #look(): void {
    const seconds = Math.max(1, this.#now() - this.#since) / 1000;
    const { dropped, fill } = this.#measure();
    const asked = this.#count / this.#share;
    // Where other messages are the greater part it is they who fill the buffers, and fewer first messages would not help.
    const toBlame = asked >= this.#others;
    const came = (toBlame ? this.#count + dropped : asked) / seconds;
    this.#count = 0;
    this.#others = 0;
    this.#since = this.#now();
    const most = Math.min(1, MOST_EACH_SECOND / Math.max(came, 1));
    const next = fill > FULL && toBlame ? this.#share * SHRINKING : fill < EMPTY || !toBlame ? this.#share * GROWING : this.#share;
    const share = Math.max(LEAST_SHARE, Math.min(next, most));
    if (share !== this.#share) this.#change(share);
    this.#looking = came > 0 || share < 1;
    if (this.#looking) this.#later();
  }

  /** Packets that the kernel dropped since the last look, by our program or for want of room, and how full the fullest buffer is. */
  #measure(): { readonly dropped: number; readonly fill: number } {
    let [dropped, fill] = [0, 0];
    for (const [fd, socket] of this.#sockets) {
      const buffer = this.#options.native?.receiveBuffer(fd);
      if (!buffer?.ok) continue;
      const { used, size, drops } = buffer.value;
      dropped += (drops - socket.drops) >>> 0;
      socket.drops = drops;
      fill = Math.max(fill, used / size);
    }
    return { dropped, fill };
  }

  #change(share: number): void {
    const before = this.#share;
    this.#share = share;
    for (const [fd, { marker }] of this.#sockets) this.#set(fd, marker);
    // Small steps are nobody's news.
    if (before === 1 || share === 1) this.#options.onChange(share);
  }

  #set(fd: number, marker: number): void {
    const { native } = this.#options;
    if (this.#share < 1) native?.attachFilter(fd, sieveProgram(marker, this.#share));
    else native?.detachFilter(fd);
  }
}

/** What the log says of it. */
export function sieveRecord(share: number): LogRecord {
  const began = share < 1;
  const text = began
    ? "first messages come faster than they can be answered: the kernel drops the rest before they cost anything, at random; who was answered before is not concerned"
    : "every first message comes through again";
  return { event: "svc.dos-mode", level: began ? "warning" : "notice", text, state: began ? "began" : "ended" };
}

const UDP_HEADER = 8;
/** Classic BPF (linux/filter.h): load a word, of the packet or of the kernel's dice; jump; return how much of the packet is kept. */
const [LOAD, JUMP_IF_EQUAL, JUMP_IF_AT_LEAST, RETURN] = [0x20, 0x15, 0x35, 0x06];
const RANDOM = 0xfffff038;
const ALL = 0xffffffff;

/** The program, eight octets an instruction in the machine's order: keeps `share` of the messages whose responder cookie is zero, and all others. */
export function sieveProgram(marker: number, share: number): Uint8Array {
  const cookie = UDP_HEADER + marker + RESPONDER_COOKIE_AT;
  const keep = 6;
  const drop = 7;
  const program: readonly (readonly [code: number, ifTrue: number, ifFalse: number, value: number])[] = [
    [LOAD, 0, 0, cookie],
    [JUMP_IF_EQUAL, 0, keep - 2, 0],
    [LOAD, 0, 0, cookie + 4],
    [JUMP_IF_EQUAL, 0, keep - 4, 0],
    [LOAD, 0, 0, RANDOM],
    [JUMP_IF_AT_LEAST, drop - 6, 0, Math.floor(share * ALL)],
    [RETURN, 0, 0, ALL],
    [RETURN, 0, 0, 0],
  ];
  const out = new Uint8Array(program.length * 8);
  for (const [i, [code, ifTrue, ifFalse, value]] of program.entries()) {
    new Uint16Array(out.buffer, i * 8, 1)[0] = code;
    out.set([ifTrue, ifFalse], i * 8 + 2);
    new Uint32Array(out.buffer, i * 8 + 4, 1)[0] = value;
  }
  return out;
}
