import assert from "node:assert/strict";
import { test } from "node:test";
import { parseListen } from "../../policy/listen.ts";

test("a loopback address with a port is where things for this machine listen", () => {
  for (const [text, address, port] of [
    ["127.0.0.1:9500", "127.0.0.1", 9500],
    ["localhost:80", "127.0.0.1", 80],
    ["[::1]:65535", "::1", 65_535],
  ] as const)
    assert.deepEqual(parseListen(text), { ok: true, value: { address, port } });
});

test("anything else is refused in words: other addresses can be reached from elsewhere", () => {
  for (const text of ["0.0.0.0:9500", "[::]:9500", "192.0.2.1:80"]) {
    const parsed = parseListen(text);
    assert.ok(!parsed.ok && parsed.error.includes("can be reached from elsewhere"), text);
  }
  for (const text of ["", "9500", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:70000", "::1:80", "host.example.test:80"])
    assert.equal(parseListen(text).ok, false, text);
});
