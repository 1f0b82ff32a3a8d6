import assert from "node:assert/strict";
import { test } from "node:test";
import { losing, pair } from "./setting.ts";
import { story } from "./world.ts";

test(
  "what is in flight is shown with its step, message by message, and nothing once all is done",
  story(pair(), (world) => {
    const seen = new Map<string, string>();
    world.intercept = ({ label, from }) => {
      const host = world.hostAt(from);
      const steps = host?.engine.live(world.now).negotiations.map(({ kind, step, role }) => `${kind} ${step.message}/${step.of} ${role}`);
      seen.set(label, steps?.join() ?? "");
      return undefined;
    };
    const id = world.host("A").initiate();
    world.run(2000);
    assert.equal(world.host("A").outcome(id).exit, 0);
    assert.deepEqual(Object.fromEntries(seen), {
      MM1: "main-mode 1/6 initiator",
      MM2: "main-mode 2/6 responder",
      MM3: "main-mode 3/6 initiator",
      MM4: "main-mode 4/6 responder",
      MM5: "main-mode 5/6 initiator",
      MM6: "",
      QM1: "quick-mode 1/3 initiator",
      QM2: "quick-mode 2/3 responder",
      QM3: "quick-mode 3/3 initiator",
    });
    for (const name of ["A", "B"]) assert.deepEqual(world.host(name).engine.live(world.now).negotiations, []);
  }),
);

test(
  "a negotiation without an answer shows its repeats, its age and whom it waits for",
  story(pair(), (world) => {
    world.intercept = losing("MM2", 100);
    world.host("A").initiate();
    world.run(5000);
    const [negotiation] = world.host("A").engine.live(world.now).negotiations;
    assert.ok(negotiation && negotiation.repeats >= 1 && negotiation.seconds === 5, JSON.stringify(negotiation));
    assert.match(negotiation.peer, /:500$/);
    assert.match(negotiation.initiatorCookie, /^[0-9a-f]{16}$/);
    assert.equal(negotiation.messageId, null);
  }),
);
