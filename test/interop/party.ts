/**
 * An IKE daemon on one of the two hosts, whoever wrote it. All scenarios of a guest are configured at once.
 */
import type { StatsDocument } from "../../daemon/control-protocol.ts";
import type { StatusDocument } from "../../sa-store/view.ts";
import type { Side } from "./network.ts";
import { subjectOf } from "./pki.ts";
import type { End, PeerKind, Placed } from "./scenario.ts";
import type { Shell } from "./shell.ts";

export interface Party {
  readonly kind: PeerKind;
  /** Starts the daemon and loads the configuration of all scenarios. */
  start(): Promise<void>;
  /** Negotiates everything the scenario protects. Ends when it stands, failed, or took too long. */
  initiate(scenario: Placed): Promise<Attempt>;
  /** Deletes all SAs of the scenario. */
  terminate(scenario: Placed): Promise<void>;
  /** Whether the daemon still lists an established SA of the scenario. */
  lists(scenario: Placed): Promise<boolean>;
  /** Ends the daemon. */
  stop(): Promise<void>;
  /** Its process, where it runs. */
  pid(): number | undefined;
  /** What only mainmode can say of itself. */
  readonly ourselves?: Ourselves;
}

export interface Ourselves {
  /** `status --json`. */
  status(): Promise<StatusDocument>;
  /** `stats --json`. */
  stats(): Promise<StatsDocument>;
  /** Everything that its log and its commands have said. */
  shown(): string;
  /** The reasons for failure that the log gives for the scenario. */
  reasons(scenario: Placed): readonly string[];
}

export interface Attempt {
  readonly ok: boolean;
  /** The exit code of the command. */
  readonly status: number | null;
  readonly text: string;
}

/** Seconds of silence after which a peer is asked whether it lives, where lives are given. */
export const dpdOf = ({ quickModeSeconds }: Lives): number => Math.max(5, Math.round(quickModeSeconds / 6));

/** Limits of SAs, where they are not the daemons' own. */
export interface Lives {
  readonly mainModeSeconds: number;
  readonly quickModeSeconds: number;
  readonly octets: number;
}

export interface PartyOptions {
  readonly side: Side;
  readonly placed: readonly Placed[];
  readonly run: Shell;
  /** For logs and configuration; written to by root only, survives the guest. */
  readonly directory: string;
  /** Where the certificates are. */
  readonly pki: string;
  readonly lives?: Lives;
}

/** The two ends as this side sees them. */
export const endsOf = (side: Side, scenario: Placed): { readonly own: End; readonly other: End } =>
  side === "us" ? { own: scenario.us, other: scenario.theirs } : { own: scenario.theirs, other: scenario.us };

/** What this side is configured with. The peer's side may differ, which is what some scenarios are about. */
export function configured(side: Side, scenario: Placed) {
  const differs = side === "theirs" ? scenario.differs : null;
  const initiates = (side === "us") === (scenario.role === "initiator");
  return {
    ike: differs === "phase1" ? OTHER_IKE : scenario.ike,
    protect: differs === "phase2" ? OTHER_PROTECT : scenario.protect,
    secret: differs === "psk" ? OTHER_SECRET : SECRET,
    /** What this side proves itself with; null: the pre-shared key alone. */
    certificates: scenario.certificates?.fallback && side === "theirs" ? null : scenario.certificates,
    /** Whom it wants on the other side. */
    otherSubject: subjectOf(`${scenario.name}-${side === "theirs" ? "us" : scenario.differs === "identity" ? "nobody" : "theirs"}`),
    onTraffic: initiates && scenario.trigger === "traffic",
    /** As many flows as the scenario has, in its order. */
    flows: endsOf(side, scenario).own.flows.map((own, index) => {
      const other = endsOf(side, scenario).other.flows[index];
      if (!other) throw new Error("both ends have the same flows");
      return { own: differs === "selectors" ? otherNet(own.net) : own.net, other: other.net };
    }),
  };
}

export const childName = (scenario: Placed, flow: number): string => `${scenario.name}-${flow}`;

export const SECRET = "correct horse battery staple";
export const OTHER_SECRET = "incorrect horse battery staple";
const OTHER_IKE = "aes256-sha256-modp1536";
const OTHER_PROTECT = "esp:aes256-sha256";

/** A subnet beside the one that the other side knows. */
const otherNet = (net: string): string => net.replace("203.0.113.", "198.18.0.");
