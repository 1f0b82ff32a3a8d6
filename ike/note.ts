/**
 * Decisions said aloud, for `mainmode trace` and for what is kept of failed negotiations: why an offer was refused, which rule was taken, why a
 * message was dropped. Whoever listens decides whether the sentence is made at all; nothing in the core depends on it.
 */

/** Takes a decision. `text` is called while the decision is made, or never; it holds no secret. */
export type Note = (text: () => string) => void;

/** Nobody listens. */
export const silent: Note = () => {};
