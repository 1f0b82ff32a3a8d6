/**
 * What restores of IKE SAs and of child SAs share: how a record of the journal is read.
 */
import { fromHex } from "../isakmp/hex.ts";
import { ruleNamed } from "../policy/select.ts";
import type { Rule } from "../policy/types.ts";
import type { Core } from "./core.ts";

/** The fields of a record. */
export type Fields = Readonly<Record<string, unknown>>;

/** Those of a record's value; none where it holds none. */
export const fieldsOf = (value: unknown): Fields => (typeof value === "object" && value !== null ? (value as Fields) : {});

/** Octets that were written as hex; undefined where they are none. */
export const octets = (value: unknown): Uint8Array | undefined => (typeof value === "string" ? fromHex(value) : undefined);

/** The rule by its name, as the present policy has it. */
export const ruleCalled = (core: Core, name: unknown): Rule | undefined =>
  typeof name === "string" ? ruleNamed(core.policy, name) : undefined;
