/**
 * Private values of the ECP groups (RFC 5903), drawn from the injected random source in the same way for both providers.
 */
import type { Random } from "./provider.ts";
import type { Group, GroupName } from "./suite.ts";

export type EcpName = Extract<GroupName, `ecp${string}`>;

/**
 * A private value d, 0 < d < n, uniformly: candidates out of range are thrown away (FIPS 186-5 A.2.2). `secretOctets` long, big-endian.
 * Throws when the source keeps giving values out of range, which a sound one does less than once in 2^32 draws.
 */
export function ecpPrivateKey(group: Group, random: Random): Uint8Array {
  const { order, mask } = ORDERS[group.name as EcpName];
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const d = random(group.exponentOctets);
    d[0] = (d[0] ?? 0) & mask;
    if (Buffer.compare(d, order) < 0 && d.some((octet) => octet !== 0)) return d;
  }
  throw new Error("the random source gives no private value for an elliptic curve");
}

const MAX_TRIES = 64;

/** n of each curve (RFC 5903 §3; FIPS 186-5), and which bits of its first octet a number below n can have. */
const order = (hex: string, mask: number) => ({ order: Buffer.from(hex.replace(/\s+/g, ""), "hex"), mask });
const ORDERS: Readonly<Record<EcpName, ReturnType<typeof order>>> = {
  ecp256: order("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", 0xff),
  ecp384: order("ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973", 0xff),
  ecp521: order(
    `01ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff
     fa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409`,
    0x01,
  ),
};
