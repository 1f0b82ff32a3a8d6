/**
 * Kernel commands for the tests of kernel/: plain defaults, and everything the algorithm table can make of an SA.
 */
import { Secret } from "../../ike/crypto/secret.ts";
import { ESP_CIPHERS, type EspCipher, INTEGRITIES, type Integrity } from "../../ike/crypto/suite.ts";
import type { KernelCommand, KernelPolicy, KernelSa, KernelSelector } from "../../ike/kernel-contract.ts";
import { commandLine } from "../../kernel/xfrm-args.ts";

/** A key of `octets` octets, each `fill`. */
export const keyOf = (octets: number, fill = 0xa5): Secret => new Secret(new Uint8Array(octets).fill(fill));

/** An ESP transport SA with AES-128 and HMAC-SHA1, without limits. */
export const espSa = (changes: Partial<KernelSa> = {}): KernelSa => ({
  source: "192.0.2.1",
  destination: "192.0.2.2",
  protocol: "esp",
  spi: 0xc5704d9e,
  reqid: 0x6d6d0001,
  mode: "transport",
  encryption: { name: "cbc(aes)", key: keyOf(16) },
  integrity: { name: "hmac(sha1)", key: keyOf(20, 0x5a), truncateBits: 96 },
  aead: null,
  replayWindow: 0,
  limits: { softSeconds: null, hardSeconds: null, softPackets: null, hardPackets: null, softOctets: null, hardOctets: null },
  encap: null,
  selector: null,
  ...changes,
});

/** The algorithm fields of an SA out of the rows of suite.ts. */
export function algorithms(cipher: EspCipher | null, integrity: Integrity | null): Pick<KernelSa, "encryption" | "integrity" | "aead"> {
  return {
    aead: cipher?.icvBits ? { name: cipher.xfrm, key: keyOf(cipher.keyOctets), icvBits: cipher.icvBits } : null,
    encryption: cipher && !cipher.icvBits ? { name: cipher.xfrm, key: keyOf(cipher.keyOctets) } : null,
    integrity: integrity && { name: integrity.xfrm, key: keyOf(integrity.keyOctets, 0x5a), truncateBits: integrity.truncateBits },
  };
}

/** Every SA that the algorithm table allows: each cipher with each integrity, combined modes alone, AH with each integrity. */
export const everySuite: readonly { readonly name: string; readonly sa: () => KernelSa }[] = [
  ...ESP_CIPHERS.flatMap((cipher) =>
    (cipher.icvBits ? [null] : INTEGRITIES).map((integrity) => ({
      name: `esp:${cipher.name}${integrity ? `-${integrity.name}` : ""}`,
      sa: () => espSa(algorithms(cipher, integrity)),
    })),
  ),
  ...INTEGRITIES.map((integrity) => ({
    name: `ah:${integrity.name}`,
    sa: () => espSa({ protocol: "ah", ...algorithms(null, integrity) }),
  })),
];

export const selectorOf = (changes: Partial<KernelSelector> = {}): KernelSelector => ({
  source: "192.0.2.1",
  sourceLength: 32,
  destination: "192.0.2.2",
  destinationLength: 32,
  protocol: 0,
  sourcePort: 0,
  destinationPort: 0,
  ...changes,
});

/** An outbound ESP transport policy between two hosts. */
export const policyOf = (changes: Partial<KernelPolicy> = {}): KernelPolicy => ({
  direction: "out",
  selector: selectorOf(),
  action: "allow",
  priority: 1000,
  templates: [{ source: null, destination: null, protocol: "esp", reqid: 0x6d6d0001, mode: "transport", level: "required" }],
  ...changes,
});

/** The line of a command as text, without its line feed. */
export const lineOf = (command: KernelCommand): string => new TextDecoder().decode(commandLine(command)).replace(/\n$/, "");
