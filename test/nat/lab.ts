/** What the stories of `npm run nat` share: the network and its capture, the parties, and what has to be true of traffic. */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";
import { resolve } from "node:path";
import { test } from "node:test";
import { eventually, type Ran, type Shell, shell, stop } from "../interop/shell.ts";
import { capture, datagramsOf, type HostName, makeNetwork, on, packetsOf, ping, rebind } from "./network.ts";
import { type Connection, libreswan, type Mainmode, mainmode, type Party, type PlutoConnection, strongswan } from "./parties.ts";

/** ESP in UDP: from or to port 4500, no non-ESP marker, longer than a keepalive. */
export const IN_UDP = "udp port 4500 and udp[4:2] > 40 and udp[8:4] != 0";
/** What may be on the wire where a NAT is; a router that has forgotten a mapping says so. */
export const IKE_OR_UDP = "arp or ip6 or udp port 500 or udp port 4500 or (ip[6:2] & 0x1fff != 0) or icmp[0] = 3";

/** One end of pings: the host whose kernel counts, and the address that is pinged. */
export type End = readonly [host: HostName, address: string];

export class Lab {
  readonly #directory: string;
  readonly #parties = new Map<HostName, Party>();
  #wire: ChildProcess | undefined;
  readonly run: Shell;

  /** `name`: of the folder in `.lab/nat` where logs, configurations and the capture stay. */
  constructor(name: string) {
    this.#directory = resolve(".lab/nat", name);
    rmSync(this.#directory, { recursive: true, force: true });
    mkdirSync(this.#directory, { recursive: true });
    this.run = shell(() => `${this.#directory}/transcript.txt`);
  }

  get #capture(): string {
    return `${this.#directory}/wire.pcap`;
  }

  async open(): Promise<void> {
    await makeNetwork(this.run);
    this.#wire = await capture(this.run, this.#capture, `${this.#directory}/tcpdump.txt`);
  }

  async end(): Promise<void> {
    for (const host of [...this.#parties.keys()]) await this.stop(host);
    if (this.#wire) await stop(this.#wire);
  }

  async mainmode(host: HostName, rules: readonly string[]): Promise<Mainmode> {
    const party = await mainmode({ run: this.run, host, directory: this.#directory }, rules);
    this.#parties.set(host, party);
    return party;
  }

  async strongswan(host: HostName, connections: readonly Connection[]): Promise<Party> {
    const party = await strongswan({ run: this.run, host, directory: this.#directory }, connections);
    this.#parties.set(host, party);
    return party;
  }

  async libreswan(host: HostName, ends: readonly [string, string], connections: readonly PlutoConnection[]): Promise<Party> {
    const party = await libreswan({ run: this.run, host, directory: this.#directory }, ends, connections);
    this.#parties.set(host, party);
    return party;
  }

  /** Ends the daemon of a host. */
  async stop(host: HostName): Promise<void> {
    const party = this.#parties.get(host);
    this.#parties.delete(host);
    await party?.stop();
  }

  /** A test; where it fails, the last lines of every daemon's log come with it. */
  story(name: string, tell: () => Promise<void>): void {
    test(name, async () => {
      await tell().catch((error: unknown) => {
        const logs = [...this.#parties].map(([host, party]) => `--- ${host}\n${party.log().split("\n").slice(-25).join("\n")}`);
        throw new Error(`${error instanceof Error ? error.message : error}\n${logs.join("\n")}`);
      });
    });
  }

  rebind(): Promise<void> {
    return rebind(this.run);
  }

  packets(filter: string): Promise<readonly string[]> {
    return packetsOf(this.run, this.#capture, filter);
  }

  datagrams(filter: string): Promise<readonly Buffer[]> {
    return datagramsOf(this.run, this.#capture, filter);
  }

  /** The ESP states of a host, as `ip` prints them. */
  async states(host: HostName): Promise<readonly string[]> {
    const { stdout } = await this.run(["ip", "-n", host, "-s", "xfrm", "state", "list", "nokeys"]);
    return stdout.split(/^(?=src )/m).filter((text) => text.includes("proto esp"));
  }

  async #counted(host: HostName): Promise<number> {
    const inUdp = (await this.states(host)).filter((text) => text.includes("encap type espinudp"));
    return inUdp.reduce((sum, text) => sum + Number(/lifetime current:\s+\d+\(bytes\), (\d+)\(packets\)/.exec(text)?.[1] ?? 0), 0);
  }

  /**
   * Pings get through, and each travels as ESP in UDP: of three, six packets are on the wire, and both kernels count six. The first ping may be lost
   * where it is the one that makes a new mapping known.
   */
  async pings([from, source]: End, [to, destination]: End): Promise<void> {
    const what = `pings from ${from} (${source}) to ${to} (${destination})`;
    assert.ok(await eventually(15, async () => (await ping(this.run, from, source, destination, 1)) > 0), `no answer to ${what}`);
    const count = async () => [(await this.packets(IN_UDP)).length, await this.#counted(from), await this.#counted(to)];
    const before = await count();
    assert.equal(await ping(this.run, from, source, destination), 3, `answers to ${what}`);
    let [wire, sender, receiver] = [0, 0, 0];
    await eventually(3, async () => {
      [wire, sender, receiver] = (await count()).map((now, i) => now - (before[i] ?? 0)) as [number, number, number];
      return wire >= 6;
    });
    assert.deepEqual({ wire, sender, receiver }, { wire: 6, sender: 6, receiver: 6 }, `ESP in UDP for three ${what}`);
  }

  /** Every SA of a host is in UDP, and there are some. */
  async encapsulated(host: HostName): Promise<void> {
    const states = await this.states(host);
    assert.ok(states.length >= 2, `${host} has ${states.length} SAs`);
    assert.deepEqual(
      states.filter((text) => !text.includes("encap type espinudp")),
      [],
    );
  }

  /** What the kernel of a host dropped of what came in, by the name of the statistic. */
  async dropped(host: HostName, name: string): Promise<number> {
    const { stdout } = await this.run(on(host, ["cat", "/proc/net/xfrm_stat"]));
    return Number(new RegExp(`^${name}\\s+(\\d+)$`, "m").exec(stdout)?.[1]);
  }

  /** Sends datagrams from a port of the outer address of `nat`, as somebody else behind it could. */
  async forge(datagrams: readonly Buffer[], address: string): Promise<void> {
    const script = `const s = require("node:dgram").createSocket("udp4");
      s.bind(31313, () => { const all = ${JSON.stringify(datagrams.map((one) => one.toString("hex")))};
        let left = all.length; for (const one of all) s.send(Buffer.from(one, "hex"), 4500, "${address}", () => --left || s.close()); });`;
    await this.run(on("nat", [process.execPath, "-e", script]));
  }

  /** A web server's answer of some size, by TCP. */
  async tcp(from: HostName, to: HostName, address: string): Promise<Ran> {
    const serve = `require("node:net").createServer((s) => s.end("x".repeat(20000))).listen(8080, "${address}")`;
    const server = this.run(on(to, ["timeout", "20", process.execPath, "-e", serve]), { mayFail: true, seconds: 25 });
    const client = `let n = 0; const go = (left) => { const s = require("node:net").connect(8080, "${address}");
      s.on("data", (d) => (n += d.length)); s.on("error", () => left && setTimeout(go, 200, left - 1));
      s.on("end", () => { console.log(n); process.exit(0); }); }; go(60);`;
    const ran = await this.run(on(from, ["timeout", "18", process.execPath, "-e", client]), { mayFail: true, seconds: 20 });
    void server;
    return ran;
  }
}

/** A log has a line; the whole of it would say nothing. */
export const says = (party: Party, line: RegExp): void => assert.ok(line.test(party.log()), `the log has nothing like ${line}`);

/** A log has no such line. */
export const saysNothing = (party: Party, line: RegExp): void => assert.equal(line.exec(party.log())?.[0], undefined);

/** What `status` says of every IKE SA. */
export async function nats(ours: Mainmode): Promise<readonly string[]> {
  return (await ours.status()).ikeSas.map(({ nat }) => nat);
}
