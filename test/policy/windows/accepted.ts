/** What `mainmode check` has against a configuration, with files that hold throwaway things standing in for those of a host. */
import { ok } from "../../../isakmp/result.ts";
import { destroyPolicy, parseConfiguration } from "../../../policy/config.ts";
import type { CertificateAccess, FileReader } from "../../../policy/x509-files.ts";
import { host, keytabOf } from "../keytabs.ts";

const HANDLE = { destroy: () => undefined, clone: () => HANDLE };
const readFile: FileReader = (path) => ok({ path, octets: keytabOf(host("a")), exposed: undefined });
const certificates: CertificateAccess = {
  readFile,
  load: () => ({
    own: {
      chain: [],
      identities: [{ type: "fqdn", name: "a.example.test" }],
      issuers: [],
      algorithm: "rsa",
      notAfter: 4e12,
      privateKey: HANDLE,
    },
    trust: {
      anchors: [],
      names: [],
      intermediates: [],
      crl: "if-present",
      crlFiles: [],
      weak: { shortRsa: false, sha1: false, oldRoots: false },
    },
    faults: [],
  }),
};

/** The errors; empty for an empty text, which stands for a script that nothing came of. */
export function refusals(toml: string): readonly string[] {
  if (toml === "") return [];
  const read = parseConfiguration(toml, "F", () => ok(new TextEncoder().encode("a throwaway key")), false, certificates, readFile);
  if (!read.ok) return read.error.map(({ line, message }) => `${line}: ${message}`);
  destroyPolicy(read.value.policy);
  return [];
}
