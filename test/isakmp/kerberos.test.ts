/** A recorded negotiation: what stood on the wire decodes to what both daemons logged. */
import assert from "node:assert/strict";
import test from "node:test";
import { describeMessage } from "../../isakmp/describe.ts";
import { toHex } from "../../isakmp/hex.ts";
import { bodyOf, decodeHeader, decodePayloads, encodeMessage, encodePayloads, firstType, type Header } from "../../isakmp/message.ts";
import type { Payload, PayloadName } from "../../isakmp/payloads.ts";
import { vectors } from "../vectors.ts";
import { generic, hex } from "./build.ts";

interface Recorded {
  readonly mainMode: Readonly<Record<string, string>> & { readonly messages: readonly string[] };
  readonly quickMode: Readonly<Record<string, string>> & { readonly messages: readonly string[] };
}

const { mainMode, quickMode } = vectors<Recorded>("kerberos");

const CLEAR = mainMode.messages.slice(0, 4).map((text) => decodeWhole(hex(text)));

test("messages 1 to 4 decode, every payload known", () => {
  const names = CLEAR.map(({ payloads }) => payloads.map((p) => p.name));
  assert.deepEqual(names, [
    ["sa", "vid", "vid"],
    ["sa", "vid", "vid"],
    ["ke", "nonce", "gss"],
    ["ke", "nonce", "gss"],
  ]);
});

test("headers carry the recorded cookies", () => {
  const cookies = CLEAR.map(({ header }) => [toHex(header.initiatorCookie), toHex(header.responderCookie)]);
  const both = [mainMode["cookieI"], mainMode["cookieR"]];
  assert.deepEqual(cookies, [[mainMode["cookieI"], "0000000000000000"], both, both, both]);
});

test("the bodies that are hashed are the recorded ones", () => {
  assert.equal(raw(0, "sa"), mainMode["saI"]);
  assert.deepEqual([raw(2, "ke"), raw(3, "ke")], [mainMode["publicI"], mainMode["publicR"]]);
  assert.deepEqual([raw(2, "nonce"), raw(3, "nonce")], [mainMode["nonceI"], mainMode["nonceR"]]);
  assert.deepEqual([raw(2, "gss"), raw(3, "gss")], [mainMode["tokenI"], mainMode["tokenR"]]);
});

test("each message encodes to the octets it came in", () => {
  for (const [i, { header, payloads }] of CLEAR.entries()) assert.equal(toHex(encodeMessage(header, payloads)), mainMode.messages[i]);
});

test("the offer reads as it was configured", () => {
  const [first] = CLEAR;
  assert.ok(first);
  assert.deepEqual(describeMessage(first.header, first.payloads), [
    "Identity Protection, cookies 191da65d253e5bea 0000000000000000, message 00000000, 192 octets",
    "  SA: IPSEC, SIT_IDENTITY_ONLY",
    "    proposal 1: ISAKMP",
    "      transform 1: KEY_IKE, Life Type=seconds, Life Duration=3600, Encryption Algorithm=AES-CBC, Key Length=256, " +
      'Authentication Method=Kerberos, Hash Algorithm=SHA, Group Description=modp1024, GSS Identity Name="host/a.example.test@EXAMPLE.TEST"',
    "  VID: GSSAPI",
    "  VID: Dead Peer Detection (RFC 3706)",
  ]);
});

test("the identities are addresses", () => {
  const decoded = decodePayloads(5, generic(0, hex(mainMode["idI"] ?? "")));
  assert.ok(decoded.ok && decoded.value[0]?.name === "id");
  assert.deepEqual(decoded.value[0].value, { type: 1, protocol: 17, port: 500, data: hex("0a630001") });
});

test("the Quick Mode offer decodes to the SPIs in the kernels, and encodes again", () => {
  for (const [body, spi] of [
    [quickMode["sa1"], "051f203d"],
    [quickMode["sa2"], "0fac2fad"],
  ] as const) {
    const chain = generic(0, hex(body ?? ""));
    const decoded = decodePayloads(1, chain);
    assert.ok(decoded.ok && decoded.value[0]?.name === "sa");
    assert.equal(toHex(decoded.value[0].value.proposals[0]?.spi ?? hex("")), spi);
    assert.equal(firstType(decoded.value), 1);
    assert.deepEqual(encodePayloads(decoded.value), chain);
  }
});

test("sealed messages have a header that says so and a body of whole cipher blocks", () => {
  for (const text of [...mainMode.messages.slice(4), ...quickMode.messages]) {
    const header = decodeHeader(hex(text));
    assert.ok(header.ok);
    assert.equal(header.value.flags, 1);
    assert.equal(bodyOf(header.value, hex(text)).length % 16, 0);
  }
});

function decodeWhole(bytes: Uint8Array): { readonly header: Header; readonly payloads: readonly Payload[] } {
  const header = decodeHeader(bytes);
  assert.ok(header.ok);
  const payloads = decodePayloads(header.value.nextPayload, bodyOf(header.value, bytes));
  assert.ok(payloads.ok, payloads.ok ? "" : payloads.error.what);
  return { header: header.value, payloads: payloads.value };
}

function raw(message: number, name: PayloadName): string {
  const found = CLEAR[message]?.payloads.find((p) => p.name === name);
  return toHex(found?.raw ?? hex(""));
}
