/** Numbers a typing error would turn into an interoperability bug; each from its RFC's own table. */
import assert from "node:assert/strict";
import test from "node:test";
import * as numbers from "../../isakmp/numbers.ts";
import { isNamed, nameOf, type Registry } from "../../isakmp/registry.ts";

const TABLES = Object.entries<unknown>(numbers).filter((entry): entry is [string, Registry] => typeof entry[1] === "object");

/** Bounds of the numbers in each table: the width of the field that carries them. */
const WIDTH: Readonly<Record<string, number>> = {
  FLAG: 0xff,
  EXCHANGE: 0xff,
  PAYLOAD: 0xff,
  PROTOCOL: 0xff,
  ISAKMP_TRANSFORM: 0xff,
  AH_TRANSFORM: 0xff,
  ESP_TRANSFORM: 0xff,
  IKE_ATTRIBUTE: 0x7fff,
  IPSEC_ATTRIBUTE: 0x7fff,
  ID_TYPE: 0xff,
  CERT_ENCODING: 0xff,
  IP_PROTOCOL: 0xff,
};

test("every table is a registry: its numbers have their names", () => {
  assert.ok(TABLES.length >= 20);
  for (const [title, table] of TABLES) for (const number of Object.values(table)) assert.ok(isNamed(table, number), `${title} ${number}`);
});

test("no number has two names in one table", () => {
  for (const [title, table] of TABLES) {
    const all = Object.values(table);
    assert.equal(new Set(all).size, all.length, title);
  }
});

test("every number fits the field that carries it", () => {
  for (const [title, table] of TABLES)
    for (const number of Object.values(table)) assert.ok(number >= 0 && number <= (WIDTH[title] ?? 0xffff), `${title} ${number}`);
});

/** `table:number` and the name the source gives it. */
const SAMPLES: readonly (readonly [Registry, number, string])[] = [
  [numbers.EXCHANGE, 2, "Identity Protection"],
  [numbers.EXCHANGE, 5, "Informational"],
  [numbers.EXCHANGE, 32, "Quick Mode"],
  [numbers.PAYLOAD, 10, "NONCE"],
  [numbers.PAYLOAD, 20, "NAT-D"],
  [numbers.PAYLOAD, 129, "GSS"],
  [numbers.PROTOCOL, 2, "AH"],
  [numbers.PROTOCOL, 3, "ESP"],
  [numbers.AH_TRANSFORM, 5, "AH_SHA2-256"],
  [numbers.ESP_TRANSFORM, 3, "ESP_3DES"],
  [numbers.ESP_TRANSFORM, 12, "ESP_AES"],
  [numbers.ESP_TRANSFORM, 20, "ESP_AES-GCM_16"],
  [numbers.IKE_ATTRIBUTE, 12, "Life Duration"],
  [numbers.IKE_ATTRIBUTE, 14, "Key Length"],
  [numbers.IKE_ATTRIBUTE, 16384, "GSS Identity Name"],
  [numbers.IPSEC_ATTRIBUTE, 5, "Authentication Algorithm"],
  [numbers.IPSEC_ATTRIBUTE, 6, "Key Length"],
  [numbers.ENCRYPTION, 5, "3DES-CBC"],
  [numbers.ENCRYPTION, 7, "AES-CBC"],
  [numbers.HASH, 2, "SHA"],
  [numbers.HASH, 4, "SHA2-256"],
  [numbers.AUTH_METHOD, 1, "Pre-shared key"],
  [numbers.AUTH_METHOD, 3, "RSA signatures"],
  [numbers.AUTH_METHOD, 9, "ECDSA-256"],
  [numbers.AUTH_METHOD, 65001, "Kerberos"],
  [numbers.GROUP, 14, "modp2048"],
  [numbers.GROUP, 19, "ecp256"],
  [numbers.GROUP, 31, "x25519"],
  [numbers.ENCAPSULATION, 2, "Transport"],
  [numbers.ENCAPSULATION, 4, "UDP-Encapsulated-Transport"],
  [numbers.AUTH_ALGORITHM, 5, "HMAC-SHA2-256"],
  [numbers.ID_TYPE, 4, "ID_IPV4_ADDR_SUBNET"],
  [numbers.ID_TYPE, 9, "ID_DER_ASN1_DN"],
  [numbers.CERT_ENCODING, 4, "X.509 - Signature"],
  [numbers.NOTIFY, 14, "NO-PROPOSAL-CHOSEN"],
  [numbers.NOTIFY, 16, "PAYLOAD-MALFORMED"],
  [numbers.NOTIFY, 24, "AUTHENTICATION-FAILED"],
  [numbers.NOTIFY, 24576, "RESPONDER-LIFETIME"],
  [numbers.NOTIFY, 24578, "INITIAL-CONTACT"],
  [numbers.NOTIFY, 36136, "R-U-THERE"],
  [numbers.IP_PROTOCOL, 50, "esp"],
  [numbers.IP_PROTOCOL, 115, "l2tp"],
];

for (const [table, number, name] of SAMPLES)
  test(`${number} is ${name}`, () => {
    assert.equal(nameOf(table, number), name);
  });

test("the version octet is major 1, minor 0", () => {
  assert.equal(numbers.ISAKMP_VERSION, 0x10);
});
