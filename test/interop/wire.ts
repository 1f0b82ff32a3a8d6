/**
 * Judges what went over the wire of a guest, afterwards and on the host: nothing in clear but IKE and neighbour discovery; and tshark,
 * with keys out of charon's log, decrypts every message and finds the payloads in the order in which our own `decode` prints them.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { PAYLOAD } from "../../isakmp/numbers.ts";
import { charonKeys } from "./charon-keys.ts";
import type { Placed } from "./scenario.ts";
import type { Shell } from "./shell.ts";
import { KEY_LOG } from "./strongswan.ts";

/** What is wrong on the wire of a scenario; its own capture is left in NAME.pcap. */
export async function judgeScenario(run: Shell, directory: string, scenario: Placed): Promise<readonly string[]> {
  const file = `${directory}/${scenario.name}.pcap`;
  const nets = [...new Set([scenario.theirs.host, ...scenario.theirs.flows.map(({ net }) => net)])];
  await run(["tcpdump", "-r", `${directory}/wire.pcap`, "-w", file, nets.map((net) => `net ${net}`).join(" or ")]);
  const { stdout } = await run(["tcpdump", "-n", "-r", file, `not (${MAY_BE_SEEN})`]);
  const clear = stdout.trim();
  return [...(clear === "" ? [] : [`in clear on the wire:\n${clear}`]), ...(await fragmentsDiffer(run, file, scenario))];
}

/** With fragmentation both sides send IKE fragments (next payload 132), and where it is forced nothing in IP fragments. */
async function fragmentsDiffer(run: Shell, file: string, { fragmentation, us, theirs }: Placed): Promise<readonly string[]> {
  if (fragmentation === null) return [];
  const seen = async (filter: string) => (await run(["tcpdump", "-n", "-r", file, filter])).stdout.trim();
  const wrong: string[] = [];
  for (const { host } of [us, theirs])
    if ((await seen(`src host ${host} and udp port 500 and udp[24] = 132`)) === "") wrong.push(`no IKE fragments from ${host}`);
  const whole = fragmentation === "force" ? await seen("ip[6:2] & 0x3fff != 0") : "";
  return whole === "" ? wrong : [...wrong, `in IP fragments:\n${whole}`];
}

/**
 * ICMPv6 133 to 137 is neighbour discovery. Certificates make messages long: only the first fragment has ports. An end that repeats its farewell when
 * the other one's daemon has ended, after the last scenario, hears that there is no such port.
 */
const MAY_BE_SEEN =
  "udp port 500 or udp port 4500 or (ip proto 17 and ip[6:2] & 0x1fff != 0) or (ip6[6] == 44 and ip6[40] == 17) or ip proto 50 or ip proto 51 or ip6 proto 50 or ip6 proto 51 or arp" +
  " or (icmp6 and ip6[40] >= 133 and ip6[40] <= 137)" +
  " or (icmp[0] == 3 and icmp[1] == 3 and icmp[17] == 17 and (icmp[30:2] == 500 or icmp[30:2] == 4500))" +
  " or (icmp6 and ip6[40] == 1 and ip6[41] == 4 and ip6[54] == 17 and (ip6[90:2] == 500 or ip6[90:2] == 4500))";

/** What is wrong with the messages of a guest whose peer was strongSwan. */
export async function judgeMessages(run: Shell, directory: string, placed: readonly Placed[]): Promise<readonly string[]> {
  const keys = charonKeys(readFileSync(`${directory}/theirs/${KEY_LOG}`, "utf8"));
  const profile = resolve(directory, "wireshark");
  const keyFile = `${profile}/ikev1_decryption_table`;
  mkdirSync(profile, { recursive: true });
  writeFileSync(keyFile, [...keys].map(([cookie, key]) => `${cookie},${key}\n`).join(""));
  const [seen, ours] = [await dissect(run, directory, profile), await decode(run, directory, keyFile)];
  // Where the pre-shared keys differ, the peer's key opens nothing; in pieces there is no message to open.
  return placed
    .filter(({ differs, fragmentation }) => differs !== "psk" && fragmentation === null)
    .flatMap(({ name, theirs, differs }) => {
      const sealed = seen.filter((message) => message.encrypted && message.hosts.includes(theirs.host));
      const least = differs === null ? LEAST_SEALED : 0;
      const few = sealed.length < least ? [`${name}: only ${sealed.length} encrypted messages`] : [];
      return [...few, ...sealed.flatMap((message) => messageDiffers(message, ours.get(message.frame)))];
    });
}

/** Messages 5 and 6, a Quick Mode, a delete of each SA. */
const LEAST_SEALED = 7;

interface Dissected {
  readonly frame: number;
  readonly hosts: readonly string[];
  readonly encrypted: boolean;
  readonly exchange: number;
  /** Payload types in their order. */
  readonly payloads: readonly number[];
  readonly malformed: boolean;
}

/** What tshark reads. A repeated message is left out: tshark takes it for the next one of the exchange and its vector. */
async function dissect(run: Shell, directory: string, profile: string): Promise<readonly Dissected[]> {
  const hosts = ["ip.src", "ip.dst", "ipv6.src", "ipv6.dst"];
  const message = ["isakmp.flag_e", "isakmp.exchangetype", "isakmp.typepayload"];
  const fields = [...hosts, "frame.number", ...message, "_ws.malformed", "udp.payload"];
  const argv = ["-n", "-r", `${directory}/wire.pcap`, "-Y", "isakmp", "-T", "fields", ...fields.flatMap((field) => ["-e", field])];
  const { stdout } = await run(["tshark", ...argv], { env: { WIRESHARK_CONFIG_DIR: profile }, seconds: 60 });
  const met = new Set<string>();
  return stdout.split("\n").flatMap((line) => {
    const columns = line.split("\t");
    const [frame = "", encrypted = "", exchange = "", payloads = "", malformed = "", octets = ""] = columns.slice(hosts.length);
    if (octets === "" || met.has(octets)) return [];
    met.add(octets);
    const types = payloads.split(",").map(Number);
    return [
      {
        frame: Number(frame),
        hosts: columns.slice(0, hosts.length),
        encrypted: encrypted === "1" || encrypted === "True",
        exchange: Number(exchange),
        payloads: types.filter((type) => type !== PROPOSAL && type !== TRANSFORM),
        malformed: malformed !== "",
      },
    ];
  });
}

// RFC 2408 §3.1: payload and exchange types. tshark counts proposals and transforms, which stand inside of an SA payload.
const [SA, PROPOSAL, TRANSFORM, ID, HASH, SIG, MAIN_MODE] = [1, 2, 3, 5, 8, 9, 2];

/** RFC 2409 §5: in Main Mode identity and proof are encrypted; in every other exchange HASH comes first. */
function messageDiffers(seen: Dissected, ours: readonly number[] | undefined): readonly string[] {
  const first = seen.exchange === MAIN_MODE ? ID : HASH;
  const name = `frame ${seen.frame}`;
  return [
    ...(seen.malformed ? [`${name}: tshark calls it malformed`] : []),
    ...(seen.payloads[0] === first ? [] : [`${name}: begins with payload ${seen.payloads[0]}, not ${first}`]),
    ...(seen.exchange === MAIN_MODE && ![HASH, SIG].some((proof) => seen.payloads.includes(proof)) ? [`${name}: no proof`] : []),
    ...(seen.payloads.indexOf(SA) > 1 ? [`${name}: SA does not follow HASH`] : []),
    ...(String(ours) === String(seen.payloads) ? [] : [`${name}: tshark reads the payloads ${seen.payloads}, our decode ${ours}`]),
  ];
}

/** What our own `decode` reads: payload types by the number of the packet. */
async function decode(run: Shell, directory: string, keyFile: string): Promise<ReadonlyMap<number, readonly number[]>> {
  const argv = [process.execPath, "dist/cli/main.js", "decode", `${directory}/wire.pcap`, "--keys", keyFile, "--json"];
  const document: Decoded = JSON.parse((await run(argv, { seconds: 60 })).stdout);
  const types: Readonly<Record<string, number>> = PAYLOAD;
  return new Map(document.messages.map(({ number, payloads }) => [number, (payloads ?? []).map(({ name }) => types[name ?? ""] ?? 0)]));
}

interface Decoded {
  readonly messages: readonly { readonly number: number; readonly payloads?: readonly { readonly name: string | null }[] }[];
}
