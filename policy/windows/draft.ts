/**
 * What an import makes: a policy in our own words, each part with the line of the script that it came from. `toml.ts` writes it.
 */
import type { Place } from "./diagnostics.ts";

export interface DraftPolicy {
  readonly name: string;
  readonly comments: readonly string[];
  /** null: no rule negotiates. */
  readonly mainMode: DraftMainMode | null;
  /** Weak algorithms that the file has to allow, by our names. */
  readonly allowWeak: readonly string[];
  /** Traffic that always passes, by our names; null: nothing was said. */
  readonly exempt: readonly string[] | null;
  readonly rules: readonly DraftRule[];
}

/** Empty proposals: ours. */
export interface DraftMainMode {
  readonly proposals: readonly string[];
  readonly lifetime: string;
  readonly quickModes: number;
  readonly masterPfs: boolean;
}

export interface DraftRule extends Place {
  readonly name: string;
  /** What is said of it: they become its description. */
  readonly comments: readonly string[];
  /** Written as comments: switched off by the script, or not usable. */
  readonly disabled: boolean;
  readonly filters: readonly string[];
  readonly action: "permit" | "block" | "respond" | "request" | "require";
  readonly inboundClear: boolean;
  /** Packets leave in clear while the negotiation runs. */
  readonly discovery: boolean;
  readonly auth: readonly DraftAuth[];
  /** null: transport mode. `local` null: found by the route. */
  readonly tunnel: { readonly local: string | null; readonly remote: string } | null;
  readonly quickMode: DraftQuickMode | null;
  /** null: that of the policy. */
  readonly mainMode: DraftMainMode | null;
}

/** Empty proposals: ours. */
export interface DraftQuickMode {
  readonly proposals: readonly string[];
  readonly lifetime: string;
  readonly volume: string;
  /** "main-mode", "none", or a group by our name. */
  readonly pfs: string;
}

export type DraftAuth =
  | { readonly method: "kerberos"; readonly keytab: string | null; readonly principal: string | null }
  | { readonly method: "psk"; readonly secretFile: string }
  | {
      readonly method: "x509";
      readonly certificate: string;
      readonly key: string | null;
      readonly ca: readonly string[];
      /** Without a fresh list of revoked certificates nobody is accepted. */
      readonly crlRequired: boolean;
    };

/** A file that holds one pre-shared key, to be written with mode 0600. */
export interface SecretFile {
  readonly name: string;
  readonly octets: Uint8Array;
}
