/** A recorded negotiation (AES-256, SHA-1): every message with the keys that open it. */
import { Secret } from "../../ike/crypto/secret.ts";
import { encryptionNamed, groupNamed, hashNamed, type IkeSuite } from "../../ike/crypto/suite.ts";
import { vectors } from "../vectors.ts";
import { unhex } from "./crypto/fixtures.ts";

interface Recorded {
  readonly mainMode: Readonly<
    Record<
      "cookieI" | "cookieR" | "saI" | "publicI" | "publicR" | "skeyid" | "skeyidA" | "key" | "iv" | "idI" | "idR" | "hashI" | "hashR",
      string
    >
  > & { readonly messages: readonly string[] };
  readonly quickMode: Readonly<Record<"messageId" | "iv" | "hash1" | "hash2" | "hash3" | "nonceI" | "nonceR", string>> & {
    readonly messages: readonly string[];
  };
}

export const { mainMode: MAIN, quickMode: QUICK } = vectors<Recorded>("kerberos");
export const SUITE: IkeSuite = { encryption: encryptionNamed("aes256"), hash: hashNamed("sha1"), group: groupNamed("modp1024") };
export const message = (hexadecimal: string | undefined): Uint8Array => unhex(hexadecimal ?? "");
export const secretOf = (hexadecimal: string): Secret => new Secret(unhex(hexadecimal));
