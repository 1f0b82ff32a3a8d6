/**
 * What the monitors show besides the SA tables: negotiations in flight. Secret-free, as `view.ts` is.
 */
export interface LiveView {
  readonly negotiations: readonly NegotiationView[];
  readonly rules: readonly RuleView[];
  /** Needs for a child under way, and those that will be tried again. */
  readonly wishes: number;
  readonly retries: number;
  /** Main Modes begun by others that have proved nothing yet. */
  readonly halfOpen: number;
  /** Messages whose fragments are not all here. */
  readonly reassembling: number;
  /** Groups of commands that the kernel has not answered. */
  readonly kernelRequests: number;
}

/** Whether what a rule should have is there. */
export interface RuleView {
  readonly rule: string;
  /** It should have SAs now: it starts by itself, or somebody asked for them. */
  readonly wanted: boolean;
  /** All that it should have stands. A rule that nobody wants anything of is up only while it has SAs. */
  readonly up: boolean;
  /** Pairs that carry traffic. */
  readonly children: number;
}

export interface NegotiationView {
  readonly kind: "main-mode" | "quick-mode";
  /** Of the IKE SA that is being made, or under which the Quick Mode runs. */
  readonly ike: number;
  readonly rule: string;
  readonly peer: string;
  readonly role: "initiator" | "responder";
  /** 16 hex digits. */
  readonly initiatorCookie: string;
  /** 8 hex digits; null for Main Mode. */
  readonly messageId: string | null;
  readonly step: StepView;
  /** Since it began. */
  readonly seconds: number;
  /** How often our last message was sent again. */
  readonly repeats: number;
  /** The last thing that went wrong without ending it. */
  readonly trouble: string | null;
}

/** `message` of `of` is the last one that was sent or came. */
export interface StepView {
  readonly message: number;
  readonly of: number;
  readonly text: string;
}
