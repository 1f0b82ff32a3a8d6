/**
 * Random policies and packets with few values, so that filters of different rules meet.
 */
import fc from "fast-check";
import { parseConfiguration } from "../../policy/config.ts";
import { staysHere } from "../../policy/decide.ts";
import type { Policy } from "../../policy/types.ts";

export interface RuleText {
  readonly action: string;
  readonly filters: readonly string[];
  /** Further lines of the rule; "tunnel" makes a require rule one in tunnel mode. */
  readonly more?: string;
}

const AUTH = 'auth = [{ method = "psk", secret = "k" }]';
const NEGOTIATE = ["require", "request", "respond"];

const ruleText = ({ action, filters, more = "" }: RuleText, i: number): string =>
  `[[rule]]\nname = "r${i}"\naction = "${action}"\nfilters = ${JSON.stringify(filters)}\n${NEGOTIATE.includes(action) ? AUTH : ""}\n${more}\n`;

/** The policy of rules r0, r1, ...; throws where they can't be read. */
export function policyFrom(rules: readonly RuleText[], top = ""): Policy {
  const policy = tryPolicy(rules, top);
  if (typeof policy === "string") throw new Error(policy);
  return policy;
}

function tryPolicy(rules: readonly RuleText[], top: string): Policy | string {
  const text = `${top}\n${rules.map(ruleText).join("\n")}`;
  const parsed = parseConfiguration(text, "F", () => ({ ok: false, error: "none" }));
  return parsed.ok ? parsed.value.policy : `${parsed.error.map(({ message }) => message).join("\n")}\n${text}`;
}

/** Addresses of the host that the random policies are for. */
export const ADDRESSES: readonly string[] = ["10.9.0.1", "10.9.0.2", "240.9.0.1", "fd09::1", "127.0.0.1", "fe80::a"];

const PLACES = [
  ...["any", "10.0.0.0/30", "10.0.0.0/31", "10.0.0.1", "10.0.0.2", "10.0.0.1-10.0.0.6", "10.0.0.3-10.0.0.9"],
  ...["fd00::/126", "fd00::1", "fd00::1-fd00::6", "fe80::/10", "fe80::/64", "fe80::b", "fe80::b-fe80::e", "ff02::fb"],
];
const OWN = ["me", "me", "me", "10.9.0.1", "10.9.0.0/30", "any", "any", "fd09::1", "fe80::a", "fe80::/64"];
const port = fc.constantFrom("", "", ":1", ":2");

const filter = fc
  .record({
    own: fc.constantFrom(...OWN),
    place: fc.constantFrom(...PLACES),
    arrow: fc.constantFrom("<->", "<->", "->", "<-"),
    turn: fc.boolean(),
    ports: fc.tuple(port, port),
    protocol: fc.constantFrom("", "tcp", "udp", "1"),
  })
  .map(({ own, place, arrow, turn, ports: [a, b], protocol }) => {
    const [p, q] = protocol === "tcp" || protocol === "udp" ? [a, b] : ["", ""];
    const end = (text: string, port: string) => (text.includes(":") ? `[${text}]${port}` : `${text}${port}`);
    const sides = [end(own, p), end(place, q)];
    return `${(turn && own === "me" ? sides.reverse() : sides).join(` ${arrow} `)} ${protocol}`.trim();
  })
  .filter((text) => !(/f[de][08]|ff02/.test(text) && /10\./.test(text)));

const rule = fc
  .record({
    action: fc.constantFrom("permit", "block", "respond", "request", "require"),
    filters: fc.uniqueArray(filter, { minLength: 1, maxLength: 3 }),
    more: fc.constantFrom("", "", "inbound-clear = true", "discovery = true", "tunnel"),
  })
  .map(({ action, filters, more }): RuleText => {
    const tunnelled = more === "tunnel" && action === "require";
    const clear = (action === "require" || action === "request") && more !== "tunnel" ? more : "";
    return { action, filters, more: tunnelled ? 'mode = "tunnel"\ntunnel = { local = "10.9.0.1", remote = "10.9.9.9" }' : clear };
  });

/** Policies of up to `most` rules; those that `check` refuses (equal filters) are left out. */
export const randomPolicy = (most: number): fc.Arbitrary<Policy> => policiesOf(fc.array(rule, { minLength: 1, maxLength: most }));

/** Those of such lists of rules that `check` takes, with what else the file says before them. */
export const policiesOf = (rules: fc.Arbitrary<readonly RuleText[]>, top: fc.Arbitrary<string> = fc.constant("")): fc.Arbitrary<Policy> =>
  fc
    .tuple(rules, top)
    .map(([rules, top]) => tryPolicy(rules, top))
    .filter((policy) => typeof policy !== "string") as fc.Arbitrary<Policy>;

/** Packets from, to and past that host. */
export const randomPacket = fc
  .record({
    source: fc.constantFrom(...ADDRESSES, "10.0.0.1", "10.0.0.2", "10.0.0.5", "10.9.0.3", "fd00::1", "fd00::5", "fe80::b"),
    destination: fc.constantFrom(
      ...ADDRESSES,
      ...["10.0.0.1", "10.0.0.3", "10.0.0.6", "10.9.0.3", "fd00::1", "fd00::3", "fe80::b", "ff02::fb"],
    ),
    // The last one has no ports, and is not ESP, about which the kernel asks in its own way.
    protocol: fc.constantFrom(6, 17, 1, 58, 115),
    sourcePort: fc.constantFrom(1, 2, 3),
    destinationPort: fc.constantFrom(1, 2, 3),
  })
  .filter(({ source, destination }) => source.includes(":") === destination.includes(":"))
  // What a host sends to itself no policy is about.
  .filter((one) => !staysHere(one, ADDRESSES));
