/**
 * The outcome of a step that a peer, an administrator or the kernel can make fail.
 * Errors that others cause are values; exceptions are for bugs of ours.
 */
export type Result<T, E> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: E };

/** A success. */
export const ok = <T>(value: T): { readonly ok: true; readonly value: T } => ({ ok: true, value });
/** A failure that is a value: somebody else's fault. */
export const err = <E>(error: E): { readonly ok: false; readonly error: E } => ({ ok: false, error });
