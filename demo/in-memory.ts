/**
 * The demo where no kernel can be had: two daemons on loopback addresses negotiate over real UDP and install into databases in memory.
 * Those carry no packets, so packets are made up, and led through both databases as Linux would lead them; the page says so.
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { x509Loader } from "../auth/providers/load.ts";
import { type Daemon, startDaemon } from "../daemon/daemon.ts";
import { loadNative } from "../daemon/native.ts";
import { systemRandom } from "../daemon/random.ts";
import { opensslCrypto } from "../ike/crypto/openssl.ts";
import { memoryKernel } from "../kernel/memory.ts";
import type { Packet } from "../kernel/memory-traffic.ts";
import { formatSpi } from "../kernel/xfrm-args.ts";
import { formatDiagnostic, loadConfiguration } from "../policy/config.ts";
import type { Cleanup } from "./cleanup.ts";
import { type DemoAuth, makeCredentials } from "./credentials.ts";
import { fill, type Rung } from "./ladder.ts";
import { ikeRungs, type Message } from "./packets.ts";
import type { Page } from "./page.ts";
import { type End, initiate, makeScene, type Scene, showRule, showStatus, shutdown } from "./scene.ts";
import { showLadder } from "./show.ts";
import { tapped } from "./tap.ts";

const ADDRESSES = ["127.0.0.2", "127.0.0.3"] as const;
const PACKETS = 3;
const [ICMP, OCTETS] = [1, 84];

/** Runs it; throws at the first thing that did not work. */
export async function runInMemory(page: Page, cleanup: Cleanup, auth: DemoAuth): Promise<void> {
  const [port, natPort] = await freePorts();
  const watched: Watched = { messages: [], key: undefined };
  page.part("Two daemons");
  const credentials = await makeCredentials(page, cleanup, auth);
  const options = { credentials, addresses: ADDRESSES, port, natPort };
  const scene = makeScene(options);
  page.text(`a ${ADDRESSES[0]}  <--- UDP port ${port} --->  ${ADDRESSES[1]} b`);
  page.text("a's rule; b's mirrors it:");
  showRule(page, options);
  const a = await startHost(scene.a, watched, "left");
  const b = await startHost(scene.b, watched, "right");
  try {
    page.text("Their policies are in the kernels in memory. What a's was told:");
    showLines(page, a.lines.splice(0));
    await negotiateAndPass(page, scene, a, b, watched);
  } finally {
    await Promise.all([a, b].map(({ daemon }) => daemon.stop(1000)));
    await credentials.stop();
  }
}

async function negotiateAndPass(page: Page, scene: Scene, a: Host, b: Host, watched: Watched): Promise<void> {
  page.part("Main Mode and Quick Mode");
  await initiate(page, scene.a);
  page.text("What a's kernel was told, keys masked:");
  showLines(page, a.lines.splice(0));
  page.part(`${PACKETS} packets and their answers, made up and led through both kernels`);
  const esp = [...Array(PACKETS).keys()].flatMap((i) => [pass(a, b, "left", i + 1), pass(b, a, "right", i + 1)]);
  page.done(`every packet left through an outbound SA, was let in by the peer's inbound one, and was counted on both: ${count(a, b)}`);
  page.part("mainmode status, on both hosts");
  await showStatus(page, [scene.a, scene.b]);
  page.part("Full stop");
  await shutdown(page, scene.a);
  await shutdown(page, scene.b);
  if ([a, b].some(({ kernel }) => kernel.states.size + kernel.policies.size > 0)) throw new Error("SAs or policies are left in a kernel");
  page.done("a told b; neither kernel holds an SA or a policy any more");
  page.part("What they said to each other");
  const begin = watched.messages[0]?.at ?? 0;
  const rungs = [...ikeRungs(watched.messages, watched.key, begin), ...esp.map((rung) => ({ ...rung, at: rung.at - begin }))];
  showLadder(
    page,
    [`a ${ADDRESSES[0]}`, `${ADDRESSES[1]} b`],
    rungs.sort((x, y) => x.at - y.at),
  );
}

interface Watched {
  readonly messages: Message[];
  key: Uint8Array | undefined;
}

interface Host {
  readonly end: End;
  readonly daemon: Daemon;
  readonly kernel: ReturnType<typeof memoryKernel>;
  /** What its kernel was told since the page showed it last. */
  readonly lines: string[];
}

async function startHost(end: End, watched: Watched, from: Rung["from"]): Promise<Host> {
  const loaded = loadConfiguration(end.configFile, undefined, x509Loader());
  if (!loaded.ok) throw new Error(loaded.error.map(formatDiagnostic).join("; "));
  const lines: string[] = [];
  const kernel = memoryKernel({ log: (line) => lines.push(line) });
  const native = await loadNative();
  const started = await startDaemon({
    configuration: loaded.value,
    crypto: tapped(opensslCrypto, (key) => {
      watched.key = key;
    }),
    random: systemRandom,
    kernel,
    log: () => {},
    native: native.ok ? native.value : undefined,
    onSent: (_, bytes) => watched.messages.push({ at: performance.now(), from, bytes: Uint8Array.from(bytes) }),
  });
  if (!started.ok) throw new Error(started.error.text);
  return { end, daemon: started.value, kernel, lines };
}

/** One packet on its way from host to host, as both kernels decide about it. */
function pass(sender: Host, receiver: Host, from: Rung["from"], sequence: number): Rung {
  const [source, destination] = [sender.end.address, receiver.end.address];
  const packet: Packet = { source, destination, protocol: ICMP, sourcePort: 0, destinationPort: 0 };
  const verdict = sender.kernel.outbound(packet);
  const sa = verdict.kind === "protected" ? verdict.through[0] : undefined;
  if (!sa) throw new Error(`${sender.end.name}'s kernel does not protect a packet to ${destination}: ${verdict.kind}`);
  if (receiver.kernel.inbound(packet, [])) throw new Error(`${receiver.end.name}'s kernel would take the packet in clear`);
  const passed = sender.kernel.pass(sa, OCTETS).passed && receiver.kernel.inbound(packet, [sa]) && receiver.kernel.pass(sa, OCTETS).passed;
  if (!passed) throw new Error(`${receiver.end.name}'s kernel does not take ESP ${formatSpi(sa.spi)}`);
  const label = `ESP SPI ${formatSpi(sa.spi)}, packet ${sequence} (made up)`;
  return { at: performance.now(), from, kind: "esp", label, octets: OCTETS, parts: "" };
}

/** `3 packets on each of 4 SAs`; throws where an SA has counted another number. */
function count(a: Host, b: Host): string {
  const counters = [a, b].flatMap(({ kernel }) => [...kernel.states.values()].map((state) => state.counters.packets));
  if (counters.length !== 4 || counters.some((packets) => packets !== PACKETS)) throw new Error(`counted: ${counters.join(", ")}`);
  return `${PACKETS} packets on each of ${counters.length} SAs`;
}

/** Long lines go on in the next, as a shell reads them. Those that let IKE itself pass are many where sockets can't do that, and are counted only. */
function showLines(page: Page, lines: readonly string[]): void {
  const bypass = lines.filter((text) => !text.includes(ADDRESSES[0]));
  if (bypass.length > 0) page.text(`(and ${bypass.length} lines that let IKE itself pass)`, "dim");
  for (const text of lines.filter((each) => !bypass.includes(each))) {
    const parts = fill(`ip ${text}`, 70);
    parts.forEach((part, i) => {
      page.line(page.paint("dim", `    ${i === 0 ? "" : "  "}${part}${i === parts.length - 1 ? "" : " \\"}`));
    });
  }
}

/** Two UDP ports that are free on both addresses now. */
async function freePorts(): Promise<readonly [number, number]> {
  const found = new Set<number>();
  for (let tries = 0; found.size < 2 && tries < 20; tries++) {
    const [first, second] = ADDRESSES.map(() => createSocket("udp4"));
    try {
      first?.bind(0, ADDRESSES[0]);
      if (first) await once(first, "listening");
      const port = first?.address().port ?? 0;
      second?.bind(port, ADDRESSES[1]);
      if (second) await once(second, "listening");
      found.add(port);
    } catch {
      // Taken at the other address: the next one, then.
    } finally {
      first?.close();
      second?.close();
    }
  }
  const [port, natPort] = found;
  if (port === undefined || natPort === undefined) throw new Error("no free UDP ports on 127.0.0.2 and 127.0.0.3");
  return [port, natPort];
}
