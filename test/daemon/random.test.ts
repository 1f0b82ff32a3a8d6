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

it("nonces are all different, in memory of their own, also where they are longer than what is drawn at once", () => {
  const drawn = Array.from({ length: 1000 }, () => systemRandom(32, "nonce"));
  assert.equal(new Set(drawn.map((octets) => octets.join())).size, 1000);
  assert.ok(drawn.every((octets) => octets.buffer.byteLength === 32 && octets.some((octet) => octet !== 0)));
  assert.equal(systemRandom(5000, "nonce").length, 5000);
});

it("names are all different however many are drawn, and not zero", () => {
  for (const length of [4, 8]) {
    const drawn = new Set(Array.from({ length: 2000 }, () => systemRandom(length).join()));
    // Two of 2,000 numbers of 32 bits are equal once in two thousand runs.
    assert.ok(drawn.size >= 1998, `${drawn.size} different ones of ${length} octets`);
    assert.ok(!drawn.has(new Uint8Array(length).join()));
    assert.equal(systemRandom(length).buffer.byteLength, length);
  }
});
