/**
 * Why a daemon does not start, and what to try when a socket fails: words for people, by errno.
 */
import type { UdpProblem } from "./udp.ts";

/** Why a daemon did not start; `exit` is the exit code of interface.md §1. */
export interface StartFailure {
  readonly exit: 1 | 77;
  readonly text: string;
  /** A stable code, as in the records of the core. */
  readonly reason: "control-socket" | "no-socket" | "not-permitted";
  readonly hint: string;
}

/** Why no socket could be opened; undefined where none has failed for good. An address that is not there yet is no failure. */
export function socketFailure(problems: readonly UdpProblem[]): StartFailure | undefined {
  const [first] = problems.filter(({ what, code }) => what === "open" && code !== "EADDRNOTAVAIL");
  if (!first) return undefined;
  if (first.code === "EACCES" || first.code === "EPERM")
    return { exit: 77, text: `${first.text}; port ${first.port} needs CAP_NET_BIND_SERVICE`, reason: "not-permitted", hint: ROOT };
  const hint = first.code === "EADDRINUSE" ? "is another IKE daemon running? Stop it first" : "look at [daemon] addresses and port";
  return { exit: 1, text: `no UDP socket could be opened: ${first.text}`, reason: "no-socket", hint };
}

/** Why the control socket could not be opened. */
export const controlFailure = (text: string): StartFailure =>
  /\b(EACCES|EPERM|EROFS)\b/.test(text)
    ? { exit: 77, text, reason: "not-permitted", hint: "run it as root, or name a path that its user may write to in [daemon] control" }
    : {
        exit: 1,
        text,
        reason: "control-socket",
        hint: "stop or move away what is there, or name another path in [daemon] control or with --control",
      };

/** What to try when a socket fails, or a message does not leave it. */
export const socketHint = ({ what, code }: Pick<UdpProblem, "what" | "code">): string =>
  (what === "send" ? SEND_HINTS[code] : undefined) ?? SOCKET_HINTS[code] ?? "look at this host's addresses, routes and firewall";

/** By errno's name. */
const SOCKET_HINTS: Readonly<Record<string, string>> = {
  EADDRINUSE: "another IKE daemon holds this port; stop it",
  EADDRNOTAVAIL: "nothing: the socket opens as soon as the address is there",
  EACCES: "run it as root or by its systemd unit",
  EPERM: "let the firewall pass UDP of this port",
  ENETUNREACH: "add a route to the peer",
  EHOSTUNREACH: "add a route to the peer",
  "no-socket": "name the address in [daemon] addresses, or leave that key out so that IKE is served on every address",
};

/** What means something else once the socket is open. */
const SEND_HINTS: Readonly<Record<string, string>> = {
  EACCES: "a route or a routing rule of this host prohibits it; look at `ip route get PEER` and `ip rule`",
  EINVAL: "a route or a routing rule of this host is a black hole for it; look at `ip route get PEER` and `ip rule`",
};

const ROOT = "run it as root or by its systemd unit";
