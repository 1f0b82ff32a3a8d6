/**
 * Sockets that outlive the process, in systemd's descriptor store (sd_notify(3), FDSTORE): decapsulation of UDP-encapsulated ESP ends with
 * its socket, so a restart must not close it. Outside of systemd there is no store, and sockets are opened anew.
 */
import { fstatSync } from "node:fs";
import { AF_UNIX, type Native, unixAddress } from "./native.ts";

export interface DescriptorStore {
  /** A socket that an earlier run has left for an address and port, or undefined; each is given once. */
  take(address: string, port: number): number | undefined;
  /** Leaves a socket to the next run. */
  keep(address: string, port: number, fd: number): void;
  /** The address is gone, or the daemon stops for good. */
  forget(address: string, port: number): void;
  /** Closes what nobody took. */
  closeRest(): void;
}

/** What systemd tells a service about the descriptors that it is given. */
export interface StoreEnvironment {
  readonly NOTIFY_SOCKET?: string | undefined;
  readonly LISTEN_PID?: string | undefined;
  readonly LISTEN_FDS?: string | undefined;
  readonly LISTEN_FDNAMES?: string | undefined;
}

/** The first descriptor that a service is given. */
const FIRST = 3;
const MOST = 1024;
const PREFIX = "mainmode-";

/** Of the control socket where systemd listens in our place (FileDescriptorName= in mainmode.socket). */
const CONTROL = "control";

/** The listening control socket that systemd holds for this service; undefined where it holds none. */
export const controlDescriptor = (env: StoreEnvironment, pid = process.pid): number | undefined => given(env, pid).get(CONTROL);

/** The store of this service; without systemd or koffi one that holds nothing. */
export function descriptorStore(env: StoreEnvironment, native: Native | undefined, pid = process.pid): DescriptorStore {
  const left = new Map(native ? [...given(env, pid)].filter(([name]) => name.startsWith(PREFIX)) : []);
  const tell = (text: string, fd?: number): void => {
    const address = env.NOTIFY_SOCKET && /^[/@]/.test(env.NOTIFY_SOCKET) ? unixAddress(env.NOTIFY_SOCKET) : undefined;
    const socket = address && native?.socket(AF_UNIX);
    if (!native || !address || !socket?.ok) return;
    const octets = new TextEncoder().encode(text);
    if (fd === undefined) native.sendTo(socket.value, octets, address);
    else native.sendDescriptor(socket.value, octets, address, fd);
    native.close(socket.value);
  };
  return {
    take(address, port) {
      const name = nameOf(address, port);
      const fd = left.get(name);
      left.delete(name);
      return fd;
    },
    keep: (address, port, fd) => tell(`FDSTORE=1\nFDNAME=${nameOf(address, port)}`, fd),
    forget: (address, port) => tell(`FDSTOREREMOVE=1\nFDNAME=${nameOf(address, port)}`),
    closeRest() {
      for (const [name, fd] of left) {
        native?.close(fd);
        tell(`FDSTOREREMOVE=1\nFDNAME=${name}`);
      }
      left.clear();
    },
  };
}

/** A name for the store: it may hold neither colons nor control characters. */
const nameOf = (address: string, port: number): string => `${PREFIX}${address.replaceAll(":", "_")}-${port}`;

/** Descriptors by their names, if they are meant for this process and are sockets of ours. Reading changes nothing: it may be done twice. */
function given({ LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES }: StoreEnvironment, pid: number): Map<string, number> {
  const found = new Map<string, number>();
  const count = Number(LISTEN_FDS);
  if (LISTEN_PID !== String(pid) || !Number.isInteger(count) || count < 1 || count > MOST) return found;
  const names = (LISTEN_FDNAMES ?? "").split(":");
  for (let i = 0; i < count; i++) {
    const name = names[i] ?? "";
    if ((name === CONTROL || name.startsWith(PREFIX)) && isSocket(FIRST + i)) found.set(name, FIRST + i);
  }
  return found;
}

function isSocket(fd: number): boolean {
  try {
    return fstatSync(fd).isSocket();
  } catch {
    return false;
  }
}
