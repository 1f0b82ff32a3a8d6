/**
 * What open sockets meet, in a kernel with ESP: reload, death and restart of the daemon under `require`, and the turn from clear text to protection
 * under discovery, for connected UDP and an open TCP connection. Judged by a capture of the wire.
 */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Lab, type Side, wait } from "./lab.ts";

const ADDRESS = { us: "192.0.2.1", theirs: "192.0.2.2" } as const;
const TALK = fileURLToPath(new URL("./talk.js", import.meta.url));
const CLEAR = "udp port 7000 or tcp port 7000 or icmp";
/** How often the daemon is reloaded, killed and started, stopped in order and started (`npm run policy -- --rounds N`). */
const ROUNDS = Number(process.env["MAINMODE_ROUNDS"] ?? 1);

const configuration = (lab: Lab, side: Side, rule: string, more = ""): string => `[daemon]
control = "${lab.control(side)}"
runtime-directory = "${lab.folder}/${side}"
[policy]
exempt = []
[policy.main-mode]
proposals = ["aes128-sha256-x25519"]
[policy.quick-mode]
proposals = ["esp:aes128-sha256"]
[[rule]]
name = "flow"
filters = ["me <-> ${ADDRESS[side === "us" ? "theirs" : "us"]}"]
${rule}
auth = [{ method = "psk", secret = "a throwaway key for this test" }]
${more}
`;

/** Both ends talk from now on; what came back, by the protocol it came over. */
async function talk(lab: Lab): Promise<{ readonly heard: { tcp: number[]; udp: number[]; errors: string[] } }> {
  const heard = { tcp: [] as number[], udp: [] as number[], errors: [] as string[] };
  const listener = lab.run("theirs", process.execPath, TALK, "listen", ADDRESS.theirs);
  await firstWord(listener);
  const speaker = lab.run("us", process.execPath, TALK, "speak", ADDRESS.us, ADDRESS.theirs);
  let rest = "";
  speaker.stdout?.on("data", (chunk: Buffer) => {
    const lines = `${rest}${chunk}`.split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const { tcp, udp, error } = JSON.parse(line);
      if (tcp !== undefined) heard.tcp.push(tcp);
      if (udp !== undefined) heard.udp.push(udp);
      if (error !== undefined) heard.errors.push(error);
    }
  });
  return { heard };
}

const firstWord = (child: ChildProcess): Promise<unknown> => new Promise((resolve) => child.stdout?.once("data", resolve));

async function until(what: string, check: () => boolean | Promise<boolean>): Promise<void> {
  assert.ok(await becomes(check), `waited in vain: ${what}`);
}

async function becomes(check: () => boolean | Promise<boolean>): Promise<boolean> {
  for (let i = 0; i < 900; i++) {
    if (await check()) return true;
    await wait(100);
  }
  return false;
}

test("require: reload, death and orderly restart of the daemon under traffic; nothing is ever in clear, and everything is heard", async (t) => {
  const lab = new Lab({ us: [ADDRESS.us], theirs: [ADDRESS.theirs] });
  t.after(() => lab.end());
  await lab.watch();
  const rule = 'action = "require"\nstart = "on-traffic"';
  await lab.start("theirs", configuration(lab, "theirs", rule));
  await lab.start("us", configuration(lab, "us", rule));
  const { heard } = await talk(lab);
  const goesOn = async (what: string): Promise<void> => {
    const [tcp, udp] = [heard.tcp.length, heard.udp.length];
    const went = await becomes(() => heard.tcp.length > tcp + 10 && heard.udp.length > udp + 10);
    // What went in clear is the worse news.
    assert.deepEqual(await lab.lines(CLEAR), [], `in clear on the wire at ${what}`);
    assert.ok(went, `no traffic after ${what}`);
  };
  await goesOn("the first packet");
  const before = await lab.status("us");
  const first = heard.udp.at(-1) ?? 0;
  const block = (round: number): string => `[[rule]]\nname = "more"\naction = "block"\nfilters = ["me <-> 192.0.2.${77 + (round % 2)}"]`;
  for (let round = 0; round < ROUNDS; round++) {
    await lab.reload("us", configuration(lab, "us", rule, block(round)));
    await goesOn("a reload that adds a rule");
    for (const signal of ["SIGKILL", "SIGTERM"] as const) {
      await wait(Math.random() * 200);
      await lab.kill("us", signal);
      await goesOn(`the end of our daemon by ${signal}`);
      await lab.start("us", configuration(lab, "us", rule, block(round)));
      await goesOn("its next start");
    }
  }
  const after = await lab.status("us");
  assert.deepEqual(
    after.ikeSas.map(({ initiatorCookie }) => initiatorCookie),
    before.ikeSas.map(({ initiatorCookie }) => initiatorCookie),
  );
  const last = heard.udp.at(-1) ?? 0;
  const missing = Array.from({ length: last - first }, (_, i) => first + 1 + i).filter((n) => !heard.udp.includes(n));
  assert.deepEqual(missing, [], "datagrams that were lost");
  await lab.reload("us", configuration(lab, "us", `${rule}\nquick-mode = { lifetime = "9m" }`, block(0)));
  await goesOn("a reload that changes what the rule offers");
  await lab.kill("us");
  await lab.kill("theirs");
  await goesOn("the death of both");
  assert.ok((await lab.lines("esp")).length > 100);
  assert.deepEqual(heard.errors, []);
});

test("discovery: a connected UDP socket and an open TCP connection turn from clear text to protection, and never back", async (t) => {
  const lab = new Lab({ us: [ADDRESS.us], theirs: [ADDRESS.theirs] });
  t.after(() => lab.end());
  await lab.watch();
  await lab.start("us", configuration(lab, "us", 'action = "require"\nstart = "on-traffic"\ndiscovery = true\ninbound-clear = true'));
  const { heard } = await talk(lab);
  await until("traffic in clear", () => heard.tcp.length > 20 && heard.udp.length > 20);
  assert.ok((await lab.lines("tcp port 7000")).length > 20);
  await lab.start("theirs", configuration(lab, "theirs", 'action = "respond"'));
  for (const side of ["us", "theirs"] as const)
    await until("an SA", async () => (await lab.status(side)).childSas.some(({ state }) => state === "installed"));
  const from = Date.now() / 1000;
  const [tcp, udp] = [heard.tcp.length, heard.udp.length];
  await until("protected traffic", () => heard.tcp.length > tcp + 40 && heard.udp.length > udp + 40);
  const late = (await lab.lines(CLEAR)).filter((line) => Number(line.split(" ")[0]) > from);
  assert.deepEqual(late, [], "in clear on the wire");
  assert.deepEqual(heard.errors, []);
  assert.deepEqual(
    heard.tcp,
    [...heard.tcp].sort((a, b) => a - b),
  );
});
