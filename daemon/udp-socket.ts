/**
 * One UDP socket, bound to one address: through system calls with IKE's options set, or by Node alone where there is no koffi.
 * Invariant: no name is ever looked up, and a socket that fails half-way leaves no descriptor behind.
 */
import { createSocket, type Socket } from "node:dgram";
import { addressBytes, formatEndpoint, parseAddress } from "../isakmp/address.ts";
import { ok, type Result } from "../isakmp/result.ts";
import type { DescriptorStore } from "./descriptors.ts";
import { AF_INET, AF_INET6, inetAddress, intOption, type Native, type SystemError } from "./native.ts";

/** `bypass`: whether the socket itself lets IKE pass by IPsec policies. `fd`: for system calls; null where Node made the socket by itself. */
export type Opened = Result<
  { readonly socket: Socket; readonly bypass: boolean; readonly fd: number | null },
  { readonly code: string; readonly text: string }
>;

/** Opens and binds a socket; `port` 0 takes any, `esp`: ESP in UDP that arrives there goes to the kernel (RFC 3948). The codes are errno's names: EADDRNOTAVAIL, EADDRINUSE, EACCES. */
export async function openSocket(
  address: string,
  port: number,
  esp: boolean,
  native: Native | undefined,
  store?: DescriptorStore,
): Promise<Opened> {
  const parsed = parseAddress(address);
  if (!parsed) return failure("EINVAL", `${address} is no address`);
  const type = parsed.family === 4 ? "udp4" : "udp6";
  if (!native)
    return listening(createSocket({ type, ipv6Only: type === "udp6", lookup: noLookup }), { address, port, exclusive: true }, false, null);
  const made =
    adopted(native, store?.take(address, port), parsed.family) ?? nativeSocket(native, addressBytes(parsed.family, parsed.value), port);
  if (!made.ok) return failure(made.error.code, `${made.error.call} on ${formatEndpoint(address, port)}: ${made.error.code}`);
  const { fd, bypass } = made.value;
  // Before it is read from: what comes earlier would be taken for noise. A kernel without that option speaks no ESP either.
  if (esp) native.setOption(fd, IPPROTO_UDP, UDP_ENCAP, intOption(ESP_IN_UDP));
  const opened = await listening(createSocket({ type, lookup: noLookup }), { fd, exclusive: true }, bypass, fd);
  if (opened.ok) store?.keep(address, port, fd);
  else native.close(fd);
  return opened;
}

/** A socket of an earlier run is bound and set up; its policies are said again, as they are the socket's own and cheap. */
function adopted(native: Native, fd: number | undefined, family: 4 | 6): Result<{ fd: number; bypass: boolean }, SystemError> | undefined {
  return fd === undefined ? undefined : ok({ fd, bypass: bypassPolicies(native, fd, family === 4 ? AF_INET : AF_INET6).ok });
}

/** For Node's `lookup` option: addresses only ever. */
export const noLookup = (host: string, _options: unknown, done: (error: null, address: string, family: number) => void): void =>
  done(null, host, host.includes(":") ? 6 : 4);

const [SOL_IP, SOL_SOCKET, SOL_IPV6] = [0, 1, 41];
const [IPPROTO_UDP, UDP_ENCAP, ESP_IN_UDP] = [17, 100, 2];
const [SO_RCVBUF, SO_RCVBUFFORCE] = [8, 33];
const [IP_MTU_DISCOVER, IP_XFRM_POLICY] = [10, 17];
const [IPV6_MTU_DISCOVER, IPV6_V6ONLY, IPV6_XFRM_POLICY] = [23, 26, 35];
const PMTUDISC_DONT = 0;
const RECEIVE_OCTETS = 8 * 1024 * 1024;

/** Lets the socket's own packets pass by IPsec, both ways. EPERM without CAP_NET_ADMIN. */
export function bypassPolicies(native: Native, fd: number, family: number): Result<number, SystemError> {
  const [level, name] = family === AF_INET ? [SOL_IP, IP_XFRM_POLICY] : [SOL_IPV6, IPV6_XFRM_POLICY];
  for (const direction of [XFRM_POLICY_IN, XFRM_POLICY_OUT]) {
    const set = native.setOption(fd, level, name, allowPolicy(family, direction));
    if (!set.ok) return set;
  }
  return ok(0);
}

const [XFRM_POLICY_IN, XFRM_POLICY_OUT] = [0, 1];

/** `struct xfrm_userpolicy_info` of 168 octets with an empty selector of the family, no templates, action allow (0). */
function allowPolicy(family: number, direction: number): Uint8Array {
  const policy = new Uint8Array(168);
  new Uint16Array(policy.buffer, 40, 1)[0] = family;
  policy[160] = direction;
  return policy;
}

/** A bound socket with its options set. Only the bind may make it fail. */
function nativeSocket(native: Native, address: Uint8Array, port: number): Result<{ fd: number; bypass: boolean }, SystemError> {
  const family = address.length === 4 ? AF_INET : AF_INET6;
  const made = native.socket(family);
  if (!made.ok) return made;
  const fd = made.value;
  const bypass = bypassPolicies(native, fd, family).ok;
  // The forced size passes by net.core.rmem_max and needs CAP_NET_ADMIN; without it what the system allows has to do.
  if (!native.setOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, intOption(RECEIVE_OCTETS)).ok)
    native.setOption(fd, SOL_SOCKET, SO_RCVBUF, intOption(RECEIVE_OCTETS));
  // Certificates make messages larger than the MTU: let the system fragment them instead of failing.
  if (family === AF_INET) native.setOption(fd, SOL_IP, IP_MTU_DISCOVER, intOption(PMTUDISC_DONT));
  else {
    native.setOption(fd, SOL_IPV6, IPV6_MTU_DISCOVER, intOption(PMTUDISC_DONT));
    native.setOption(fd, SOL_IPV6, IPV6_V6ONLY, intOption(1));
  }
  const bound = native.bind(fd, inetAddress(address, port));
  if (bound.ok) return ok({ fd, bypass });
  native.close(fd);
  return bound;
}

type Binding = { readonly exclusive: true } & ({ readonly fd: number } | { readonly address: string; readonly port: number });

function listening(socket: Socket, binding: Binding, bypass: boolean, fd: number | null): Promise<Opened> {
  return new Promise((resolve) => {
    const failed = (error: Error): void => {
      socket.close();
      resolve(failure(codeOf(error), error.message));
    };
    socket.once("error", failed);
    socket.bind(binding, () => {
      socket.removeListener("error", failed);
      resolve(ok({ socket, bypass, fd }));
    });
  });
}

const failure = (code: string, text: string) => ({ ok: false, error: { code, text } }) as const;

/** `EADDRINUSE` and the like; the error's class where it has no code. */
export const codeOf = (error: Error): string => ("code" in error && typeof error.code === "string" ? error.code : error.name);
