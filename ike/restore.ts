/**
 * A start after a restart: what the journal says is compared with what the kernel has. In both: it goes on as if nothing had happened, where the rules
 * still have a place for it, and ends otherwise. In the kernel only: inbound SAs stay until they expire, since a peer may still send on them; outbound
 * ones go, and manual ones. In the journal only: forgotten.
 */
import { ownerOf } from "../sa-store/changes.ts";
import type { ChildSa } from "../sa-store/child-sa.ts";
import { destroyImage, type JournalImage, type JournalPart } from "../sa-store/journal-record.ts";
import { askAnew } from "./acquire.ts";
import { type Core, log } from "./core.ts";
import { NOW, REQID } from "./journal.ts";
import { BYPASS_PRIORITY, isOurReqid, type KernelListing, type KernelPolicy, type SaKey, saText } from "./kernel-contract.ts";
import { flowOfChild, flowOfGuard, guardLostFlows, type LostFlow } from "./lost-flows.ts";
import { isManual } from "./manual.ts";
import { isRecorded, isTakenOver, knowsAll, POLICY, policiesOf, policyOwner, recordFound } from "./policy-records.ts";
import { answerAnew, type LastRun, restoreChild } from "./restore-child.ts";
import { endParting, type Parting, part, restoreIke } from "./restore-ike.ts";
import { fieldsOf } from "./restore-record.ts";
import { restoreSpoke } from "./spoke.ts";
import { upkeep } from "./standing.ts";
import { restoreEnds } from "./tunnel-ends.ts";

export interface Restore {
  readonly image: JournalImage;
  readonly kernel: KernelListing;
}

/** Before the policies are brought up to date: reqids and policies of the earlier run are ours. */
export function restorePolicies(core: Core, { image, kernel }: Restore): void {
  const reqids = owners(image, `${REQID} `).flatMap(([key, part]) => (typeof part.value === "number" ? [[key, part.value] as const] : []));
  const isAll = knowsAll(image);
  // By its number also what a run without a journal left: one that lets clear text through must not outlive the daemon that would have closed it.
  const isOurs = ({ ours, ...policy }: KernelListing["policies"][number]): boolean =>
    isRecorded(image, policy) ||
    (!isAll && ((ours && policy.priority !== BYPASS_PRIORITY) || policy.templates.some(({ reqid }) => isOurReqid(reqid))));
  const ours = kernel.policies.filter(isOurs).map(({ ours, ...policy }): KernelPolicy => policy);
  // What is not there, or says something else, is no more ours than what somebody else may put there; what this start asks for is written down anew.
  const there = new Set(ours.map(policyOwner));
  const isTold = !kernel.isUnknown;
  for (const [key] of owners(image, `${POLICY} `))
    if (isTold && !there.has(`${POLICY} ${key}`)) core.store.changes.gone.add(`${POLICY} ${key}`);
  recordFound(
    core,
    ours.filter((policy) => !isRecorded(image, policy)),
    isTold && !isAll,
  );
  const used = [...kernel.policies.flatMap(({ templates }) => templates), ...kernel.sas].flatMap(({ reqid }) =>
    isOurReqid(reqid) ? [reqid] : [],
  );
  core.policies.restore(
    reqids,
    { present: ours, perhaps: isTold ? [] : owners(image, `${POLICY} `).flatMap(([, { value }]) => policiesOf(value)) },
    used,
  );
  restoreEnds(core, ours);
}

/** After the policies: SAs. */
export function restoreSas(core: Core, { image, kernel }: Restore): void {
  const sas = new Map(kernel.sas.filter(({ reqid }) => isOurReqid(reqid)).map((sa) => [saText(sa), sa]));
  const found = isTakenOver(image) || sas.size > 0;
  const partings = new Map<number, Parting>();
  const answered: ChildSa[] = [];
  try {
    for (const [id, part] of owners(image, "ike ")) {
      const parting = restoreIke(core, Number(id), part, image.get(`ike ${id}`) ?? new Map());
      if (parting) partings.set(Number(id), parting);
    }
    restoreChildren(core, image, { sas, partings, ended: [], answered });
    for (const parting of partings.values()) part(core, parting);
  } finally {
    for (const parting of partings.values()) endParting(parting);
  }
  restoreSpoke(core, owners(image, "spoke "));
  const left = [...sas.values()].filter((sa) => !isManual(core, sa) && leaveOrRemove(core, sa));
  core.policies.dropUnwanted(core);
  answerAnew(core, answered);
  const known = new Set(owners(image, `${REQID} `).map(([, { value }]) => value));
  askAnew(
    core,
    left.filter(({ reqid }) => !known.has(reqid)),
    kernel,
  );
  const { ikes, children } = core.store;
  if (found)
    log(
      core,
      "svc.restored",
      "notice",
      `taken over from the last run: ${ikes.size} IKE SAs, ${children.size} child SAs; ${core.leftovers.size} kernel SAs are left to expire`,
    );
}

/** Invariant: guards stand before anything of a flow goes that has ended. */
function restoreChildren(core: Core, image: JournalImage, last: LastRun): void {
  const lost: LostFlow[] = [];
  for (const [id, part] of owners(image, "child ")) {
    const fields = { ...fieldsOf(part.value), ...fieldsOf(image.get(`child ${id}`)?.get(NOW)?.value) };
    if (restoreChild(core, Number(id), fields, last)) continue;
    lost.push(...flowOfChild(core, fields));
  }
  for (const [id, part] of owners(image, "guard ")) {
    core.store.skipIds(Number(id));
    // It is stood anew, as the present rules have it.
    core.store.changes.gone.add(ownerOf.guard(Number(id)));
    lost.push(...flowOfGuard(fieldsOf(part.value)));
  }
  guardLostFlows(core, lost);
  for (const sas of last.ended)
    upkeep(
      core,
      sas.map((sa) => ({ do: "remove-sa", sa })),
    );
}

/** Whether all of that came to its end or a bug broke it off: wipes the image's keys, and no policy is held for the earlier run any longer. */
export function endRestore(core: Core, { image }: Restore): void {
  destroyImage(image);
  core.policies.endRestore();
}

const owners = (image: JournalImage, prefix: string): readonly (readonly [string, JournalPart])[] =>
  [...image].flatMap(([owner, parts]) => {
    const part = owner.startsWith(prefix) ? parts.get("") : undefined;
    return part ? [[owner.slice(prefix.length), part] as const] : [];
  });

/**
 * An SA of ours that nobody has taken over; whether it stays. The peer may still send on an inbound one: it stays, and its SPI is taken. What we send is
 * negotiated anew at once: on an outbound one the kernel would send for hours although the peer may have dropped it, and nobody would ask. Without an end are
 * only manual ones: no file has their keys any longer, and nothing else would end them.
 */
function leaveOrRemove(core: Core, sa: KernelListing["sas"][number]): boolean {
  const { source, destination, protocol, spi, endless } = sa;
  const key: SaKey = { source, destination, protocol, spi };
  const stays = !endless && core.addresses.includes(destination);
  if (!stays) upkeep(core, [{ do: "remove-sa", sa: key }]);
  else {
    core.store.reserveSpi(spi);
    core.leftovers.add(key, source, sa.reqid);
  }
  return stays;
}
