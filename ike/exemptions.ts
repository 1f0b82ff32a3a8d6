/**
 * What passes in clear whatever the rules require, since keying itself would wait for it for ever: neighbour discovery (RFC 4861), and for rules
 * with Kerberos the way to its servers and to the name service. A table, and which of its rows are wanted. Pure.
 */
import type { Policy } from "../policy/types.ts";
import type { KernelPolicy, KernelSelector } from "./kernel-contract.ts";

type Family = 4 | 6;

interface Exemption {
  readonly families: readonly Family[];
  readonly protocols: readonly number[];
  /** Towards the other side; `type` where the protocol is ICMPv6, which has no direction. */
  readonly ports: readonly number[];
  readonly wanted: (policy: Policy) => boolean;
}

const [TCP, UDP, ICMP6] = [6, 17, 58];
const always = (): boolean => true;
const withKerberos = ({ rules }: Policy): boolean => rules.some(({ auth }) => auth.some(({ method }) => method === "kerberos"));

const EXEMPTIONS: readonly Exemption[] = [
  { families: [6], protocols: [ICMP6], ports: [133, 134, 135, 136, 137], wanted: always },
  // RFC 4120 §7.2, RFC 3244: tickets and passwords.
  { families: [4, 6], protocols: [UDP, TCP], ports: [88, 464], wanted: withKerberos },
  // RFC 1035 §4.2: krb5.conf may leave it to the name service where the servers are.
  { families: [4, 6], protocols: [UDP, TCP], ports: [53], wanted: withKerberos },
];

/** The kernel policies for rules that stand in these families: stronger than any rule's, weaker than IKE's own way out. */
export function exemptionsFor(policy: Policy, families: ReadonlySet<number>): readonly KernelPolicy[] {
  return EXEMPTIONS.filter(({ wanted }) => wanted(policy)).flatMap(({ families: own, protocols, ports }) =>
    own
      .filter((family) => families.has(family))
      .flatMap((family) => protocols.flatMap((protocol) => ports.flatMap((port) => bothWays(family, protocol, port)))),
  );
}

const ANY = { 4: "0.0.0.0", 6: "::" } as const;
const PRIORITY = 1000;

/** Ours is the asking side: answers come from the port. */
function bothWays(family: Family, protocol: number, port: number): readonly KernelPolicy[] {
  return (["in", "out"] as const).map((direction): KernelPolicy => {
    // The kernel takes an ICMP type for a source port.
    const from = protocol === ICMP6 || direction === "in";
    const selector: KernelSelector = {
      source: ANY[family],
      sourceLength: 0,
      destination: ANY[family],
      destinationLength: 0,
      protocol,
      sourcePort: from ? port : 0,
      destinationPort: from ? 0 : port,
    };
    return { direction, selector, action: "allow", priority: PRIORITY, templates: [] };
  });
}
