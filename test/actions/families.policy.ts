/**
 * Tunnels whose inside is of another address family than their ends, in a kernel with ESP and AH: Linux asks each SA of a bundle about the packet inside,
 * and drops, without a word but a counter, what an SA is not for.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Lab, type Side, wait } from "./lab.ts";

type Pair = Readonly<Record<Side, string>>;

const [END4, END6]: readonly [Pair, Pair] = [
  { us: "192.0.2.1", theirs: "192.0.2.2" },
  { us: "2001:db8::1", theirs: "2001:db8::2" },
];
/** Each for both families. On the same wire, so that no route is needed. */
const TUNNELS: readonly { readonly what: string; readonly kind: "ah" | "esp"; readonly inside: readonly Pair[]; readonly outside: Pair }[] =
  [
    {
      what: "negotiated, AH and ESP, in IPv6",
      kind: "ah",
      inside: [
        { us: "192.0.2.65", theirs: "192.0.2.66" },
        { us: "2001:db8::65", theirs: "2001:db8::66" },
      ],
      outside: END6,
    },
    {
      what: "with keys from the file, ESP, in IPv4",
      kind: "esp",
      inside: [
        { us: "192.0.2.67", theirs: "192.0.2.68" },
        { us: "2001:db8::67", theirs: "2001:db8::68" },
      ],
      outside: END4,
    },
  ];

const other = (side: Side): Side => (side === "us" ? "theirs" : "us");

/** The keys are throwaway ones: the same octets for each direction at both ends. */
function configuration(lab: Lab, side: Side): string {
  const [first, second] = TUNNELS.map(({ inside }) => JSON.stringify(inside.map((pair) => `${pair[side]} <-> ${pair[other(side)]}`)));
  const key = (way: Side): string => `0x${(way === "us" ? "a7" : "b9").repeat(36)}`;
  const spi = (way: Side): string => (way === "us" ? "0x1001" : "0x1002");
  return `[daemon]
control = "${lab.control(side)}"
[policy.main-mode]
proposals = ["aes128-sha256-x25519"]
[policy.quick-mode]
proposals = ["ah:sha256+esp:aes128-sha256"]
pfs = "none"
[[rule]]
name = "negotiated"
filters = ${first}
action = "require"
mode = "tunnel"
tunnel = { local = "${END6[side]}", remote = "${END6[other(side)]}" }
auth = [{ method = "psk", secret = "a throwaway key for this test" }]
[[sa]]
name = "manual"
filters = ${second}
mode = "tunnel"
local = "${END4[side]}"
remote = "${END4[other(side)]}"
protection = "esp:aes128-sha1"
spi-in = ${spi(side)}
spi-out = ${spi(other(side))}
key-in = "${key(side)}"
key-out = "${key(other(side))}"
`;
}

test("tunnels carry both families, of whatever family their ends are", async (t) => {
  const of = (side: Side): string[] => [END4, END6, ...TUNNELS.flatMap(({ inside }) => inside)].map((pair) => pair[side]);
  const lab = new Lab({ us: of("us"), theirs: of("theirs") });
  try {
    await lab.watch();
    for (const side of ["theirs", "us"] as const) await lab.start(side, configuration(lab, side));
    for (const { what, kind, inside, outside } of TUNNELS)
      await t.test(what, async () => {
        const before = (await lab.packets()).length;
        for (const { us, theirs } of inside) {
          // The first packets ask for the SA, and are dropped.
          for (let i = 0; i < 60 && (await lab.ping("us", us, theirs, 1, "doubtful")) === 0; i++) await wait(100);
          assert.equal(await lab.ping("us", us, theirs, 3), 3, us);
        }
        const seen = (await lab.packets()).slice(before);
        assert.ok(seen.length >= 6 * inside.length);
        assert.deepEqual(
          seen.filter((packet) => packet.kind !== kind || !Object.values(outside).includes(packet.source)),
          [],
        );
      });
  } finally {
    await lab.end();
  }
});
