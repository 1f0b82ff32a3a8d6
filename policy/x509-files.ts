/**
 * What reading an x509 entry needs from outside: somebody who understands keys and certificates. The configuration reads files and knows where in
 * the text a fault belongs; the loader (`auth/providers/load.ts`) knows what is in them.
 */
import type { Result } from "../isakmp/result.ts";
import type { OwnCertificate, Trust } from "./types.ts";

/** A file that was read. `exposed`: why what is secret must not lie in it, where somebody else may read it. */
export interface FileOctets {
  readonly path: string;
  readonly octets: Uint8Array;
  readonly exposed: string | undefined;
}

/** The files of an entry. The loader keeps none of the octets that hold keys. */
export interface X509Files {
  readonly certificate: FileOctets;
  readonly key: FileOctets | undefined;
  readonly password: Uint8Array | undefined;
  readonly ca: readonly FileOctets[];
  readonly crlFiles: readonly FileOctets[];
  readonly crl: Trust["crl"];
  readonly weak: Trust["weak"];
}

/** Something wrong with one of the files; `index` where the key is a list. */
export interface X509Fault {
  readonly key: "certificate" | "key" | "password-file" | "ca" | "crl-files";
  readonly index: number | undefined;
  readonly message: string;
  readonly severity: "error" | "warning";
}

/** What the files hold, as far as they could be used, and everything that is wrong with them. */
export interface X509Loaded {
  readonly own: OwnCertificate | undefined;
  readonly trust: Trust | undefined;
  readonly faults: readonly X509Fault[];
}

export type X509Loader = (files: X509Files) => X509Loaded;

/**
 * A file by its reference in the configuration. undefined: it is not to be had here, and that is no fault of the configuration (a credential of
 * the service).
 */
export type FileReader = (reference: string) => Result<FileOctets | undefined, string>;

/** How the error of a `FileReader` ends where there is nothing of that name. */
export const NO_SUCH_FILE = "there is no such file";

/** Both halves: who reads files and who understands them. */
export interface CertificateAccess {
  readonly readFile: FileReader;
  readonly load: X509Loader;
}
