/**
 * `[[sa]]`: pairs of SAs with keys and SPIs from the file, installed without negotiation.
 */
import { sameDigest } from "../ike/crypto/compare.ts";
import type { Secret } from "../ike/crypto/secret.ts";
import type { ProtocolSuite } from "../ike/crypto/suite.ts";
import { type Family, intersection, parseAddress, parseRange } from "../isakmp/address.ts";
import type { AuthContext } from "./auth-entries.ts";
import type { Report } from "./diagnostic.ts";
import { familyOf } from "./filter.ts";
import type { Allowed } from "./offers.ts";
import { weakInChildSuite } from "./proposal.ts";
import type { Document, RawManual } from "./schema.ts";
import { secretOfFile, secretOfText } from "./secrets.ts";
import type { KeyPath } from "./toml-locator.ts";
import type { ManualSa } from "./types.ts";

type Context = Pick<AuthContext, "report" | "readSecret" | "layerOf">;

/** The manual SAs at the indexes of the file; undefined: it could not be read whole. Their keys are the caller's to destroy. */
export function buildManual(document: Document, allowed: Allowed, context: Context): readonly (ManualSa | undefined)[] {
  const names = new Set<string>();
  return (document.sa ?? []).map((raw, i) => {
    const path = ["sa", i];
    if (!raw) return undefined;
    if (raw.name !== undefined && names.has(raw.name)) context.report.error([...path, "name"], "another [[sa]] has this name");
    names.add(raw.name ?? "");
    reportWeak(raw, allowed, path, context);
    const sa = build(raw, path, context);
    reportEnds(raw, sa, path, context.report);
    return sa;
  });
}

/** Weak algorithms are refused unless the policy allows them by name, and warned about then, as in a rule's offers. */
function reportWeak({ protection }: RawManual, allowed: Allowed, path: KeyPath, { report }: Context): void {
  for (const weak of protection ? weakInChildSuite(protection) : []) {
    const at = [...path, "protection"];
    if (allowed === true || allowed.includes(weak)) report.warning(at, `${weak} is weak, and allowed by allow-weak`);
    else report.error(at, `${weak} is weak and refused; add allow-weak = ["${weak}"] to [policy] if the other end has nothing better`);
  }
}

/** Where its ends leave a filter nothing to be about, there is no policy for it, and packets go in clear, or no SA, and they are dropped. */
function reportEnds(raw: RawManual, sa: ManualSa | undefined, path: KeyPath, report: Report): void {
  if (!sa || ["remote", "local", "mode"].some((key) => report.failed([...path, key]))) return;
  const [own, peer] = [parseRange(sa.local), parseRange(sa.remote)];
  for (const [k, filter] of (raw.filters ?? []).entries()) {
    const at = [...path, "filters", k];
    if (!filter || !own || !peer) continue;
    const { local, remote } = filter;
    if (sa.mode === "tunnel") {
      const family = familyOf(remote);
      if (local.kind === "me" && family && family !== own.family) report.error(at, endOfOther(sa.local, family));
    } else if (remote.kind === "range" && !intersection(remote.range, peer))
      report.error(
        at,
        `the SA's remote end, ${sa.remote}, is not among the addresses of the other side; in transport mode an SA protects packets between its own ends alone: name ${sa.remote} there, or write mode = "tunnel"`,
      );
    else if (local.kind === "range" && !intersection(local.range, own))
      report.error(
        at,
        `the SA's own end, ${sa.local}, is not among the addresses of the local side; in transport mode an SA protects packets between its own ends alone: name ${sa.local} there, or write mode = "tunnel"`,
      );
  }
}

/** What is said of `me` in a tunnel whose own end is of the other family. */
export const endOfOther = (end: string, family: Family): string =>
  `me is ${end} here, the tunnel's local end, and the other side is IPv${family}; name the addresses of both sides`;

const REQUIRED = ["name", "filters", "local", "remote", "protection", "spi-in", "spi-out"] as const;

function build(raw: RawManual, path: KeyPath, context: Context): ManualSa | undefined {
  const { report } = context;
  for (const key of REQUIRED)
    if (raw[key] === undefined && !report.failed([...path, key])) report.error([...path, key], `${key} is missing`, "key", path);
  const known = context.layerOf(path).known?.manual(raw.name ?? "");
  if (known) return known;
  const { name, local, remote, protection, "spi-in": spiIn, "spi-out": spiOut } = raw;
  const [suite, ...more] = protection ?? [];
  if (more.length > 0) report.error([...path, "protection"], "a manual SA has one protocol; write esp, or ah, alone");
  if (local !== undefined && remote !== undefined && parseAddress(local)?.family !== parseAddress(remote)?.family)
    report.error([...path, "remote"], "local and remote need one address family");
  const [keyIn, keyOut] = [readKey("key-in", raw, suite, path, context), readKey("key-out", raw, suite, path, context)];
  if (
    name === undefined ||
    local === undefined ||
    remote === undefined ||
    !suite ||
    spiIn === undefined ||
    spiOut === undefined ||
    !keyIn ||
    !keyOut
  ) {
    keyIn?.destroy();
    keyOut?.destroy();
    return undefined;
  }
  if (keyIn.use((x) => keyOut.use((y) => sameDigest(x, y)))) reportOneKey(suite, path, report);
  const filters = (raw.filters ?? []).filter((filter) => filter !== undefined);
  return { name, local, remote, mode: raw.mode ?? "transport", filters, suite, spiIn, spiOut, keyIn, keyOut };
}

/** Counters begin at the same number in both directions: with a combined mode one key for both gives away the plain text. */
function reportOneKey(suite: ProtocolSuite, path: KeyPath, report: Report): void {
  const what = "both directions have the same key";
  if (suite.cipher?.icvBits != null)
    report.error([...path, "key-out"], `${what}, which breaks ${suite.cipher.name}; make one for each`, "key", path);
  else report.warning([...path, "key-out"], `${what}: packets can be sent back to where they came from; make one for each`, "key", path);
}

function readKey(
  which: "key-in" | "key-out",
  raw: RawManual,
  suite: ProtocolSuite | undefined,
  path: KeyPath,
  { report, readSecret, layerOf }: Context,
): Secret | undefined {
  const [text, file] = [raw[which], raw[`${which}-file`]];
  if (report.failed([...path, which]) || report.failed([...path, `${which}-file`])) return undefined;
  if ((text === undefined) === (file === undefined)) {
    const what = text === undefined ? `the key is missing; add ${which}-file = "…"` : `${which} and ${which}-file exclude each other`;
    report.error([...path, which], what, "key", path);
    return undefined;
  }
  const at = [...path, text === undefined ? `${which}-file` : which];
  if (text !== undefined && layerOf(at).exposed)
    report.warning(at, `this key stands in a file that others may read; use ${which}-file`, "key");
  const octets = text === undefined ? readSecret(file ?? "") : undefined;
  const key = text !== undefined ? secretOfText(text) : octets?.ok ? octets.value && secretOfFile(octets.value) : octets;
  if (!key) report.warning(at, "not checked: credentials exist only inside the service");
  else if (!key.ok) report.error(at, key.error);
  if (!key?.ok) return undefined;
  const wanted = suite && (suite.cipher?.keyOctets ?? 0) + (suite.integrity?.keyOctets ?? 0);
  if (wanted === undefined || key.value.length === wanted) return key.value;
  report.error(at, `the key has ${key.value.length} octets, and ${wanted} are needed: the cipher's key and then the integrity key`);
  key.value.destroy();
  return undefined;
}
