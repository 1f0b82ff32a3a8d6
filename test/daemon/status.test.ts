import assert from "node:assert/strict";
import { test } from "node:test";
import { withCounters } from "../../daemon/status.ts";
import type { ChildSaView, IkeSaView, StatusDocument } from "../../sa-store/view.ts";

const ike = (id: number, local: string, remote: string): IkeSaView => ({
  id,
  rule: "hr",
  role: "initiator",
  state: "established",
  local,
  remote,
  localId: null,
  remoteId: null,
  auth: "psk",
  encryption: "aes256",
  hash: "sha256",
  group: "modp2048",
  initiatorCookie: "0011223344556677",
  responderCookie: "8899aabbccddeeff",
  nat: "none",
  lifetimeSeconds: 28_800,
  secondsLeft: 28_790,
  quickModes: 1,
});

const child = (id: number, of: number | null, more: Partial<ChildSaView> = {}): ChildSaView => ({
  id,
  ike: of,
  rule: "hr",
  state: "installed",
  mode: "transport",
  tunnel: null,
  local: "192.0.2.1/32",
  remote: "192.0.2.2/32",
  localPort: null,
  remotePort: null,
  protocol: "any",
  group: null,
  protections: [{ protocol: "esp", encryption: "aes128", integrity: "sha1", spiIn: "0x0000aaaa", spiOut: "0x0000bbbb" }],
  bytesIn: 0,
  bytesOut: 0,
  lifetimeSeconds: 300,
  secondsLeft: 290,
  lifetimeKilobytes: null,
  rekeys: 0,
  warning: null,
  ...more,
});

const counted = (...rows: readonly (readonly [string, number])[]) => new Map(rows.map(([key, octets]) => [key, { octets, packets: 1 }]));

const bytes = (document: StatusDocument): readonly (readonly number[])[] =>
  document.childSas.map(({ bytesIn, bytesOut }) => [bytesIn, bytesOut]);

const ikeSas = [ike(1, "192.0.2.1:500", "192.0.2.2:500"), ike(2, "[2001:db8::1]:4500", "[2001:db8::2]:4500")];

test("octets of both directions come from the SAs with the child's SPIs", () => {
  const counters = counted(["esp 0x0000aaaa 192.0.2.1", 192], ["esp 0x0000bbbb 192.0.2.2", 384], ["esp 0x0000cccc 192.0.2.2", 7]);
  assert.deepEqual(
    bytes(withCounters({ ikeSas, childSas: [child(1, 1)], softSas: [], guards: [], refusedPolicies: [], policiesUnknown: null }, counters)),
    [[192, 384]],
  );
});

test("one SPI at two destinations is two SAs", () => {
  const counters = counted(["esp 0x0000bbbb 192.0.2.2", 1], ["esp 0x0000bbbb 2001:db8::2", 2]);
  const childSas = [child(1, 1), child(2, 2, { local: "2001:db8::1/128", remote: "2001:db8::2/128" })];
  assert.deepEqual(
    bytes(withCounters({ ikeSas, childSas, softSas: [], guards: [], refusedPolicies: [], policiesUnknown: null }, counters)),
    [
      [0, 1],
      [0, 2],
    ],
  );
});

test("a tunnel's SAs end at the tunnel's ends", () => {
  const tunnel = { local: "198.51.100.1", remote: "203.0.113.9" };
  const counters = counted(["esp 0x0000aaaa 198.51.100.1", 5], ["esp 0x0000bbbb 203.0.113.9", 6]);
  const childSas = [child(1, null, { mode: "tunnel", tunnel, local: "10.1.0.0/16", remote: "10.2.0.0/16" })];
  assert.deepEqual(
    bytes(withCounters({ ikeSas: [], childSas, softSas: [], guards: [], refusedPolicies: [], policiesUnknown: null }, counters)),
    [[5, 6]],
  );
});

test("a child whose IKE SA is gone is found by its hosts, or by an SPI that only one SA has", () => {
  const counters = counted(["esp 0x0000aaaa 192.0.2.1", 5], ["esp 0x0000bbbb 192.0.2.2", 6], ["esp 0x0000bbbb 192.0.2.3", 9]);
  assert.deepEqual(
    bytes(
      withCounters(
        { ikeSas: [], childSas: [child(1, null)], softSas: [], guards: [], refusedPolicies: [], policiesUnknown: null },
        counters,
      ),
    ),
    [[5, 6]],
  );
  const subnets = child(1, null, { local: "192.0.2.0/28", remote: "192.0.2.0/24" });
  assert.deepEqual(
    bytes(withCounters({ ikeSas: [], childSas: [subnets], softSas: [], guards: [], refusedPolicies: [], policiesUnknown: null }, counters)),
    [[5, 0]],
  );
});

test("of AH and ESP together ESP is counted", () => {
  const protections = [
    { protocol: "ah" as const, encryption: null, integrity: "sha1", spiIn: "0x0000000a", spiOut: "0x0000000b" },
    { protocol: "esp" as const, encryption: "3des", integrity: "sha1", spiIn: "0x0000000c", spiOut: "0x0000000d" },
  ];
  const counters = counted(["ah 0x0000000a 192.0.2.1", 100], ["esp 0x0000000c 192.0.2.1", 80], ["ah 0x0000000b 192.0.2.2", 50]);
  assert.deepEqual(
    bytes(
      withCounters(
        { ikeSas, childSas: [child(1, 1, { protections })], softSas: [], guards: [], refusedPolicies: [], policiesUnknown: null },
        counters,
      ),
    ),
    [[80, 0]],
  );
  const [ah] = protections;
  assert.ok(ah);
  assert.deepEqual(
    bytes(
      withCounters(
        { ikeSas, childSas: [child(1, 1, { protections: [ah] })], softSas: [], guards: [], refusedPolicies: [], policiesUnknown: null },
        counters,
      ),
    ),
    [[100, 50]],
  );
});

test("without counters, and for a child that has no SPIs yet, the document stays as it was", () => {
  const document = { ikeSas, childSas: [child(1, 1)], softSas: [], guards: [], refusedPolicies: [], policiesUnknown: null };
  assert.equal(withCounters(document, new Map()), document);
  const negotiating = {
    ikeSas,
    childSas: [child(1, 1, { protections: [] })],
    softSas: [],
    guards: [],
    refusedPolicies: [],
    policiesUnknown: null,
  };
  assert.deepEqual(withCounters(negotiating, counted(["esp 0x0000aaaa 192.0.2.1", 1])), negotiating);
});
