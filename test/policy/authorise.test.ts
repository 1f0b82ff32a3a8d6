import assert from "node:assert/strict";
import { test } from "node:test";
import { authorise, type Proved } from "../../policy/authorise.ts";
import { parseIdentity } from "../../policy/identity.ts";
import type { Identity, PeerDemand } from "../../policy/types.ts";

function id(text: string): Identity {
  const read = parseIdentity(text);
  assert.ok(read.ok, text);
  return read.value;
}
const dn = (text: string) => id(`dn:${text}`) as Extract<Identity, { type: "dn" }>;
const NOTHING: PeerDemand = { identities: [], principals: [], issuers: [] };
const PROVED: Proved = { identities: [id("fqdn:a.example.test")], principal: "host/a@EXAMPLE.TEST", issuers: [dn("CN=CA")] };

const ROWS: readonly (readonly [string, PeerDemand, Proved, RegExp | null])[] = [
  ["no demand", NOTHING, { identities: [], principal: null, issuers: [] }, null],
  ["an identity that was proved", { ...NOTHING, identities: [id("fqdn:b.example.test"), id("fqdn:A.example.test")] }, PROVED, null],
  [
    "an identity that was not",
    { ...NOTHING, identities: [id("fqdn:b.example.test")] },
    PROVED,
    /has proved fqdn:a\.example\.test, principal:host\/a@EXAMPLE\.TEST/,
  ],
  ["a principal", { ...NOTHING, principals: ["host/a@EXAMPLE.TEST"] }, PROVED, null],
  ["a principal of any realm", { ...NOTHING, principals: ["host/a"] }, PROVED, null],
  ["a principal of another realm", { ...NOTHING, principals: ["host/a@OTHER.TEST"] }, PROVED, /not among/],
  ["a principal in another case", { ...NOTHING, principals: ["host/A@EXAMPLE.TEST"] }, PROVED, /not among/],
  ["every host of a realm", { ...NOTHING, principals: ["host/*@EXAMPLE.TEST"] }, PROVED, null],
  ["every computer's account of a realm", { ...NOTHING, principals: ["*$@EXAMPLE.TEST"] }, PROVED, /not among/],
  ["every host of another realm", { ...NOTHING, principals: ["host/*@OTHER.TEST"] }, PROVED, /not among/],
  ["a principal, or an identity instead", { ...NOTHING, identities: [id("fqdn:a.example.test")], principals: ["host/z@Z"] }, PROVED, null],
  ["a principal of one who has none", { ...NOTHING, principals: ["host/a"] }, { ...PROVED, principal: null }, /not among/],
  ["an issuer on the path", { ...NOTHING, issuers: [dn("CN=Other"), dn("CN=CA")] }, PROVED, null],
  ["an issuer that is not", { ...NOTHING, issuers: [dn("CN=Other")] }, PROVED, /issued by dn:CN=CA, not by dn:CN=Other/],
  ["an issuer, with no certificate", { ...NOTHING, issuers: [dn("CN=CA")] }, { ...PROVED, issuers: [] }, /nobody/],
  ["both, of which one fails", { ...NOTHING, principals: ["host/a"], issuers: [dn("CN=Other")] }, PROVED, /not by/],
];
for (const [what, demand, proved, refusal] of ROWS)
  test(`a demand of ${what} is ${refusal ? "refused" : "met"}`, () => {
    const result = authorise(demand, proved);
    if (refusal) assert.match(result.ok ? "" : result.error, refusal);
    else assert.ok(result.ok);
  });
