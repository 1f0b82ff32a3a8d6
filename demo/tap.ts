/**
 * A look over a daemon's shoulder: the key of its phase 1 cipher, so that the demo can show what is in the encrypted messages.
 * Only the demo's own daemons are started with it; the command line knows no way to it.
 */
import type { Crypto } from "../ike/crypto/provider.ts";

/** The same cryptography, which tells a copy of the first key that a cipher gets. Ciphers are phase 1's only; ESP is the kernel's. */
export function tapped(crypto: Crypto, tell: (key: Uint8Array) => void): Crypto {
  let told = false;
  const look = (key: Uint8Array): void => {
    if (!told) tell(Uint8Array.from(key));
    told = true;
  };
  return {
    ...crypto,
    encrypt: (cipher, key, iv, data) => {
      look(key);
      return crypto.encrypt(cipher, key, iv, data);
    },
    decrypt: (cipher, key, iv, data) => {
      look(key);
      return crypto.decrypt(cipher, key, iv, data);
    },
  };
}
