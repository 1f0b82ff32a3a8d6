/**
 * Integers of four octets in network order. Not by DataView: that asks for an array's memory, and V8 moves a small array out of its own heap then,
 * where it costs ten times as much for as long as it lives.
 */

/** The unsigned integer in four octets from `at`. */
export const uint32 = (octets: Uint8Array, at = 0): number =>
  ((octets[at] as number) * 0x1000000 +
    (((octets[at + 1] as number) << 16) | ((octets[at + 2] as number) << 8) | (octets[at + 3] as number))) >>>
  0;

/** Its four octets. */
export function uint32Octets(value: number): Uint8Array {
  const octets = new Uint8Array(4);
  octets[0] = value >>> 24;
  octets[1] = value >>> 16;
  octets[2] = value >>> 8;
  octets[3] = value;
  return octets;
}
