/** The judge judged: two hosts that do everything right pass, and every single wrong is noticed. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { StatsDocument } from "../../daemon/control-protocol.ts";
import { METRICS } from "../../ike/statistics-table.ts";
import type { StatusDocument } from "../../sa-store/view.ts";
import type { Party } from "./party.ts";
import { perform, type Stage } from "./perform.ts";
import { type Placed, place, type Scenario } from "./scenario.ts";
import { scenarios } from "./scenarios.ts";
import type { Shell } from "./shell.ts";

const named = (name: string): Placed => place(scenarios().find((one) => one.name === name) as Scenario, 0);
const USUAL = named("strongswan-initiator-usual");
const REFUSED = named("strongswan-initiator-wrong-psk");
const REFUSED_AS_RESPONDER = named("strongswan-responder-wrong-psk");

/** What two hosts do; every field is right by default. */
const RIGHT = {
  established: true,
  exit: 0,
  text: "",
  reasons: ["psk-mismatch"] as readonly string[],
  answers: 3,
  packets: 3,
  ourStates: (both: string) => both,
  theirStates: (both: string) => both,
  deletes: true,
  status: (document: StatusDocument) => document,
  /** By how much every total grows. */
  counted: 9,
  shown: "nothing that matters",
};
type Behaviour = typeof RIGHT;

function stageOf(scenario: Placed, changes: Partial<Behaviour>): Stage {
  const does = { ...RIGHT, ...changes };
  let up = does.established;
  const sa = (source: string, destination: string, spi: string) =>
    `src ${source} dst ${destination}\n\tproto esp spi ${spi}(1) reqid 1 mode transport\n\tauth-trunc hmac(sha1) 0x00 96\n\tenc cbc(aes) 0x00\n` +
    `\tlifetime current:\n\t  252(bytes), ${does.packets}(packets)\n`;
  const [us, theirs] = [scenario.us.host, scenario.theirs.host];
  const both = `${sa(us, theirs, "0x0000000b")}${sa(theirs, us, "0x0000000a")}`;
  const policies = { us: `src ${us}/32 dst ${theirs}/32\n\tdir out `, theirs: `src ${theirs}/32 dst ${us}/32\n\tdir out ` };
  const run: Shell = async (argv) => {
    const side = argv.includes("us") ? "us" : "theirs";
    const held = up ? (side === "us" ? does.ourStates(both) : does.theirStates(both)) : "";
    const stdout = argv.includes("ping") ? `${does.answers} received` : argv.includes("policy") ? policies[side] : held;
    return { status: 0, stdout, stderr: "" };
  };
  const party: Party = {
    kind: "mainmode",
    start: async () => {},
    initiate: async () => ({ ok: does.established, status: does.exit, text: does.text }),
    terminate: async () => {
      up = up && !does.deletes;
    },
    lists: async () => up,
    stop: async () => {},
    pid: () => undefined,
  };
  let asked = 0;
  const ourselves = {
    status: async () => does.status(statusOf(scenario)),
    stats: async () => statsOf(asked++ === 0 ? 0 : does.counted),
    shown: () => does.shown,
    reasons: () => does.reasons,
  };
  return { run, us: { ...party, ourselves }, theirs: party };
}

const statsOf = (value: number): StatsDocument => ({
  since: "",
  windows: [],
  metrics: METRICS.map(({ name, type, help }) => ({
    ...{ name, type, help },
    samples: ["initiator", "responder"].flatMap((role) =>
      ["in", "out"].map((dir) => ({ labels: { role, dir, mode: "transport" }, value: name.includes("bugs") ? 0 : value })),
    ),
  })),
});

const statusOf = ({ name, role, us, theirs }: Placed): StatusDocument => ({
  softSas: [],
  guards: [],
  refusedPolicies: [],
  policiesUnknown: null,
  ikeSas: [
    {
      id: 1,
      rule: name,
      role,
      state: "established",
      local: `${us.host}:500`,
      remote: `${theirs.host}:500`,
      localId: `ip:${us.host}`,
      remoteId: `ip:${theirs.host}`,
      auth: "psk",
      encryption: "aes128",
      hash: "sha1",
      group: "modp2048",
      initiatorCookie: "0000000000000001",
      responderCookie: "0000000000000002",
      nat: "none",
      lifetimeSeconds: 28800,
      secondsLeft: 28790,
      quickModes: 1,
    },
  ],
  childSas: [
    {
      id: 1,
      ike: 1,
      rule: name,
      state: "installed",
      mode: "transport",
      tunnel: null,
      local: `${us.host}/32`,
      remote: `${theirs.host}/32`,
      localPort: null,
      remotePort: null,
      protocol: "any",
      group: "modp2048",
      protections: [{ protocol: "esp", encryption: "aes128", integrity: "sha1", spiIn: "0x0000000a", spiOut: "0x0000000b" }],
      bytesIn: 252,
      bytesOut: 252,
      lifetimeSeconds: 300,
      secondsLeft: 290,
      lifetimeKilobytes: null,
      rekeys: 0,
      warning: null,
    },
  ],
});

const child = (changes: Partial<StatusDocument["childSas"][number]>) => (document: StatusDocument) => ({
  ...document,
  childSas: document.childSas.map((one) => ({ ...one, ...changes })),
});
const ike = (changes: Partial<StatusDocument["ikeSas"][number]>) => (document: StatusDocument) => ({
  ...document,
  ikeSas: document.ikeSas.map((one) => ({ ...one, ...changes })),
});

test("a negotiation in which everything is right passes", async () => {
  assert.deepEqual(await perform(stageOf(USUAL, {}), USUAL), []);
});

const WRONGS: Readonly<Record<string, readonly [Partial<Behaviour>, RegExp]>> = {
  "a negotiation that was not counted": [{ counted: 0 }, /ike_sa_established_total .* grew by 0/],
  "a total that went back": [{ counted: -1 }, /went back from 0 to -1/],
  "a pre-shared key in what was said": [{ shown: "… correct horse battery staple …" }, /showed a secret: corr/],
  "a pre-shared key in hex": [{ shown: Buffer.from("correct horse battery staple").toString("hex") }, /showed a secret/],
  "no SA": [{ established: false, text: "refused" }, /no SA: refused/],
  "no answer to pings": [{ answers: 0 }, /no answer to pings/],
  "no packet on an SA": [{ packets: 0 }, /no packet on our SA/],
  "a kernel that lacks an SA": [{ ourStates: (both) => both.slice(0, both.indexOf("src", 1)) }, /holds 1 SAs, not 2/],
  "kernels that hold different SAs": [{ theirStates: (both) => both.replace("0x0000000b", "0x0000000c") }, /the kernels differ/],
  "another mode in both kernels": [
    {
      ourStates: (both) => both.replaceAll("mode transport", "mode tunnel"),
      theirStates: (both) => both.replaceAll("mode transport", "mode tunnel"),
    },
    /no SA in transport mode/,
  ],
  "another role in status": [{ status: ike({ role: "responder" }) }, /ike role is "responder"/],
  "another identity in status": [{ status: ike({ remoteId: "ip:192.0.2.99" }) }, /remoteId is "ip:192.0.2.99"/],
  "a weaker cipher in status": [{ status: ike({ encryption: "3des" }) }, /proposal is "3des-sha1-modp2048"/],
  "no PFS in status": [{ status: child({ group: null }) }, /child group is null/],
  "other SPIs in status": [{ status: child({ protections: [] }) }, /SPIs/],
  "no octets in status": [{ status: child({ bytesIn: 0 }) }, /counts 0 octets in/],
  "an SA twice in status": [
    { status: (document) => ({ ...document, childSas: [...document.childSas, ...document.childSas] }) },
    /2 child SAs/,
  ],
};
for (const [what, [changes, expected]] of Object.entries(WRONGS)) {
  test(`noticed: ${what}`, async () => {
    assert.match((await perform(stageOf(USUAL, changes), USUAL)).join("\n"), expected);
  });
}

test("a refusal that says why, and lets nothing through, passes", async () => {
  const refusal = { established: false, exit: 1, text: "probable PSK mismatch", answers: 0 };
  assert.deepEqual(await perform(stageOf(REFUSED, refusal), REFUSED), []);
  assert.deepEqual(await perform(stageOf(REFUSED_AS_RESPONDER, refusal), REFUSED_AS_RESPONDER), []);
});

test("noticed: a refusal with another exit code, without its reason, or with a ping that gets through", async () => {
  const refusal = { established: false, exit: 75, text: "no", answers: 1, reasons: ["malformed"] };
  const asInitiator = (await perform(stageOf(REFUSED, refusal), REFUSED)).join("\n");
  for (const expected of [/exit code 75/, /does not say .*PSK mismatch/, /ping got through/]) assert.match(asInitiator, expected);
  assert.match(
    (await perform(stageOf(REFUSED_AS_RESPONDER, refusal), REFUSED_AS_RESPONDER)).join("\n"),
    /the log does not say psk-mismatch/,
  );
});

test("noticed: a negotiation that succeeds although it must not", async () => {
  assert.match((await perform(stageOf(REFUSED, { text: "PSK mismatch" }), REFUSED)).join("\n"), /an SA stands/);
});
