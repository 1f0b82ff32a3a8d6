/** SA payloads that no honest peer sends: proposals, transforms and attributes that lie about their sizes, counts and ends. */
import { datagram, generic, hex, octets, SA_HEAD } from "./build.ts";
import { type Fault, proposalBody, refuse, repeat, sa, saOf, type Tolerated, TRANSFORM_BODY, tolerate, transform } from "./faults.ts";

const [NONE, SA, P, T, KE] = [0, 1, 2, 3, 4];

const FAULTS: readonly Fault[] = [
  {
    name: "an SA that ends inside its DOI",
    bytes: datagram(SA, generic(NONE, hex("000000"))),
    offset: 32,
    what: /SA: DOI needs 4 octets, 3 left/,
  },
  {
    name: "an SA of the ISAKMP DOI",
    bytes: datagram(SA, generic(NONE, hex("00000000 00000001"))),
    offset: 32,
    what: /DOI 0, only the IPsec DOI/,
    notify: 2,
  },
  { name: "an SA of DOI 2", bytes: datagram(SA, generic(NONE, hex("00000002 00000001"))), offset: 32, what: /DOI 2/, notify: 2 },
  {
    name: "a labelled situation",
    bytes: datagram(SA, generic(NONE, hex("00000001 00000003 00000000"))),
    offset: 36,
    what: /situation 3/,
    notify: 3,
  },
  { name: "a situation of zero", bytes: datagram(SA, generic(NONE, hex("00000001 00000000"))), offset: 36, what: /situation 0/, notify: 3 },
  {
    name: "an SA without a proposal",
    bytes: datagram(SA, generic(NONE, SA_HEAD)),
    offset: 40,
    what: /proposal: next payload needs 1 octet, 0 left/,
  },
  {
    name: "a proposal chain without the NONE at its end",
    bytes: sa(generic(P, proposalBody(transform))),
    offset: 60,
    what: /proposal: next payload needs 1 octet, 0 left/,
  },
  {
    name: "octets behind the last proposal",
    bytes: sa(octets(generic(NONE, proposalBody(transform)), 7)),
    offset: 60,
    what: /1 octet after the end of the last proposal/,
  },
  {
    name: "a transform where a proposal belongs",
    bytes: sa(generic(T, proposalBody(transform))),
    offset: 40,
    what: /proposal: next payload 3 where only 2 or 0/,
  },
  { name: "a proposal length of 3", bytes: sa(generic(NONE, proposalBody(transform), 3)), offset: 42, what: /proposal: length 3 is less/ },
  {
    name: "a proposal that passes the end of its SA, into the next payload",
    bytes: datagram(SA, octets(generic(KE, octets(SA_HEAD, generic(NONE, proposalBody(transform), 24))), generic(NONE, hex("00000000")))),
    offset: 42,
    what: /proposal: length 24 passes the end by 4/,
  },
  { name: "a proposal length of 65535", bytes: sa(generic(NONE, proposalBody(transform), 65535)), offset: 42, what: /length 65535/ },
  {
    name: "an SPI size beyond the proposal",
    bytes: sa(generic(NONE, proposalBody(transform, 1, 13))),
    offset: 48,
    what: /proposal: spi needs 13 octets, 12 left/,
  },
  {
    name: "an SPI size that swallows the transforms",
    bytes: sa(generic(NONE, proposalBody(transform, 1, 12))),
    offset: 60,
    what: /transform: next payload needs 1 octet, 0 left/,
  },
  {
    name: "an SPI of 17 octets",
    bytes: sa(generic(NONE, proposalBody(transform, 1, 17, new Uint8Array(17)))),
    offset: 48,
    what: /spi: 17 octets, at most 16/,
  },
  { name: "a proposal without transforms", bytes: saOf(octets(), 0), offset: 48, what: /transform: next payload needs 1 octet, 0 left/ },
  { name: "one transform announced as two", bytes: saOf(transform, 2), offset: 47, what: /2 announced, 1 present/ },
  {
    name: "two transforms announced as one",
    bytes: saOf(octets(generic(T, TRANSFORM_BODY), transform), 1),
    offset: 47,
    what: /1 announced, 2 present/,
  },
  { name: "one transform announced as 255", bytes: saOf(transform, 255), offset: 47, what: /255 announced, 1 present/ },
  {
    name: "a transform chain without the NONE at its end",
    bytes: saOf(generic(T, TRANSFORM_BODY)),
    offset: 60,
    what: /transform: next payload needs 1 octet, 0 left/,
  },
  {
    name: "a proposal inside a transform chain",
    bytes: saOf(octets(generic(P, TRANSFORM_BODY), generic(NONE, proposalBody(transform)))),
    offset: 48,
    what: /transform: next payload 2 where only 3 or 0/,
  },
  {
    name: "octets behind the last transform",
    bytes: saOf(octets(transform, 0, 0, 0, 0)),
    offset: 60,
    what: /4 octets after the end of the last transform/,
  },
  {
    name: "a transform that ends inside its own header",
    bytes: saOf(generic(NONE, hex("0101"))),
    offset: 54,
    what: /transform: reserved octets needs 2 octets, 0 left/,
  },
  {
    name: "a transform that passes the end of its proposal",
    bytes: saOf(generic(NONE, TRANSFORM_BODY, 13)),
    offset: 50,
    what: /transform: length 13 passes the end by 1/,
  },
  {
    name: "an attribute cut off in its class",
    bytes: saOf(generic(NONE, hex("01010000 80"))),
    offset: 56,
    what: /attribute class needs 2 octets, 1 left/,
  },
  {
    name: "a basic attribute cut off in its value",
    bytes: saOf(generic(NONE, hex("01010000 8001 00"))),
    offset: 58,
    what: /attribute 1 needs 2 octets, 1 left/,
  },
  {
    name: "a variable attribute longer than its transform",
    bytes: saOf(generic(NONE, hex("01010000 000c0005 00007080"))),
    offset: 60,
    what: /attribute 12 needs 5 octets, 4 left/,
  },
  {
    name: "a variable attribute of 65535 octets",
    bytes: saOf(generic(NONE, hex("01010000 000cffff 00007080"))),
    offset: 60,
    what: /attribute 12 needs 65535 octets, 4 left/,
  },
  {
    name: "a variable attribute without its length",
    bytes: saOf(generic(NONE, hex("01010000 000c"))),
    offset: 58,
    what: /length of attribute 12 needs 2 octets, 0 left/,
  },
  {
    name: "65 attributes in a transform",
    bytes: saOf(generic(NONE, octets("01010000", repeat(hex("80010007"), 65)))),
    offset: 56 + 64 * 4,
    what: /more than 64 times attribute/,
  },
  {
    name: "256 transforms in a proposal",
    bytes: saOf(octets(repeat(generic(T, hex("01010000")), 255), generic(NONE, hex("01010000"))), 0),
    offset: 48 + 255 * 8,
    what: /more than 255 transforms/,
  },
  {
    name: "256 proposals in an SA",
    bytes: sa(octets(repeat(generic(P, proposalBody(transform)), 255), generic(NONE, proposalBody(transform)))),
    offset: 40 + 255 * 20,
    what: /more than 255 proposals/,
  },
  {
    name: "513 transforms in three proposals",
    bytes: sa(octets(generic(P, manyTransforms(255)), generic(P, manyTransforms(255)), generic(NONE, manyTransforms(3)))),
    offset: 32,
    what: /513 transforms, at most 512/,
  },
];

const TOLERATED: readonly Tolerated[] = [
  { name: "non-zero reserved octets in transforms", bytes: saOf(generic(NONE, hex("01 01 ffff 80010007"))), names: ["sa"] },
  { name: "a transform without attributes", bytes: saOf(generic(NONE, hex("01 01 0000"))), names: ["sa"] },
  { name: "an empty variable attribute", bytes: saOf(generic(NONE, hex("01 01 0000 000c0000"))), names: ["sa"] },
  {
    name: "a proposal of ISAKMP with an SPI of 16 octets",
    bytes: sa(generic(NONE, proposalBody(transform, 1, 16, new Uint8Array(16)))),
    names: ["sa"],
  },
];

refuse(FAULTS);
tolerate(TOLERATED);

/** The body of a proposal of `count` smallest transforms. */
function manyTransforms(count: number): Uint8Array {
  return octets(1, 1, 0, count, repeat(generic(T, hex("01010000")), count - 1), generic(NONE, hex("01010000")));
}
