/**
 * The demo itself, the same on every stage: two daemons, a negotiation, traffic, the tables, the end. Each step shows what it did and checks it.
 */
import type { StatusDocument } from "../sa-store/view.ts";
import { type Hosts, RULE, startHosts } from "./hosts.ts";
import { columns, type Screen } from "./screen.ts";
import { drawSequence, type Ends, LEGEND } from "./sequence.ts";
import { SIDES, type Side, type Stage } from "./stage.ts";
import { saTable } from "./tables.ts";
import { kernelOfMemory, kernelStates, pingThrough, stateLines } from "./traffic.ts";
import { readSteps, type Seen } from "./wire.ts";

/** Plays on a stage; `onHosts` is given what has to be closed once it stands. Resolves with what went wrong, if anything. */
export async function play(stage: Stage, screen: Screen, onHosts: (hosts: Hosts) => void): Promise<string | undefined> {
  screen.step("Two hosts, a daemon on each");
  const hosts = await startHosts(stage);
  onHosts(hosts);
  introduce(stage, hosts, screen);
  return (
    (await negotiate(stage, hosts, screen)) ??
    (await useIt(stage, hosts, screen)) ??
    (await tables(hosts, screen)) ??
    (await end(stage, hosts, screen))
  );
}

function introduce(stage: Stage, hosts: Hosts, screen: Screen): void {
  for (const side of SIDES) screen.say(`${side.padEnd(5)}  ${stage.hosts[side].address}, IKE on UDP port ${stage.ports.ike}`);
  screen.say("", "left's rule; right has the same one the other way round:");
  screen.show(["", ...hosts.rule.map((line) => `      ${screen.paint("dim", line)}`)]);
}

/** A command as it would be typed on a host. */
const prompt = (screen: Screen, side: Side, command: string): void => screen.show(["", `  ${screen.paint("bold", `${side}# ${command}`)}`]);

async function negotiate(stage: Stage, hosts: Hosts, screen: Screen): Promise<string | undefined> {
  screen.step("Main Mode and Quick Mode");
  prompt(screen, "left", `mainmode initiate ${RULE}`);
  const { status, stdout, stderr } = await hosts.command("left", ["initiate", RULE]);
  screen.say(...lines(stdout), ...lines(stderr));
  if (status !== 0) return `mainmode initiate ended with ${status}`;
  screen.step("What went over the wire");
  showSequence(stage, hosts, screen, packetsOf(stage, hosts));
  return undefined;
}

const lines = (text: string): readonly string[] => text.split("\n").filter((line) => line.trim() !== "");

/** Packets on the wire, or where nobody can listen there, what the hosts sent. */
const packetsOf = (stage: Stage, hosts: Hosts): readonly Seen[] => (stage.wire ?? hosts.sent)();

function showSequence(stage: Stage, hosts: Hosts, screen: Screen, packets: readonly Seen[]): void {
  const ends: Ends = {
    left: { name: "left", address: stage.hosts.left.address },
    right: { name: "right", address: stage.hosts.right.address },
  };
  const wanted = packets.filter(({ protocol }) => protocol !== "other");
  screen.show(["", ...drawSequence(ends, readSteps(wanted, hosts.plaintexts), screen.paint).map((line) => `  ${line}`)]);
  screen.show(["", `${" ".repeat(12)}${screen.paint("dim", LEGEND)}`]);
}

/** Traffic through the SAs where there is a kernel, else what a kernel would have been told. */
async function useIt(stage: Stage, hosts: Hosts, screen: Screen): Promise<string | undefined> {
  if (stage.kernel === "memory") {
    screen.step("What the kernel would be told");
    return kernelOfMemory(hosts, screen);
  }
  screen.step("Traffic through ESP");
  prompt(screen, "left", `ping -c 5 ${stage.hosts.right.address}`);
  const pings = await pingThrough(stage, 5);
  screen.say(...pings.lines);
  showSequence(stage, hosts, screen, packetsOf(stage, hosts));
  screen.say("", "and as both kernels counted it (ip -s xfrm state):", "");
  const states = await kernelStates(stage);
  screen.say(...stateLines(states));
  if (pings.received !== 5) return `${pings.received} of 5 pings were answered`;
  const uncounted = states.filter(({ packets }) => packets !== 5);
  return states.length === 4 && uncounted.length === 0 ? undefined : "the kernels did not count 5 packets on each of 4 SAs";
}

async function tables(hosts: Hosts, screen: Screen): Promise<string | undefined> {
  screen.step("What both daemons know now");
  prompt(screen, "left", "mainmode status --json   (and on right)");
  const [left, right] = await Promise.all(SIDES.map((side) => hosts.command(side, ["status", "--json"])));
  if (left?.status !== 0 || right?.status !== 0) return `mainmode status: ${left?.stderr}${right?.stderr}`;
  const documents = [left, right].map(({ stdout }) => JSON.parse(stdout) as StatusDocument) as [StatusDocument, StatusDocument];
  screen.show(["", ...saTable(documents, screen.paint).map((line) => `  ${line}`)]);
  return undefined;
}

/** left stops; right hears of it. */
async function end(stage: Stage, hosts: Hosts, screen: Screen): Promise<string | undefined> {
  screen.step("The end: left stops, and tells right");
  packetsOf(stage, hosts);
  prompt(screen, "left", "mainmode shutdown");
  const { status, stdout, stderr } = await hosts.command("left", ["shutdown"]);
  screen.say(...lines(stdout), ...lines(stderr));
  if (status !== 0) return `mainmode shutdown ended with ${status}`;
  await hosts.ended("left");
  showSequence(stage, hosts, screen, packetsOf(stage, hosts));
  const answer = await hosts.command("right", ["status", "--json"]);
  const { ikeSas, childSas } = JSON.parse(answer.stdout || '{"ikeSas":[],"childSas":[]}') as StatusDocument;
  const kernel = stage.kernel === "memory" ? [] : [["SAs in both kernels", String((await kernelStates(stage)).length)]];
  const rows = [["SAs that right still knows", String(ikeSas.length + childSas.length)], ...kernel];
  screen.show(["", ...columns(rows).map((line) => `  ${line}`)]);
  return rows.every(([, count]) => count === "0") ? undefined : "SAs were left behind";
}
