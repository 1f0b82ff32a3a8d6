/**
 * Which local address leads to a peer: a UDP socket is connected, which sends nothing, and asked for its own end.
 */
import { createSocket } from "node:dgram";
import { addressBytes, addressFromBytes, canonicalAddress, formatAddress, parseAddress } from "../isakmp/address.ts";
import { AF_INET, AF_INET6, inetAddress, inetOctets, type Native } from "./native.ts";
import { bypassPolicies, noLookup } from "./udp-socket.ts";

/** Any port will do; IKE's own is the one that routing rules by port would name. */
const PORT = 500;

/** The address that packets to `remote` leave from, canonical; undefined where there is no route or `remote` is no address. */
export async function routeTo(remote: string, native: Native | undefined): Promise<string | undefined> {
  const parsed = parseAddress(remote);
  if (!parsed) return undefined;
  if (native) return nativeRoute(native, addressBytes(parsed.family, parsed.value));
  return plainRoute(parsed.family === 4 ? "udp4" : "udp6", remote);
}

/**
 * The route among `served` addresses: the system's own choice where IKE is served on it, else the first served address
 * of the family (an administrator who lists addresses wants one of those used).
 */
export async function servedRoute(remote: string, served: readonly string[], native: Native | undefined): Promise<string | undefined> {
  const chosen = await routeTo(remote, native);
  if (chosen === undefined || served.includes(chosen)) return chosen;
  return served.find((address) => address.includes(":") === chosen.includes(":"));
}

function nativeRoute(native: Native, remote: Uint8Array): string | undefined {
  const family = remote.length === 4 ? AF_INET : AF_INET6;
  const socket = native.socket(family);
  if (!socket.ok) return undefined;
  try {
    // Without the bypass a `require` policy would take the look-up for traffic and ask us for an SA.
    bypassPolicies(native, socket.value, family);
    const connected = native.connect(socket.value, inetAddress(remote, PORT));
    const end = connected.ok ? native.localEnd(socket.value) : connected;
    const octets = end.ok ? inetOctets(end.value) : undefined;
    const address = octets && addressFromBytes(octets);
    return address && formatAddress(address.family, address.value);
  } finally {
    native.close(socket.value);
  }
}

function plainRoute(type: "udp4" | "udp6", remote: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket({ type, lookup: noLookup });
    const finish = (address: string | undefined): void => {
      resolve(address);
      socket.close();
    };
    socket.on("error", () => finish(undefined));
    socket.connect(PORT, remote, (error?: Error) => finish(error ? undefined : canonicalAddress(socket.address().address)));
  });
}
