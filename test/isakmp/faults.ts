/** How tests of faults are run: each message is refused at the offset of the lie, counted from the first octet of the datagram. */
import assert from "node:assert/strict";
import test from "node:test";
import { bodyOf, decodeHeader, decodePayloads, type Malformed } from "../../isakmp/message.ts";
import type { Payload } from "../../isakmp/payloads.ts";
import type { Result } from "../../isakmp/result.ts";
import { datagram, generic, hex, octets, SA_HEAD } from "./build.ts";

export interface Fault {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly offset: number;
  readonly what: RegExp;
  readonly notify?: number;
}

export interface Tolerated {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly names: readonly string[];
}

/** One test for each fault. */
export function refuse(faults: readonly Fault[]): void {
  for (const { name, bytes, offset, what, notify } of faults)
    test(`${name} is refused at octet ${offset}`, () => {
      const outcome = decode(bytes);
      assert.ok(!outcome.ok, "it was accepted");
      assert.match(outcome.error.what, what);
      assert.equal(outcome.error.offset, offset);
      assert.equal(outcome.error.kind, "malformed");
      assert.equal(outcome.error.notify, notify);
    });
}

/** One test for each message that only looks wrong. */
export function tolerate(messages: readonly Tolerated[]): void {
  for (const { name, bytes, names } of messages)
    test(`${name}: tolerated`, () => {
      const outcome = decode(bytes);
      assert.ok(outcome.ok, outcome.ok ? "" : outcome.error.what);
      assert.deepEqual(
        outcome.value.map((p) => p.name),
        names,
      );
    });
}

const [NONE, SA] = [0, 1];

/** AES-CBC and nothing else. */
export const TRANSFORM_BODY = hex("01 01 0000 80010007");
export const transform = generic(NONE, TRANSFORM_BODY);
export const proposalBody = (transforms: Uint8Array, count = 1, spiSize = 0, spi = new Uint8Array(0)): Uint8Array =>
  octets(1, 1, spiSize, count, spi, transforms);

/** A message with an SA of these proposals. */
export const sa = (proposals: Uint8Array): Uint8Array => datagram(SA, generic(NONE, octets(SA_HEAD, proposals)));

/** A message with an SA of one proposal of these transforms. */
export const saOf = (transforms: Uint8Array, count = 1): Uint8Array => sa(generic(NONE, proposalBody(transforms, count)));

export function repeat(bytes: Uint8Array, times: number): Uint8Array {
  return octets(...Array.from({ length: times }, () => bytes));
}

function decode(bytes: Uint8Array): Result<readonly Payload[], Malformed> {
  const header = decodeHeader(bytes);
  return header.ok ? decodePayloads(header.value.nextPayload, bodyOf(header.value, bytes), { base: 28 }) : header;
}
