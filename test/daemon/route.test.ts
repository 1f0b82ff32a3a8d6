import assert from "node:assert/strict";
import { test } from "node:test";
import { loadNative } from "../../daemon/native.ts";
import { routeTo, servedRoute } from "../../daemon/route.ts";

const loaded = await loadNative();
const native = loaded.ok ? loaded.value : undefined;

for (const [name, use] of [
  ["system calls", native],
  ["Node alone", undefined],
] as const) {
  test(`the way to a loopback address starts at loopback, by ${name}`, async () => {
    assert.equal(await routeTo("127.0.0.9", use), "127.0.0.1");
  });

  test(`there is no way to what is no address or can't be reached, by ${name}`, async () => {
    assert.equal(await routeTo("peer.example.test", use), undefined);
    assert.equal(await routeTo("", use), undefined);
    // 0.0.0.0/8 beyond 0.0.0.0 is never routed (RFC 6890).
    assert.equal(await routeTo("255.255.255.255", use), undefined);
  });

  test(`an address that IKE is served on is taken where the system's own choice is not, by ${name}`, async () => {
    assert.equal(await servedRoute("127.0.0.9", ["127.0.0.1", "127.0.0.2"], use), "127.0.0.1");
    assert.equal(await servedRoute("127.0.0.9", ["::1", "127.0.0.2"], use), "127.0.0.2");
    assert.equal(await servedRoute("127.0.0.9", ["::1"], use), undefined);
    assert.equal(await servedRoute("no address", ["127.0.0.2"], use), undefined);
  });
}
