/**
 * Where something for this machine's own eyes listens: a loopback address and a port.
 */
import { canonicalAddress } from "../isakmp/address.ts";
import { err, ok, type Result } from "../isakmp/result.ts";

export interface Listen {
  /** 127.0.0.0/8 or ::1, canonical. */
  readonly address: string;
  readonly port: number;
}

/** `127.0.0.1:9500`, `[::1]:9500`, or `localhost:9500`, which is 127.0.0.1. Other addresses are refused: what is shown is not for the network. */
export function parseListen(text: string): Result<Listen, string> {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text.trim());
  const name = match?.[1] ?? match?.[2] ?? "";
  const address = name === "localhost" ? "127.0.0.1" : canonicalAddress(name);
  const port = Number(match?.[3]);
  if (!match || address === undefined || !(port >= 1 && port <= 65_535))
    return err(`${JSON.stringify(text)} is no address with a port, such as "127.0.0.1:9500" or "[::1]:9500"`);
  if (!address.startsWith("127.") && address !== "::1")
    return err(`${address} can be reached from elsewhere; only 127.0.0.0/8 and ::1 are allowed (let a proxy or ssh lead there)`);
  return ok({ address, port });
}
