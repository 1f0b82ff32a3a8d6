import assert from "node:assert/strict";
import nodeCrypto from "node:crypto";
import { syncBuiltinESMExports } from "node:module";
import { it, mock } from "node:test";
import { nobleCrypto } from "../../../ike/crypto/noble.ts";
import { opensslCrypto, warmUp } from "../../../ike/crypto/openssl.ts";
import { groupNamed } from "../../../ike/crypto/suite.ts";
import { seeded } from "./fixtures.ts";

/** In a process of its own, since engines live as long as the process. */
it("makes the engines of a group once, when warmed up or else at first use, for both providers", () => {
  const made = mock.method(nodeCrypto, "createDiffieHellman").mock;
  syncBuiltinESMExports();
  const random = seeded("engines");
  const negotiate = (name: "modp768" | "modp1024" | "modp2048" | "modp3072" | "ecp256" | "x25519") => {
    for (const crypto of [opensslCrypto, nobleCrypto]) {
      const group = groupNamed(name);
      const ours = crypto.generateKeyPair(group, random);
      assert.ok(crypto.agree(group, ours.privateKey, crypto.generateKeyPair(group, random).publicValue).ok);
    }
  };

  warmUp([groupNamed("modp768"), groupNamed("modp2048"), groupNamed("modp3072"), groupNamed("ecp256"), groupNamed("x25519")]);
  const warm = made.callCount();
  assert.equal(warm, 2);
  negotiate("modp768");
  negotiate("modp2048");
  negotiate("modp3072");
  negotiate("ecp256");
  negotiate("x25519");
  warmUp([groupNamed("modp2048")]);
  assert.equal(made.callCount(), warm);

  negotiate("modp1024");
  assert.equal(made.callCount(), warm + 1);
  negotiate("modp1024");
  assert.equal(made.callCount(), warm + 1);
});
