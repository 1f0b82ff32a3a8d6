import assert from "node:assert/strict";
import { request } from "node:http";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { ask, type Stats } from "../../cli/client.ts";
import { isOwnHost, serveMetrics } from "../../daemon/metrics-server.ts";
import { prometheusText } from "../../daemon/stats-document.ts";
import { configuration, freePort, scratch, startHost, startPair } from "./pair.ts";

/** Status and body of one request. */
const get = (port: number, path = "/metrics", headers: Record<string, string> = {}, method = "GET"): Promise<readonly [number, string]> =>
  new Promise((resolve, reject) => {
    const asking = request({ host: "127.0.0.1", port, path, headers, method }, (response) => {
      let body = "";
      response.on("data", (chunk) => (body += chunk));
      response.on("end", () => resolve([response.statusCode ?? 0, body]));
    });
    asking.on("error", reject);
    asking.end();
  });

async function serve(t: TestContext): Promise<number> {
  const served = await serveMetrics({ address: "127.0.0.1", port: 0 }, async () => "mainmode_x 1\n");
  assert.ok(served.ok);
  t.after(() => served.value.close());
  return served.value.port;
}

test("statistics are served at /metrics, and nothing else is served", async (t) => {
  const port = await serve(t);
  assert.deepEqual(await get(port), [200, "mainmode_x 1\n"]);
  assert.deepEqual(await get(port, "/metrics", {}, "HEAD"), [200, ""]);
  assert.equal((await get(port, "/"))[0], 404);
  assert.equal((await get(port, "/metrics", {}, "POST"))[0], 405);
});

test("a name that a page of the net points at this machine is refused", async (t) => {
  const port = await serve(t);
  assert.equal((await get(port, "/metrics", { host: "evil.example.test:9500" }))[0], 403);
  for (const host of ["localhost:1", "127.0.0.1", "[::1]:9500", "127.8.8.8:80"]) assert.ok(isOwnHost(host), host);
  for (const host of [undefined, "", "10.0.0.1", "localhost.example.test", "127.0.0.1.example.test"]) assert.equal(isOwnHost(host), false);
});

test("a port that is taken is an error in words, and no end of the daemon", async (t) => {
  const port = await serve(t);
  const second = await serveMetrics({ address: "127.0.0.1", port }, async () => "");
  assert.ok(!second.ok && second.error.includes("EADDRINUSE"));
});

test("labels are escaped as the text format wants it, and what is not to be had is left out", () => {
  const text = prometheusText({
    metrics: [
      { name: "mainmode_a", type: "gauge", help: "A\\B\nC.", samples: [{ labels: { rule: 'a "b"\\\n' }, value: 1 }] },
      { name: "mainmode_b", type: "counter", help: "B.", samples: null },
      { name: "mainmode_c_total", type: "counter", help: "C.", samples: [{ labels: {}, value: 2 }] },
    ],
  });
  assert.equal(
    text,
    '# HELP mainmode_a A\\\\B C.\n# TYPE mainmode_a gauge\nmainmode_a{rule="a \\"b\\"\\\\\\n"} 1\n' +
      "# HELP mainmode_c_total C.\n# TYPE mainmode_c_total counter\nmainmode_c_total 2\n",
  );
});

/** What a parser of the text format takes: comments, and names with labels and a number; each name is declared before it is used. */
function parseMetrics(text: string): ReadonlyMap<string, number> {
  const declared = new Set<string>();
  const values = new Map<string, number>();
  for (const line of text.trimEnd().split("\n")) {
    const type = /^# TYPE (\S+) (counter|gauge)$/.exec(line);
    if (type) declared.add(type[1] as string);
    if (line.startsWith("#")) continue;
    const sample = /^([a-z_]+)((?:\{(?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)+\})?) (-?[0-9.e+]+)$/.exec(line);
    assert.ok(sample && declared.has(sample[1] as string), line);
    assert.equal(values.has(`${sample[1]}${sample[2]}`), false, line);
    values.set(`${sample[1]}${sample[2]}`, Number(sample[3]));
  }
  return values;
}

test("a daemon serves its own figures: by HTTP, by `stats`, and under Windows' names the same", async (t) => {
  const { a } = await startPair(t);
  const { exit } = await ask({ path: a.daemon.controlPath, request: { command: "initiate", rule: "peer", wait: 20 } });
  assert.equal(exit, 0);
  let stats: Stats | undefined;
  const lines: string[] = [];
  await ask({ path: a.daemon.controlPath, request: { command: "stats", form: "document" }, onStats: (found) => (stats = found) });
  await ask({ path: a.daemon.controlPath, request: { command: "stats", form: "prometheus" }, onLine: (line) => lines.push(line) });
  const values = parseMetrics(lines.join("\n"));
  assert.equal(values.get('mainmode_ike_sa_established_total{role="initiator",family="4",auth="psk"}'), 1);
  assert.deepEqual([values.get('mainmode_rule_up{rule="peer"}'), values.get('mainmode_child_sa_active{mode="transport"}')], [1, 1]);
  const windows = (name: string) => stats?.windows.find((each) => each.name === name)?.value;
  assert.deepEqual(
    ["IKE Main Mode", "IKE Quick Mode", "Key Updates", "Active Security Associations", "Negotiation Failures"].map(windows),
    [1, 1, 1, 1, 0],
  );
});

test("[metrics] listen opens the endpoint, and a daemon whose port is taken serves IKE all the same", async (t) => {
  const [folder, port, metrics] = [scratch(t), await freePort(["127.0.0.2"]), await freePort(["127.0.0.1"])];
  const text = (ike: number) => `${configuration("127.0.0.2", "127.0.0.3", ike, ike + 1)}\n[metrics]\nlisten = "127.0.0.1:${metrics}"\n`;
  const { daemon } = await startHost(t, text(port), join(folder, "a.sock"));
  const [status, body] = await get(metrics);
  assert.equal(status, 200);
  assert.ok(parseMetrics(body).get("mainmode_start_time_seconds"));
  const second = await startHost(t, text(await freePort(["127.0.0.2"])), join(folder, "b.sock"));
  assert.ok(second.records.some(({ event, reason }) => event === "svc.failed" && reason === "no-metrics"));
  await daemon.stop();
  await assert.rejects(get(metrics));
});
