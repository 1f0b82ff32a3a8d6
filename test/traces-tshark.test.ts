/** tshark opens what `mainmode trace` writes: captures, decrypted captures, and keys of IKE and ESP. Run with the other tests that need tshark. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ask } from "../cli/client.ts";
import { espKeyLine } from "../cli/key-files.ts";
import { pcapHeader, recordOf } from "../isakmp/pcap-writer.ts";
import { type EspAlgorithms, espPacket } from "./captures/esp.ts";
import { dissectWith, type Packet } from "./captures/tshark.ts";
import { mainmode } from "./cli/fake-daemon.ts";
import { until } from "./daemon/fakes.ts";
import { scratch, startPair } from "./daemon/pair.ts";

const shown = ({ fields }: Packet, name: string): readonly string[] =>
  fields.filter((field) => field.name === name).map(({ show }) => show);

test("tshark opens the capture, the decrypted capture and both key files of a trace", async (t) => {
  const { a, folder, port } = await startPair(t);
  const path = (name: string): string => join(folder, name);
  for (const name of ["keys", "empty"]) mkdirSync(path(name));
  let stop: (signal: NodeJS.Signals) => void = () => {};
  const files = ["--pcap", path("wire.pcap"), "--decrypted", path("clear.pcap"), "--keys", path("keys")];
  const running = mainmode(["--control", a.daemon.controlPath, "trace", ...files], {}, (kill) => {
    stop = kill;
  });
  await until(() => a.records.some(({ text }) => text.includes("traces")), "the trace to begin");
  assert.equal((await ask({ path: a.daemon.controlPath, request: { command: "initiate", rule: "peer", wait: 5 } })).exit, 0);
  await until(() => readFileSync(path("keys/esp_sa"), "utf8").split("\n").length === 3, "the keys of ESP");
  stop("SIGTERM");
  const { stderr } = await running;
  assert.match(stderr, /9 messages, 3 keys/);

  const wire = await dissectWith(path("wire.pcap"), path("keys"), port);
  assert.equal(wire.length, 9);
  const identities = (packets: readonly Packet[]): readonly string[] =>
    packets.flatMap((packet) => shown(packet, "isakmp.id.data.ipv4_addr"));
  assert.deepEqual(identities(wire).slice(0, 2), ["127.0.0.2", "127.0.0.3"]);
  assert.deepEqual(identities(await dissectWith(path("wire.pcap"), path("empty"), port)), []);

  // The same without keys, and without being told the port: every exported message names its dissector and its ends.
  const clear = await dissectWith(path("clear.pcap"), path("empty"));
  assert.equal(clear.length, 9);
  assert.deepEqual(identities(clear), identities(wire));
  for (const packet of clear) {
    assert.ok(packet.protocols.includes("isakmp") && !packet.protocols.includes("_ws.malformed"), packet.protocols.join());
    assert.ok(!shown(packet, "isakmp.flags").includes("0x01"));
    assert.deepEqual([...shown(packet, "exported_pdu.ipv4_src"), ...shown(packet, "exported_pdu.ipv4_dst")].sort(), [
      "127.0.0.2",
      "127.0.0.3",
    ]);
  }

  const [line = ""] = readFileSync(path("keys/esp_sa"), "utf8").split("\n");
  const [, source = "", destination = "", spi = "", , encryptionKey = "", , integrityKey = ""] = line.replaceAll('"', "").split(",");
  const algorithms = {
    encryption: "cbc(aes)",
    encryptionKey: encryptionKey.slice(2),
    integrity: "hmac(sha1)",
    integrityBits: 96,
    integrityKey: integrityKey.slice(2),
  };
  writeFileSync(
    path("esp.pcap"),
    Buffer.concat([pcapHeader(), recordOf(0, espPacket(Number(spi), algorithms, "hello", [source, destination]))]),
  );
  await opens(path("esp.pcap"), path("keys"));
});

const key = (octets: number, from: number): string =>
  Buffer.from(Array.from({ length: octets }, (_, i) => (from + 7 * i) & 255)).toString("hex");

const ESP: Readonly<Record<string, EspAlgorithms>> = {
  "aes128-sha1": {
    encryption: "cbc(aes)",
    encryptionKey: key(16, 1),
    integrity: "hmac(sha1)",
    integrityBits: 96,
    integrityKey: key(20, 2),
  },
  "aes192-sha384": {
    encryption: "cbc(aes)",
    encryptionKey: key(24, 1),
    integrity: "hmac(sha384)",
    integrityBits: 192,
    integrityKey: key(48, 2),
  },
  "aes256-sha256": {
    encryption: "cbc(aes)",
    encryptionKey: key(32, 3),
    integrity: "hmac(sha256)",
    integrityBits: 128,
    integrityKey: key(32, 4),
  },
  "aes256-sha256 of 96 bits": {
    encryption: "cbc(aes)",
    encryptionKey: key(32, 3),
    integrity: "hmac(sha256)",
    integrityBits: 96,
    integrityKey: key(32, 4),
  },
  "aes256-sha512": {
    encryption: "cbc(aes)",
    encryptionKey: key(32, 3),
    integrity: "hmac(sha512)",
    integrityBits: 256,
    integrityKey: key(64, 4),
  },
  "3des-md5": {
    encryption: "cbc(des3_ede)",
    encryptionKey: key(24, 5),
    integrity: "hmac(md5)",
    integrityBits: 96,
    integrityKey: key(16, 6),
  },
  aes128gcm16: { encryption: "rfc4106(gcm(aes))", encryptionKey: key(20, 7), integrity: "", integrityBits: 0, integrityKey: "" },
  "null-sha1": { encryption: "ecb(cipher_null)", encryptionKey: "", integrity: "hmac(sha1)", integrityBits: 96, integrityKey: key(20, 8) },
};

for (const [name, algorithms] of Object.entries(ESP))
  test(`tshark opens ESP under ${name} with the key line that we write`, async (t) => {
    const folder = scratch(t);
    const entry = {
      kind: "esp-key",
      at: 0,
      peer: "",
      cookie: "",
      source: "192.0.2.1",
      destination: "192.0.2.2",
      spi: "0xc5704d9e",
    } as const;
    writeFileSync(join(folder, "esp_sa"), espKeyLine({ ...entry, ...algorithms }));
    writeFileSync(join(folder, "esp.pcap"), Buffer.concat([pcapHeader(), recordOf(0, espPacket(0xc5704d9e, algorithms, "hello"))]));
    await opens(join(folder, "esp.pcap"), folder);
  });

/** One ESP packet, whose content and check value tshark finds good. */
async function opens(file: string, profile: string): Promise<void> {
  const [packet, ...more] = await dissectWith(file, profile);
  assert.ok(packet && more.length === 0);
  assert.ok(packet.protocols.includes("udp"), packet.protocols.join());
  assert.deepEqual(shown(packet, "udp.dstport"), ["9"]);
  assert.ok(packet.fields.some(({ value }) => value === Buffer.from("hello").toString("hex")));
  if (shown(packet, "esp.icv_good").length > 0) assert.deepEqual(shown(packet, "esp.icv_good"), ["1"]);
}
