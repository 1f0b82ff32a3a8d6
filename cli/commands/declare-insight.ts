/** The words of `trace`, `last-failure` and `report` on the command line. */
import { type Command, InvalidArgumentError } from "commander";

/** Adds the three commands. `control` tells where the daemon listens, `finish` takes the exit code. */
export function addInsight(program: Command, control: () => string, finish: (code: number) => void): void {
  program
    .command("trace")
    .description("follow negotiations message by message, before and after decryption, with the reasons for each decision")
    .option("--peer <address>", "of this peer only")
    .option("--pcap <file>", "also write the messages as they were on the wire")
    .option("--decrypted <file>", "also write them decrypted, as Wireshark's exported PDUs")
    .option("--keys <file>", "also write the keys of IKE, and those of ESP into FILE.esp, for Wireshark; root only, and mind who gets them")
    .option("--for <seconds>", "end after that long", seconds)
    .option("--json", "one JSON object a line")
    .action(async ({ peer, pcap, decrypted, keys, json = false, for: limit }) => {
      const { trace } = await import("./trace.ts");
      finish(await trace({ control: control(), peer, pcap, decrypted, keys, json, seconds: limit }));
    });
  program
    .command("last-failure")
    .description("the last messages and decisions of a failed negotiation")
    .argument("[peer]", "address of the peer; without it the last failure of all")
    .option("--json", "one JSON document")
    .action(async (peer: string | undefined, { json = false }) => {
      const { lastFailure } = await import("./last-failure.ts");
      finish(await lastFailure({ control: control(), peer, json }));
    });
  program
    .command("report")
    .description("one file for a bug report: versions, policy without secrets, SAs, counters, last failures")
    .option("-o, --output <file>", "where it goes; without it stdout")
    .option("--json", "one JSON document")
    .action(async ({ output, json = false }) => {
      const { report } = await import("./report.ts");
      finish(await report({ control: control(), output, json }));
    });
}

function seconds(text: string): number {
  const number = /^\d{1,6}$/.test(text) ? Number(text) : 0;
  if (number < 1 || number > 86_400) throw new InvalidArgumentError("It has to be a number from 1 to 86400.");
  return number;
}
