/**
 * Small arrays of octets. Never by DataView or `Uint8Array.from`: the one asks for an array's memory, and V8 moves a small array out of its own heap
 * then, where it costs ten times as much for as long as it lives; the other costs two to four times a copy.
 */

/** The same octets in memory of their own, also where they are a Buffer, whose `slice` would share them. */
export function copyOf(octets: Uint8Array): Uint8Array {
  const copy = new Uint8Array(octets.length);
  copy.set(octets);
  return copy;
}

/** The unsigned integer in four octets from `at`, network order. */
export const uint32 = (octets: Uint8Array, at = 0): number =>
  (((octets[at] as number) << 24) | ((octets[at + 1] as number) << 16) | ((octets[at + 2] as number) << 8) | (octets[at + 3] as number)) >>>
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
