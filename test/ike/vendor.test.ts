import assert from "node:assert/strict";
import { test } from "node:test";
import { traitsOf } from "../../ike/vendor.ts";
import { payload } from "../../isakmp/payloads.ts";
import { VENDOR_IDS, type VendorName } from "../../isakmp/vendor-ids.ts";

const announces = (...names: readonly VendorName[]) => traitsOf(names.map((name) => payload("vid", { data: VENDOR_IDS[name].bytes })));

test("libreswan is known by its name, and without it by fragmentation from nobody who is known to wait for message 3", () => {
  assert.ok(announces("libreswan").hasty);
  assert.ok(announces("FRAGMENTATION", "DPD").hasty);
  for (const patient of ["mainmode", "MS NT5", "XAUTH", "strongSwan", "ipsec-tools"] as const)
    assert.equal(announces("FRAGMENTATION", "DPD", patient).hasty, false, patient);
  assert.equal(announces("DPD").hasty, false);
});
