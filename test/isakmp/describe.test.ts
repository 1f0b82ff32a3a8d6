import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { basic, variable } from "../../isakmp/attributes.ts";
import { describeAttribute, describeId, describeMessage, describePayload, messageJson } from "../../isakmp/describe.ts";
import { decodeHeader, encodeMessage } from "../../isakmp/message.ts";
import { ID_TYPE, IKE_ATTRIBUTE, IPSEC_ATTRIBUTE, NOTIFY, PROTOCOL } from "../../isakmp/numbers.ts";
import { type Body, type Payload, type PayloadName, payload } from "../../isakmp/payloads.ts";
import { anyPayload, headerFields } from "./arbitraries.ts";
import { datagram, hex } from "./build.ts";

const HEADER = header(datagram(0, hex("")));
const lines = <N extends PayloadName>(name: N, value: Body<N>) => describePayload(payload(name, value) as Payload);

test("a header reads in one line, flags by name", () => {
  const bytes = Uint8Array.from(datagram(0, hex("")))
    .with(19, 0x83)
    .with(18, 32)
    .with(23, 7);
  const text = "Quick Mode, cookies 0101010101010101 0202020202020202, message 00000007, ENCRYPTION, COMMIT, flag 128, 28 octets";
  assert.deepEqual(describeMessage(header(bytes), "encrypted"), [text, "  encrypted"]);
});

test("a Main Mode offer names every algorithm", () => {
  const A = IKE_ATTRIBUTE;
  const attributes = [
    basic(A["Encryption Algorithm"], 7),
    basic(A["Key Length"], 128),
    basic(A["Hash Algorithm"], 4),
    basic(A["Group Description"], 14),
  ];
  const more = [basic(A["Authentication Method"], 1), basic(A["Life Type"], 1), variable(A["Life Duration"], hex("00007080"))];
  const transforms = [{ number: 1, id: 1, attributes: [...attributes, ...more] }];
  assert.deepEqual(lines("sa", { doi: 1, situation: 1, proposals: [{ number: 1, protocol: 1, spi: hex(""), transforms }] }), [
    "SA: IPSEC, SIT_IDENTITY_ONLY",
    "  proposal 1: ISAKMP",
    "    transform 1: KEY_IKE, Encryption Algorithm=AES-CBC, Key Length=128, Hash Algorithm=SHA2-256, Group Description=modp2048, " +
      "Authentication Method=Pre-shared key, Life Type=seconds, Life Duration=28800",
  ]);
});

test("a Quick Mode offer reads the same numbers by other tables", () => {
  const A = IPSEC_ATTRIBUTE;
  const attributes = [basic(A["Encapsulation Mode"], 2), basic(A["Authentication Algorithm"], 2), basic(A["SA Life Type"], 2)];
  const transforms = [{ number: 1, id: 12, attributes }];
  const proposals = [
    { number: 1, protocol: 3, spi: hex("c5704d9e"), transforms },
    { number: 1, protocol: 2, spi: hex("c6da6209"), transforms: [{ number: 1, id: 3, attributes: [] }] },
    { number: 2, protocol: 4, spi: hex("0002"), transforms: [{ number: 1, id: 3, attributes: [] }] },
  ];
  assert.deepEqual(lines("sa", { doi: 1, situation: 1, proposals }).slice(1), [
    "  proposal 1: ESP, SPI c5704d9e",
    "    transform 1: ESP_AES, Encapsulation Mode=Transport, Authentication Algorithm=HMAC-SHA, SA Life Type=kilobytes",
    "  proposal 1: AH, SPI c6da6209",
    "    transform 1: AH_SHA",
    "  proposal 2: IPCOMP, SPI 0002",
    "    transform 1: 3",
  ]);
});

test("an attribute without a name, or too long for a number, is still shown", () => {
  assert.equal(describeAttribute(PROTOCOL.ISAKMP, basic(99, 5)), "99=5");
  assert.equal(describeAttribute(PROTOCOL.ISAKMP, basic(1, 99)), "Encryption Algorithm=99");
  assert.equal(describeAttribute(PROTOCOL.ISAKMP, variable(6, hex("ffffffffffffffff"))), "Group Prime=0xffffffffffffffff");
  assert.equal(describeAttribute(PROTOCOL.ISAKMP, variable(12, hex(""))), "Life Duration=0x");
});

test("a GSS name reads in two octets a character or one", () => {
  const name = IKE_ATTRIBUTE["GSS Identity Name"];
  assert.equal(describeAttribute(PROTOCOL.ISAKMP, variable(name, hex("610040004200"))), 'GSS Identity Name="a@B"');
  assert.equal(describeAttribute(PROTOCOL.ISAKMP, variable(name, hex("614042"))), 'GSS Identity Name="a@B"');
  assert.equal(describeAttribute(PROTOCOL.ISAKMP, variable(32001, hex("614042"))), 'GSS Identity Name (Windows 2000)="a@B"');
  assert.equal(describeAttribute(PROTOCOL.ISAKMP, variable(name, hex("6100ac20"))), 'GSS Identity Name="a\\x00\\xac "');
});

const T = ID_TYPE;
const IDS: readonly (readonly [string, number, string, number?, number?])[] = [
  ["ID_IPV4_ADDR 192.0.2.1 udp/500", T.ID_IPV4_ADDR, "c0000201", 17, 500],
  ["ID_IPV4_ADDR 192.0.2.1", T.ID_IPV4_ADDR, "c0000201"],
  ["ID_IPV4_ADDR 192.0.2.1 tcp", T.ID_IPV4_ADDR, "c0000201", 6],
  ["ID_IPV4_ADDR 192.0.2.1 any/7", T.ID_IPV4_ADDR, "c0000201", 0, 7],
  ["ID_IPV4_ADDR c00002", T.ID_IPV4_ADDR, "c00002"],
  ["ID_IPV6_ADDR 2001:db8::1", T.ID_IPV6_ADDR, "20010db8000000000000000000000001"],
  ["ID_IPV6_ADDR c0000201", T.ID_IPV6_ADDR, "c0000201"],
  ["ID_IPV4_ADDR_SUBNET 10.0.0.0/8", T.ID_IPV4_ADDR_SUBNET, "0a000000ff000000"],
  ["ID_IPV4_ADDR_SUBNET 0.0.0.0/0", T.ID_IPV4_ADDR_SUBNET, "0000000000000000"],
  ["ID_IPV4_ADDR_SUBNET 10.0.0.0/255.0.255.0", T.ID_IPV4_ADDR_SUBNET, "0a000000ff00ff00"],
  ["ID_IPV4_ADDR_SUBNET 0a0000ff", T.ID_IPV4_ADDR_SUBNET, "0a0000ff"],
  ["ID_IPV6_ADDR_SUBNET 2001:db8::/32", T.ID_IPV6_ADDR_SUBNET, `20010db8${"0".repeat(24)}ffffffff${"0".repeat(24)}`],
  ["ID_IPV4_ADDR_RANGE 10.0.0.1-10.0.0.9", T.ID_IPV4_ADDR_RANGE, "0a0000010a000009"],
  ["ID_IPV6_ADDR_RANGE ::-::1", T.ID_IPV6_ADDR_RANGE, `${"0".repeat(63)}1`],
  ["ID_FQDN a.example.test", T.ID_FQDN, "612e6578616d706c652e74657374"],
  ["ID_FQDN a\\x00\\x1b", T.ID_FQDN, "61001b"],
  ["ID_USER_FQDN a@b", T.ID_USER_FQDN, "614062"],
  ["ID_DER_ASN1_DN CN=ab", T.ID_DER_ASN1_DN, "300d310b3009060355040313026162"],
  ["ID_DER_ASN1_DN 30ff", T.ID_DER_ASN1_DN, "30ff"],
  ["ID_KEY_ID key", T.ID_KEY_ID, "6b6579"],
  ["ID_KEY_ID 00ff", T.ID_KEY_ID, "00ff"],
  ["250 abcdef", 250, "abcdef"],
];

for (const [text, type, data, protocol = 0, port = 0] of IDS)
  test(`an identity reads as "${text}"`, () => {
    assert.equal(describeId({ type, protocol, port, data: hex(data) }), text);
  });

test("notifies say what their data means", () => {
  const notify = (type: number, data: string, protocol = 1, spi = "") =>
    lines("notify", { doi: 1, protocol, spi: hex(spi), type, data: hex(data) });
  assert.deepEqual(notify(NOTIFY["NO-PROPOSAL-CHOSEN"], "", 3, "c5704d9e"), ["N: NO-PROPOSAL-CHOSEN, ESP, SPI c5704d9e"]);
  assert.deepEqual(notify(NOTIFY["R-U-THERE"], "0000002a"), ["N: R-U-THERE, ISAKMP, sequence 42"]);
  assert.deepEqual(notify(NOTIFY["R-U-THERE"], "002a"), ["N: R-U-THERE, ISAKMP, data 002a"]);
  assert.deepEqual(notify(NOTIFY["RESPONDER-LIFETIME"], "800b0001 000c0004 00000e10"), [
    "N: RESPONDER-LIFETIME, ISAKMP, Life Type=seconds, Life Duration=3600",
  ]);
  assert.deepEqual(notify(NOTIFY["RESPONDER-LIFETIME"], "80010001 800203e8", 3), [
    "N: RESPONDER-LIFETIME, ESP, SA Life Type=seconds, SA Life Duration=1000",
  ]);
  assert.deepEqual(notify(NOTIFY["RESPONDER-LIFETIME"], "800b"), ["N: RESPONDER-LIFETIME, ISAKMP, data 800b"]);
  assert.deepEqual(notify(40003, "68692100"), ["N: NOTIFY_STATUS, ISAKMP, data 68692100"]);
  assert.deepEqual(notify(9999, "686921"), ['N: 9999, ISAKMP, data "hi!"']);
});

test("the other payloads, in one line each", () => {
  assert.deepEqual(lines("ke", { data: new Uint8Array(128) }), ["KE: 128 octets"]);
  assert.deepEqual(lines("nonce", { data: hex("00") }), ["NONCE: 1 octet"]);
  assert.deepEqual(lines("cert", { encoding: 4, data: new Uint8Array(700) }), ["CERT: encoding X.509 - Signature, data 700 octets"]);
  assert.deepEqual(lines("certReq", { encoding: 4, data: hex("") }), ["CERTREQ: X.509 - Signature, any authority"]);
  assert.deepEqual(lines("certReq", { encoding: 4, data: hex("300d310b3009060355040313026162") }), ["CERTREQ: X.509 - Signature, CN=ab"]);
  assert.deepEqual(lines("delete", { doi: 1, protocol: 3, spiSize: 4, spis: [hex("c5704d9e"), hex("c6da6209")] }), [
    "D: ESP, SPI c5704d9e, SPI c6da6209",
  ]);
  assert.deepEqual(lines("delete", { doi: 1, protocol: 3, spiSize: 4, spis: [] }), ["D: ESP, no SPI"]);
  assert.deepEqual(lines("vid", { data: hex("afcad71368a1f1c96b8696fc77570100") }), ["VID: Dead Peer Detection (RFC 3706)"]);
  assert.deepEqual(lines("natD", { data: hex("0011") }), ["NAT-D: 0011"]);
  assert.deepEqual(lines("natOa", { type: 1, address: hex("c0000201") }), ["NAT-OA: ID_IPV4_ADDR 192.0.2.1"]);
  assert.deepEqual(lines("fragment", { id: 1, number: 2, flags: 1, data: hex("0011") }), [
    "FRAGMENT: id 1, number 2, flags 1, data 2 octets",
  ]);
  assert.deepEqual(describePayload({ name: "unknown", type: 15, raw: hex("0011"), start: 0, end: 6 }), ["payload 15: 2 octets 0011"]);
});

test("keys, proofs and tokens are counted, never shown", () => {
  const secret = hex("5ec7e75ec7e7");
  for (const name of ["ke", "nonce", "hash", "sig", "gss"] as const) assert.doesNotMatch(lines(name, { data: secret }).join(), /5ec7e7/);
});

test("long unknown octets are cut", () => {
  const p: Payload = { name: "unknown", type: 200, raw: new Uint8Array(5000), start: 0, end: 5004 };
  assert.ok(describePayload(p).join().length < 200);
});

test("any message is described in lines of printable text, payloads indented", () => {
  fc.assert(
    fc.property(headerFields, fc.array(anyPayload, { maxLength: 4 }), (fields, payloads) => {
      const text = describeMessage(header(encodeMessage(fields, payloads)), payloads);
      assert.ok(text.length > payloads.length);
      for (const [i, line] of text.entries()) assert.match(line, i === 0 ? /^\S[\x20-\x7e]*$/ : /^ {2}[\x20-\x7e]*$/);
    }),
  );
});

test("JSON carries numbers, octets as digits, names and the same lines", () => {
  const transforms = [{ number: 1, id: 12, attributes: [basic(4, 2)] }];
  const sa = payload("sa", { doi: 1, situation: 1, proposals: [{ number: 1, protocol: 3, spi: hex("c5704d9e"), transforms }] });
  assert.deepEqual(JSON.parse(JSON.stringify(messageJson(HEADER, [sa]))), {
    initiatorCookie: "0101010101010101",
    responderCookie: "0202020202020202",
    exchange: "Identity Protection",
    exchangeType: 2,
    flags: [],
    messageId: "00000000",
    length: 28,
    payloads: [
      {
        payload: 1,
        name: "SA",
        doi: 1,
        situation: 1,
        proposals: [
          {
            number: 1,
            protocol: 3,
            spi: "c5704d9e",
            transforms: [
              {
                number: 1,
                id: 12,
                name: "ESP_AES",
                attributes: [{ type: 4, format: "basic", value: "0002", text: "Encapsulation Mode=Transport" }],
              },
            ],
          },
        ],
        text: describePayload(sa),
      },
    ],
  });
});

test("JSON keeps the number of a payload apart from the type that its body names", () => {
  const id = payload("id", { type: 3, protocol: 0, port: 0, data: hex("61") });
  const notify = payload("notify", { doi: 1, protocol: 1, spi: hex(""), type: 14, data: hex("") });
  const { payloads } = messageJson(HEADER, [id, notify]) as { payloads: readonly { payload: number; type: number }[] };
  assert.deepEqual(
    payloads.map(({ payload, type }) => [payload, type]),
    [
      [5, 3],
      [11, 14],
    ],
  );
});

test("JSON of a message that stays sealed has a note and no payloads", () => {
  const json = messageJson(HEADER, "encrypted, 64 octets");
  assert.deepEqual([json["note"], json["payloads"]], ["encrypted, 64 octets", undefined]);
});

test("any message has a JSON form that survives JSON", () => {
  fc.assert(
    fc.property(fc.array(anyPayload, { maxLength: 4 }), (payloads) => {
      const json = messageJson(HEADER, payloads);
      assert.deepEqual(JSON.parse(JSON.stringify(json)), json);
    }),
  );
});

function header(bytes: Uint8Array) {
  const decoded = decodeHeader(bytes);
  assert.ok(decoded.ok);
  return decoded.value;
}
