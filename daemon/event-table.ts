/**
 * Every event of the log: what it says, and which Windows events it stands for; and every IPsec event of Windows with what stands for it
 * here. docs/monitoring.md shows both tables; a test keeps them alike.
 */
import type { DaemonEventName, LogRecord } from "./log.ts";

export interface EventRow {
  readonly says: string;
  /** Security log of Vista and later; null where Windows has no such event. */
  readonly windows: number | null;
  /** Security log of Windows 2000, XP and 2003. */
  readonly xp: number | null;
}

const row = (says: string, windows: number | null = null, xp: number | null = null): EventRow => ({ says, windows, xp });

export const EVENTS: Readonly<Record<DaemonEventName, EventRow>> = {
  "ike.started": row("a Main Mode begins"),
  "ike.established": row("a Main Mode SA stands: who the peer is and how it proved that (4651: by certificate)", 4650, 541),
  "ike.warning": row("a Main Mode SA stands, but something about it should be looked at"),
  "ike.renewing": row("a Main Mode begins in order to renew an SA"),
  "ike.retry": row("a Main Mode came to nothing, and one with another method begins"),
  "ike.failed": row("a Main Mode failed, or a message of it was refused (`goesOn`); 4652: with certificates", 4653, 547),
  "ike.closed": row("a Main Mode SA ended", 4655, 543),
  "auth.unusable": row("a method of authentication can't be used here at present"),
  "child.wanted": row("somebody needs a Quick Mode SA: traffic, a command, a rule, a renewal"),
  "child.started": row("a Quick Mode begins"),
  "child.established": row("a Quick Mode SA stands and carries traffic", 5451, 541),
  "child.confirmed": row("message 3 of a Quick Mode was lost, packets stand for it"),
  "child.failed": row("a Quick Mode failed, or what was wanted could not be had", 4654, 547),
  "child.retry": row("a rule that should be up will be tried again"),
  "child.rekeyed": row("a Quick Mode SA took over from an older one", 5451, 541),
  "child.closed": row("a Quick Mode SA ended", 5452, 542),
  "child.volume": row("the volume of a rule is too small for its link"),
  "soft.opened": row("a peer does not answer: what is between it and us goes in clear for a while (a soft association)", 5451, 541),
  "soft.closed": row("a soft association ended", 5452, 542),
  "peer.silent": row("a peer does not answer any more"),
  "peer.moved": row("the NAT before a peer gave it another address or port"),
  "peer.back": row("a peer is there again"),
  "packet.dropped": row("an invalid or unauthentic message was dropped (4977: in a Quick Mode)", 4976),
  "notify.received": row("the peer said something that we should know"),
  "policy.loaded": row("the policy is active", 5471),
  "policy.reloaded": row("the configuration was read again", 5465),
  "policy.changed": row("a reload added (5043), changed (5044) or removed (5045) a rule", 5044),
  "policy.failed": row("a policy could not be loaded (5472), or the kernel refused one (5477)", 5477),
  "policy.gone": row(
    "somebody has removed or replaced policies of ours in the kernel; they are put back where nothing of his is in their place",
  ),
  "policy.unknown": row("the kernel does not tell which policies it has, so that nobody knows whether ours stand"),
  "policy.known": row("the kernel tells again which policies it has"),
  "policy.stands": row("the kernel has a policy now that it refused before"),
  "policy.warning": row("something in the configuration should be looked at", 5462),
  "drop.bad-spi": row("the kernel dropped packets with an SPI that it does not know", 4965),
  "drop.integrity": row("the kernel dropped packets whose check value was wrong or that could not be decrypted", 4960),
  "drop.replay": row("the kernel dropped packets that were replayed or too old (4962 in Windows: too old)", 4961),
  "drop.cleartext": row("the kernel dropped clear text where protection is required", 4963),
  "svc.started": row("the daemon serves", 5478),
  "svc.stopping": row("the daemon is about to stop"),
  "svc.stopped": row("the daemon stopped", 5479),
  "svc.failed": row("the daemon could not start, or a part of it does not work", 5484),
  "svc.restored": row("SAs of the last run were taken over"),
  "svc.dos-mode": row("protection against floods of first messages began or ended (`state`)", 4646),
  "svc.addresses": row("local addresses changed"),
  "svc.socket": row("a socket could not be opened, read or written", 5480),
  "svc.command": row("somebody asked for something at the control socket"),
  "svc.kernel": row("`ip` or the kernel said something unexpected"),
  "svc.journal": row("the journal that a restart needs can't be kept or read"),
  "svc.names": row("a name in a filter stands for other addresses, or for none"),
  "log.suppressed": row("records about a peer were left out"),
  bug: row("a defect of mainmode: please report it"),
};

const NO_NUMBERS = row("");

/** A record with the numbers of the Windows events that say the same; those that it has already stay. */
export function withWindowsIds(record: LogRecord): LogRecord {
  const { windows, xp } = isNoTrouble(record) ? NO_NUMBERS : (EVENTS[record.event] ?? NO_NUMBERS);
  const winEventId = record.winEventId ?? exactWindows(record) ?? windows;
  const winEventIdXp = record.winEventIdXp ?? exactXp(record) ?? xp;
  if (winEventId === null) return winEventIdXp === null ? record : { winEventIdXp, ...record };
  return winEventIdXp === null ? { winEventId, ...record } : { winEventId, winEventIdXp, ...record };
}

/** Windows' numbers for these say that something failed, or failed altogether; here the same event has good news and small ones, too. */
const isNoTrouble = ({ event, failurePoint, level }: LogRecord): boolean =>
  (event === "svc.socket" && failurePoint === undefined) || (event === "svc.failed" && level !== "error");

const byCertificate = ({ auth, reason }: LogRecord): boolean =>
  auth === "rsa" || auth === "ecdsa" || /^(certificate|crl|signature)-/.test(reason ?? "");

/** Where Windows has a number of its own for a special case. */
function exactWindows(record: LogRecord): number | undefined {
  if (record.event === "ike.established" && byCertificate(record)) return 4651;
  if (record.event === "ike.failed" && byCertificate(record)) return 4652;
  if (record.event === "packet.dropped" && record.exchange === "quick-mode") return 4977;
  return undefined;
}

function exactXp({ event, reason = "" }: LogRecord): number | undefined {
  if (event !== "ike.failed" && event !== "child.failed") return undefined;
  if (/^(certificate|crl)-/.test(reason)) return 544;
  if (reason === "signature-invalid") return 545;
  return reason === "no-proposal-chosen" || reason === "answer-not-offered" ? 546 : undefined;
}

/** Every event of windows-monitor's lists. `ours` is null where nothing here corresponds, and `note` says why. */
export interface WindowsEvent {
  readonly ids: string;
  readonly says: string;
  readonly ours: DaemonEventName | null;
  readonly note: string;
}

const windows = (ids: string, says: string, ours: DaemonEventName | null, note = ""): WindowsEvent => ({ ids, says, ours, note });

export const WINDOWS_EVENTS: readonly WindowsEvent[] = [
  windows("541", "IKE SA established (2000-2003)", "ike.established", "Quick Mode: child.established"),
  windows("542", "Quick Mode SA ended (2000-2003)", "child.closed"),
  windows("543", "Main Mode SA ended (2000-2003)", "ike.closed"),
  windows("544", "certificate trust could not be established (2000-2003)", "ike.failed", "reason certificate-… or crl-…"),
  windows("545", "computer signature invalid (2000-2003)", "ike.failed", "reason signature-invalid"),
  windows("546", "peer's proposal invalid (2000-2003)", "ike.failed", "reason no-proposal-chosen; Quick Mode: child.failed"),
  windows("547", "negotiation failed (2000-2003)", "ike.failed", "Quick Mode: child.failed"),
  windows("279-280", "policy in use (2000/XP, System log)", "policy.loaded"),
  windows("4284", "unsecured packet (2000/XP, driver)", "drop.cleartext"),
  windows("4285", "replayed packet (2000/XP, driver)", "drop.replay"),
  windows("4292", "driver in block mode (2000/XP)", null, "block rules stand in the kernel; `mainmode policy show --specific`"),
  windows("4646", "protection against denial of service began", "svc.dos-mode", "its end, too"),
  windows("4650", "Main Mode SA established", "ike.established"),
  windows("4651", "Main Mode SA established by certificate", "ike.established", "auth rsa or ecdsa"),
  windows("4652", "Main Mode failed, with certificates", "ike.failed"),
  windows("4653", "Main Mode failed", "ike.failed"),
  windows("4654", "Quick Mode failed", "child.failed"),
  windows("4655", "Main Mode SA ended", "ike.closed"),
  windows("4709-4712", "IPsec services started, disabled, failed", "svc.started", "svc.stopped, svc.failed"),
  windows("4960", "inbound packet failed its integrity check", "drop.integrity", "Linux counts it with what could not be decrypted"),
  windows("4961", "inbound packet failed the replay check", "drop.replay"),
  windows("4962", "inbound packet with too low a sequence number", "drop.replay", "Linux has one counter for both"),
  windows("4963", "clear text that should have been secured", "drop.cleartext"),
  windows("4965", "inbound packet with an unknown SPI", "drop.bad-spi"),
  windows("4976", "invalid packet in Main Mode", "packet.dropped", "in a Main Mode under way: ike.failed with goesOn"),
  windows("4977", "invalid packet in Quick Mode", "packet.dropped"),
  windows("4978", "invalid packet in Extended Mode", null, "Extended Mode belongs to AuthIP, which mainmode does not speak"),
  windows("4979-4982", "Main Mode and Extended Mode established", null, "AuthIP"),
  windows("4983-4984", "Extended Mode failed", null, "AuthIP"),
  windows("5040-5042", "authentication set added, modified, deleted", "policy.changed", "methods are part of a rule here"),
  windows("5043-5045", "connection security rule added, modified, deleted", "policy.changed"),
  windows("5046-5048", "crypto set added, modified, deleted", "policy.changed", "proposals are part of a rule here"),
  windows("5049", "an IPsec SA was deleted", "child.closed"),
  windows("5440-5450", "filtering platform objects present or changed", null, "`ip xfrm monitor policy` shows the kernel's"),
  windows("5451", "Quick Mode SA established", "child.established", "a renewal: child.rekeyed"),
  windows("5452", "Quick Mode SA ended", "child.closed"),
  windows("5453", "negotiation failed, IKEEXT is not running", null, "commands end with exit code 69"),
  windows("5456-5459", "policy of Active Directory or its copy applied, failed", null, "policies are files"),
  windows("5460", "local policy applied", "policy.loaded"),
  windows("5461", "local policy could not be applied", "policy.failed"),
  windows("5462", "some rules could not be applied", "policy.warning"),
  windows("5463-5464", "polled for changes", null, "files are read when somebody asks: `mainmode reload`"),
  windows("5465", "forced reload", "policy.reloaded"),
  windows("5466-5468", "Active Directory unreachable, or back", null, "policies are files"),
  windows("5471", "local policy loaded", "policy.loaded"),
  windows("5472", "local policy could not be loaded", "policy.failed"),
  windows("5473-5474", "directory policy loaded, failed", null, "policies are files"),
  windows("5477", "a Quick Mode filter could not be added", "policy.failed", "with the kernel's words"),
  windows("5478", "IPsec services started", "svc.started"),
  windows("5479", "IPsec services stopped", "svc.stopped"),
  windows("5480", "list of interfaces incomplete", "svc.socket"),
  windows("5483", "RPC server could not be started", "svc.failed"),
  windows("5484", "critical failure", "svc.failed"),
  windows("5485", "filters failed on a plug-and-play event", "svc.addresses", "what fails then is a svc.socket or policy.failed"),
];
