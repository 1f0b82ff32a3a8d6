import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { keytabPrincipals } from "../../policy/keytab.ts";
import { host, keytabOf } from "./keytabs.ts";

const principals = (octets: Uint8Array) => {
  const found = keytabPrincipals(octets);
  return found.ok ? found.value : found.error;
};

test("the principals of a keytab come once each, in the order of the file, past holes", () => {
  const machine = { realm: "EXAMPLE.TEST", components: ["WS1$"] };
  assert.deepEqual(principals(keytabOf(host("a"), host("a"), 30, machine, host("b"))), [
    "host/a.example.test@EXAMPLE.TEST",
    "WS1$@EXAMPLE.TEST",
    "host/b.example.test@EXAMPLE.TEST",
  ]);
});

test("what separates the parts of a name is quoted where it stands inside of one", () => {
  assert.deepEqual(principals(keytabOf({ realm: "R", components: ["a@b/c\\d"] })), ["a\\@b\\/c\\\\d@R"]);
});

test("what is no keytab, an empty one and one that is cut off are told apart", () => {
  assert.match(String(principals(new TextEncoder().encode("no keytab"))), /no keytab/);
  assert.match(String(principals(Uint8Array.of(5, 1, 0, 0))), /no keytab/);
  assert.match(String(principals(keytabOf())), /no keys/);
  assert.match(String(principals(keytabOf(20))), /no keys/);
  assert.match(String(principals(keytabOf(host("a")).subarray(0, -1))), /cut off/);
});

test("octets of any kind give principals or a sentence", () => {
  const any = fc.uint8Array({ maxLength: 200 });
  fc.assert(
    fc.property(
      fc.oneof(
        any,
        any.map((tail) => Buffer.concat([Uint8Array.of(5, 2, 0, 0, 0), tail])),
      ),
      (octets) => {
        const found = keytabPrincipals(octets);
        assert.ok(found.ok ? found.value.length > 0 : found.error.length > 0);
      },
    ),
  );
});
