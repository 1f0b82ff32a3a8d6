/** What the process of a demo host is given, and what it tells the demo besides its log: each message is one JSON value over Node's IPC. */

export interface HostOptions {
  readonly configFile: string;
  /** `memory`: no kernel is touched, and every message sent is told too, since nobody else sees it. */
  readonly kernel: "real" | "memory";
  /** Mixed into digests of keys, so that both hosts' can be compared and nobody can look them up. Hexadecimal. */
  readonly salt: string;
}

export type HostMessage =
  /** A message that was sealed, as it went out and as it was before. Hexadecimal. */
  | { readonly type: "sealed"; readonly sealed: string; readonly plain: string }
  /** A message that left a socket. `time` in milliseconds since 1970. */
  | { readonly type: "sent"; readonly time: number; readonly source: string; readonly destination: string; readonly octets: string }
  /** The in-memory kernel carried out a command. `keys`: a salted digest of the keys in it. */
  | { readonly type: "kernel"; readonly line: string; readonly keys?: string; readonly spi?: number };
