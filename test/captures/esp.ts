/**
 * ESP packets made by hand (RFC 4303 in transport mode), so that an independent analyser can be given keys in our form and something to open.
 */
import { createCipheriv, createHmac } from "node:crypto";

/** Algorithms under the kernel's names, as a trace tells them. */
export interface EspAlgorithms {
  readonly encryption: string;
  readonly encryptionKey: string;
  readonly integrity: string;
  readonly integrityBits: number;
  readonly integrityKey: string;
}

interface Cipher {
  readonly node: string | null;
  readonly iv: number;
  readonly block: number;
  /** Octets at the key's end that are no key. */
  readonly salt: number;
}

const CIPHERS: Readonly<Record<string, (keyOctets: number) => Cipher>> = {
  "cbc(aes)": (octets) => ({ node: `aes-${octets * 8}-cbc`, iv: 16, block: 16, salt: 0 }),
  "cbc(des3_ede)": () => ({ node: "des-ede3-cbc", iv: 8, block: 8, salt: 0 }),
  "rfc4106(gcm(aes))": (octets) => ({ node: `aes-${(octets - 4) * 8}-gcm`, iv: 8, block: 4, salt: 4 }),
  "ecb(cipher_null)": () => ({ node: null, iv: 0, block: 4, salt: 0 }),
};

const UDP = 17;

/** An IPv4 packet from 192.0.2.1 to 192.0.2.2 under ESP, with a UDP datagram to port 9 in it that carries `text`. */
export function espPacket(spi: number, algorithms: EspAlgorithms, text: string, ends = ["192.0.2.1", "192.0.2.2"]): Uint8Array {
  const esp = espOf(spi, algorithms, udpOf(text));
  const header = Buffer.alloc(20);
  header.writeUInt16BE(0x4500, 0);
  header.writeUInt16BE(20 + esp.length, 2);
  header.writeUInt16BE(0x4032, 8);
  for (const [i, end] of ends.entries()) header.set(end.split(".").map(Number), 12 + 4 * i);
  return Buffer.concat([header, esp]);
}

function udpOf(text: string): Buffer {
  const udp = Buffer.alloc(8 + text.length);
  udp.writeUInt16BE(1024, 0);
  udp.writeUInt16BE(9, 2);
  udp.writeUInt16BE(udp.length, 4);
  udp.write(text, 8);
  return udp;
}

function espOf(spi: number, { encryption, encryptionKey, integrity, integrityBits, integrityKey }: EspAlgorithms, inner: Buffer): Buffer {
  const key = Buffer.from(encryptionKey, "hex");
  const cipher = CIPHERS[encryption]?.(key.length);
  if (!cipher) throw new Error(`no such cipher: ${encryption}`);
  const missing = (cipher.block - ((inner.length + 2) % cipher.block)) % cipher.block;
  const plain = Buffer.concat([inner, Buffer.from(Array.from({ length: missing }, (_, i) => i + 1)), Buffer.from([missing, UDP])]);
  const head = Buffer.alloc(8);
  head.writeUInt32BE(spi, 0);
  head.writeUInt32BE(1, 4);
  const iv = Buffer.alloc(cipher.iv, 0x5a);
  if (cipher.node?.endsWith("-gcm")) {
    const gcm = createCipheriv(cipher.node as "aes-128-gcm", key.subarray(0, -4), Buffer.concat([key.subarray(-4), iv]));
    gcm.setAAD(head);
    return Buffer.concat([head, iv, gcm.update(plain), gcm.final(), gcm.getAuthTag()]);
  }
  const sealed = cipher.node === null ? plain : createCipheriv(cipher.node, key, iv).setAutoPadding(false).update(plain);
  const signed = Buffer.concat([head, iv, sealed]);
  const icv = createHmac(integrity.slice("hmac(".length, -1), Buffer.from(integrityKey, "hex"))
    .update(signed)
    .digest()
    .subarray(0, integrityBits / 8);
  return Buffer.concat([signed, icv]);
}
