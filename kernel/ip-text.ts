/**
 * What our `ip` children are given and what they say: their environment, their complaints as one sentence, keys masked.
 */

/** All that a child inherits. No variable of the daemon's (credentials, sockets of the service manager) is among it. */
export const CHILD_ENVIRONMENT: Readonly<Record<string, string>> = {
  PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  LC_ALL: "C",
};

/** How a child ended: exit status or signal. */
export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** Replaces every hex number longer than an SPI: `ip` repeats arguments that it does not like, and one may be a key. */
export const maskKeys = (text: string): string => text.replaceAll(/0x[0-9a-fA-F]{9,}/g, "<key>");

/**
 * The kernel's or `ip`'s own words out of a child's stderr, with what to do about it where that is known; at most about 300 characters.
 * Where it said nothing, how it ended.
 */
export function reasonOf(complaint: readonly string[], ending: Ending): string {
  const words = complaint.slice(0, 3).map((line) => line.replace(/^(RTNETLINK answers|Error): /, "").trim());
  const text = maskKeys(words.filter((line) => line !== "").join("; ")).slice(0, 200);
  if (text === "") return `ip ${endingOf(ending)} without a word`;
  const hint = HINTS.find(([pattern]) => pattern.test(text))?.[1];
  return hint === undefined ? text : `${text} (${hint})`;
}

/** `ended with status 2`, `was ended by SIGKILL`. */
export const endingOf = ({ code, signal }: Ending): string =>
  signal === null ? `ended with status ${code ?? "unknown"}` : `was ended by ${signal}`;

/** Whether a complaint says that an SA or policy is already there. */
export const saysExists = (complaint: readonly string[]): boolean => complaint.some((line) => line.includes("File exists"));

/** Whether a complaint says that there is no such SA (ESRCH) or policy (ENOENT). */
export const saysGone = (complaint: readonly string[]): boolean =>
  complaint.some((line) => /No such (process|file or directory)$/.test(line));

/** Why a child could not be started, and what would help. */
export function startFailure(program: string, error: Error & { readonly code?: string }): string {
  if (error.code === "ENOENT") return `there is no program "${program}": install iproute2`;
  return `"${program}" could not be started: ${error.code ?? error.message}`;
}

const HINTS: readonly (readonly [RegExp, string])[] = [
  [/Operation not permitted/, "the capability CAP_NET_ADMIN is missing"],
  [/Requested type not found/, "this kernel has no ESP or AH: modules esp4, esp6, ah4, ah6"],
  [/Requested \w+ algorithm not found/, "this kernel lacks that algorithm"],
  [/Protocol not supported/, "this kernel has no IPsec: module xfrm_user"],
];
