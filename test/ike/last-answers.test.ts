import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { LastAnswers } from "../../ike/last-answers.ts";
import type { SaAnswered } from "../../ike/main-mode-states.ts";
import type { Policy } from "../../policy/types.ts";

const policy = (name: string) => ({ name }) as Policy;
const answer = (octets: number) => ({ kind: "sa-answered", saBody: new Uint8Array(octets) }) as unknown as SaAnswered;

describe("the last answers to messages 1", () => {
  it("are there once, under the policy that gave them", () => {
    const [today, tomorrow] = [policy("today"), policy("tomorrow")];
    const answers = new LastAnswers();
    const given = answer(56);
    answers.keep(today, 1, given);
    assert.equal(answers.take(tomorrow, 1), undefined);
    assert.equal(answers.take(today, 2), undefined);
    assert.equal(answers.take(today, 1), given);
    assert.equal(answers.take(today, 1), undefined);
  });

  it("are 64 at most: the oldest goes first", () => {
    const one = policy("one");
    const answers = new LastAnswers();
    for (let id = 1; id <= 1000; id++) answers.keep(one, id, answer(56));
    const left = Array.from({ length: 1000 }, (_, i) => i + 1).filter((id) => answers.take(one, id));
    assert.deepEqual(
      left,
      Array.from({ length: 64 }, (_, i) => 937 + i),
    );
  });

  it("are none of those whose offer is long: what strangers make us keep is bounded", () => {
    const one = policy("one");
    const answers = new LastAnswers();
    answers.keep(one, 1, answer(512));
    answers.keep(one, 2, answer(513));
    assert.ok(answers.take(one, 1));
    assert.equal(answers.take(one, 2), undefined);
  });
});
