import assert from "node:assert/strict";
import { it } from "node:test";
import { systemRandom } from "../../daemon/random.ts";

it("gives as many octets as asked for, other ones each time, in memory of their own", () => {
  const [first, second] = [systemRandom(32), systemRandom(32)];
  assert.deepEqual([first.length, first.buffer.byteLength, systemRandom(0).length], [32, 32, 0]);
  assert.notDeepEqual(first, second);
  assert.notDeepEqual(first, new Uint8Array(32));
  assert.equal(Object.getPrototypeOf(first), Uint8Array.prototype);
});
