/** The Windows-like peer behind a NAT, as client and behind a port forward: draft 02 with a line feed until Server 2003, RFC 3947 since Vista; transport mode. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { saName } from "../../kernel/xfrm-args.ts";
import { policyOf, towards } from "./policies.ts";
import { A, B, childrenOf, ikesOf, said } from "./setting.ts";
import { WindowsPeer } from "./windows-peer.ts";
import { RELEASES, type Release } from "./windows-releases.ts";
import { bothPhases, hex, OFFERS, SECOND } from "./windows-setting.ts";
import { story, type World } from "./world.ts";

const INNER = "10.0.0.5";

/** Windows at `INNER`, known as `B`; where we begin its router leads IKE's ports to it. */
const meets = (release: Release, begins: "us" | "windows", tell: (world: World, windows: WindowsPeer) => void) =>
  story(
    {
      hosts: [{ name: "A", addresses: [A], policy: policyOf(towards(B, { start: '"on-traffic"', "allow-weak": "true" }, OFFERS)) }],
      nats: [{ outer: B, inside: [INNER], ...(begins === "us" ? { forwards: { 500: INNER, 4500: INNER } } : {}) }],
    },
    (world) => {
      world.run(10);
      tell(world, new WindowsPeer(world, INNER, A, release, { knownAs: B }));
    },
  );

/** The newest pair: the same keys at both ends, and in UDP between the ports that the router made of them. */
function assertPair(world: World, windows: WindowsPeer, port: RegExp): void {
  const child = windows.children.at(-1);
  assert.ok(child, "a pair");
  for (const [spi, destination, key] of [
    [child.spiIn, B, child.keyIn],
    [child.spiOut, A, child.keyOut],
  ] as const) {
    const sa = world.host("A").xfrm.states.get(saName({ protocol: "esp", spi, destination }))?.sa;
    assert.equal([sa?.encryption, sa?.integrity].map((part) => part?.key.use(hex) ?? "").join(""), hex(key));
    const [own, far] =
      destination === B ? [sa?.encap?.sourcePort, sa?.encap?.destinationPort] : [sa?.encap?.destinationPort, sa?.encap?.sourcePort];
    assert.equal(own, 4500);
    assert.match(String(far), port);
  }
}

for (const release of RELEASES)
  for (const begins of ["us", "windows"] as const)
    test(
      `${release.name} behind a NAT, ${begins === "us" ? "we begin" : "it begins"}: ${release.authip ? "RFC 3947" : "draft 02"}, transport mode in UDP, and its deletes find their way`,
      meets(release, begins, (world, windows) => {
        const port = begins === "us" ? /^4500$/ : /^2\d{4}$/;
        bothPhases(world, windows, begins);
        assert.deepEqual(
          ikesOf(world, "A").map(({ nat, remote }) => [nat, port.test(remote.split(":")[1] ?? "")]),
          [["remote", true]],
        );
        assertPair(world, windows, port);
        // Its own address is all that it has to call itself.
        assert.deepEqual(
          said(world.host("A"), "warning", "error").filter((text) => !/calls itself ip:10\.0\.0\.5/.test(text)),
          [],
        );
        // A second one of Windows' own under the same IKE SA.
        windows.quick();
        world.run(SECOND);
        assert.equal(windows.children.length, 2);
        assertPair(world, windows, port);
        world.run(20 * SECOND);
        // Its pairs idle, and it says so reliably: the answer reaches it through the router, which has been kept awake by nobody but itself.
        windows.removeIke();
        world.run(SECOND);
        assert.equal(windows.acknowledged.size, release.reliable ? 1 : 0);
        assert.deepEqual(ikesOf(world, "A"), []);
        assert.ok(childrenOf(world, "A").length > 0);
      }),
    );
