/** First messages of strangers, and what becomes of one whose entry fails meanwhile. */
import { nameAttribute, ownName } from "../../auth/gss.ts";
import type { AuthJob } from "../../auth/method.ts";
import { offerIke } from "../../ike/negotiate-ike.ts";
import type { Attribute } from "../../isakmp/attributes.ts";
import { encodeMessage } from "../../isakmp/message.ts";
import { AUTH_METHOD, EXCHANGE } from "../../isakmp/numbers.ts";
import { payload } from "../../isakmp/payloads.ts";
import { VENDOR_IDS } from "../../isakmp/vendor-ids.ts";
import { kerberos } from "./credentials.ts";
import { failure } from "./jobs.ts";
import { policyOf, towards } from "./policies.ts";
import { B } from "./setting.ts";
import type { World } from "./world.ts";

/** Message 1 that offers Kerberos, and brings attributes that nobody knows. */
export function makeOffer(cookieI: Uint8Array, more: readonly Attribute[] = []): Uint8Array {
  const proposals = policyOf(towards(B)).rules[0]?.mainMode.proposals ?? [];
  const method = { number: AUTH_METHOD.Kerberos, attributes: [nameAttribute(ownName(kerberos("A"))), ...more] };
  return encodeMessage(
    { initiatorCookie: cookieI, responderCookie: new Uint8Array(8), exchange: EXCHANGE["Identity Protection"], flags: 0, messageId: 0 },
    [payload("sa", offerIke(proposals, [method], 3600)), payload("vid", { data: VENDOR_IDS.GSSAPI.bytes })],
  );
}

/**
 * B begins with A, whose other jobs find out that an entry does not work while B's message 3 is on its way; whether B gets its SA.
 * `fails`: whether a job of A's is about that entry.
 */
export function standsThough(world: World, fails: (job: AuthJob) => boolean): boolean {
  const a = world.host("A");
  const { runJob } = a;
  a.runJob = (job) => (job.kind === "usable" && fails(job) ? failure("provider-failed", "not today", "me") : runJob(job));
  // What A begins itself asks whether its entries work.
  world.intercept = (sent) => {
    if (sent.label !== "MM3" || sent.from !== B || sent.nth > 1) return undefined;
    a.initiate("peer");
    return { kind: "delay", ms: 500 };
  };
  const id = world.host("B").initiate();
  world.run(3000);
  return world.host("B").outcome(id).exit === 0;
}
