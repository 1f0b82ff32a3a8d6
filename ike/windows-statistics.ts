/**
 * The statistics of Windows' IP Security Monitor, page by page in its order, and those of Vista and later: which of ours each is.
 */
import type { Labels } from "./statistics-table.ts";

export interface WindowsStatistic {
  readonly page: "main-mode" | "quick-mode" | "filtering-platform";
  /** As the snap-in shows it; on the page of the filtering platform, as its API names it. */
  readonly name: string;
  /** What is added up: all samples of a metric that bear these labels. Empty: nothing here corresponds, since it belongs to AuthIP. */
  readonly of: readonly (readonly [metric: string, where: Labels])[];
}

const row =
  (page: WindowsStatistic["page"]) =>
  (name: string, ...of: readonly (string | readonly [string, Labels])[]): WindowsStatistic => ({
    ...{ page, name },
    of: of.map((each) => (typeof each === "string" ? ([`mainmode_${each}`, {}] as const) : ([`mainmode_${each[0]}`, each[1]] as const))),
  });

const mm = row("main-mode");
const qm = row("quick-mode");
const wfp = row("filtering-platform");

export const WINDOWS_STATISTICS: readonly WindowsStatistic[] = [
  mm("Active Acquire", "acquire_pending"),
  mm("Active Receive", "rx_queue_length"),
  mm("Acquire Failures", "acquire_failures_total"),
  mm("Receive Failures", "socket_receive_failures_total"),
  mm("Send Failures", "socket_send_failures_total"),
  mm("Acquire Heap Size", "acquire_table_size"),
  mm("Receive Heap Size", "rx_buffers"),
  mm("Negotiation Failures", "negotiation_failures_total"),
  mm("Authentication Failures", "authentication_failures_total"),
  mm("Invalid Cookies Received", "invalid_cookies_total"),
  mm("Total Acquire", "acquires_total"),
  mm("Total Get SPI", "kernel_getspi_total"),
  mm("Key Additions", "kernel_sa_add_total"),
  mm("Key Updates", "kernel_sa_update_total"),
  mm("Get SPI Failures", "kernel_getspi_failures_total"),
  mm("Key Addition Failures", "kernel_sa_add_failures_total"),
  mm("Key Update Failures", "kernel_sa_update_failures_total"),
  mm("ISADB List Size", "ike_states"),
  mm("Connection List Size", "child_states"),
  mm("IKE Main Mode", "ike_sa_established_total"),
  mm("IKE Quick Mode", "child_sa_established_total"),
  mm("Soft Associations", "soft_associations_total"),
  mm("Invalid Packets Received", "invalid_packets_total"),
  qm("Active Security Associations", "child_sa_active"),
  qm("Offloaded Security Associations", "child_sa_offloaded"),
  qm("Pending Key Operations", "kernel_requests_pending"),
  qm("Key Additions", "kernel_sa_add_total", "kernel_sa_update_total"),
  qm("Key Deletions", "kernel_sa_delete_total"),
  qm("Rekeys", "child_sa_rekeys_total"),
  qm("Active Tunnels", ["child_sa_active", { mode: "tunnel" }]),
  qm("Bad SPI Packets", ["kernel_drops_total", { reason: "bad_spi" }]),
  qm("Packets Not Decrypted", ["kernel_drops_total", { reason: "auth_or_decrypt" }]),
  qm("Packets Not Authenticated", ["kernel_drops_total", { reason: "auth_or_decrypt" }]),
  qm("Packets With Replay Detection", ["kernel_drops_total", { reason: "replay" }]),
  qm("Confidential Bytes Sent", ["child_confidential_bytes_total", { dir: "out" }]),
  qm("Confidential Bytes Received", ["child_confidential_bytes_total", { dir: "in" }]),
  qm("Authenticated Bytes Sent", ["child_authenticated_bytes_total", { dir: "out" }]),
  qm("Authenticated Bytes Received", ["child_authenticated_bytes_total", { dir: "in" }]),
  qm("Transport Bytes Sent", ["child_bytes_total", { dir: "out", mode: "transport" }]),
  qm("Transport Bytes Received", ["child_bytes_total", { dir: "in", mode: "transport" }]),
  qm("Bytes Sent In Tunnels", ["child_bytes_total", { dir: "out", mode: "tunnel" }]),
  qm("Bytes Received In Tunnels", ["child_bytes_total", { dir: "in", mode: "tunnel" }]),
  qm("Offloaded Bytes Sent", ["child_offloaded_bytes_total", { dir: "out" }]),
  qm("Offloaded Bytes Received", ["child_offloaded_bytes_total", { dir: "in" }]),
  wfp("currentActiveMainModes", "ike_sa_active"),
  wfp("totalMainModesStarted", "ike_negotiations_started_total"),
  wfp("totalSuccessfulMainModes", "ike_sa_established_total"),
  wfp("totalFailedMainModes", ["negotiation_failures_total", { mode: "main" }]),
  wfp("totalResponderMainModes", ["ike_negotiations_started_total", { role: "responder" }]),
  wfp("currentNewResponderMainModes", "ike_half_open_responder"),
  wfp("currentActiveQuickModes", "child_sa_active"),
  wfp("totalQuickModesStarted", "child_negotiations_started_total"),
  wfp("totalSuccessfulQuickModes", "child_sa_established_total"),
  wfp("totalFailedQuickModes", ["negotiation_failures_total", { mode: "quick" }]),
  wfp("totalAcquires", "acquires_total"),
  wfp("totalReinitAcquires", ["acquires_total", { by: "renewal" }]),
  wfp("currentActiveExtendedModes"),
  wfp("totalExtendedModesStarted"),
  wfp("totalExtendedModesSuccessful"),
  wfp("totalExtendedModesFailed"),
  wfp("totalImpersonationExtendedModes"),
  wfp("totalImpersonationMainModes"),
  wfp("totalSocketReceiveFailures", "socket_receive_failures_total"),
  wfp("totalSocketSendFailures", "socket_send_failures_total"),
  wfp("invalidSpisOnInbound", ["kernel_drops_total", { reason: "bad_spi" }]),
  wfp("decryptionFailuresOnInbound", ["kernel_drops_total", { reason: "auth_or_decrypt" }]),
  wfp("authenticationFailuresOnInbound", ["kernel_drops_total", { reason: "auth_or_decrypt" }]),
  wfp("udpEspValidationFailuresOnInbound", ["kernel_drops_total", { reason: "encapsulation" }]),
  wfp("replayCheckFailuresOnInbound", ["kernel_drops_total", { reason: "replay" }]),
  wfp("invalidClearTextInbound", ["kernel_drops_total", { reason: "cleartext" }]),
  wfp("saNotInitializedOnInbound", ["kernel_drops_total", { reason: "expired" }]),
  wfp("receiveOverIncorrectSaInbound", ["xfrm_stat", { name: "XfrmInTmplMismatch" }]),
  wfp("secureReceivesNotMatchingFilters", ["xfrm_stat", { name: "XfrmInNoPols" }]),
];
