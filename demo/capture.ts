/**
 * The wire between two namespaces, captured as tcpdump would: a packet socket (packet(7)) opened inside of a namespace through koffi.
 * Everything here is synchronous on the main thread, so that no other code ever runs in the wrong namespace.
 */
import { closeSync, openSync } from "node:fs";
import type { Frame } from "./packets.ts";

export interface Capture {
  /** Frames so far, oldest first. */
  readonly frames: readonly Frame[];
  /** Takes what the kernel still holds, and closes. Idempotent. */
  stop(): void;
}

/** Captures a device of the namespace that a file stands for, in both directions. Throws where the system refuses. */
export async function captureWire(namespace: string, device: string): Promise<Capture> {
  const calls = libc(await import("koffi"));
  const fd = inNamespace(calls, namespace, () => openPacketSocket(calls, device));
  const frames: Frame[] = [];
  const [buffer, stamp] = [new Uint8Array(65_536), new BigInt64Array(2)];
  // From the first request on the kernel stamps packets as they come (SIOCGSTAMP, socket(7)).
  calls.ioctl(fd, SIOCGSTAMP, stamp);
  const take = (): void => {
    for (let size = Number(calls.recv(fd, buffer, buffer.length, MSG_DONTWAIT)); size > 0; ) {
      const stamped = Number(calls.ioctl(fd, SIOCGSTAMP, stamp)) === 0;
      const at = stamped ? Number(stamp[0]) * 1000 + Number(stamp[1]) / 1000 : Date.now();
      frames.push({ at, octets: buffer.slice(0, size) });
      size = Number(calls.recv(fd, buffer, buffer.length, MSG_DONTWAIT));
    }
  };
  const timer = setInterval(take, 20);
  let open = true;
  return {
    frames,
    stop() {
      if (!open) return;
      open = false;
      clearInterval(timer);
      take();
      calls.close(fd);
    },
  };
}

type Koffi = typeof import("koffi");
type Call = (...args: unknown[]) => unknown;
type Calls = ReturnType<typeof libc>;

// The same on every architecture that Node runs on, MIPS aside.
const [AF_PACKET, SOCK_RAW, SOCK_CLOEXEC, ETH_P_ALL] = [17, 3, 0o2000000, 3];
const [CLONE_NEWNET, MSG_DONTWAIT, SIOCGSTAMP] = [0x40000000, 0x40, 0x8906];

/** `struct timeval` has two fields of 64 bits where Node runs. */
function libc(koffi: Koffi) {
  const lib = koffi.load(null);
  const func = (definition: string) => lib.func(definition) as Call;
  return {
    setns: func("int setns(int fd, int type)"),
    socket: func("int socket(int family, int type, int protocol)"),
    bind: func("int bind(int fd, const uint8_t *address, uint32_t length)"),
    index: func("uint32_t if_nametoindex(const char *name)"),
    recv: func("long recv(int fd, _Out_ uint8_t *buffer, size_t size, int flags)"),
    ioctl: func("int ioctl(int fd, unsigned long request, _Out_ int64_t *value)"),
    close: func("int close(int fd)"),
    errno: () => koffi.errno(),
  };
}

/** Runs `f` in another network namespace. A socket stays in the one where it was made. */
function inNamespace<T>(calls: Calls, path: string, f: () => T): T {
  const [own, other] = [openSync("/proc/thread-self/ns/net", "r"), openSync(path, "r")];
  try {
    check(calls, "setns", calls.setns(other, CLONE_NEWNET));
    return f();
  } finally {
    calls.setns(own, CLONE_NEWNET);
    closeSync(own);
    closeSync(other);
  }
}

function openPacketSocket(calls: Calls, device: string): number {
  const index = Number(calls.index(device));
  if (index === 0) throw new Error(`no device ${device}`);
  // The protocol in network order. It is given to bind only: before that the socket must not see other devices.
  const fd = check(calls, "socket", calls.socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
  // struct sockaddr_ll: family, protocol, index of the device, and 12 octets that bind does not read.
  const address = new Uint8Array(20);
  new Uint16Array(address.buffer, 0, 1)[0] = AF_PACKET;
  new DataView(address.buffer).setUint16(2, ETH_P_ALL);
  new Int32Array(address.buffer, 4, 1)[0] = index;
  check(calls, "bind", calls.bind(fd, address, address.length));
  return fd;
}

function check(calls: Calls, call: string, value: unknown): number {
  if (Number(value) < 0) throw new Error(`${call}: errno ${calls.errno()}`);
  return Number(value);
}
