import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { lineReader } from "../../kernel/lines.ts";
import { xfrmStates } from "../../kernel/xfrm-state.ts";

const T = "\t";

/** `ip -s xfrm state get`, iproute2 6.1. */
const state = (id: string, current: string): string =>
  [
    "src 10.0.0.1 dst 10.0.0.2",
    `${T}${id}`,
    `${T}replay-window 0 seq 0x00000000 flag  (0x00000000)`,
    `${T}auth-trunc hmac(sha1) 0x5ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2 (160 bits) 96`,
    `${T}enc cbc(aes) 0x5ec2e75ec2e75ec2e75ec2e75ec2e75e (128 bits)`,
    `${T}anti-replay context: seq 0x0, oseq 0x3, bitmap 0x00000000`,
    `${T}sel src 0.0.0.0/0 dst 0.0.0.0/0 uid 0`,
    `${T}lifetime config:`,
    `${T}  limit: soft 1000(bytes), hard 4000(bytes)`,
    `${T}  limit: soft (INF)(packets), hard (INF)(packets)`,
    `${T}  expire add: soft 200(sec), hard 300(sec)`,
    `${T}  expire use: soft 0(sec), hard 0(sec)`,
    `${T}lifetime current:`,
    `${T}  ${current}`,
    `${T}  add 2026-11-21 04:41:49 use -`,
    `${T}stats:`,
    `${T}  replay-window 0 replay 0 failed 0`,
    "",
  ].join("\n");
const first = state("proto esp spi 0x00001000(4096) reqid 9(0x00000009) mode transport", "924(bytes), 3(packets)");
const record = {
  sa: { source: "10.0.0.1", destination: "10.0.0.2", protocol: "esp", spi: 0x1000 },
  reqid: 9,
  counters: { octets: 924, packets: 3 },
  endless: false,
};

test("a state tells its key, reqid and counters, and its limits are not taken for counters", () => {
  assert.deepEqual(xfrmStates().push(Buffer.from(first)), [record]);
});

test("a list gives each ESP and AH state, and passes over others", () => {
  const text = [
    first,
    state("proto comp spi 0x00000005(5) reqid 1(0x00000001) mode transport", "1(bytes), 1(packets)"),
    state("proto ah spi 0xffffffff(4294967295) reqid 1835859969(0x6d6d0001) mode tunnel", "0(bytes), 0(packets)").replaceAll(
      "10.0.0.",
      "2001:db8::",
    ),
  ].join("");
  const sa = { source: "2001:db8::1", destination: "2001:db8::2", protocol: "ah", spi: 0xffffffff };
  assert.deepEqual(xfrmStates().push(Buffer.from(text)), [
    record,
    { sa, reqid: 0x6d6d0001, counters: { octets: 0, packets: 0 }, endless: false },
  ]);
});

test("a larval state tells the packet that the kernel waits for, and no state after it does", () => {
  const larval = state("proto esp spi 0x00000000(0) reqid 1835859968(0x6d6d0000) mode transport", "0(bytes), 0(packets)").replace(
    "sel src 0.0.0.0/0 dst 0.0.0.0/0 uid 0",
    "sel src 10.0.0.1/32 dst 10.0.0.2/32 proto tcp sport 40000 dport 80 dev eth0 uid 0",
  );
  const [one, other] = xfrmStates().push(Buffer.from(larval + first));
  assert.equal(one?.sa.spi, 0);
  assert.deepEqual(one?.asked, {
    ...{ type: "acquire", protocol: "esp", reqid: 0x6d6d0000, source: "10.0.0.1", destination: "10.0.0.2" },
    ...{ ipProtocol: 6, sourcePort: 40000, destinationPort: 80 },
  });
  assert.deepEqual(other, record);
});

test("a state with words that none of ours has takes no other with it, and is read as far as it is an SA of ESP or AH", () => {
  const other = state("proto esp spi 0x00002000(8192) reqid 9(0x00000009) mode beet", "1(bytes), 1(packets)")
    .replace("flag  (0x00000000)", "flag noecn esn 80 extra_flag dont-encap-dscp  (0x10000001)")
    .replace(
      `${T}anti-replay`,
      [
        `${T}mark 0x5/0xff output-mark 0x1`,
        `${T}encap type espintcp sport 4500 dport 4500 addr 0.0.0.0`,
        `${T}coa 10.0.0.7`,
        `${T}lastused 2026-11-22 20:17:31`,
        `${T}anti-replay esn context:`,
        `${T} seq-hi 0x0, seq 0x0, oseq-hi 0x0, oseq 0x0`,
        `${T} replay_window 32, bitmap-length 1`,
        `${T} 00000000 `,
        `${T}crypto offload parameters: dev eth0 dir in mode packet`,
        `${T}if_id 0x5`,
        `${T}tfcpad 9`,
        `${T}dir in`,
        `${T}pcpu-num 3`,
        `${T}nat-keepalive interval 20`,
        `${T}anti-replay`,
      ].join("\n"),
    );
  const compressed = ["comp", "route2", "hao", "ipsec-any", "77"].map((protocol) =>
    state(`proto ${protocol} spi 0x00000005(5) reqid 1(0x00000001) mode ro`, "1(bytes), 1(packets)"),
  );
  const secured = first.replace(/$/, `${T}security context system_u:object_r:x_t:s0 \n`);
  assert.deepEqual(xfrmStates().push(Buffer.from([first, ...compressed, other, secured, first].join(""))), [
    record,
    { sa: { ...record.sa, spi: 0x2000 }, reqid: 9, counters: { octets: 1, packets: 1 }, endless: false },
    record,
    record,
  ]);
});

test("a state without a time limit is told from the others", () => {
  const endless = first.replace("soft 200(sec), hard 300(sec)", "soft 0(sec), hard 0(sec)");
  assert.deepEqual(xfrmStates().push(Buffer.from(first + endless + first)), [record, { ...record, endless: true }, record]);
});

test("records do not depend on how the octets are cut into chunks", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: first.length * 2 - 1 }), (cut) => {
      const states = xfrmStates();
      const text = first + first;
      assert.deepEqual(
        [text.slice(0, cut), text.slice(cut)].flatMap((part) => states.push(Buffer.from(part))),
        [record, record],
      );
    }),
  );
});

test("lines with keys never become text, in any chunking, and the octets are wiped", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: first.length }), (cut) => {
      const reader = lineReader();
      const chunks = [Buffer.from(first.slice(0, cut)), Buffer.from(first.slice(cut))];
      const lines = chunks.flatMap((chunk) => reader.push(chunk));
      assert.equal(lines.length, first.split("\n").length - 3);
      assert.ok(!lines.some((line) => line.includes("5ec2e7")));
      assert.ok(chunks.every((chunk) => chunk.every((octet) => octet === 0)));
    }),
  );
  for (const word of ["auth", "auth-trunc", "enc", "aead", "comp"]) {
    assert.deepEqual(lineReader().push(Buffer.from(`${T}${word} x 0x00\n  ${word}x kept\n`)), [`  ${word}x kept`]);
  }
});

test("a short line that begins like a key word is kept", () => {
  assert.deepEqual(lineReader().push(Buffer.from("e\n\tenc\na\n")), ["e", "\tenc", "a"]);
});

test("a line of 1024 octets is kept, a longer one is dropped whole", () => {
  const reader = lineReader();
  const lines = reader.push(Buffer.from(`${"a".repeat(1024)}\n${"b".repeat(1025)}\n${"c".repeat(5000)}\nd\n`));
  assert.deepEqual(lines, ["a".repeat(1024), "d"]);
  const pieces = ["a".repeat(1000), "a".repeat(24), "\n", "b".repeat(1000), "b".repeat(25), "\nd\n"].map((text) => Buffer.from(text));
  assert.deepEqual(
    pieces.flatMap((piece) => reader.push(piece)),
    lines,
  );
});

test("broken records give nothing and do not lend their parts to the next", () => {
  const headless = first.slice(first.indexOf("\n") + 1);
  assert.deepEqual(xfrmStates().push(Buffer.from(headless)), []);
  assert.deepEqual(xfrmStates().push(Buffer.from(first.replace("src 10.0.0.1", "src x"))), []);
  assert.deepEqual(
    xfrmStates().push(
      Buffer.from(`${first.split("\n").slice(0, 2).join("\n")}\nsrc 10.0.0.8 dst 10.0.0.9\n${headless.replace("proto esp", "proto x")}`),
    ),
    [],
  );
});
