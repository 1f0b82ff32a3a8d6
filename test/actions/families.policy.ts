/**
 * Tunnels whose inside is of another address family than their ends, in a kernel with ESP and AH: Linux asks each SA of the bundle about the packet inside,
 * and drops, without a word but a counter, what an SA is not for.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Lab, type Side, wait } from "./lab.ts";

const ENDS = {
  4: { us: "192.0.2.1", theirs: "192.0.2.2" },
  6: { us: "2001:db8::1", theirs: "2001:db8::2" },
} as const;
// On the same wire, so that no route is needed.
const INSIDE = {
  4: { us: "192.0.2.65", theirs: "192.0.2.66" },
  6: { us: "2001:db8::65", theirs: "2001:db8::66" },
} as const;
type Family = keyof typeof ENDS;

const other = (side: Side): Side => (side === "us" ? "theirs" : "us");
const filtersOf = (side: Side, families: readonly Family[]): string =>
  JSON.stringify(families.map((family) => `${INSIDE[family][side]} <-> ${INSIDE[family][other(side)]}`));

const negotiated = (lab: Lab, side: Side, outer: Family, families: readonly Family[], protect: string): string => `[daemon]
control = "${lab.control(side)}"
[policy.main-mode]
proposals = ["aes128-sha256-x25519"]
[policy.quick-mode]
proposals = ["${protect}"]
pfs = "none"
[[rule]]
name = "sites"
filters = ${filtersOf(side, families)}
action = "require"
mode = "tunnel"
tunnel = { local = "${ENDS[outer][side]}", remote = "${ENDS[outer][other(side)]}" }
auth = [{ method = "psk", secret = "a throwaway key for this test" }]
`;

/** Throwaway keys: the same octets for each direction at both ends. */
function manual(lab: Lab, side: Side, outer: Family, families: readonly Family[], protect: string): string {
  const octets = protect.startsWith("ah:") ? 32 : 36;
  const key = (way: Side): string => `0x${(way === "us" ? "a7" : "b9").repeat(octets)}`;
  const spi = (way: Side): string => (way === "us" ? "0x1001" : "0x1002");
  return `[daemon]
control = "${lab.control(side)}"
[[sa]]
name = "sites"
filters = ${filtersOf(side, families)}
mode = "tunnel"
local = "${ENDS[outer][side]}"
remote = "${ENDS[outer][other(side)]}"
protection = "${protect}"
spi-in = ${spi(side)}
spi-out = ${spi(other(side))}
key-in = "${key(side)}"
key-out = "${key(other(side))}"
`;
}

const TUNNELS: readonly (readonly [what: string, text: typeof negotiated, outer: Family, inside: readonly Family[], protect: string])[] = [
  ["IPv6 in IPv4, AH and ESP", negotiated, 4, [6], "ah:sha256+esp:aes128-sha256"],
  ["both in IPv6, AH and ESP", negotiated, 6, [4, 6], "ah:sha256+esp:aes128-sha256"],
  ["both in IPv4, ESP, keys from the file", manual, 4, [4, 6], "esp:aes128-sha1"],
  ["both in IPv6, AH, keys from the file", manual, 6, [4, 6], "ah:sha256"],
];

test("tunnels carry what their filters say, of whatever family their ends are", async (t) => {
  for (const [what, text, outer, inside, protect] of TUNNELS)
    await t.test(what, async () => {
      const of = (side: Side): string[] => [...Object.values(ENDS), ...Object.values(INSIDE)].map((pair) => pair[side]);
      const lab = new Lab({ us: of("us"), theirs: of("theirs") });
      try {
        await lab.watch();
        for (const side of ["theirs", "us"] as const) await lab.start(side, text(lab, side, outer, inside, protect));
        for (const family of inside) {
          const { us, theirs } = INSIDE[family];
          // The first packets ask for the SA, and are dropped.
          for (let i = 0; i < 60 && (await lab.ping("us", us, theirs, 1, "doubtful")) === 0; i++) await wait(100);
          assert.equal(await lab.ping("us", us, theirs, 3), 3, `IPv${family}`);
        }
        const seen = await lab.packets();
        assert.ok(seen.length >= 6 * inside.length);
        assert.deepEqual(
          seen.filter(({ kind, source }) => kind !== (protect.startsWith("ah:") ? "ah" : "esp") || source.includes(":") !== (outer === 6)),
          [],
        );
      } finally {
        await lab.end();
      }
    });
});
