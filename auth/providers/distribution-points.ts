/**
 * Distribution points: where a certificate says that its list is (RFC 5280 §4.2.1.13), and which part of the certificates a list says that it is
 * about (§5.2.5). Nothing is fetched from there: the names only tell whether a list is meant for a certificate.
 */
import { constructed, DER, type DerElement, each, only } from "../../isakmp/der.ts";
import { toHex } from "../../isakmp/hex.ts";
import { type Reader, readWith } from "../../isakmp/reader.ts";

/** More points, or names of one, nobody needs. */
const MOST = 16;
const FULL_NAME = constructed(0);

/**
 * Names (their DER in hex) of the points whose list is for all reasons and by the certificate's own issuer, from the extension's octets. None for what
 * can't be read: then no list of a part is for this certificate.
 */
export function readPoints(r: Reader): readonly string[] {
  const read = readWith(r.rest(), (octets) =>
    each(only(octets, DER.sequence, "points"), MOST, "points").flatMap(({ tag, body }) => {
      const [name, ...narrowing] = tag === DER.sequence ? each(body, 3, "point") : [];
      return name && narrowing.length === 0 ? pointNames(name) : [];
    }),
  );
  return read.ok ? read.value : [];
}

/** The names of a point that is written in full; none of one that is relative to its issuer's. */
export function pointNames({ tag, body }: DerElement): readonly string[] {
  if (tag !== constructed(0)) return [];
  return each(body, 1, "point").flatMap((one) => (one.tag === FULL_NAME ? each(one.body, MOST, "point").map(({ der }) => toHex(der)) : []));
}
