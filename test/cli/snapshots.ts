/** Updates as a daemon tells them: a host with an IKE SA, its child, a Main Mode in flight, and a child whose parent is gone. */
import type { Status, Update } from "../../cli/client.ts";

const MOMENT = Date.UTC(2026, 0, 1, 12);
const at = (seconds: number): string => new Date(MOMENT + seconds * 1000).toISOString();

/** A record of the log. */
export const EVENT = (text: string, level: "info" | "warning" = "info"): Update & { readonly kind: "event" } => ({
  type: "update",
  kind: "event",
  time: at(1),
  level,
  event: "ike.started",
  text,
});

const IKE: Status["ikeSas"][number] = {
  id: 1,
  rule: "hr",
  role: "initiator",
  state: "established",
  local: "192.0.2.1:500",
  remote: "192.0.2.2:500",
  localId: "ip:192.0.2.1",
  remoteId: "ip:192.0.2.2",
  auth: "psk",
  encryption: "aes128",
  hash: "sha1",
  group: "modp2048",
  initiatorCookie: "0000000000000001",
  responderCookie: "0000000000000002",
  nat: "none",
  lifetimeSeconds: 28_800,
  secondsLeft: 18_000,
  quickModes: 1,
};

const CHILD: Status["childSas"][number] = {
  bytesIn: 0,
  id: 3,
  ike: 1,
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
  bytesOut: 0,
  lifetimeSeconds: 300,
  secondsLeft: 30,
  lifetimeKilobytes: 1000,
  rekeys: 2,
  warning: null,
  protections: [{ protocol: "esp", encryption: "aes128", integrity: "sha1", spiIn: "0x0000000a", spiOut: "0x0000000b" }],
};

const LIVE = {
  negotiations: [
    {
      kind: "main-mode",
      ike: 2,
      rule: "branch",
      peer: "192.0.2.9:500",
      role: "initiator",
      initiatorCookie: "0000000000000003",
      messageId: null,
      step: { message: 3, of: 6, text: "key exchange sent" },
      seconds: 12,
      repeats: 1,
      trouble: null,
    },
  ],
  rules: [
    { rule: "hr", wanted: true, up: true, children: 1 },
    { rule: "branch", wanted: true, up: false, children: 0 },
  ],
  wishes: 1,
  retries: 0,
  halfOpen: 0,
  reassembling: 0,
  kernelRequests: 0,
} as const;

const STATS = {
  since: at(0),
  metrics: [
    metric("mainmode_ike_sa_established_total", 7),
    metric("mainmode_child_sa_established_total", 0),
    metric("mainmode_child_sa_rekeys_total", 0),
    metric("mainmode_negotiation_failures_total", 0),
    metric("mainmode_authentication_failures_total", 2),
    { name: "mainmode_kernel_drops_total", type: "counter", help: "", samples: null },
  ],
  windows: [{ page: "quick-mode", name: "Bad SPI Packets", metrics: ["mainmode_kernel_drops_total"], value: null }],
} as const;

function metric(name: string, value: number) {
  return { name, type: "counter", help: "", samples: [{ labels: {}, value }] } as const;
}

/** The picture after so many seconds, when so many octets have come in. */
export const snapshot = (seconds: number, bytesIn: number): Update & { readonly kind: "snapshot" } => ({
  type: "update",
  kind: "snapshot",
  time: at(seconds),
  live: LIVE,
  stats: STATS,
  status: {
    ikeSas: [
      IKE,
      {
        ...IKE,
        id: 2,
        rule: "branch",
        state: "negotiating",
        remote: "192.0.2.9:500",
        lifetimeSeconds: null,
        secondsLeft: null,
        remoteId: null,
      },
    ],
    childSas: [
      { ...CHILD, bytesIn },
      {
        ...CHILD,
        id: 4,
        ike: null,
        rule: "lonely",
        state: "draining",
        remote: "192.0.2.7/32",
        bytesIn: 0,
        lifetimeKilobytes: null,
        lifetimeSeconds: null,
        secondsLeft: null,
      },
    ],
    softSas: [],
    guards: [],
    refusedPolicies: [],
    policiesUnknown: null,
  },
});
