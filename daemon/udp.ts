/**
 * UDP: one socket per served address and port, 500 and 4500, so that the local end of every path is known.
 * Invariant: what the core sees and sends are ISAKMP messages; the non-ESP marker and keepalives of port 4500 (RFC 3948 §2.2, §2.3) stay here.
 * Each socket carries policies of its own that let IKE pass by IPsec; where that can't be done the kernel port has to (`bypass.ts`).
 */
import type { Socket } from "node:dgram";
import type { Path } from "../ike/input.ts";
import { canonicalAddress, formatEndpoint } from "../isakmp/address.ts";
import type { DescriptorStore } from "./descriptors.ts";
import type { Native } from "./native.ts";
import { Sieve } from "./sieve.ts";
import { codeOf, openSocket } from "./udp-socket.ts";

/** `ike` speaks bare ISAKMP (port 500), `nat` puts four zero octets in front (port 4500). */
export type Role = "ike" | "nat";

export interface Endpoint {
  readonly address: string;
  readonly port: number;
  readonly role: Role;
  /** Whether the socket itself lets IKE pass by IPsec policies. */
  readonly bypass: boolean;
}

export interface UdpProblem {
  readonly what: "open" | "send" | "receive";
  readonly code: string;
  readonly address: string;
  readonly port: number;
  /** Of a message that could not be sent, and why. */
  readonly unsent: { readonly path: Path; readonly why: string } | null;
  readonly text: string;
}

export interface UdpOptions {
  readonly port: number;
  readonly natPort: number;
  readonly native: Native | undefined;
  /** Where sockets wait for the next run. */
  readonly store?: DescriptorStore;
  readonly onDatagram: (path: Path, bytes: Uint8Array) => void;
  readonly onProblem: (problem: UdpProblem) => void;
  /** Only this share of first messages reaches us from now on; 1: all. */
  readonly onSieve?: (share: number) => void;
  /** First delay before a failed socket is tried again; it doubles up to 30 s. */
  readonly retryMs?: number;
}

interface Open {
  readonly fd: number | null;
  readonly socket: Socket;
  readonly endpoint: Endpoint;
}

/** A wanted socket: open, being tried, or waiting for its next try. */
interface Slot {
  readonly address: string;
  readonly role: Role;
  readonly wantedPort: number;
  open: Open | undefined;
  timer: NodeJS.Timeout | undefined;
  failures: number;
  closed: boolean;
}

const ROLES: readonly Role[] = ["ike", "nat"];
const MARKER = new Uint8Array(4);
const KEEPALIVE = Uint8Array.of(0xff);
const LONGEST_WAIT_MS = 30_000;

/** The sockets of the daemon. */
export class Udp {
  readonly #options: UdpOptions;
  readonly #slots = new Map<string, Slot>();
  readonly #open = new Map<string, Open>();
  readonly #sieve: Sieve;

  constructor(options: UdpOptions) {
    this.#options = options;
    this.#sieve = new Sieve({ native: options.native, onChange: options.onSieve ?? (() => {}) });
  }

  /** Sockets that are open. */
  get endpoints(): readonly Endpoint[] {
    return [...this.#open.values()].map(({ endpoint }) => endpoint);
  }

  /** Opens and closes sockets until they match `addresses`. Resolves when each missing one was tried once; failures are tried again later. */
  async serve(addresses: readonly string[]): Promise<void> {
    const wanted = addresses.flatMap((address) => ROLES.map((role) => ({ key: `${role} ${address}`, address, role })));
    const keys = new Set(wanted.map(({ key }) => key));
    for (const [key, slot] of this.#slots) if (!keys.has(key)) this.#drop(key, slot);
    const fresh = wanted.filter(({ key }) => !this.#slots.has(key));
    const waiting = [...this.#slots.values()].filter(({ timer }) => timer !== undefined);
    await Promise.all([...waiting.map((slot) => this.#try(slot)), ...fresh.map(({ key, address, role }) => this.#add(key, address, role))]);
    this.#options.store?.closeRest();
  }

  /** Sends from the socket of `path.local`; never throws, a failure is told to `onProblem`. */
  send(path: Path, bytes: Uint8Array): void {
    const { local, remote } = path;
    const to = formatEndpoint(remote.address, remote.port);
    const problem = (code: string, why: string): void =>
      this.#options.onProblem({ what: "send", code, ...local, unsent: { path, why }, text: `nothing sent to ${to}: ${why}` });
    const from = this.#open.get(endpointKey(local));
    if (!from) {
      problem("no-socket", `no socket on ${formatEndpoint(local.address, local.port)}`);
      return;
    }
    try {
      from.socket.send(from.endpoint.role === "nat" ? [MARKER, bytes] : bytes, remote.port, remote.address, (error) => {
        if (error) problem(codeOf(error), error.message);
      });
    } catch (error) {
      problem("bug", String(error));
    }
  }

  /** One octet 0xff (RFC 3948 §2.3): nobody reads it, so that a failure is worth no word. */
  keepalive({ local, remote }: Path): void {
    this.#open.get(endpointKey(local))?.socket.send(KEEPALIVE, remote.port, remote.address, () => {});
  }

  /** Closes every socket. `keep`: the next run finds them in the descriptor store. */
  close(keep = false): void {
    for (const [key, slot] of this.#slots) {
      if (keep) this.#slots.delete(key);
      else this.#drop(key, slot);
      if (keep) this.#end(slot);
    }
  }

  #end(slot: Slot): void {
    slot.closed = true;
    clearTimeout(slot.timer);
    this.#shut(slot);
  }

  async #add(key: string, address: string, role: Role): Promise<void> {
    const wantedPort = role === "ike" ? this.#options.port : this.#options.natPort;
    const slot: Slot = { address, role, wantedPort, open: undefined, timer: undefined, failures: 0, closed: false };
    this.#slots.set(key, slot);
    await this.#try(slot);
  }

  #drop(key: string, slot: Slot): void {
    this.#slots.delete(key);
    this.#options.store?.forget(slot.address, slot.wantedPort);
    this.#end(slot);
  }

  #shut(slot: Slot): void {
    if (!slot.open) return;
    this.#open.delete(endpointKey(slot.open.endpoint));
    if (slot.open.fd !== null) this.#sieve.remove(slot.open.fd);
    slot.open.socket.close();
    slot.open = undefined;
  }

  async #try(slot: Slot): Promise<void> {
    clearTimeout(slot.timer);
    slot.timer = undefined;
    const opened = await openSocket(slot.address, slot.wantedPort, slot.role === "nat", this.#options.native, this.#options.store);
    if (!opened.ok) {
      if (!slot.closed) this.#failed(slot, "open", opened.error.code, opened.error.text);
      return;
    }
    const { socket, bypass, fd } = opened.value;
    if (slot.closed) {
      socket.close();
      return;
    }
    const endpoint: Endpoint = { address: slot.address, port: socket.address().port, role: slot.role, bypass };
    slot.open = { socket, endpoint, fd };
    if (fd !== null) this.#sieve.add(fd, slot.role === "nat" ? MARKER.length : 0);
    slot.failures = 0;
    this.#open.set(endpointKey(endpoint), slot.open);
    socket.on("message", (message, from) => this.#received(endpoint, message, from.address, from.port));
    socket.on("error", (error) => {
      this.#shut(slot);
      if (!slot.closed) this.#failed(slot, "receive", codeOf(error), error.message);
    });
  }

  /** An address that has just come may be tentative for a second or two (RFC 4862 §5.4): that is worth no line in the log. */
  #failed(slot: Slot, what: "open" | "receive", code: string, text: string): void {
    slot.failures++;
    if (code !== "EADDRNOTAVAIL" ? slot.failures === 1 : slot.failures === 4)
      this.#options.onProblem({ what, code, address: slot.address, port: slot.wantedPort, unsent: null, text });
    const wait = Math.min((this.#options.retryMs ?? 500) * 2 ** (slot.failures - 1), LONGEST_WAIT_MS);
    slot.timer = setTimeout(() => void this.#try(slot), wait);
  }

  #received(endpoint: Endpoint, message: Buffer, from: string, port: number): void {
    const address = canonicalAddress(from);
    const bytes = withoutMarker(endpoint.role, new Uint8Array(message.buffer, message.byteOffset, message.length));
    if (address === undefined || port === 0 || bytes === undefined) return;
    this.#sieve.see(bytes);
    this.#options.onDatagram({ local: { address: endpoint.address, port: endpoint.port }, remote: { address, port } }, bytes);
  }
}

/** The ISAKMP message in a datagram, a view; undefined for keepalives (one octet 0xFF), ESP and other noise on 4500. */
export function withoutMarker(role: Role, bytes: Uint8Array): Uint8Array | undefined {
  if (role === "ike") return bytes.length === 1 && bytes[0] === 0xff ? undefined : bytes;
  const marked = bytes.length > MARKER.length && MARKER.every((octet, i) => bytes[i] === octet);
  return marked ? bytes.subarray(MARKER.length) : undefined;
}

const endpointKey = (end: { readonly address: string; readonly port: number }): string => `${end.port} ${end.address}`;
