/** Keytabs as MIT's programs write them, with keys of zeros that protect nothing. */

interface Entry {
  readonly realm: string;
  readonly components: readonly string[];
}

/** A file of version 0x502; a number stands for a hole of so many octets. */
export function keytabOf(...entries: readonly (Entry | number)[]): Uint8Array {
  return Buffer.concat([Uint8Array.of(5, 2), ...entries.map((entry) => (typeof entry === "number" ? hole(entry) : record(entry)))]);
}

function hole(octets: number): Buffer {
  const size = Buffer.alloc(4);
  size.writeInt32BE(-octets);
  return Buffer.concat([size, Buffer.alloc(octets, 0x5a)]);
}

function record({ realm, components }: Entry): Buffer {
  const count = Buffer.alloc(2);
  count.writeUInt16BE(components.length);
  // Name type, time, version of the key, then the key: type 18 and 32 octets.
  const rest = Buffer.concat([Buffer.from("0000000100000000010012", "hex"), Buffer.from([0, 32]), Buffer.alloc(32)]);
  const body = Buffer.concat([count, ...[realm, ...components].map(counted), rest]);
  const size = Buffer.alloc(4);
  size.writeInt32BE(body.length);
  return Buffer.concat([size, body]);
}

function counted(text: string): Buffer {
  const octets = Buffer.from(text);
  return Buffer.concat([Buffer.from([octets.length >> 8, octets.length & 0xff]), octets]);
}

/** `host/NAME.example.test` of the realm EXAMPLE.TEST. */
export const host = (name: string): Entry => ({ realm: "EXAMPLE.TEST", components: ["host", `${name}.example.test`] });
