/**
 * Who is at the other end of a unix socket: SO_PEERCRED and SO_PEERGROUPS (unix(7)), taken by the kernel when the client connected.
 */
import type { Socket } from "node:net";
import type { Native } from "./native.ts";

export interface Credentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
  /** Supplementary groups. */
  readonly groups: readonly number[];
}

const SOL_SOCKET = 1;
const [SO_PEERCRED, SO_PEERGROUPS] = [17, 59];
/** 65536 groups are the most that Linux lets a process have. */
const GROUPS_OCTETS = 4 * 65536;

/** The client's credentials; undefined without koffi, or where Node does not show the descriptor. */
export function peerCredentials(socket: Socket, native: Native | undefined): Credentials | undefined {
  const fd = descriptorOf(socket);
  if (!native || fd === undefined) return undefined;
  const credentials = native.getOption(fd, SOL_SOCKET, SO_PEERCRED, 12);
  if (!credentials.ok || credentials.value.length < 12) return undefined;
  const [pid = 0, uid = 0, gid = 0] = words(credentials.value);
  const groups = native.getOption(fd, SOL_SOCKET, SO_PEERGROUPS, GROUPS_OCTETS);
  return { pid, uid, gid, groups: groups.ok ? words(groups.value) : [] };
}

/** Root, the daemon's own user, and members of the socket's group: those whom its mode 0660 lets in. */
export const mayControl = (client: Credentials, daemonUid: number, group: number | undefined): boolean =>
  client.uid === 0 || client.uid === daemonUid || (group !== undefined && (client.gid === group || client.groups.includes(group)));

/** Node keeps it in a handle without documenting it; a version that no longer does leaves us with the file's mode. */
function descriptorOf(socket: Socket): number | undefined {
  const { _handle } = socket as unknown as { readonly _handle?: { readonly fd?: unknown } };
  return typeof _handle?.fd === "number" && _handle.fd >= 0 ? _handle.fd : undefined;
}

const words = (bytes: Uint8Array): readonly number[] => [...new Uint32Array(bytes.slice().buffer, 0, Math.floor(bytes.length / 4))];
