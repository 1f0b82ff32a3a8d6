/**
 * What `mainmode status --json` says about a scenario against what was configured and what the kernel holds.
 */
import type { ChildSaView, IkeSaView, ProtectionView, StatusDocument } from "../../sa-store/view.ts";
import type { KernelState } from "./kernel-view.ts";
import { PORT } from "./knock.ts";
import { subjectOf } from "./pki.ts";
import type { Placed } from "./scenario.ts";

/** What is wrong; empty where status, configuration and kernel agree. `kernel` holds the SAs of this scenario only. */
export function statusDiffers(status: StatusDocument, scenario: Placed, kernel: readonly KernelState[]): readonly string[] {
  const ikes = status.ikeSas.filter(({ rule }) => rule === scenario.name);
  const children = status.childSas.filter(({ rule }) => rule === scenario.name);
  const wrong: string[] = [];
  if (ikes.length !== 1) wrong.push(`status lists ${ikes.length} IKE SAs`);
  if (children.length !== scenario.flows) wrong.push(`status lists ${children.length} child SAs`);
  for (const ike of ikes) wrong.push(...differences("ike", picked(ike), expectedIke(scenario)));
  for (const child of children) {
    wrong.push(...differences("child", pickedChild(child), expectedChild(scenario)));
    if (!ikes.some(({ id }) => id === child.ike)) wrong.push(`child ${child.id} names ike ${child.ike}`);
    wrong.push(...bytesDiffer(child, kernel));
  }
  const listed = children.flatMap((child) => child.protections.flatMap((part) => [`in ${part.spiIn}`, `out ${part.spiOut}`]));
  const held = kernel.map(({ source, spi }) => `${source === scenario.us.host ? "out" : "in"} ${spi}`);
  if (listed.sort().join() !== held.sort().join()) wrong.push(`status lists the SPIs ${listed}; the kernel holds ${held}`);
  return wrong;
}

const endpoint = (host: string): string => (host.includes(":") ? `[${host}]:500` : `${host}:500`);

const picked = ({ role, state, local, remote, localId, remoteId, auth, encryption, hash, group, nat }: IkeSaView) => ({
  role,
  state,
  local,
  remote,
  localId,
  remoteId,
  auth,
  proposal: `${encryption}-${hash}-${group}`,
  nat,
});

const expectedIke = ({ name, role, us, theirs, ike, certificates }: Placed): ReturnType<typeof picked> => {
  const signed = certificates && !certificates.fallback ? certificates : null;
  return {
    role,
    state: "established",
    local: endpoint(us.host),
    remote: endpoint(theirs.host),
    localId: signed ? `dn:${subjectOf(`${name}-us`)}` : `ip:${us.host}`,
    remoteId: signed ? `dn:${subjectOf(`${name}-theirs`)}` : `ip:${theirs.host}`,
    auth: !signed ? "psk" : signed.key.startsWith("rsa") ? "rsa" : "ecdsa",
    proposal: ike,
    nat: "none",
  };
};

const pickedChild = ({ state, mode, tunnel, group, protocol, localPort, remotePort, protections }: ChildSaView) => ({
  state,
  mode,
  tunnel,
  group,
  protocol,
  ports: [localPort, remotePort],
  protections: protections.map(protectionText).sort(),
});

const expectedChild = ({ mode, us, theirs, pfs, only, protect }: Placed): ReturnType<typeof pickedChild> => ({
  state: "installed",
  mode,
  tunnel: mode === "tunnel" ? { local: us.host, remote: theirs.host } : null,
  group: pfs,
  protocol: only ?? "any",
  ports: only === "tcp" ? [null, PORT] : [null, null],
  protections: protect.split("+").sort(),
});

/** As a Quick Mode proposal in our configuration. */
const protectionText = ({ protocol, encryption, integrity }: ProtectionView): string =>
  `${protocol}:${[encryption, integrity].filter((name) => name !== null).join("-")}`;

/** The kernel counts the octets of the SA that is applied first, for one of several in each direction. */
function bytesDiffer(child: ChildSaView, kernel: readonly KernelState[]): readonly string[] {
  const counted = (spis: readonly string[]) => kernel.filter(({ spi }) => spis.includes(spi)).map(({ bytes }) => bytes);
  const inward = counted(child.protections.map(({ spiIn }) => spiIn));
  const outward = counted(child.protections.map(({ spiOut }) => spiOut));
  return [
    ...(inward.includes(child.bytesIn) ? [] : [`status counts ${child.bytesIn} octets in, the kernel ${inward}`]),
    ...(outward.includes(child.bytesOut) ? [] : [`status counts ${child.bytesOut} octets out, the kernel ${outward}`]),
  ];
}

function differences<T extends object>(what: string, actual: T, expected: T): readonly string[] {
  return Object.entries(expected).flatMap(([key, value]) => {
    const found = JSON.stringify(actual[key as keyof T]);
    return found === JSON.stringify(value) ? [] : [`status: ${what} ${key} is ${found}, not ${JSON.stringify(value)}`];
  });
}
