import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  acceptsPrincipal,
  freshRecord,
  hashedParts,
  nameAttribute,
  nameFault,
  ownName,
  peerNameForms,
  readName,
  readToken,
  ticketTarget,
  tokenPayload,
} from "../../auth/gss.ts";
import { basic, variable } from "../../isakmp/attributes.ts";
import { toHex } from "../../isakmp/hex.ts";
import type { KerberosEntry } from "../../policy/types.ts";
import { kerberos } from "../sim/credentials.ts";
import { makeToken } from "../sim/jobs.ts";

const entry = (more: Partial<KerberosEntry> = {}, quirks: Partial<KerberosEntry["quirks"]> = {}) => kerberos("A", more, quirks);
const token = makeToken({ n: 1, from: "a", to: "b" }, 300);

test("our name goes out in UTF-16LE without an end, or in single octets, and always of variable length", () => {
  const name = ownName(entry({ principal: "a$@R" }));
  assert.equal(toHex(name.wire), "6100240040005200");
  assert.deepEqual(nameAttribute(name), variable(16384, name.wire));
  assert.equal(toHex(ownName(entry({ principal: "a$@R" }, { nameEncoding: "latin-1" })).wire), "61244052");
});

test("a name is read in both encodings, from 16384 or from Windows 2000's 32001, and what is no name is none", () => {
  const wide = Buffer.from("host/b.example.test@R", "utf16le");
  assert.equal(readName([variable(32001, wide)])?.text, "host/b.example.test@R");
  assert.equal(readName([variable(32001, Buffer.from("other")), variable(16384, Buffer.from("b$@R"))])?.text, "b$@R");
  assert.equal(readName([variable(16384, Buffer.from("b$@R\0", "utf16le"))])?.text, "b$@R", "an end mark");
  for (const value of [Buffer.alloc(0), Buffer.from("a b"), Buffer.from("a\nb"), Buffer.alloc(1025, 0x61), Buffer.from("\u001b[2J")])
    assert.deepEqual(readName([variable(16384, value)]), { wire: Uint8Array.from(value), text: null }, JSON.stringify(value.toString()));
  assert.equal(readName([basic(11, 1)]), undefined);
});

test("a name that would turn a line of text round, or hide a part of it, is none that can be read", () => {
  for (const name of ["host/b\u202ecba@R", "host/b\u200b@R", "host/b\u2028c@R", "host/b\ud800@R"])
    assert.equal(readName([variable(16384, Buffer.from(name, "utf16le"))])?.text, null, JSON.stringify(name));
});

test("an offer with kilobytes of a name is refused, and says so; any other is not", () => {
  assert.equal(nameFault([basic(11, 1), variable(16384, Buffer.alloc(1024, 0x61))]), undefined);
  assert.match(nameFault([variable(16384, Buffer.alloc(1025, 0x61))]) ?? "", /a Kerberos name of 1025 octets; 1024 are read/);
});

test("any octets as a name are read or refused, and never longer than they are", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 2000 }), (octets) => {
      const name = readName([variable(16384, octets)]);
      assert.deepEqual(name?.wire, octets);
      assert.ok(name?.text === null || (name.text.length <= octets.length && /^[!-~\u00a1-\uffff]+$/.test(name.text)));
    }),
  );
});

test("the octet before a token goes to Windows, to everybody or to nobody, and is hashed only where that is asked for", () => {
  const bare = { body: toHex(token), hashed: toHex(token) };
  const sent = (quirks: Partial<KerberosEntry["quirks"]>, windows: boolean) => {
    const { body, hashed } = tokenPayload(entry({}, quirks), windows, token);
    return { body: toHex(body), hashed: toHex(hashed) };
  };
  assert.deepEqual(sent({}, false), bare);
  assert.deepEqual(sent({ tokenOctet: "never" }, true), bare);
  assert.deepEqual(sent({}, true), { body: `00${toHex(token)}`, hashed: toHex(token) });
  assert.deepEqual(sent({ tokenOctet: "always", hashTokenOctet: true }, false), { body: `00${toHex(token)}`, hashed: `00${toHex(token)}` });
});

test("a received token is found with and without an octet before it, whatever that is", () => {
  for (const before of [[], [0], [1], [0x60]]) {
    const read = readToken(entry(), Uint8Array.from([...before, ...token]));
    assert.equal(toHex(read?.token ?? new Uint8Array()), toHex(token));
  }
});

test("a token is a copy: the datagram may change behind it", () => {
  const body = Uint8Array.from(token);
  const read = readToken(entry(), body);
  body.fill(0);
  assert.equal(toHex(read?.token ?? new Uint8Array()), toHex(token));
});

test("nothing but a length that fits exactly makes a token", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 400 }), fc.boolean(), (octets, framed) => {
      const body = framed ? Uint8Array.from([0x60, 0x82, octets.length >> 8, octets.length & 255, ...octets]) : octets;
      assert.equal(readToken(entry(), body) !== undefined || !framed, true);
      assert.equal(readToken(entry(), Uint8Array.from([...body, ...(framed ? [1] : [])])) === undefined || !framed, true);
    }),
  );
});

test("a peer's hash is tried in both forms of its name, racoon's first for others than Windows", () => {
  assert.deepEqual(peerNameForms(entry(), false), ["single-octet", "wire"]);
  assert.deepEqual(peerNameForms(entry(), true), ["wire", "single-octet"]);
  assert.deepEqual(peerNameForms(entry({}, { hashedName: "wire" }), false), ["wire", "single-octet"]);
});

test("the hash covers the name, where names were exchanged, and all tokens in order", () => {
  const name = { wire: Uint8Array.of(0x61, 0), text: "a" };
  const side = { ...freshRecord("1", name, null).own, tokens: [Uint8Array.of(1), Uint8Array.of(2)] };
  assert.deepEqual(hashedParts(side, "wire").map(toHex), ["6100", "01", "02"]);
  assert.deepEqual(hashedParts(side, "single-octet").map(toHex), ["61", "01", "02"]);
  assert.deepEqual(hashedParts({ ...side, name: null }, "wire").map(toHex), ["01", "02"]);
  const opaque = { ...side, name: { wire: Uint8Array.of(1, 2, 3), text: null } };
  for (const form of ["wire", "single-octet"] as const)
    assert.deepEqual(hashedParts(opaque, form).map(toHex), ["010203", "01", "02"], "a name that can't be read has one form");
});

for (const [wanted, names, principal, good] of [
  ["host/b.example.test@R", [], "host/b.example.test@R", true],
  ["host/b.example.test", [], "host/b.example.test@EXAMPLE.TEST", true],
  ["host/B.Example.test", [], "host/b.example.test@EXAMPLE.TEST", true],
  ["host/b.example.test", [], "host/b.example.test@TRUSTED.TEST", false],
  ["host/b.example.test@R", [], "host/b.example.test@OTHER", false],
  ["B$@R", [], "b$@R", false],
  ["host/b.example.test", [], "host/b.example.test.evil@EXAMPLE.TEST", false],
  ["host/b.example.test", [], "http/b.example.test@EXAMPLE.TEST", false],
  ["*$@R", [], "B$@R", true],
  ["*$", [], "B$@EXAMPLE.TEST", true],
  ["*$", [], "B$@TRUSTED.TEST", false],
  ["*$@R", [], "B$@OTHER", false],
  ["*$@R", [], "B@R", false],
  ["*$@R", [], "B$$@R", false],
  ["*$@R", [], "$@R", false],
  ["*$@R", [], "cifs/B$@R", false],
  ["*$@R", [], "host/b.example.test@R", false],
  ["host/*", [], "host/b.example.test@EXAMPLE.TEST", true],
  ["host/*@R", [], "host/b.example.test@EXAMPLE.TEST", false],
  ["host/*@R", [], "host/a/b@R", false],
  ["host/*@R", [], "cifs/b@R", false],
  ["host/*@R", [], "B$@R", false],
  [null, ["b.example.test"], "host/b.example.test@EXAMPLE.TEST", true],
  [null, ["x", "B.example.test"], "host/b.example.test@EXAMPLE.TEST", true],
  [null, ["b.example.test"], "host/b.example.test@OTHER", false],
  [null, ["b.example.test"], "host/c.example.test@EXAMPLE.TEST", false],
  [null, [], "host/b.example.test@EXAMPLE.TEST", false],
] as const)
  test(`peer-principal ${wanted ?? `not set, address called ${names.join(" and ") || "nothing"}`}: ${principal} is ${good ? "taken" : "refused"}`, () => {
    assert.equal(acceptsPrincipal(entry({ peerPrincipal: wanted }), { principal, addressNames: names }), good);
  });

const REALM = "EXAMPLE.TEST";
for (const [wanted, claimed, target] of [
  [`host/b.example.test@${REALM}`, `host/b.example.test@${REALM}`, `host/b.example.test@${REALM}`],
  ["host/b.example.test", `host/B.example.test@${REALM}`, `host/B.example.test@${REALM}`],
  ["host/b.example.test", "host/b.example.test", `host/b.example.test@${REALM}`],
  ["host/b.example.test@OTHER.TEST", "host/b.example.test@OTHER.TEST", "host/b.example.test@OTHER.TEST"],
  ["host/b.example.test@OTHER.TEST", "host/b.example.test", "host/b.example.test@OTHER.TEST"],
  ["host/b.example.test", "host/b.example.test@OTHER.TEST", /and peer-principal is host/],
  ["host/b.example.test", `cifs/b.example.test@${REALM}`, /and peer-principal is/],
  ["host/b.example.test", `host/c.example.test@${REALM}`, /and peer-principal is/],
  // A computer's account, with its mark and as the draft's example has it.
  [`B$@${REALM}`, `B$@${REALM}`, `B$@${REALM}`],
  [`B$@${REALM}`, `B@${REALM}`, `B$@${REALM}`],
  ["B$", `B@${REALM}`, `B$@${REALM}`],
  [`B$@${REALM}`, "B", `B$@${REALM}`],
  [`B$@${REALM}`, "B@OTHER.TEST", /and peer-principal is B\$/],
  [`B$@${REALM}`, `C@${REALM}`, /and peer-principal is B\$/],
  [`B$@${REALM}`, `C$@${REALM}`, /and peer-principal is B\$/],
  [`B$@${REALM}`, `B$$@${REALM}`, /and peer-principal is B\$/],
  [`B$@${REALM}`, `b@${REALM}`, `B$@${REALM}`],
  // Its account and its service are one in a Windows domain; the ticket is for the one that is set.
  [`B$@${REALM}`, `host/b.example.test@${REALM}`, `B$@${REALM}`],
  [`B$@${REALM}`, `host/b@${REALM}`, `B$@${REALM}`],
  [`B$@${REALM}`, `host/c.example.test@${REALM}`, /and peer-principal is B\$/],
  [`B$@${REALM}`, "host/b.example.test@OTHER.TEST", /and peer-principal is B\$/],
  [`B$@${REALM}`, `cifs/b.example.test@${REALM}`, /and peer-principal is B\$/],
  [`A-VERY-LONG-NAM$@${REALM}`, `host/a-very-long-name.example.test@${REALM}`, `A-VERY-LONG-NAM$@${REALM}`],
  ["host/b.example.test", `B$@${REALM}`, `host/b.example.test@${REALM}`],
  ["host/b.example.test", `B@${REALM}`, `host/b.example.test@${REALM}`],
  ["host/b.example.test", `C$@${REALM}`, /and peer-principal is host/],
  ["host/b.example.test", "host/b.example.org", /and peer-principal is host/],
  ["http/b.example.test", `B$@${REALM}`, /and peer-principal is http/],
  // The other way round: whoever wrote a user's name does not mean a computer.
  [`B@${REALM}`, `B$@${REALM}`, /and peer-principal is B@/],
  // Every computer of the realm: the name in message 2 says which, and nobody but a computer gets a ticket.
  [`*$@${REALM}`, `B$@${REALM}`, `B$@${REALM}`],
  ["*$", "b$", `b$@${REALM}`],
  [`*$@${REALM}`, `B@${REALM}`, `B$@${REALM}`],
  [`*$@${REALM}`, `host/files.example.test@${REALM}`, `FILES$@${REALM}`],
  [`*$@${REALM}`, "B$@OTHER.TEST", /and peer-principal is \*\$@/],
  ["*$@OTHER.TEST", "B$@OTHER.TEST", "B$@OTHER.TEST"],
  [`*$@${REALM}`, `cifs/b.example.test@${REALM}`, /and peer-principal is \*\$@/],
  [`*$@${REALM}`, `krbtgt/${REALM}@${REALM}`, /and peer-principal is \*\$@/],
  [`*$@${REALM}`, null, /did not tell its Kerberos name; peer-principal is \*\$@/],
  [`*$@${REALM}`, "no name", /can't be read; peer-principal is \*\$@/],
  [`host/*@${REALM}`, `host/b.example.test@${REALM}`, `host/b.example.test@${REALM}`],
  [`host/*@${REALM}`, `B$@${REALM}`, /and peer-principal is host\/\*@/],
  [`host/*@${REALM}`, `host/a/b@${REALM}`, /and peer-principal is host\/\*@/],
  // Only what the ticket could then prove is asked for.
  [null, `host/anything.example.test@${REALM}`, `host/anything.example.test@${REALM}`],
  [null, "host/anything.example.test", `host/anything.example.test@${REALM}`],
  [null, `B$@${REALM}`, /set peer-principal = "B\$@EXAMPLE\.TEST" if that is right/],
  [null, `B@${REALM}`, /only host\/ of its address's name is taken; set peer-principal if/],
  [null, "host/anything.example.test@OTHER.TEST", /of another realm than ours/],
  [null, `cifs/files.example.test@${REALM}`, /set peer-principal/],
  [null, `administrator@${REALM}`, /set peer-principal/],
  [null, `host/a/b@${REALM}`, /set peer-principal/],
  // What can't be read, and no name at all.
  [`B$@${REALM}`, "no name", `B$@${REALM}`],
  [null, "no name", /can't be read; set peer-principal/],
  [`B$@${REALM}`, null, `B$@${REALM}`],
  [null, null, /did not tell its Kerberos name/],
] as const)
  test(`with peer-principal ${wanted ?? "not set"} a peer called ${claimed ?? "nothing"} ${typeof target === "string" ? `means a ticket for ${target}` : "gets none"}`, () => {
    const name = claimed === null ? null : (readName([variable(16384, Buffer.from(claimed, "utf16le"))]) ?? null);
    const got = ticketTarget(entry({ peerPrincipal: wanted }), name);
    if (typeof target === "string") return assert.deepEqual(got, { ok: true, value: target });
    assert.match(got.ok ? `a ticket for ${got.value}` : got.error, target);
  });

test("whatever ticket is asked for, the rule takes whom it proves, if the peer's address has that name", () => {
  const part = fc.constantFrom("B", "B$", "b", "host/b.example.test", "host/B.example.test", "cifs/b", "host/a/b", "$", "administrator");
  const realm = fc.constantFrom("", "@EXAMPLE.TEST", "@OTHER.TEST", "@");
  const principal = fc.tuple(part, realm).map(([name, where]) => `${name}${where}`);
  const pattern = fc.tuple(fc.constantFrom("*$", "host/*"), realm).map(([name, where]) => `${name}${where}`);
  let asked = 0;
  fc.assert(
    fc.property(fc.option(fc.oneof(principal, pattern)), principal, (peerPrincipal, text) => {
      const rule = entry({ peerPrincipal });
      const target = ticketTarget(rule, { wire: new Uint8Array(), text });
      if (!target.ok) return;
      asked++;
      assert.ok(acceptsPrincipal(rule, { principal: target.value, addressNames: ["b.example.test"] }), `${peerPrincipal}: ${target.value}`);
    }),
    { numRuns: 2000 },
  );
  assert.ok(asked > 50, `${asked}`);
});

test("single octets that end in a NUL are no UTF-16", () => {
  const read = (octets: Uint8Array) => readName([variable(16384, octets)])?.text;
  assert.equal(read(Buffer.from("host/ab.example.test@EX\0", "latin1")), "host/ab.example.test@EX");
  assert.equal(read(Buffer.from("host/ab.example.test@EX", "utf16le")), "host/ab.example.test@EX");
  assert.equal(read(Buffer.from("host/ab.example.test@EX\0", "utf16le")), "host/ab.example.test@EX");
});
