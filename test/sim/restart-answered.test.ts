/**
 * A daemon ends between message 2 and message 3 of a Quick Mode that it answers. The initiator takes it to have the new pair; what it sends itself must not wait
 * until the initiator finds out, also where the rule lets only the peer begin.
 */
import assert from "node:assert/strict";
import test from "node:test";
import { DROP } from "./network.ts";
import { towards } from "./policies.ts";
import { A, B, bringUp, packet, pair } from "./setting.ts";
import { inWorld } from "./world.ts";

const S = 1000;
const ENDS = { "kill -9": "kill", "an orderly restart (shutdown --keep), message 3 lost twice,": "keep" } as const;
const RULES = {
  'start = "never"': { start: '"never"' },
  'action = "respond"': { action: '"respond"', start: "" },
  'start = "on-traffic"': { start: '"on-traffic"' },
} as const;

for (const [how, end] of Object.entries(ENDS))
  for (const [what, rule] of Object.entries(RULES))
    for (const first of [true, false])
      for (const dpd of ['"60s"', '"none"'])
        test(`${how} between messages 2 and 3 of ${first ? "the first Quick Mode" : "a renewal"}, ${what}, dpd of the initiator ${dpd}: at most 5 s of the responder's packets are lost`, () =>
          inWorld(pair(towards(B, { start: '"on-traffic"', dpd }), towards(A, rule)), (world) => {
            const b = world.host("B");
            b.keepJournal();
            let armed = first;
            let lostThird = 0;
            world.intercept = ({ label, from }) => {
              if (label === "QM3" && lostThird-- > 0) return DROP;
              if (label !== "QM2" || from !== B || !armed) return undefined;
              armed = false;
              if (end === "keep") lostThird = 2;
              world.after(1, () => {
                if (end === "keep") b.command({ name: "shutdown", keep: true });
                const again = (): void => {
                  if (end === "keep" && !b.stopped) world.after(50, again);
                  else b.crash();
                };
                again();
              });
              return undefined;
            };
            if (first) {
              world.host("A").initiate();
              world.run(2 * S);
            } else {
              bringUp(world);
              world.run(2 * S);
            }
            const out = world.traffic(world.host("A"), packet(A, B), 1000);
            const back = world.traffic(b, packet(B, A), 1000);
            if (!first) {
              world.run(100 * S);
              armed = true;
            }
            world.run(1200 * S);
            const lost = [...out, ...back].filter(({ arrival }) => arrival !== "protected");
            assert.ok(
              lost.length <= 5,
              `${lost.length} packets of one a second lost, from ${(lost[0]?.at ?? 0) / S} to ${(lost.at(-1)?.at ?? 0) / S} s`,
            );
          }));
