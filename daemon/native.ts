/**
 * The few system calls that Node has no name for, through koffi: socket options, unix datagrams, peer credentials, process limits.
 * Invariant: nothing here blocks, and every failure is a value. Without koffi its users fall back.
 * Constants are Linux's and the same on every architecture that Node runs on, MIPS aside.
 */
import { err, ok, type Result } from "../isakmp/result.ts";

/** A system call that failed: errno and its name where we know it. */
export interface SystemError {
  readonly call: string;
  readonly errno: number;
  readonly code: string;
}

/** One end of a socket: address family and octets of `struct sockaddr`. */
type Sockaddr = Uint8Array;

export interface Native {
  /** A datagram socket of a family, non-blocking and closed on exec. */
  socket(family: number): Result<number, SystemError>;
  bind(fd: number, address: Sockaddr): Result<number, SystemError>;
  connect(fd: number, address: Sockaddr): Result<number, SystemError>;
  setOption(fd: number, level: number, name: number, value: Uint8Array): Result<number, SystemError>;
  /** Lets a program of classic BPF decide which packets a socket gets (socket(7), SO_ATTACH_FILTER): eight octets an instruction. */
  attachFilter(fd: number, program: Uint8Array): Result<number, SystemError>;
  /** All packets again. */
  detachFilter(fd: number): Result<number, SystemError>;
  /** What stands in a socket's receive buffer, and how many packets it never got. */
  receiveBuffer(fd: number): Result<ReceiveBuffer, SystemError>;
  /** At most `size` octets of an option's value. */
  getOption(fd: number, level: number, name: number, size: number): Result<Uint8Array, SystemError>;
  /** The local end of a socket. */
  localEnd(fd: number): Result<Sockaddr, SystemError>;
  /** One datagram to an address; EAGAIN where it would block. */
  sendTo(fd: number, bytes: Uint8Array, address: Sockaddr): Result<number, SystemError>;
  /** One datagram with a descriptor as its luggage (SCM_RIGHTS, unix(7)). */
  sendDescriptor(fd: number, bytes: Uint8Array, address: Sockaddr, luggage: number): Result<number, SystemError>;
  close(fd: number): void;
  /** One of prctl(2)'s. */
  prctl(option: number, a: number, b: number): Result<number, SystemError>;
  /** Sets the calling thread's effective, permitted and inheritable capabilities to the same set: 64 bits. */
  setCapabilities(bits: bigint): Result<number, SystemError>;
  /** No core dumps, and no reading of our memory by other processes of the same user. */
  hideMemory(): Result<number, SystemError>;
}

/** SO_MEMINFO of linux/sock_diag.h: octets used, octets in all, and a count of packets dropped, by a program or for want of room (32 bits). */
export interface ReceiveBuffer {
  readonly used: number;
  readonly size: number;
  readonly drops: number;
}

export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;

let loaded: Promise<Result<Native, string>> | undefined;

/** The calls, or why there are none: koffi is not installed or can't reach the C library. Loaded once. */
export function loadNative(): Promise<Result<Native, string>> {
  loaded ??= import("koffi")
    .then((koffi) => ok(makeNative(koffi)))
    .catch((error: unknown) => err(`koffi can't be used: ${String(error).split("\n")[0]}`));
  return loaded;
}

/** `struct sockaddr_in` or `sockaddr_in6` for octets of an address (4 or 16) and a port. */
export function inetAddress(address: Uint8Array, port: number): Sockaddr {
  const out = new Uint8Array(address.length === 4 ? 16 : 28);
  const view = new DataView(out.buffer);
  new Uint16Array(out.buffer, 0, 1)[0] = address.length === 4 ? AF_INET : AF_INET6;
  view.setUint16(2, port);
  out.set(address, address.length === 4 ? 4 : 8);
  return out;
}

/** The address octets (4 or 16) of a `struct sockaddr`, or undefined for another family. */
export function inetOctets(address: Sockaddr): Uint8Array | undefined {
  if (address.length < 2) return undefined;
  const family = new Uint16Array(address.slice(0, 2).buffer)[0];
  if (family === AF_INET && address.length >= 8) return address.slice(4, 8);
  if (family === AF_INET6 && address.length >= 24) return address.slice(8, 24);
  return undefined;
}

/** `struct sockaddr_un`; a leading `@` means an abstract name. Undefined for a name that does not fit into 107 octets. */
export function unixAddress(name: string): Sockaddr | undefined {
  const text = new TextEncoder().encode(name);
  if (text.length === 0 || text.length > 107) return undefined;
  const abstract = name.startsWith("@");
  // An abstract name ends where the address ends; a path ends with a zero.
  const out = new Uint8Array(2 + text.length + (abstract ? 0 : 1));
  new Uint16Array(out.buffer, 0, 1)[0] = AF_UNIX;
  out.set(text, 2);
  if (abstract) out[2] = 0;
  return out;
}

/** An `int` option value in host order. */
export const intOption = (value: number): Uint8Array => new Uint8Array(Int32Array.of(value).buffer);

const [SOCK_DGRAM, SOCK_NONBLOCK, SOCK_CLOEXEC] = [2, 0o4000, 0o2000000];
const [MSG_DONTWAIT, MSG_NOSIGNAL] = [0x40, 0x4000];
const [RLIMIT_CORE, PR_SET_DUMPABLE] = [4, 4];
const [SOL_SOCKET, SO_ATTACH_FILTER, SO_DETACH_FILTER, SO_MEMINFO] = [1, 26, 27, 55];
const MEMINFO_OCTETS = 36;
const LINUX_CAPABILITY_VERSION_3 = 0x20080522;

const ERRNO: Readonly<Record<number, string>> = {
  1: "EPERM",
  2: "ENOENT",
  11: "EAGAIN",
  13: "EACCES",
  22: "EINVAL",
  90: "EMSGSIZE",
  92: "ENOPROTOOPT",
  95: "EOPNOTSUPP",
  97: "EAFNOSUPPORT",
  98: "EADDRINUSE",
  99: "EADDRNOTAVAIL",
  101: "ENETUNREACH",
  111: "ECONNREFUSED",
  113: "EHOSTUNREACH",
};

/** `struct cmsghdr` with one descriptor: length (size_t), level, type, the descriptor, and padding to eight octets. */
function rights(fd: number): Uint8Array {
  const [SOL_SOCKET, SCM_RIGHTS] = [1, 1];
  const out = new Uint8Array(24);
  new BigUint64Array(out.buffer, 0, 1)[0] = 20n;
  new Int32Array(out.buffer, 8, 3).set([SOL_SOCKET, SCM_RIGHTS, fd]);
  return out;
}

type Koffi = typeof import("koffi");
type Call = (...args: unknown[]) => unknown;

function makeNative(koffi: Koffi): Native {
  const c = libc(koffi);
  const checked = (call: string, value: unknown): Result<number, SystemError> => {
    if (Number(value) >= 0) return ok(Number(value));
    const errno = koffi.errno();
    return err({ call, errno, code: ERRNO[errno] ?? `errno ${errno}` });
  };
  const getOption = (fd: number, level: number, name: number, size: number): Result<Uint8Array, SystemError> => {
    const [value, length] = [new Uint8Array(size), Int32Array.of(size)];
    const done = checked("getsockopt", c.getsockopt(fd, level, name, value, length));
    return done.ok ? ok(value.subarray(0, length[0])) : done;
  };
  return {
    socket: (family) => checked("socket", c.socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)),
    bind: (fd, address) => checked("bind", c.bind(fd, address, address.length)),
    connect: (fd, address) => checked("connect", c.connect(fd, address, address.length)),
    setOption: (fd, level, name, value) => checked("setsockopt", c.setsockopt(fd, level, name, value, value.length)),
    attachFilter: (fd, program) =>
      checked("setsockopt", c.setFilter(fd, SOL_SOCKET, SO_ATTACH_FILTER, { length: program.length / 8, program }, 16)),
    detachFilter: (fd) => checked("setsockopt", c.setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, intOption(0), 4)),
    getOption,
    receiveBuffer: (fd) => {
      const got = getOption(fd, SOL_SOCKET, SO_MEMINFO, MEMINFO_OCTETS);
      if (!got.ok) return got;
      const [used = 0, size = 0, , , , , , , drops = 0] = new Uint32Array(got.value.slice().buffer);
      return ok({ used, size: Math.max(size, 1), drops });
    },
    localEnd: (fd) => {
      const [value, length] = [new Uint8Array(128), Int32Array.of(128)];
      const done = checked("getsockname", c.getsockname(fd, value, length));
      return done.ok ? ok(value.subarray(0, length[0])) : done;
    },
    sendTo: (fd, bytes, address) =>
      checked("sendto", c.sendto(fd, bytes, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL, address, address.length)),
    sendDescriptor: (fd, bytes, address, luggage) => {
      const control = rights(luggage);
      const iov = [{ base: bytes, length: bytes.length }];
      const message = { name: address, namelen: address.length, iov, iovlen: 1, control, controllen: control.length, flags: 0 };
      return checked("sendmsg", c.sendmsg(fd, message, MSG_DONTWAIT | MSG_NOSIGNAL));
    },
    close: (fd) => void c.close(fd),
    prctl: (option, a, b) => checked("prctl", c.prctl(option, a, b, 0, 0)),
    setCapabilities: (bits) => {
      const [low, high] = [Number(bits & 0xffffffffn), Number(bits >> 32n)];
      return checked("capset", c.capset(Uint32Array.of(LINUX_CAPABILITY_VERSION_3, 0), Uint32Array.of(low, low, low, high, high, high)));
    },
    hideMemory: () => {
      const limited = checked("setrlimit", c.setrlimit(RLIMIT_CORE, new BigUint64Array(2)));
      const hidden = checked("prctl", c.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0));
      return limited.ok ? hidden : limited;
    },
  };
}

/** `rlim_t` and `unsigned long` are 64 bits wide where Node runs; 32-bit ARM would need its own row. */
function libc(koffi: Koffi) {
  const lib = koffi.load(null);
  const func = (definition: string) => lib.func(definition) as Call;
  koffi.struct("mainmode_iovec", { base: "const uint8_t *", length: "size_t" });
  koffi.struct("mainmode_msghdr", {
    name: "const uint8_t *",
    namelen: "uint32_t",
    iov: "mainmode_iovec *",
    iovlen: "size_t",
    control: "const uint8_t *",
    controllen: "size_t",
    flags: "int",
  });
  koffi.struct("mainmode_fprog", { length: "uint16_t", program: "const uint8_t *" });
  return {
    setFilter: func("int setsockopt(int fd, int level, int name, const mainmode_fprog *value, uint32_t length)"),
    socket: func("int socket(int family, int type, int protocol)"),
    bind: func("int bind(int fd, const uint8_t *address, uint32_t length)"),
    connect: func("int connect(int fd, const uint8_t *address, uint32_t length)"),
    setsockopt: func("int setsockopt(int fd, int level, int name, const uint8_t *value, uint32_t length)"),
    getsockopt: func("int getsockopt(int fd, int level, int name, _Out_ uint8_t *value, _Inout_ int32_t *length)"),
    getsockname: func("int getsockname(int fd, _Out_ uint8_t *address, _Inout_ int32_t *length)"),
    sendto: func("long sendto(int fd, const uint8_t *bytes, size_t size, int flags, const uint8_t *address, uint32_t length)"),
    sendmsg: func("long sendmsg(int fd, const mainmode_msghdr *message, int flags)"),
    close: func("int close(int fd)"),
    setrlimit: func("int setrlimit(int resource, const uint64_t *limit)"),
    capset: func("int capset(const uint32_t *header, const uint32_t *data)"),
    prctl: func("int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)"),
  };
}
