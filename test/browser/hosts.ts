/**
 * Two daemons on loopback with the web monitor on one of them, for a browser to look at: a rule that works, and one on which the ends disagree.
 */

import { createServer } from "node:net";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { ask } from "../../cli/client.ts";
import { freePort, type Host, PSK, scratch, startHost } from "../daemon/pair.ts";

export interface Watched {
  readonly a: Host;
  readonly b: Host;
  /** Where the monitor of `a` is. */
  readonly url: string;
  /** Negotiates a rule of `a`; the exit code. */
  initiate(rule: string): Promise<number>;
  /** Starts `a` anew, once it was stopped. */
  restart(): Promise<Host>;
}

const ENDS = ["127.0.0.2", "127.0.0.3"] as const;

/** Starts both; they are stopped after the test. */
export async function startWatched(t: TestContext): Promise<Watched> {
  const folder = scratch(t);
  const [port, natPort, web] = [await freePort(ENDS), await freePort(ENDS), await freeTcpPort()];
  const text = `${configuration(ENDS[0], ENDS[1], port, natPort, "aes256-sha256")}[web]\nlisten = "127.0.0.1:${web}"\n`;
  const start = (): Promise<Host> => startHost(t, text, join(folder, "a.sock"));
  const a = await start();
  const b = await startHost(t, configuration(ENDS[1], ENDS[0], port, natPort, "aes128-sha1"), join(folder, "b.sock"));
  const initiate = async (rule: string): Promise<number> =>
    (await ask({ path: a.daemon.controlPath, request: { command: "initiate", rule, wait: 3 } })).exit;
  return { a, b, url: `http://127.0.0.1:${web}/`, initiate, restart: start };
}

/** Rule "database" differs between the two in what protects it; its name tries to be markup. */
const configuration = (local: string, remote: string, port: number, natPort: number, database: string): string => `
[daemon]
addresses = ["${local}"]
port = ${port}
nat-port = ${natPort}
[policy]
name = "Server isolation"
[policy.main-mode]
proposals = ["aes256-sha256-ecp256", "aes128-sha1-modp2048"]
[policy.quick-mode]
proposals = ["esp:aes128-sha1"]
pfs = "none"
[[rule]]
name = "intranet"
filters = ["${local} <-> ${remote}"]
action = "require"
auth = [{ method = "psk", secret = "${PSK}" }]
[[rule]]
name = "${MARKUP}"
filters = ["${local === ENDS[0] ? `${local} <-> ${remote}:1433` : `${local}:1433 <-> ${remote}`} tcp"]
action = "require"
auth = [{ method = "psk", secret = "${PSK}" }]
quick-mode = { proposals = ["esp:${database}"] }
`;

/** Markup, were it not escaped. */
export const MARKUP = "<img src=x onerror=document.title=1>";

async function freeTcpPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === "object" && address ? address.port : 0;
}
