/** Headers, chains and payloads that no honest peer sends. */
import { datagram, generic, hex, octets } from "./build.ts";
import { type Fault, refuse, repeat, type Tolerated, tolerate } from "./faults.ts";

const [NONE, KE, ID, CERT, CERTREQ, NONCE, N, D, NAT_OA, FRAGMENT] = [0, 4, 5, 6, 7, 10, 11, 12, 21, 132];

const FAULTS: readonly Fault[] = [
  { name: "an empty datagram", bytes: octets(), offset: 0, what: /header needs 28 octets, 0 left/ },
  {
    name: "a header cut off after 27 octets",
    bytes: datagram(0, octets()).slice(0, 27),
    offset: 0,
    what: /header needs 28 octets, 27 left/,
  },
  { name: "major version 2", bytes: withOctet(datagram(0, octets()), 17, 0x20), offset: 17, what: /version 2\.0/, notify: 5 },
  { name: "major version 0", bytes: withOctet(datagram(0, octets()), 17, 0x00), offset: 17, what: /version 0\.0/, notify: 5 },
  { name: "minor version 1", bytes: withOctet(datagram(0, octets()), 17, 0x11), offset: 17, what: /version 1\.1/, notify: 6 },
  { name: "a message length of zero", bytes: datagram(0, octets(), 0), offset: 24, what: /length 0 is less than the header/ },
  { name: "a message length of 27", bytes: datagram(0, octets(), 27), offset: 24, what: /length 27/ },
  {
    name: "a message length one beyond the datagram",
    bytes: datagram(KE, generic(0, hex("00")), 34),
    offset: 24,
    what: /length 34 .* 33 octets/,
  },
  { name: "a message length of 2^32 - 1", bytes: datagram(0, octets(), 0xffffffff), offset: 24, what: /length 4294967295/ },
  { name: "a payload announced and missing", bytes: datagram(KE, octets()), offset: 28, what: /payload 1 \(KE\).* 0 left/ },
  { name: "a generic header cut off", bytes: datagram(KE, hex("000000")), offset: 30, what: /length needs 2 octets, 1 left/ },
  {
    name: "a payload length of zero, which would loop forever",
    bytes: datagram(KE, generic(KE, octets(), 0)),
    offset: 30,
    what: /length 0/,
  },
  { name: "a payload length of 1", bytes: datagram(KE, generic(NONE, octets(), 1)), offset: 30, what: /length 1 is less/ },
  { name: "a payload length of 2", bytes: datagram(KE, generic(NONE, octets(), 2)), offset: 30, what: /length 2 is less/ },
  { name: "a payload length of 3", bytes: datagram(KE, generic(NONE, octets(), 3)), offset: 30, what: /length 3 is less/ },
  {
    name: "a payload that passes the end by one",
    bytes: datagram(KE, generic(NONE, hex("00"), 6)),
    offset: 30,
    what: /passes the end by 1/,
  },
  {
    name: "a payload length of 65535",
    bytes: datagram(KE, generic(NONE, hex("00"), 65535)),
    offset: 30,
    what: /length 65535 passes the end by 65530/,
  },
  {
    name: "a next payload behind the last octet",
    bytes: datagram(KE, generic(NONCE, hex("00"))),
    offset: 33,
    what: /payload 2 \(NONCE\).* 0 left/,
  },
  {
    name: "payloads behind the one that says it is the last",
    bytes: datagram(KE, octets(generic(NONE, hex("00")), generic(NONE, hex("00")))),
    offset: 33,
    what: /5 octets after the end of the last payload/,
  },
  {
    name: "payloads in a message that announces none",
    bytes: datagram(NONE, generic(NONE, octets())),
    offset: 28,
    what: /4 octets after the end/,
  },
  {
    name: "a chain of empty payloads without end",
    bytes: datagram(255, repeat(generic(255, octets()), 200)),
    offset: 28 + 128 * 4,
    what: /more than 128 payloads/,
  },
  {
    name: "the message ending inside the second payload",
    bytes: datagram(KE, octets(generic(NONCE, hex("00")), generic(NONE, hex("0000"), 7))),
    offset: 35,
    what: /payload 2 \(NONCE\): length 7 passes the end by 1/,
  },

  { name: "an ID of three octets", bytes: datagram(ID, generic(NONE, hex("010000"))), offset: 34, what: /ID: port needs 2 octets, 1 left/ },
  { name: "an empty ID", bytes: datagram(ID, generic(NONE, octets())), offset: 32, what: /ID: type needs 1 octet, 0 left/ },
  { name: "an empty certificate", bytes: datagram(CERT, generic(NONE, octets())), offset: 32, what: /CERT: encoding needs 1 octet/ },
  {
    name: "an empty certificate request",
    bytes: datagram(CERTREQ, generic(NONE, octets())),
    offset: 32,
    what: /CERTREQ: encoding needs 1 octet/,
  },
  {
    name: "a notify of seven octets",
    bytes: datagram(N, generic(NONE, hex("00000001 0100 00"))),
    offset: 38,
    what: /notify: type needs 2 octets, 1 left/,
  },
  {
    name: "a notify whose SPI size passes its end",
    bytes: datagram(N, generic(NONE, hex("00000001 01 10 000e 0000"))),
    offset: 40,
    what: /notify: spi needs 16 octets, 2 left/,
  },
  {
    name: "a notify with an SPI of 255 octets",
    bytes: datagram(N, generic(NONE, octets("00000001 01 ff 000e", new Uint8Array(255)))),
    offset: 40,
    what: /spi: 255 octets, at most 16/,
  },
  {
    name: "a delete of seven octets",
    bytes: datagram(D, generic(NONE, hex("00000001 03 04 00"))),
    offset: 38,
    what: /delete: count needs 2 octets, 1 left/,
  },
  {
    name: "a delete that counts one SPI more than there is",
    bytes: datagram(D, generic(NONE, hex("00000001 03 04 0002 11111111"))),
    offset: 38,
    what: /2 SPIs of 4 octets in 4/,
  },
  {
    name: "a delete that counts one SPI less than there is",
    bytes: datagram(D, generic(NONE, hex("00000001 03 04 0001 11111111 22222222"))),
    offset: 38,
    what: /1 SPIs of 4 octets in 8/,
  },
  {
    name: "a delete of 65535 SPIs in four octets",
    bytes: datagram(D, generic(NONE, hex("00000001 03 04 ffff 11111111"))),
    offset: 38,
    what: /65535 SPIs, at most 256/,
  },
  {
    name: "a delete of 65535 SPIs of no octets",
    bytes: datagram(D, generic(NONE, hex("00000001 03 00 ffff"))),
    offset: 38,
    what: /65535 SPIs/,
  },
  {
    name: "a delete of one SPI of no octets",
    bytes: datagram(D, generic(NONE, hex("00000001 03 00 0001"))),
    offset: 37,
    what: /1 SPIs of no octets/,
  },
  {
    name: "a delete with SPIs of 17 octets",
    bytes: datagram(D, generic(NONE, octets("00000001 03 11 0001", new Uint8Array(17)))),
    offset: 37,
    what: /SPI size 17, at most 16/,
  },
  {
    name: "an original address of three octets of header",
    bytes: datagram(NAT_OA, generic(NONE, hex("010000"))),
    offset: 33,
    what: /NAT-OA: reserved octets needs 3 octets, 2 left/,
  },
  {
    name: "an original address of 17 octets",
    bytes: datagram(NAT_OA, generic(NONE, octets("05000000", new Uint8Array(17)))),
    offset: 36,
    what: /NAT-OA: address: 17 octets, at most 16/,
  },
  { name: "a datagram of 65507 octets of 0xff", bytes: new Uint8Array(65507).fill(0xff), offset: 17, what: /version 15\.15/, notify: 5 },
];

/** What isn't wrong, though it looks so: the RFCs or deployed peers ask for it. */
const TOLERATED: readonly Tolerated[] = [
  { name: "non-zero reserved octets in generic headers", bytes: datagram(KE, hex("00ff0005 01")), names: ["ke"] },
  { name: "unknown header flags", bytes: withOctet(datagram(KE, generic(NONE, hex("01"))), 19, 0xf8), names: ["ke"] },
  {
    name: "three octets of padding behind the last payload",
    bytes: datagram(KE, octets(generic(NONE, hex("01")), 0, 0, 0)),
    names: ["ke"],
  },
  {
    name: "octets of the datagram behind the message",
    bytes: octets(datagram(KE, generic(NONE, hex("01"))), new Uint8Array(2000)),
    names: ["ke"],
  },
  { name: "a message without payloads", bytes: datagram(NONE, octets()), names: [] },
  { name: "a payload type nobody assigned", bytes: datagram(200, generic(NONE, hex("0102"))), names: ["unknown"] },
  { name: "a private payload that is no fragment", bytes: datagram(FRAGMENT, generic(NONE, hex("000101"))), names: ["unknown"] },
  { name: "a private payload that is no address", bytes: datagram(131, generic(NONE, hex("0100"))), names: ["unknown"] },
  { name: "an ID without data", bytes: datagram(ID, generic(NONE, hex("01000000"))), names: ["id"] },
  { name: "an empty key exchange, which is the exchange's business", bytes: datagram(KE, generic(NONE, octets())), names: ["ke"] },
  { name: "a delete without SPIs", bytes: datagram(D, generic(NONE, hex("00000001 03 04 0000"))), names: ["delete"] },
];

refuse(FAULTS);
tolerate(TOLERATED);

function withOctet(bytes: Uint8Array, at: number, value: number): Uint8Array {
  const copy = Uint8Array.from(bytes);
  copy[at] = value;
  return copy;
}
