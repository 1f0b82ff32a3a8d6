/**
 * A message of an exchange as the RFC's figures show it: who sends it, whether it is encrypted, which payloads it must or may have.
 * `match` turns a payload list into exactly the fields that the row promises. Whatever else a message carries stays in the list,
 * since peers put vendor ids, notifies and certificate requests wherever they like.
 */
import type { Payload, PayloadName } from "../isakmp/payloads.ts";
import { err, ok, type Result } from "../isakmp/result.ts";
import type { IkeError } from "./errors.ts";

export type Role = "initiator" | "responder";
export type Arity = "one" | "maybe" | "many";
export type Shape = { readonly [N in PayloadName]?: Arity };
export type PayloadOf<N extends PayloadName> = Extract<Payload, { readonly name: N }>;

export interface Flight<S extends Shape> {
  readonly from: Role;
  readonly sealed: boolean;
  readonly shape: S;
  /** Of the shape. */
  readonly names: readonly (keyof S & PayloadName)[];
}

export type Received<S extends Shape> = {
  readonly [N in keyof S & PayloadName]: S[N] extends "one"
    ? PayloadOf<N>
    : S[N] extends "maybe"
      ? PayloadOf<N> | undefined
      : readonly PayloadOf<N>[];
};

export const OPEN = false;
export const SEALED = true;
/** One row of an exchange's table: who sends the message, whether it is encrypted, and which payloads it has. */
export const flight = <const S extends Shape>(from: Role, sealed: boolean, shape: S): Flight<S> => {
  const names = Object.keys(shape) as (keyof S & PayloadName)[];
  return { from, sealed, shape, names };
};

/** Picks the row's payloads. Fails for a missing or a repeated `one`, or a repeated `maybe` (which of them would we believe?). */
export function match<S extends Shape>(row: Flight<S>, payloads: readonly Payload[]): Result<Received<S>, IkeError> {
  const got: Record<string, unknown> = {};
  for (const name of row.names) {
    const arity = row.shape[name];
    if (arity === "many") {
      got[name] = payloads.filter((p) => p.name === name);
      continue;
    }
    let found: Payload | undefined;
    let count = 0;
    for (const p of payloads) if (p.name === name && ++count === 1) found = p;
    if (count > 1) return err({ kind: "payloads", what: `${count} ${name} payloads where one is allowed` });
    if (arity === "one" && !found) return err({ kind: "payloads", what: `no ${name} payload` });
    got[name] = found;
  }
  return ok(got as Received<S>);
}
