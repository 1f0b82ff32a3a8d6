/**
 * The names by which `ip` calls the protocols of IP.
 */

/** No word is any protocol. `ip` prints the name of /etc/protocols where that file has one, else the number. */
export function protocolNumber(word: string | undefined): number | undefined {
  if (word === undefined) return 0;
  if (/^\d{1,3}$/.test(word)) return Number(word) < 256 ? Number(word) : undefined;
  return PROTOCOLS.get(word);
}

/** Names of /etc/protocols that a packet may have, IANA's and the older ones in use. */
const PROTOCOLS: ReadonlyMap<string, number> = new Map(
  Object.entries({
    ...{ ip: 0, hopopt: 0, icmp: 1, igmp: 2, ggp: 3, ipencap: 4, ipv4: 4, st: 5, tcp: 6, cbt: 7, egp: 8, igp: 9, pup: 12, udp: 17 },
    ...{ hmp: 20, "xns-idp": 22, rdp: 27, "iso-tp4": 29, dccp: 33, xtp: 36, ddp: 37, "idpr-cmtp": 38, ipv6: 41, sdrp: 42 },
    ...{ "ipv6-route": 43, "ipv6-frag": 44, idrp: 45, rsvp: 46, gre: 47, dsr: 48, esp: 50, "ipv6-crypt": 50, ah: 51, "ipv6-auth": 51 },
    ...{ skip: 57, "ipv6-icmp": 58, icmpv6: 58, "ipv6-nonxt": 59, "ipv6-opts": 60, rspf: 73, vmtp: 81, eigrp: 88, ospf: 89 },
    ...{ ospfigp: 89, "ax.25": 93, ipip: 94, etherip: 97, encap: 98, pim: 103, ipcomp: 108, vrrp: 112, carp: 112, l2tp: 115, isis: 124 },
    ...{ sctp: 132, fc: 133, "mobility-header": 135, udplite: 136, "mpls-in-ip": 137, manet: 138, hip: 139, shim6: 140, wesp: 141 },
    ...{ rohc: 142, ethernet: 143 },
  }),
);
