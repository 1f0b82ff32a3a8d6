import assert from "node:assert/strict";
import { it } from "node:test";
import { inspect } from "node:util";
import { liveSecrets, Secret } from "../../../ike/crypto/secret.ts";
import { reveal, secret } from "./fixtures.ts";

it("shows its octets only inside use, and its length everywhere else", () => {
  const psk = secret("c0ffee");
  assert.equal(reveal(psk), "c0ffee");
  for (const shown of [String(psk), inspect(psk), inspect({ psk }), JSON.stringify({ psk }), `${psk}`]) {
    assert.match(shown, /<secret 3 B>/);
    assert.doesNotMatch(shown, /c0|192|ff|255/i);
  }
  assert.deepEqual(Object.keys(psk), []);
});

it("fills its octets with zeros when destroyed, and says so afterwards", () => {
  const octets = Uint8Array.of(1, 2, 3);
  const value = new Secret(octets);
  value.destroy();
  value.destroy();
  assert.deepEqual([...octets], [0, 0, 0]);
  assert.equal(value.length, 0);
  assert.equal(String(value), "<secret destroyed>");
  assert.throws(() => value.use(() => 0), /after destroy/);
  assert.throws(() => value.clone(), /after destroy/);
});

it("is counted from its making to its first destroy", () => {
  const before = liveSecrets();
  const first = secret("01");
  const second = first.clone();
  assert.equal(liveSecrets(), before + 2);
  first.destroy();
  first.destroy();
  assert.equal(liveSecrets(), before + 1);
  assert.equal(reveal(second), "01");
  second.destroy();
  assert.equal(liveSecrets(), before);
});
