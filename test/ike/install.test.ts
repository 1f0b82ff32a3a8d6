import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { liveSecrets, Secret } from "../../ike/crypto/secret.ts";
import type { ProtocolSuite } from "../../ike/crypto/suite.ts";
import { destroySa, kernelPolicies, kernelSas, kernelSelectors, priorityOf, saKeys } from "../../ike/install.ts";
import type { KernelSa } from "../../ike/kernel-contract.ts";
import type { ChildKeys } from "../../ike/quick-mode.ts";
import { parseRange } from "../../isakmp/address.ts";
import { parseChildSuite } from "../../policy/proposal.ts";
import type { Rule, TrafficSelector } from "../../policy/types.ts";
import type { ChildSpec } from "../../sa-store/child-sa.ts";
import { policyOf, towards } from "../sim/policies.ts";

const [LOCAL, REMOTE] = ["192.0.2.1", "192.0.2.2"];
const LIMITS = { softSeconds: 240, hardSeconds: 300, kilobytes: 100, softPackets: 1000, hardPackets: 1100, softShare: 0.8 };

function selector(local: string, remote: string, more: Partial<TrafficSelector> = {}): TrafficSelector {
  const [l, r] = [parseRange(local), parseRange(remote)];
  assert.ok(l && r);
  return { local: l, remote: r, protocol: 0, localPort: 0, remotePort: 0, ...more };
}

const RULE = policyOf(towards(REMOTE)).rules[0] as Rule;

const specOf = (mode: "transport" | "tunnel", s: TrafficSelector = selector(LOCAL, REMOTE)): ChildSpec => ({
  rule: { ...RULE, mode },
  selector: s,
  local: LOCAL,
  remote: REMOTE,
  reqid: 0x6d6d0001,
});

/** Keys that count up, inbound from 0 and outbound from 128. */
function keysOf(text: string): readonly ChildKeys[] {
  const suites = parseChildSuite(text);
  assert.ok(suites.ok);
  return suites.value.map((suite: ProtocolSuite, i) => {
    const octets = (suite.cipher?.keyOctets ?? 0) + (suite.integrity?.keyOctets ?? 0);
    const material = (start: number) => new Secret(Uint8Array.from({ length: octets }, (_, n) => (start + n) & 0xff));
    return { suite, spiIn: 0x1000 + i, spiOut: 0x2000 + i, inbound: material(0), outbound: material(128) };
  });
}

const reveal = (part: { readonly key: Secret } | null): string | undefined => part?.key.use((key) => Buffer.from(key).toString("hex"));
const run = (start: number, length: number): string => Buffer.from(Array.from({ length }, (_, i) => (start + i) & 0xff)).toString("hex");

function installed(text: string, direction: "in" | "out", spec: ChildSpec, look: (sas: readonly KernelSa[]) => void): void {
  const before = liveSecrets();
  const keys = keysOf(text);
  const sas = kernelSas(spec, keys, direction, LIMITS, null);
  look(sas);
  for (const sa of sas) destroySa(sa);
  for (const { inbound, outbound } of keys) for (const key of [inbound, outbound]) key.destroy();
  assert.equal(liveSecrets(), before, "nothing leaks");
}

test("an ESP pair: cipher key first, then integrity key; inbound from the peer, outbound to it", () => {
  installed("esp:aes128-sha1", "in", specOf("transport"), ([sa]) => {
    assert.ok(sa);
    assert.deepEqual(
      [sa.source, sa.destination, sa.spi, sa.protocol, sa.mode, sa.reqid],
      [REMOTE, LOCAL, 0x1000, "esp", "transport", 0x6d6d0001],
    );
    assert.equal(reveal(sa.encryption), run(0, 16));
    assert.equal(reveal(sa.integrity), run(16, 20));
    assert.equal(sa.integrity?.truncateBits, 96);
    assert.equal(sa.aead, null);
    assert.equal(sa.replayWindow, 32);
  });
  installed("esp:aes128-sha1", "out", specOf("transport"), ([sa]) => {
    assert.ok(sa);
    assert.deepEqual([sa.source, sa.destination, sa.spi], [LOCAL, REMOTE, 0x2000]);
    assert.equal(reveal(sa.encryption), run(128, 16));
    assert.equal(sa.replayWindow, 0);
  });
});

test("sha256-96 cuts HMAC-SHA2-256 to 96 bits with its whole key, in ESP and AH, and touches nothing else", () => {
  const spec = specOf("transport");
  const short: ChildSpec = { ...spec, rule: { ...spec.rule, shortSha256: true } };
  for (const [text, which, bits] of [
    ["esp:aes128-sha256", short, 96],
    ["ah:sha256", short, 96],
    ["esp:aes128-sha384", short, 192],
    ["esp:aes128-sha1", short, 96],
    ["esp:aes128-sha256", spec, 128],
  ] as const)
    for (const direction of ["in", "out"] as const)
      installed(text, direction, which, ([sa]) => {
        assert.equal(sa?.integrity?.truncateBits, bits);
        if (text.endsWith("sha256")) assert.equal(reveal(sa?.integrity ?? null)?.length, 64);
      });
});

test("GCM has one key with its salt, ESP-NULL an empty cipher key, AH no cipher", () => {
  installed("esp:aes128gcm16", "in", specOf("transport"), ([sa]) => {
    assert.equal(reveal(sa?.aead ?? null), run(0, 20));
    assert.equal(sa?.aead?.icvBits, 128);
    assert.deepEqual([sa?.encryption, sa?.integrity], [null, null]);
  });
  installed("esp:null-sha256", "in", specOf("transport"), ([sa]) => {
    assert.equal(sa?.encryption?.name, "ecb(cipher_null)");
    assert.equal(reveal(sa?.encryption ?? null), "");
    assert.equal(reveal(sa?.integrity ?? null), run(0, 32));
  });
  installed("ah:sha256", "in", specOf("transport"), ([sa]) => {
    assert.deepEqual([sa?.protocol, sa?.encryption, sa?.aead], ["ah", null, null]);
    assert.equal(sa?.integrity?.truncateBits, 128);
  });
});

test("of a bundle ESP comes first; in tunnel mode it alone makes the tunnel, and only the inner SA narrows", () => {
  installed("ah:sha1+esp:3des-sha1", "out", specOf("tunnel", selector("10.1.0.0/16", "10.2.0.0/16")), (sas) => {
    assert.deepEqual(
      sas.map(({ protocol, mode, selector: s }) => [protocol, mode, s && s !== "both-families" ? s.source : null]),
      [
        ["esp", "tunnel", "10.1.0.0"],
        ["ah", "transport", null],
      ],
    );
  });
});

test("of a bundle in a tunnel across families the outer SA is for both: Linux asks it about the packet inside", () => {
  for (const direction of ["in", "out"] as const)
    installed("ah:sha1+esp:3des-sha1", direction, specOf("tunnel", selector("2001:db8:1::/48", "2001:db8:2::/48")), ([esp, ah]) => {
      const inside = direction === "in" ? "2001:db8:2::" : "2001:db8:1::";
      assert.deepEqual([esp?.selector !== "both-families" && esp?.selector?.source, ah?.selector], [inside, "both-families"]);
    });
});

test("a volume limits what we send; what comes in only asks for renewal (a peer may ignore kilobytes)", () => {
  for (const direction of ["in", "out"] as const)
    installed("esp:aes128-sha1", direction, specOf("transport"), ([sa]) => {
      assert.deepEqual(sa?.limits, {
        softSeconds: 240,
        hardSeconds: 300,
        softPackets: 1000,
        softOctets: 80_000,
        hardOctets: direction === "in" ? null : 100_000,
        hardPackets: direction === "in" ? null : 1100,
      });
    });
});

test("an SA's selector is turned round inbound, and gives way to everything where one prefix is not enough", () => {
  const web = selector(LOCAL, REMOTE, { protocol: 6, localPort: 0, remotePort: 80 });
  installed("esp:aes128-sha1", "in", specOf("transport", web), ([sa]) => {
    assert.deepEqual(sa?.selector, {
      source: REMOTE,
      sourceLength: 32,
      destination: LOCAL,
      destinationLength: 32,
      protocol: 6,
      sourcePort: 80,
      destinationPort: 0,
    });
  });
  installed("esp:aes128-sha1", "out", specOf("tunnel", selector("10.1.0.0/16", "10.2.0.3-10.2.0.6")), ([sa]) => {
    assert.deepEqual(sa?.selector, {
      ...{ source: "0.0.0.0", sourceLength: 0, destination: "0.0.0.0", destinationLength: 0 },
      ...{ protocol: 0, sourcePort: 0, destinationPort: 0 },
    });
  });
});

test("policies: two directions in transport, three in tunnel mode, and as many sets as a range has prefixes", () => {
  const base = { reqid: 9, protocols: ["esp"] as const };
  const transport = kernelPolicies({ ...base, selector: selector(LOCAL, REMOTE), mode: "transport", tunnel: null });
  assert.deepEqual(
    transport.map(({ direction, selector: s, templates: [t] }) => [direction, s.source, t?.source, t?.mode, t?.reqid]),
    [
      ["out", LOCAL, null, "transport", 9],
      ["in", REMOTE, null, "transport", 9],
    ],
  );
  const ends = { local: LOCAL, remote: REMOTE };
  const tunnel = kernelPolicies({ ...base, selector: selector("10.1.0.0/16", "10.2.0.3-10.2.0.6"), mode: "tunnel", tunnel: ends });
  assert.deepEqual(
    tunnel.slice(0, 3).map(({ direction, templates: [t] }) => [direction, t?.source, t?.destination, t?.mode]),
    [
      ["out", LOCAL, REMOTE, "tunnel"],
      ["in", REMOTE, LOCAL, "tunnel"],
      ["fwd", REMOTE, LOCAL, "tunnel"],
    ],
  );
  assert.equal(tunnel.length, 9);
});

test("templates of a bundle stand innermost first, and only the innermost makes the tunnel", () => {
  const [out] = kernelPolicies({
    selector: selector("10.1.0.0/16", "10.2.0.0/16"),
    mode: "tunnel",
    tunnel: { local: LOCAL, remote: REMOTE },
    protocols: ["ah", "esp"],
    reqid: 1,
  });
  assert.deepEqual(
    out?.templates.map(({ protocol, mode }) => [protocol, mode]),
    [
      ["esp", "tunnel"],
      ["ah", "transport"],
    ],
  );
});

test("what selects less has the stronger priority, and a protocol or port never outweighs a bit of address", () => {
  const priority = (s: TrafficSelector) => priorityOf(kernelSelectors(s)[0] as NonNullable<ReturnType<typeof kernelSelectors>[0]>);
  const ladder = [
    selector("192.0.2.1", "192.0.2.2", { protocol: 6, localPort: 1, remotePort: 2 }),
    selector("192.0.2.1", "192.0.2.2", { protocol: 6, remotePort: 2 }),
    selector("192.0.2.1", "192.0.2.2", { protocol: 6 }),
    selector("192.0.2.1", "192.0.2.2"),
    selector("192.0.2.1", "192.0.2.0/31", { protocol: 6, localPort: 1, remotePort: 2 }),
    selector("0.0.0.0/0", "0.0.0.0/0", { protocol: 6 }),
    selector("0.0.0.0/0", "0.0.0.0/0"),
  ].map(priority);
  assert.deepEqual(
    ladder,
    [...ladder].sort((a, b) => a - b),
  );
  assert.equal(new Set(ladder).size, ladder.length);
  assert.ok(priority(selector("::1", "::2")) > 1000, "behind neighbour discovery");
});

test("the prefixes of a range pair are disjoint and cover it, on both sides", () => {
  fc.assert(
    fc.property(fc.nat(255), fc.nat(255), (a, b) => {
      const [first, last] = [Math.min(a, b), Math.max(a, b)];
      const selectors = kernelSelectors(selector(LOCAL, `198.51.100.${first}-198.51.100.${last}`));
      const addresses = selectors.reduce((sum, { destinationLength }) => sum + 2 ** (32 - destinationLength), 0);
      assert.equal(addresses, last - first + 1);
    }),
  );
});

test("SAs are removed by the names under which they were added", () => {
  for (const direction of ["in", "out"] as const)
    installed("ah:sha1+esp:3des-sha1", direction, specOf("transport"), (sas) => {
      const names = saKeys(specOf("transport"), keysOfProtections("ah:sha1+esp:3des-sha1"), direction).map(
        ({ source, destination, protocol, spi }) => `${source} ${destination} ${protocol} ${spi}`,
      );
      assert.deepEqual(
        names.sort(),
        sas.map(({ source, destination, protocol, spi }) => `${source} ${destination} ${protocol} ${spi}`).sort(),
      );
    });
});

function keysOfProtections(text: string): { readonly suite: ProtocolSuite; readonly spiIn: number; readonly spiOut: number }[] {
  const suites = parseChildSuite(text);
  assert.ok(suites.ok);
  return suites.value.map((suite, i) => ({ suite, spiIn: 0x1000 + i, spiOut: 0x2000 + i }));
}
