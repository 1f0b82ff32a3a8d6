/**
 * One scenario on two running daemons: negotiate, pass traffic, compare both kernels, delete; or fail as expected.
 */
import type { StatsDocument } from "../../daemon/control-protocol.ts";
import { canonicalAddress } from "../../isakmp/address.ts";
import { type KernelState, states } from "./kernel-view.ts";
import { knock, ping, reassemble, type Side } from "./network.ts";
import { type Attempt, OTHER_SECRET, type Ourselves, type Party, SECRET } from "./party.ts";
import type { Difference, Placed } from "./scenario.ts";
import { eventually, type Shell } from "./shell.ts";
import { secretsShown, statsDiffer } from "./stats-check.ts";
import { statusDiffers } from "./status-check.ts";

export interface Stage {
  readonly run: Shell;
  readonly us: Party;
  readonly theirs: Party;
}

/** What is wrong; empty where all is as it should be. */
export async function perform(stage: Stage, scenario: Placed): Promise<readonly string[]> {
  if (!scenario.narrow) return performed(stage, scenario);
  await reassemble(stage.run, false);
  try {
    return await performed(stage, scenario);
  } finally {
    await reassemble(stage.run, true);
  }
}

async function performed(stage: Stage, scenario: Placed): Promise<readonly string[]> {
  const before = await stage.us.ourselves?.stats();
  const attempt = await negotiate(stage, scenario);
  if (scenario.differs) return [...(await refused(stage, scenario, attempt)), ...(await counted(stage, scenario, before))];
  if (!attempt.ok) return [`no SA: ${attempt.text.trim().split("\n").slice(-3).join(" | ")}`];
  const wrong = [
    ...(await traffic(stage, scenario)),
    ...(await sameInBothKernels(stage, scenario)),
    ...(await statusIsRight(stage, scenario)),
    ...(await counted(stage, scenario, before)),
    ...kerberosWorked(stage, scenario),
  ];
  return [...wrong, ...(await deletion(stage, scenario))];
}

const initiator = (stage: Stage, scenario: Placed): Party => (scenario.role === "initiator" ? stage.us : stage.theirs);

async function negotiate(stage: Stage, scenario: Placed): Promise<Attempt> {
  if (scenario.trigger === "command") return initiator(stage, scenario).initiate(scenario);
  const answered = await pingFrom(stage, scenario, scenario.role === "initiator" ? "us" : "theirs", 0, 1, 12);
  return { ok: answered > 0, status: null, text: "the packets that asked for an SA were never answered" };
}

/** Pings through every flow. Each side's own packets count: the answers of the one are what the other received. */
async function traffic(stage: Stage, scenario: Placed): Promise<readonly string[]> {
  const wrong: string[] = [];
  await bothKernelsReady(stage, scenario);
  for (let flow = 0; flow < scenario.flows; flow++) {
    const answers = await pingFrom(stage, scenario, flow === 0 ? "us" : "theirs", flow, PINGS, 5);
    if (answers === 0) wrong.push(`no answer to pings through flow ${flow}`);
  }
  return wrong;
}

/**
 * A responder is not done when the initiator is: libreswan installs its policies seconds after message 3 on a slow guest, and sends in
 * clear until then. Pings wait for the outbound policy of every flow at both ends.
 */
async function bothKernelsReady(stage: Stage, scenario: Placed): Promise<void> {
  for (const side of ["us", "theirs"] as const) {
    await eventually(20, async () => {
      const { stdout } = await stage.run(["ip", "-n", side, "xfrm", "policy"]);
      const out = stdout.split(/^(?=src )/m).filter((text) => /^\s+dir out /m.test(text));
      return scenario[side].flows.every(({ net }) => out.some((text) => text.startsWith(`src ${written(net)}`)));
    });
  }
}

/** The beginning of a selector as `ip` writes it. */
function written(net: string): string {
  const [address = "", length] = net.split("/");
  return `${canonicalAddress(address) ?? address}/${length === undefined ? "" : `${length} `}`;
}

/** Both kernels hold the same SAs, of the kind that was configured, and each of them carried packets. */
async function sameInBothKernels(stage: Stage, scenario: Placed): Promise<readonly string[]> {
  const [ours, others] = [await states(stage.run, "us", scenario), await states(stage.run, "theirs", scenario)];
  const protocols = scenario.protect.split("+").map((part) => part.split(":")[0]);
  const wrong: string[] = [];
  const expected = 2 * protocols.length * scenario.flows;
  if (ours.length !== expected) wrong.push(`our kernel holds ${ours.length} SAs, not ${expected}`);
  const name = (state: KernelState) =>
    `${state.source} ${state.destination} ${state.protocol} ${state.spi} ${state.mode} ${state.algorithms} ${state.icvBits}`;
  const [ourNames, otherNames] = [ours.map(name).sort().join("\n"), others.map(name).sort().join("\n")];
  if (ourNames !== otherNames) wrong.push(`the kernels differ:\nours\n${ourNames}\ntheirs\n${otherNames}`);
  for (const [whose, list] of [["our", ours] as const, ["their", others] as const]) {
    for (const state of list) if (state.packets === 0) wrong.push(`no packet on ${whose} SA ${name(state)}`);
  }
  // The inner end of a bundle is transport mode also in a tunnel, so the mode is asked of one SA only.
  if (!ours.some((state) => state.mode === scenario.mode)) wrong.push(`no SA in ${scenario.mode} mode`);
  if (/sha256\b/.test(scenario.protect) && !ours.every(({ icvBits }) => icvBits === (scenario.shortSha256 ? 96 : 128)))
    wrong.push(`integrity values of ${ours.map(({ icvBits }) => icvBits)} bits`);
  if (!protocols.every((protocol) => ours.some((state) => state.protocol === protocol))) wrong.push(`not ${scenario.protect}`);
  return wrong;
}

async function statusIsRight(stage: Stage, scenario: Placed): Promise<readonly string[]> {
  if (!stage.us.ourselves) return [];
  return statusDiffers(await stage.us.ourselves.status(), scenario, await states(stage.run, "us", scenario));
}

/** What it counted, and that neither it nor its log has shown a key. */
async function counted({ us, run }: Stage, scenario: Placed, before: StatsDocument | undefined): Promise<readonly string[]> {
  if (!us.ourselves || !before) return [];
  const { stdout } = await run(["ip", "-n", "us", "xfrm", "state"]);
  return [
    ...statsDiffer(before, await us.ourselves.stats(), scenario),
    ...secretsShown(us.ourselves.shown(), [SECRET, OTHER_SECRET], stdout),
  ];
}

/** A method that can't be used is left out of the offer: then what comes after it would show nothing. */
function kerberosWorked({ us }: Stage, scenario: Placed): readonly string[] {
  const troubles = scenario.kerberos ? (us.ourselves?.reasons(scenario) ?? []).filter((reason) => /^(kerberos|provider)/.test(reason)) : [];
  return troubles.map((reason) => `Kerberos could not be offered: ${reason}`);
}

/** After one side deletes, neither daemon lists an SA and neither kernel holds one. */
async function deletion(stage: Stage, scenario: Placed): Promise<readonly string[]> {
  await (scenario.deletes === "us" ? stage.us : stage.theirs).terminate(scenario);
  return nothingLeft(stage, scenario);
}

async function nothingLeft(stage: Stage, scenario: Placed): Promise<readonly string[]> {
  const wrong: string[] = [];
  for (const side of ["us", "theirs"] as const) {
    const gone = await eventually(5, async () => (await states(stage.run, side, scenario)).length === 0);
    if (!gone) wrong.push(`${side}: the kernel still holds SAs`);
    if (!(await eventually(5, async () => !(await stage[side].lists(scenario))))) wrong.push(`${side}: the daemon still lists SAs`);
  }
  return wrong;
}

/** A negotiation that must fail: it says so and why, nothing is left of it, and pings don't get through. */
async function refused(stage: Stage, scenario: Placed, attempt: Attempt): Promise<readonly string[]> {
  const wrong = attempt.ok ? ["an SA stands although the two sides are configured differently"] : [];
  const children = (await states(stage.run, "us", scenario)).length;
  if (children > 0) wrong.push(`our kernel holds ${children} SAs of a refused negotiation`);
  if (stage.us.ourselves) {
    wrong.push(...saysWhy(stage.us.ourselves, scenario, attempt));
    if ((await pingFrom(stage, scenario, "us", 0, 1, 1)) > 0) wrong.push("a ping got through without an SA");
  }
  await initiator(stage, scenario).terminate(scenario);
  return [...wrong, ...(await nothingLeft(stage, scenario))];
}

/** What an administrator is told: as initiator by the command, as responder by the log, there as a stable code. */
const TOLD: Readonly<Record<Difference, { readonly command: RegExp; readonly reason: string }>> = {
  psk: { command: /PSK mismatch/, reason: "psk-mismatch" },
  phase1: { command: /NO-PROPOSAL-CHOSEN/, reason: "no-proposal-chosen" },
  phase2: { command: /NO-PROPOSAL-CHOSEN/, reason: "no-proposal-chosen" },
  selectors: { command: /INVALID-ID-INFORMATION/, reason: "selectors-mismatch" },
  authority: { command: /CN=stranger, which is neither among the rule's ca/, reason: "certificate-untrusted" },
  expired: { command: /expired 20\d\d-/, reason: "certificate-expired" },
  revoked: { command: /is revoked by/, reason: "certificate-revoked" },
  "old-list": { command: /revocation list of .* ended 20\d\d-/, reason: "crl-expired" },
  identity: { command: /proved to be dn:.*-theirs; wanted is dn:.*-nobody/, reason: "identity-not-wanted" },
};

function saysWhy(ourselves: Ourselves, scenario: Placed, attempt: Attempt): readonly string[] {
  if (!scenario.differs) return [];
  const { command, reason } = TOLD[scenario.differs];
  if (scenario.role === "responder") {
    const reasons = ourselves.reasons(scenario);
    return reasons.includes(reason) ? [] : [`the log does not say ${reason}, but: ${reasons}`];
  }
  return [
    ...(command.test(attempt.text) ? [] : [`the command does not say ${command}: ${attempt.text.trim()}`]),
    ...(attempt.status === 1 ? [] : [`exit code ${attempt.status}, not 1`]),
  ];
}

const PINGS = 3;

function pingFrom(stage: Stage, scenario: Placed, side: Side, flow: number, count: number, seconds: number): Promise<number> {
  const [ours, others] = [scenario.us.flows[flow]?.address ?? "", scenario.theirs.flows[flow]?.address ?? ""];
  if (scenario.only === "tcp") return knock(stage.run, ours, others, count, seconds);
  return side === "us" ? ping(stage.run, "us", ours, others, count, seconds) : ping(stage.run, "theirs", others, ours, count, seconds);
}
