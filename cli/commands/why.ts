/** `mainmode why`: which rule decides about a packet, and why the others do not. */
import type { Request } from "../../daemon/control-protocol.ts";
import { destroyPolicy } from "../../policy/config.ts";
import { readPacket } from "../../policy/decide.ts";
import { formatProtocol, hasPorts, parseProtocol } from "../../policy/filter.ts";
import { type OwnAddresses, ownAddresses } from "../../policy/own-addresses.ts";
import { type Explanation, explain } from "../../policy/why.ts";
import { ask, type Document } from "../client.ts";
import { EXIT, Failure } from "../exit.ts";
import { duration, safe } from "../format.ts";
import { conclude } from "../report.ts";

export interface WhyOptions {
  readonly control: string;
  /** A configuration file to ask instead of the daemon. */
  readonly config: string | undefined;
  /** Addresses of the host that is meant, with `config`; else what `ownAddresses` finds. */
  readonly local: readonly string[];
  readonly src: string;
  readonly dst: string;
  readonly proto: string | undefined;
  readonly sport: number;
  readonly dport: number;
  readonly json: boolean;
}

/** Resolves with the exit code. */
export async function why(options: WhyOptions): Promise<number> {
  const protocol = parseProtocol(options.proto ?? (options.sport || options.dport ? "tcp" : undefined));
  if (!protocol.ok) throw new Failure(EXIT.usage, protocol.error);
  if ((options.sport || options.dport) && !hasPorts(protocol.value))
    throw new Failure(EXIT.usage, `${formatProtocol(protocol.value)} has no ports`, "--proto tcp, udp or sctp");
  const request: Question = { command: "why", ...pick(options), protocol: protocol.value };
  const explained = options.config === undefined ? await online(options, request) : await offline(options.config, options.local, request);
  if (typeof explained === "number") return explained;
  process.stdout.write(options.json ? `${JSON.stringify(explained, undefined, 2)}\n` : `${text(explained).map(safe).join("\n")}\n`);
  return EXIT.done;
}

type Question = Extract<Request, { command: "why" }>;
type Explained = Explanation &
  Partial<Pick<Extract<Document, { installed: unknown }>, "installed" | "soft" | "guards" | "refused" | "unknown">> & {
    readonly own?: OwnAddresses;
  };

const pick = ({ src, dst, sport, dport }: WhyOptions) => ({ src, dst, sport, dport });

async function online({ control }: WhyOptions, request: Question): Promise<Explained | number> {
  let found: Document | undefined;
  const end = await ask({ path: control, request, onDocument: (document) => (found = document) });
  if (end.exit !== EXIT.done) return conclude(end);
  if (!found || !("verdict" in found))
    throw new Failure(EXIT.failed, "the daemon explained nothing", "are daemon and command of the same version?");
  return found;
}

async function offline(file: string, local: readonly string[], request: Question): Promise<Explained> {
  // Certificates take a while to load; a daemon that is asked has done that.
  const { openConfiguration } = await import("./offline.ts");
  const packet = readPacket(request.src, request.dst, request.protocol, request.sport, request.dport);
  if (typeof packet === "string") throw new Failure(EXIT.usage, packet);
  const { policy, daemon } = openConfiguration(file);
  try {
    const own = ownAddresses(local, daemon.addresses, policy, packet);
    return { ...explain(policy, own.addresses, packet, [daemon.port, daemon.natPort]), own };
  } finally {
    destroyPolicy(policy);
  }
}

const MOST_TOLD = 20;

function text({
  packet,
  direction,
  says,
  rule,
  description,
  filter,
  policy,
  negotiation,
  answer,
  others,
  installed,
  soft,
  guards,
  refused,
  unknown,
  own,
}: Explained): readonly string[] {
  const end = (address: string, port: number) =>
    port === 0 ? address : address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
  const protocol = packet.protocol === 0 ? "" : ` ${formatProtocol(packet.protocol)}`;
  const way = { out: "leaves this host", in: "comes to this host", fwd: "passes through this host" }[direction];
  const lines = [
    `${end(packet.source, packet.sourcePort)} -> ${end(packet.destination, packet.destinationPort)}${protocol} (${way})`,
    `  ${says}`,
    ...(own ? [`  addresses of this host: ${own.addresses.join(", ")} (${own.because})`] : []),
    ...(rule === null ? [] : [`  decided by: rule ${rule}, filter "${filter}"`]),
    ...(description === null ? [] : [`  which is: ${description}`]),
    ...(policy
      ? [
          `  kernel policy: ${policy.direction} ${policy.selector}, ${policy.action}${policy.level ? `, level ${policy.level}` : ""}, priority ${policy.priority}`,
        ]
      : []),
    ...(refused ? [`  the kernel does not have it: ${refused.reason}; ${refused.hint}`] : []),
    ...(unknown
      ? [`  whether the kernel has it is not known, for ${duration(unknown.seconds)} now: ${unknown.reason}; ${unknown.hint}`]
      : []),
    `  its answer: ${VERDICTS[answer.verdict]}${answer.rule === null ? "" : ` (rule ${answer.rule})`}`,
  ];
  if (negotiation) {
    lines.push(
      `  would be negotiated with ${negotiation.peer}, ${negotiation.mode} mode:`,
      `    Main Mode ${negotiation.mainMode.join(", ")}`,
      `    Quick Mode ${negotiation.quickMode.join(", ")}; PFS ${negotiation.pfs}; ${negotiation.lifetimeSeconds} seconds`,
      `    authentication ${negotiation.auth.join(", then ")}`,
      ...negotiation.demands.map((demand) => `    demanded: ${demand}`),
    );
  }
  for (const sa of installed ?? [])
    lines.push(
      `  installed now: child ${sa.id}, ${sa.local} <-> ${sa.remote}, ${sa.state}, SPIs ${sa.protections.map(({ spiIn, spiOut }) => `${spiIn} in and ${spiOut} out`).join(", ")}`,
    );
  for (const each of soft ?? [])
    lines.push(
      `  in clear now: ${each.remote} does not answer, and the rule falls back (soft SA ${each.id}, ${each.local} <-> ${each.remote}, asked again in ${each.secondsLeft} s)`,
    );
  for (const each of guards ?? [])
    lines.push(
      `  kept from the clear now: it was protected, and its last SA has ended (${each.local} <-> ${each.remote}, for ${each.secondsLeft} s more at least)`,
    );
  if (installed?.length === 0 && negotiation) lines.push("  installed now: no SA for it");
  if (others.length > 0) lines.push("Other rules:");
  for (const other of others.slice(0, MOST_TOLD)) lines.push(`  ${other.rule}, "${other.filter}": ${other.because}`);
  if (others.length > MOST_TOLD) lines.push(`  and ${others.length - MOST_TOLD} more filters (--json lists them all)`);
  return lines;
}

const VERDICTS: Readonly<Record<Explanation["verdict"], string>> = {
  clear: "in clear",
  drop: "dropped",
  protect: "only protected",
  "protect-if-possible": "protected or in clear",
  "protect-if-asked": "in clear, or protected if the peer asked",
};
