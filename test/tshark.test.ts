/**
 * An independent judge: tshark, with the keys that these tests give it, against what `decode --json` says. It has to be installed; `npm test`
 * has a step of its own for this file and says so where it is not.
 */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { encodePcap } from "../isakmp/pcap-writer.ts";
import { decodeFacts, type Facts, tsharkFacts } from "./captures/facts.ts";
import { kept, keptNames, keyTable, pcapOf } from "./captures/kept.ts";
import { type Agreed, meet } from "./captures/pair.ts";
import { dissect, type Field, type Keys, type Packet } from "./captures/tshark.ts";
import { mainmode, scratch } from "./cli/fake-daemon.ts";

const AGREED: readonly Agreed[] = [
  { ike: "3des-md5-modp1024", protect: "esp:3des-md5", pfs: "modp1024" },
  { ike: "aes128-sha1-modp2048", protect: "esp:aes128-sha1", pfs: "modp2048" },
  { ike: "aes256-sha256-ecp256", protect: "ah:sha256+esp:aes256-sha256", pfs: "ecp256" },
  { ike: "aes256-sha512-x25519", protect: "esp:aes256gcm16", pfs: "x25519" },
];

for (const agreed of AGREED) {
  test(`tshark decrypts our negotiation under ${agreed.ike} and reads what our decode reads`, async (t) => {
    const folder = scratch(t);
    const { datagrams, secrets } = meet(agreed);
    const file = join(folder, "met.pcap");
    writeFileSync(file, encodePcap(datagrams));
    const { packets, theirs, ours } = await readTwice(t, file, { secrets });
    assert.equal(theirs.size, datagrams.length);
    assert.deepEqual(theirs, ours);
    assert.deepEqual(checksumsThatAreWrong(packets), []);
    // Main Mode, four Quick Modes, a refused one, and deletes of four child SAs and the IKE SA.
    assert.deepEqual(exchanges(theirs), { 2: 6, 5: 1 + 5, 32: 4 * 3 + 1 });
    const sealed = [...theirs.values()].filter((facts) => facts.includes("flags 01"));
    assert.equal(sealed.length, datagrams.length - 4);
    for (const facts of sealed) assert.ok(facts.includes("payload 8"), facts.join());
  });
}

for (const name of keptNames(".pcap")) {
  test(`tshark reads ${name} as our decode does, and opens its ESP`, async (t) => {
    const { secrets, esp = [] } = kept(name);
    const { packets, theirs, ours } = await readTwice(t, pcapOf(name), { secrets, esp });
    assert.ok(ours.size > 0);
    // A repeat is left out: tshark takes it for the exchange's next message. What only the peer could read, neither shows.
    const first = new Set(firsts(packets));
    for (const [number, facts] of ours) if (first.has(number)) assert.deepEqual(theirs.get(number), facts, `packet ${number}`);
    const protectedPackets = packets.filter(({ protocols }) => protocols.includes("esp"));
    assert.equal(protectedPackets.length > 0, esp.length > 0);
    for (const { number, protocols, fields } of protectedPackets) {
      assert.ok(protocols.includes("icmp") || protocols.includes("icmpv6"), `packet ${number}: ${protocols}`);
      assert.equal(fields.find((field) => field.name === "esp.icv_good")?.show, "1", `packet ${number}`);
    }
  });
}

/** The capture as tshark reads it, and as we do. */
async function readTwice(t: TestContext, file: string, keys: Keys) {
  const folder = scratch(t);
  const profile = join(folder, "wireshark");
  mkdirSync(profile);
  writeFileSync(join(folder, "keys"), keyTable(keys.secrets));
  const decoded = mainmode(["decode", file, "--json", "--keys", join(folder, "keys")]);
  const packets = await dissect(file, keys, profile);
  const { exit, stdout, stderr } = await decoded;
  assert.deepEqual([exit, stderr], [0, ""]);
  return { packets, theirs: tsharkFacts(packets), ours: decodeFacts(stdout) };
}

/** How many messages of each exchange type there are. */
function exchanges(facts: Facts): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const [, type = ""] of [...facts.values()].map((each) => /\bexchange (\d+)/.exec(each.join()) ?? []))
    counts[type] = (counts[type] ?? 0) + 1;
  return counts;
}

/** Numbers of the packets whose payload was not there before. */
function firsts(packets: readonly Packet[]): readonly number[] {
  const met = new Set<string>();
  return packets.flatMap(({ number, fields }) => {
    const octets = fields.find(({ name }) => name === "udp.payload")?.value;
    if (octets === undefined || met.has(octets)) return [];
    met.add(octets);
    return [number];
  });
}

/** Numbers of the packets whose IP and UDP checksums are not both good: that is what tshark's 1 says. */
const checksumsThatAreWrong = (packets: readonly Packet[]): readonly number[] =>
  packets.filter(({ fields }) => checksums(fields).join() !== "1,1").map(({ number }) => number);

const checksums = (fields: readonly Field[]): readonly string[] =>
  fields.filter(({ name }) => name.endsWith(".checksum.status")).map(({ show }) => show);
