/**
 * Addresses that this system knows by their part: DNS servers, DHCP servers, gateways. Pure readers of the files that hold them, and one
 * function that reads those files.
 */
import { readdirSync, readFileSync } from "node:fs";
import { canonicalAddress, formatAddress } from "../isakmp/address.ts";

/** Words in filters that stand for servers of this system. */
export type SystemSet = "dns" | "dhcp" | "gateway";

const addressesIn = (texts: readonly (string | undefined)[]): readonly string[] => [
  ...new Set(texts.flatMap((text) => (text === undefined ? [] : (canonicalAddress(text.split("%")[0] ?? "") ?? [])))),
];

/** The servers of a resolv.conf(5), without those on this host itself. */
export const dnsServersIn = (text: string): readonly string[] =>
  addressesIn(text.split("\n").map((line) => /^\s*nameserver\s+(\S+)/.exec(line)?.[1])).filter((one) => !/^(127\.|::1$)/.test(one));

/** The gateways of default routes in the text of /proc/net/route (addresses are in the machine's own order of octets). */
export const gatewaysIn4 = (text: string): readonly string[] =>
  addressesIn(
    text.split("\n").flatMap((line) => {
      const [, destination, gateway = "", , , , , mask] = line.split(/\s+/);
      if (destination !== "00000000" || mask !== "00000000" || gateway === "00000000" || !/^[0-9A-F]{8}$/.test(gateway)) return [];
      return [[...Buffer.from(gateway, "hex")].reverse().join(".")];
    }),
  );

/** The same of /proc/net/ipv6_route. */
export const gatewaysIn6 = (text: string): readonly string[] =>
  addressesIn(
    text.split("\n").flatMap((line) => {
      const [destination, length, , , gateway = ""] = line.trim().split(/\s+/);
      if (destination !== "0".repeat(32) || length !== "00" || !/^[0-9a-f]{32}$/.test(gateway) || gateway === "0".repeat(32)) return [];
      return [formatAddress(6, BigInt(`0x${gateway}`))];
    }),
  );

/** The server in a lease of systemd-networkd, NetworkManager (`SERVER_ADDRESS=`) or dhclient (`option dhcp-server-identifier`); the last one counts. */
export function dhcpServerIn(text: string): readonly string[] {
  const found = [...text.matchAll(/(?:^\s*SERVER_ADDRESS=|option dhcp-server-identifier\s+)([0-9a-fA-F.:]+)/gm)];
  return addressesIn([found.at(-1)?.[1]]);
}

/**
 * The server (option 54) in a lease of dhcpcd, which is the answer itself: a BOOTP message with options behind the magic cookie (RFC 2131 §3,
 * RFC 2132 §9.7).
 */
export function dhcpServerInMessage(octets: Uint8Array): readonly string[] {
  if (octets.length < OPTIONS || !MAGIC.every((octet, i) => octets[OPTIONS - 4 + i] === octet)) return [];
  for (let at = OPTIONS; at + 1 < octets.length && octets[at] !== END; ) {
    if (octets[at] === PAD) at++;
    else {
      const [code, length] = [octets[at], octets[at + 1] as number];
      if (code === SERVER && length === 4 && at + 6 <= octets.length) return addressesIn([octets.subarray(at + 2, at + 6).join(".")]);
      at += 2 + length;
    }
  }
  return [];
}

const MAGIC: readonly number[] = [0x63, 0x82, 0x53, 0x63];
/** Where options begin; octets. */
const OPTIONS = 240;
const [PAD, SERVER, END] = [0, 54, 255];

/** systemd-resolved answers on loopback and keeps its own list of servers. */
const RESOLVERS = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];
const LEASES = ["/run/systemd/netif/leases", "/var/lib/NetworkManager", "/var/lib/dhcp"];

/** What stands behind a word now; empty where nothing says. */
export function systemAddresses(set: SystemSet): readonly string[] {
  if (set === "gateway") return [...gatewaysIn4(textOf("/proc/net/route")), ...gatewaysIn6(textOf("/proc/net/ipv6_route"))];
  if (set === "dns") return RESOLVERS.map((file) => dnsServersIn(textOf(file))).find((list) => list.length > 0) ?? [];
  const messages = filesOf("/var/lib/dhcpcd").flatMap((file) => dhcpServerInMessage(octetsOf(file)));
  return [...new Set([...LEASES.flatMap((folder) => filesOf(folder).flatMap((file) => dhcpServerIn(textOf(file)))), ...messages])];
}

const MOST_OCTETS = 1 << 20;

const textOf = (file: string): string => octetsOf(file).toString("utf8");

function octetsOf(file: string): Buffer {
  try {
    return readFileSync(file).subarray(0, MOST_OCTETS);
  } catch {
    return Buffer.alloc(0);
  }
}

function filesOf(folder: string): readonly string[] {
  try {
    return readdirSync(folder)
      .filter((name) => /lease/.test(name) || /^\d+$/.test(name))
      .map((name) => `${folder}/${name}`);
  } catch {
    return [];
  }
}
