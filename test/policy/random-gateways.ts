/**
 * Random policies of a gateway between two networks, and packets that pass through it: for property tests, and for a kernel with a host on each side.
 * All addresses lie close together, so that networks of filters hold one side, both, or both and the gateway.
 */
import fc from "fast-check";
import type { Packet } from "../../policy/decide.ts";
import type { Policy } from "../../policy/types.ts";
import { policiesOf, type RuleText } from "./random-policies.ts";

/** Hosts on one side and on the other, and the gateway's own addresses. */
export const GATEWAY = {
  left: ["192.0.2.1", "192.0.2.2", "192.0.2.5", "2001:db8::1", "2001:db8::2", "2001:db8::5"],
  right: ["192.0.2.9", "192.0.2.10", "192.0.2.13", "2001:db8::9", "2001:db8::a", "2001:db8::d"],
  own: ["192.0.2.17", "2001:db8::11"],
} as const;
export type Place = keyof typeof GATEWAY;

/** Ends of tunnels that never answer: what they are sent from is one of the gateway's addresses. */
export const PEERS = ["192.0.2.33", "2001:db8::21"] as const;

/** Ports of packets; filters name some of them, and the last two are exempt in some policies. */
export const PORTS = [1, 2, 3, 4, 53, 88] as const;

/** What comes from these ports comes out of the tunnel with a peer, by its place in the list. */
export const FROM_TUNNEL: ReadonlyMap<number, 0 | 1> = new Map([
  [3, 0],
  [4, 1],
]);

/** Networks and hosts of both families by their last octets: on one side, on the other, and across. */
const PLACES = {
  left: ["0/29", "0/29", "0/30", "1", "2", "5", "1-5"],
  right: ["8/29", "8/29", "8/30", "9", "10", "13", "9-13"],
  across: ["any", "any", "0/28", "0/27", "0/26", "2-9", "5-13", "9-20", "17", "33"],
} as const;
const last = (octet: string, family: 4 | 6): string =>
  family === 4 ? `192.0.2.${octet}` : `2001:db8::${octet === "0" ? "" : Number(octet).toString(16)}`;

function written(place: string, family: 4 | 6): string {
  if (place === "any" || place === "me") return place;
  const [octets = "", length] = place.split("/");
  const text = octets
    .split("-")
    .map((octet) => last(octet, family))
    .join("-");
  return length === undefined ? text : `${text}/${Number(length) + (family === 6 ? 96 : 0)}`;
}

type Sides = readonly [own: string, other: string];
const [left, right] = [fc.constantFrom(...PLACES.left), fc.constantFrom(...PLACES.right)];
const across = (...more: readonly string[]): fc.Arbitrary<string> =>
  fc.constantFrom<string>(...PLACES.across, ...PLACES.across, ...PLACES.left, ...PLACES.right, ...more);
/** Mostly from one side to the other; `more` are further words for the own side. */
const betweenSides = (...more: readonly string[]): fc.Arbitrary<Sides> =>
  fc.oneof(fc.tuple(left, right), fc.tuple(right, left), fc.tuple(across(...more), across()));

const port = fc.constantFrom("", "", ":1", ":2", ":3");
const filter = (sides: fc.Arbitrary<Sides>): fc.Arbitrary<string> =>
  fc
    .record({
      ...{ sides, family: fc.constantFrom<4 | 6>(4, 6), ports: fc.tuple(port, port) },
      arrow: fc.constantFrom("<->", "<->", "<->", "->", "<-"),
      protocol: fc.constantFrom("", "", "", "udp", "tcp"),
    })
    .map(({ sides, family, arrow, ports, protocol }) => {
      const ends = sides.map((place, i) => {
        const text = written(place, family);
        return `${text.includes(":") ? `[${text}]` : text}${protocol === "" ? "" : ports[i]}`;
      });
      return `${ends.join(` ${arrow} `)} ${protocol}`.trim();
    });

const filters = (sides: fc.Arbitrary<Sides>, most: number): fc.Arbitrary<readonly string[]> =>
  fc.uniqueArray(filter(sides), { minLength: 1, maxLength: most });
const passing = fc.record({ action: fc.constantFrom("permit", "permit", "block"), filters: filters(betweenSides(), 3) });
const host = fc.record({
  action: fc.constantFrom("permit", "block", "require", "request", "respond"),
  filters: filters(fc.tuple(fc.constantFrom("me", "me", "17", "0/27"), across()), 2),
});
/** Some do not say which address of the gateway is their end: as long as no route tells, they block. */
const tunnel = fc
  .record({
    action: fc.integer({ min: 0, max: 7 }).map((number) => (number === 7 ? "respond" : "require")),
    filters: filters(betweenSides("me"), 4),
    peer: fc.constantFrom(0, 1),
    more: fc.constantFrom("", "", "", "", "", "", "inbound-clear = true", "endless"),
  })
  .map(({ action, filters, peer, more }): RuleText => {
    const local = more === "endless" ? "" : `local = "${GATEWAY.own[peer]}", `;
    const clear = more === "inbound-clear = true" && action === "require" ? more : "";
    return { action, filters, more: `mode = "tunnel"\ntunnel = { ${local}remote = "${PEERS[peer]}" }\n${clear}` };
  });
const wall = fc.constantFrom("any <-> any", "any <-> any", "192.0.2.0/26 <-> any", "any -> any", "[2001:db8::/120] <-> any");

/** Policies of up to `most` rules, and in most of them one more that blocks a lot. */
export const randomGateway = (most: number): fc.Arbitrary<Policy> =>
  policiesOf(
    fc
      .record({
        rules: fc.array(
          fc.oneof(
            { weight: 4, arbitrary: passing },
            { weight: 5, arbitrary: tunnel },
            { weight: 1, arbitrary: host },
          ) as fc.Arbitrary<RuleText>,
          { minLength: 1, maxLength: most },
        ),
        wall: fc.option(wall, { freq: 3 }),
      })
      .map(({ rules, wall }) => (wall === null ? rules : [...rules, { action: "block", filters: [wall] }])),
    fc.constantFrom("", "", '[policy]\nexempt = ["dns"]', '[policy]\nexempt = ["kerberos"]', '[policy]\nexempt = ["dns", "kerberos"]'),
  );

export type Sent = Packet & { readonly from: Place; readonly to: Place };

/** A packet from one side to the other, or now and then from or to the gateway itself. */
export const randomPassing: fc.Arbitrary<Sent> = fc
  .record({
    way: fc.constantFrom(
      ...Array.from({ length: 4 }, () => ["left", "right"] as const),
      ...Array.from({ length: 4 }, () => ["right", "left"] as const),
      ...([
        ["left", "own"],
        ["own", "right"],
      ] as const),
    ),
    family: fc.constantFrom(4, 6),
    ends: fc.tuple(fc.nat(), fc.nat()),
    ports: fc.tuple(fc.constantFrom(1, 1, 2, ...PORTS), fc.constantFrom(1, 2, ...PORTS)),
  })
  .map(({ way: [from, to], family, ends, ports: [sourcePort, destinationPort] }) => {
    const [source, destination] = [from, to].map((place, i) => {
      const all = GATEWAY[place].filter((address) => address.includes(":") === (family === 6));
      return all[(ends[i] as number) % all.length] as string;
    }) as [string, string];
    return { source, destination, protocol: 17, sourcePort, destinationPort, from, to };
  });

/** A policy as a person would have written it. */
export const policyText = ({ rules, exempt }: Policy): string =>
  [
    ...(exempt.length > 0 ? [`exempt ${exempt.join(", ")}`] : []),
    ...rules.map(({ name, action, mode, tunnel, clear, filters }) =>
      [
        `${name}: ${action}`,
        ...(mode === "tunnel" ? [`tunnel ${tunnel?.local ?? "(no end)"} to ${tunnel?.remote}`] : []),
        ...(clear.inbound && action === "require" ? ["inbound-clear"] : []),
        filters.map(({ text }) => `"${text}"`).join(", "),
      ].join(", "),
    ),
  ].join("\n");
