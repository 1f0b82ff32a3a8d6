import assert from "node:assert/strict";
import { test } from "node:test";
import { formatAddress, parseAddress } from "../../isakmp/address.ts";
import { charonKeys } from "./charon-keys.ts";
import { states } from "./kernel-view.ts";
import { shareOut } from "./matrix.ts";
import { type PeerKind, type Placed, place, type Role, type Scenario } from "./scenario.ts";
import { scenarios } from "./scenarios.ts";
import type { Shell } from "./shell.ts";

const all = scenarios();
const by = (peer: PeerKind, role: Role): readonly Scenario[] => all.filter((one) => one.peer === peer && one.role === role);
const values = (list: readonly Scenario[], column: (one: Scenario) => string | null): ReadonlySet<string | null> =>
  new Set(list.filter(({ differs }) => differs === null).map(column));

test("every kind of protection, mode, family, beginning and disagreement is negotiated with both peers in both roles", () => {
  for (const peer of ["strongswan", "libreswan"] as const) {
    for (const role of ["initiator", "responder"] as const) {
      const list = by(peer, role);
      const at = `${peer} ${role}`;
      assert.ok(values(list, ({ ike }) => ike).size >= 5, `${at}: fewer than five suites of phase 1`);
      assert.deepEqual([...values(list, ({ mode }) => mode)].sort(), ["transport", "tunnel"], at);
      assert.deepEqual([...values(list, ({ family, mode }) => `${mode} ${family}`)].length, 4, at);
      assert.deepEqual([...values(list, ({ trigger }) => trigger)].sort(), ["command", "traffic"], at);
      const protect = values(list, (one) => one.protect);
      for (const name of [
        "esp:aes128-sha1",
        "esp:aes256-sha256",
        "esp:3des-sha1",
        "esp:null-sha1",
        "esp:aes128gcm16",
        "ah:sha1",
        "ah:sha256",
      ])
        assert.ok(protect.has(name), `${at}: no ${name}`);
      assert.ok(values(list, ({ pfs }) => pfs).has(null) && values(list, ({ pfs }) => pfs).size > 2, `${at}: with and without PFS`);
      const differing = new Set(list.flatMap(({ differs }) => differs ?? []));
      for (const what of ["psk", "phase1", "phase2", "selectors", "authority", "revoked", "identity"] as const)
        assert.ok(differing.has(what), `${at}: no ${what}`);
    }
  }
});

test("addresses stand as the kernel prints them: what never comes is waited for twenty seconds", () => {
  for (const one of all)
    for (const index of [0, 1, 23]) {
      const placed = place(one, index);
      for (const { host, flows } of [placed.us, placed.theirs])
        for (const text of [host, ...flows.flatMap(({ net, address }) => [net.replace(/\/.*/, ""), address])]) {
          const address = parseAddress(text);
          assert.equal(address && formatAddress(address.family, address.value), text);
        }
    }
});

test("scenarios are shared out so that two guests are done at about the same time, each peer in guests of its own", () => {
  const sizes = (pattern: RegExp) =>
    shareOut(
      all.filter(({ name }) => pattern.test(name)),
      2,
    ).map(({ name, scenarios }) => [name, scenarios.length]);
  assert.deepEqual(sizes(/^mainmode-/), [
    ["mainmode-1", 12],
    ["mainmode-2", 12],
  ]);
  assert.deepEqual(sizes(/^strongswan-.*-usual$/), [["strongswan", 2]]);
  // Where one guest runs at a time there is nothing to split.
  const one = shareOut(
    all.filter(({ name }) => name.startsWith("mainmode-")),
    1,
  );
  assert.deepEqual(
    one.map(({ name, scenarios }) => [name, scenarios.length]),
    [["mainmode", 24]],
  );
  for (const { scenarios } of shareOut(all, 2)) {
    assert.ok(scenarios.length <= 24);
    assert.equal(new Set(scenarios.map(({ peer }) => peer)).size, 1);
  }
  assert.deepEqual(
    shareOut(all, 2)
      .flatMap(({ scenarios }) => scenarios.map(({ name }) => name))
      .sort(),
    all.map(({ name }) => name).sort(),
  );
});

test("certificates of every kind are tried with strongSwan in both roles, RSA with libreswan, good ones and bad", () => {
  for (const role of ["initiator", "responder"] as const) {
    const theirs = by("strongswan", role).filter(({ certificates }) => certificates);
    assert.deepEqual([...new Set(theirs.map(({ certificates }) => certificates?.key))].sort(), ["p256", "p384", "rsa2048", "rsa3072"]);
    assert.deepEqual([...values(theirs, ({ certificates }) => certificates?.issuer ?? null)].sort(), ["intermediate", "root"]);
    for (const what of ["authority", "expired", "revoked", "old-list", "identity"])
      assert.ok(
        theirs.some(({ differs }) => differs === what),
        `${role}: ${what}`,
      );
    assert.ok(
      theirs.some(({ certificates, differs }) => certificates?.spelled && differs === null),
      `${role}: a DN that is encoded anew`,
    );
    assert.ok(theirs.some(({ certificates }) => certificates?.fallback) && theirs.some(({ certificates }) => !certificates?.asked));
    const rsa = by("libreswan", role).filter(({ certificates }) => certificates);
    assert.deepEqual([...values(rsa, ({ certificates }) => certificates?.issuer ?? null)].sort(), ["intermediate", "root"]);
  }
});

test("long messages travel in fragments at once, and where the path drops them, with both peers in both roles", () => {
  for (const peer of ["strongswan", "libreswan"] as const)
    for (const role of ["initiator", "responder"] as const) {
      const list = by(peer, role).filter(({ fragmentation }) => fragmentation !== null);
      assert.deepEqual(list.map(({ fragmentation, narrow }) => `${fragmentation} ${narrow}`).sort(), ["auto true", "force false"]);
      assert.ok(list.every(({ certificates }) => certificates?.issuer === "intermediate"));
      assert.ok(by(peer, role).some(({ shortSha256, protect }) => shortSha256 && protect.endsWith("sha256")));
    }
});

test("either side deletes, and several filters of one rule are negotiated", () => {
  assert.ok(all.some(({ role, deletes }) => role === "initiator" && deletes === "peer"));
  assert.ok(all.some(({ role, deletes }) => role === "responder" && deletes === "us"));
  assert.ok(all.some(({ flows }) => flows === 2));
});

test("no two scenarios of a guest share a peer address or a subnet behind it", () => {
  const placed = all.slice(0, 32).map(place);
  const unique = (list: readonly string[]) => assert.equal(new Set(list).size, list.length);
  unique(placed.map(({ theirs }) => theirs.host));
  unique(placed.filter(({ mode }) => mode === "tunnel").flatMap(({ theirs }) => theirs.flows.map(({ net }) => net)));
  assert.throws(() => place(all[0] as Scenario, 32), /more than 32/);
});

test("keys in charon's log belong to the IKE SA that their thread has taken up", () => {
  const log = [
    "05:10:25 08[MGR] checkout IKEv1 SA by message with SPIs 1111111111111111_i 0000000000000000_r",
    "05:10:25 09[MGR] checkout IKEv1 SA by message with SPIs 2222222222222222_i 3333333333333333_r",
    "05:10:25 08[IKE] encryption key Ka => 24 bytes @ 0x6800e020",
    "05:10:25 09[IKE] encryption key Ka => 16 bytes @ 0x6800e020",
    "05:10:25 08[IKE]    0: 85 09 91 5D 1E B6 9D 9A AE 1B ED 9F 51 00 64 6A  ...]........Q.dj",
    "05:10:25 09[IKE]    0: 00 01 02 03 04 05 06 07 08 09 0A 0B 0C 0D 0E 0F  ................",
    "05:10:25 08[IKE]   16: 85 EE 79 3F 01 02 03 04                          ..y?....",
    "05:10:25 08[IKE] initial IV => 16 bytes @ 0x6800e020",
    '05:10:25 08[IKE]    0: FF 5F 6E 8B F3 9B 40 EF 56 87 58 4C 90 1E 22 FE  ._n...@.V.XL..".',
  ];
  assert.deepEqual([...charonKeys(log.join("\n"))].sort(), [
    ["1111111111111111", "8509915d1eb69d9aae1bed9f5100646a85ee793f01020304"],
    ["2222222222222222", "000102030405060708090a0b0c0d0e0f"],
  ]);
});

test("what ip prints becomes the SAs of one scenario, without larval ones", async () => {
  const [first, second] = all.slice(0, 2).map(place) as [Placed, Placed];
  const sa = (source: string, destination: string, spi: string, algorithm: string) =>
    `src ${source} dst ${destination}\n\tproto esp spi ${spi}(1) reqid 1(0x00000001) mode transport\n\treplay-window 0 seq 0x00000000\n${algorithm}` +
    "\tlifetime current:\n\t  252(bytes), 3(packets)\n\t  add 2026-11-21 05:05:00 use 2026-11-21 05:05:00\n";
  const cipher = "\tauth-trunc hmac(sha1) 0x00 (8 bits) 96\n\tenc cbc(aes) 0x00 (8 bits)\n";
  const text = [
    sa(first.us.host, first.theirs.host, "0xc57811c3", cipher),
    sa(first.us.host, first.theirs.host, "0x00000000", ""),
    sa(second.us.host, second.theirs.host, "0xc27359e6", cipher),
  ].join("");
  const run: Shell = async () => ({ status: 0, stdout: text, stderr: "" });
  assert.deepEqual(await states(run, "us", first), [
    {
      source: first.us.host,
      destination: first.theirs.host,
      protocol: "esp",
      spi: "0xc57811c3",
      mode: "transport",
      algorithms: ["hmac(sha1)", "cbc(aes)"],
      icvBits: 96,
      bytes: 252,
      packets: 3,
    },
  ]);
});
