/**
 * The kernel adapter against a real kernel with ESP and AH, as root, in namespaces of its own.
 * Meant for demo/uml-run; works on any machine whose kernel has both.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { KernelCommand, KernelEvent, KernelPolicy, KernelSa, KernelSelector } from "../../ike/kernel-contract.ts";
import { iproute2Kernel } from "../../kernel/iproute2.ts";
import { memoryKernel } from "../../kernel/memory.ts";
import type { Kernel } from "../../kernel/port.ts";
import { policyName, saName } from "../../kernel/xfrm-args.ts";
import { espSa, everySuite, keyOf, policyOf, selectorOf } from "../kernel/fixtures.ts";

const run = (command: string): string => execFileSync("/bin/sh", ["-c", command], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
const [A4, B4, A6, B6] = ["10.77.0.1", "10.77.0.2", "fd77::1", "fd77::2"];
const diagnostics: string[] = [];
const events: KernelEvent[] = [];
let a: Kernel;
let b: Kernel;

/** An adapter that works in a namespace: its `ip` is one that goes there first. */
function kernelIn(namespace: string): Kernel {
  const path = join(mkdtempSync(join(tmpdir(), "ip-")), "ip");
  writeFileSync(path, `#!/bin/sh\nexec ip -n ${namespace} "$@"\n`);
  chmodSync(path, 0o755);
  return iproute2Kernel({ ip: path, onDiagnostic: (text) => diagnostics.push(`${namespace}: ${text}`) });
}

before(() => {
  run("ip netns add mma; ip netns add mmb; ip link add va netns mma type veth peer name vb netns mmb");
  for (const [ns, dev, v4, v6] of [
    ["mma", "va", A4, A6],
    ["mmb", "vb", B4, B6],
  ]) {
    run(`ip -n ${ns} addr add ${v4}/24 dev ${dev}; ip -n ${ns} addr add ${v6}/64 dev ${dev} nodad`);
    run(`ip -n ${ns} link set lo up; ip -n ${ns} link set ${dev} up`);
  }
  [a, b] = [kernelIn("mma"), kernelIn("mmb")];
  a.listen((event) => events.push(event));
});

after(async () => {
  await Promise.all([a.close(), b.close()]);
  run("ip netns del mma; ip netns del mmb");
});

const clean = (): void => {
  for (const ns of ["mma", "mmb"]) run(`ip -n ${ns} xfrm state flush; ip -n ${ns} xfrm policy flush`);
};
const must = async (kernel: Kernel, ...commands: readonly KernelCommand[]) => {
  const result = await kernel.run(commands);
  assert.ok(result.ok, JSON.stringify(result));
  return result.value;
};
const add = (sa: KernelSa): KernelCommand => ({ do: "add-sa", sa });
const until = async (what: string, condition: () => boolean): Promise<void> => {
  for (let i = 0; !condition(); i++) {
    assert.ok(i < 3000, `${what} did not come`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
};

test("every algorithm is installed, read and removed, in both modes and families", async () => {
  const families = [
    { source: A4, destination: B4 },
    { source: A6, destination: B6 },
  ];
  let spi = 0x1000;
  for (const ends of families) {
    for (const mode of ["transport", "tunnel"] as const) {
      const sas = everySuite.map(({ sa }) => ({ ...sa(), ...ends, mode, spi: spi++ }));
      await must(a, ...sas.map(add));
      const counters = await must(a, ...sas.map((sa): KernelCommand => ({ do: "read-sa", sa })));
      assert.equal(counters.length, everySuite.length);
      assert.equal((await a.counters()).size, sas.length);
      await must(a, ...sas.map((sa): KernelCommand => ({ do: "remove-sa", sa })));
    }
  }
  assert.match(run("ip -n mma xfrm state count"), /count 0/);
});

test("the kernel truncates as the table says and has no flag but that of AH on IPv4, no mark and no direction of ours", async () => {
  await must(a, ...everySuite.map(({ sa }, i) => add({ ...sa(), source: A4, destination: B4, spi: 0x2000 + i })));
  const text = run("ip -n mma xfrm state");
  for (const [name, bits] of Object.entries({ md5: 96, sha1: 96, sha256: 128, sha384: 192, sha512: 256 })) {
    assert.match(text, new RegExp(`auth-trunc hmac\\(${name}\\) 0x(5a)+ ${bits}\n`));
  }
  for (const sa of text.split(/^(?=src )/m)) {
    assert.equal(/ flag align4$/m.test(sa), /\tproto ah /.test(sa), sa);
    assert.doesNotMatch(sa.replace(" flag align4", ""), /\b(flag|mark|if_id|dir|offload|encap) /);
  }
  clean();
});

test("limits, window and selector of an SA arrive in the kernel", async () => {
  const limits = {
    softSeconds: 3000,
    hardSeconds: 3600,
    softPackets: 3_300_000_000,
    hardPackets: 2 ** 32 - 1,
    softOctets: 80_000_000,
    hardOctets: 2 ** 40,
  };
  const selector = selectorOf({ source: A4, destination: B4, protocol: 6, sourcePort: 1, destinationPort: 445 });
  await must(a, add(espSa({ source: A4, destination: B4, limits, selector, replayWindow: 32 })));
  const text = run("ip -n mma -s xfrm state");
  assert.match(text, /replay-window 32 /);
  assert.match(text, /sel src 10\.77\.0\.1\/32 dst 10\.77\.0\.2\/32 proto tcp sport 1 dport 445 /);
  assert.match(text, /limit: soft 80000000\(bytes\), hard 1099511627776\(bytes\)/);
  assert.match(text, /limit: soft 3300000000\(packets\), hard 4294967295\(packets\)/);
  assert.match(text, /expire add: soft 3000\(sec\), hard 3600\(sec\)/);
  clean();
});

const v6: Partial<KernelSelector> = { source: "fd77::", sourceLength: 64, destination: "::", destinationLength: 0 };
const [esp] = policyOf().templates;
assert.ok(esp);
const tunnel = { ...esp, mode: "tunnel", source: A4, destination: B4 } as const;
const policies: readonly Partial<KernelPolicy>[] = [
  {},
  { direction: "in" },
  { direction: "in", templates: [{ ...esp, level: "use" }], selector: selectorOf({ protocol: 6 }) },
  { selector: selectorOf({ protocol: 6, destinationPort: 80 }) },
  { selector: selectorOf({ protocol: 17, sourcePort: 53 }), action: "block", templates: [] },
  { selector: selectorOf({ protocol: 1, sourcePort: 8 }), templates: [] },
  { selector: selectorOf({ protocol: 47 }) },
  { selector: selectorOf({ source: "10.0.0.0", sourceLength: 8, destination: "0.0.0.0", destinationLength: 0 }), templates: [tunnel] },
  { selector: selectorOf({ source: "10.0.0.0", sourceLength: 8 }), templates: [tunnel], direction: "fwd" },
  { selector: selectorOf({ destinationLength: 24, destination: "192.0.2.0" }), templates: [esp, { ...esp, protocol: "ah" }] },
  { selector: selectorOf(v6) },
  { selector: selectorOf({ ...v6, protocol: 58, sourcePort: 128 }), direction: "in" },
  { selector: selectorOf(v6), templates: [{ ...tunnel, source: A6, destination: B6 }], direction: "fwd" },
  { selector: selectorOf({ ...v6, protocol: 6 }), templates: [tunnel] },
];

test("policies of every shape are added once, refused twice, replaced and removed, families mixed in one group", async () => {
  const all = policies.map(policyOf);
  await must(a, ...all.map((policy): KernelCommand => ({ do: "add-policy", policy })));
  assert.match(run("ip -n mma xfrm policy count"), /IN {2}3 OUT 9 FWD 2/);
  for (const policy of all) {
    const again = await a.run([{ do: "add-policy", policy: { ...policy, priority: 1 } }]);
    assert.ok(!again.ok && again.error.exists, JSON.stringify(again));
  }
  await must(a, ...all.map((policy): KernelCommand => ({ do: "update-policy", policy: { ...policy, priority: 7 } })));
  assert.equal(run("ip -n mma xfrm policy").match(/priority 7 /g)?.length, all.length);
  const removals = all.map((policy): KernelCommand => ({ do: "remove-policy", policy }));
  await must(a, ...removals);
  await must(a, ...removals.slice(0, 3));
  assert.match(run("ip -n mma xfrm policy count"), /IN {2}0 OUT 0 FWD 0/);
});

test("the kernel's list tells our policies of every shape from those of others, also once they were replaced", async () => {
  const all = policies.map(policyOf);
  run("ip -n mma xfrm policy add src 10.9.0.0/16 dst 10.8.0.0/16 dir out priority 7");
  await must(a, ...all.map((policy): KernelCommand => ({ do: "add-policy", policy: { ...policy, priority: 9 } })));
  await must(a, ...all.map((policy): KernelCommand => ({ do: "update-policy", policy: { ...policy, priority: 7 } })));
  const named = (list: readonly KernelPolicy[]): readonly string[] => list.map(policyName).sort();
  const { policies: listed } = await a.list();
  assert.deepEqual(named(listed.filter(({ ours }) => ours)), named(all));
  assert.deepEqual(named(listed.filter(({ ours }) => !ours)), ["out 10.9.0.0/16 10.8.0.0/16 0 0 0"]);
  assert.ok(listed.every(({ priority }) => priority === 7));
  clean();
});

const sa = espSa({ source: A4, destination: B4 });
const refused: readonly (readonly KernelCommand[])[] = [
  [add(sa), add(sa)],
  [add(sa), add({ ...sa, source: "10.77.0.9", reqid: 5 })],
  [{ do: "read-sa", sa }],
  [{ do: "remove-sa", sa }],
  [{ do: "remove-policy", policy: policyOf() }],
  [add({ ...sa, encryption: { name: "cbc(nothing)", key: keyOf(16) } })],
  [add({ ...sa, integrity: { name: "nothing", key: keyOf(16), truncateBits: 96 } })],
  [add({ ...sa, encryption: null, integrity: null, aead: { name: "nothing", key: keyOf(20), icvBits: 128 } })],
  [add({ ...sa, encryption: { name: "cbc(aes)", key: keyOf(17) } })],
  [add({ ...sa, encryption: null })],
  [add({ ...sa, protocol: "ah" })],
  [add({ ...sa, protocol: "ah", integrity: null, encryption: null })],
  [{ do: "add-policy", policy: policyOf({ templates: Array.from({ length: 7 }, () => esp) }) }],
  [{ do: "add-policy", policy: policyOf({ templates: [{ ...tunnel, level: "use" }] }) }],
  [{ do: "add-policy", policy: policyOf({ selector: selectorOf({ sourceLength: 33 }) }) }],
];
test("the kernel in memory accepts and refuses what the real one does", async (t) => {
  for (const group of refused) {
    const [real, memory] = [await a.run(group), await memoryKernel().run(group)];
    const [x, y] = [real, memory].map((r) => (r.ok ? r : { index: r.error.index, exists: r.error.exists, command: r.error.command }));
    assert.deepEqual(x, y, JSON.stringify([real, memory]));
    if (!real.ok && !memory.ok && real.error.reason !== memory.error.reason) {
      t.diagnostic(`in other words: "${real.error.reason}" for "${memory.error.reason}"`);
    }
    clean();
  }
});

/** SAs of both directions at both ends, with policies that require them. */
async function protect(
  ends: readonly [string, string],
  sas: (from: string, to: string) => readonly KernelSa[],
  policy: Partial<KernelPolicy>,
) {
  const [left, right] = ends;
  const both = [...sas(left, right), ...sas(right, left)];
  const rule = (from: string, to: string, direction: "in" | "out"): KernelCommand => {
    const length = from.includes(":") ? 128 : 32;
    const selector = selectorOf({ source: from, destination: to, sourceLength: length, destinationLength: length });
    const templates = (policy.templates ?? [esp as KernelPolicy["templates"][0]]).map((t) =>
      t.mode === "tunnel" ? { ...t, source: from, destination: to } : t,
    );
    return { do: "add-policy", policy: policyOf({ ...policy, selector, direction, templates }) };
  };
  await must(a, ...both.map(add), rule(left, right, "out"), rule(right, left, "in"));
  await must(b, ...both.map(add), rule(right, left, "out"), rule(left, right, "in"));
  return both;
}

const bundle = { templates: [esp, { ...esp, protocol: "ah" as const }] };
const traffic: readonly (readonly [
  string,
  readonly [string, string],
  (from: string, to: string) => readonly KernelSa[],
  Partial<KernelPolicy>,
  number,
])[] = [
  ["ESP transport", [A4, B4], (source, destination) => [espSa({ source, destination, replayWindow: 32 })], {}, 308],
  ["ESP transport over IPv6", [A6, B6], (source, destination) => [espSa({ source, destination })], {}, 308],
  ["ESP tunnel", [A4, B4], (source, destination) => [espSa({ source, destination, mode: "tunnel" })], { templates: [tunnel] }, 328],
  [
    "AH over ESP",
    [A4, B4],
    (source, destination) => [espSa({ source, destination }), espSa({ source, destination, protocol: "ah", encryption: null })],
    bundle,
    308,
  ],
];
for (const [name, ends, sas, policy, octets] of traffic) {
  test(`three pings pass through ${name}, counted on the SAs of both ends`, async () => {
    const both = await protect(ends, sas, policy);
    run(`ip netns exec mma ping -c 3 -i 0.1 -W 5 -s 300 ${ends[1]}`);
    for (const kernel of [a, b]) {
      const read = await must(kernel, ...both.map((s): KernelCommand => ({ do: "read-sa", sa: s })));
      const [first] = read;
      assert.ok(first && first.packets === 3, JSON.stringify(read));
      assert.equal(first.octets, 3 * octets);
      const all = await kernel.counters();
      for (const [i, s] of both.entries()) assert.deepEqual(all.get(saName(s)), read[i]);
    }
    clean();
  });
}

test("a packet without an SA raises an acquire with the reqid of its policy", async () => {
  events.length = 0;
  const selector = selectorOf({ source: A4, destination: B4, protocol: 17, destinationPort: 9 });
  await must(a, { do: "add-policy", policy: policyOf({ selector }) });
  run(`ip netns exec mma bash -c 'echo x >/dev/udp/${B4}/9' || true`);
  // That the policies of the test before are gone may be told late.
  const acquires = () => events.flatMap((event) => (event.type === "acquire" ? [event] : []));
  await until("an acquire", () => acquires().length > 0);
  const [{ sourcePort, ...rest } = { sourcePort: 0 }] = acquires();
  assert.ok(sourcePort > 0);
  assert.deepEqual(rest, {
    ...{ type: "acquire", protocol: "esp", reqid: 0x6d6d0001, source: A4, destination: B4, ipProtocol: 17, destinationPort: 9 },
  });
  clean();
});

const never = espSa().limits;
for (const [what, limits] of [
  ["byte", { ...never, softOctets: 1000, hardOctets: 4000 }],
  ["packet", { ...never, softPackets: 2, hardPackets: 6 }],
] as const)
  test(`${what} limits tell soft before hard, and the SA is gone after hard`, async () => {
    events.length = 0;
    const [left] = await protect([A4, B4], (source, destination) => [espSa({ source, destination, limits })], {});
    run(`ip netns exec mma ping -c 12 -i 0.1 -W 1 -s 600 ${B4} || true`);
    await until("a hard expiry", () => events.some((event) => event.type === "expire" && event.hard));
    const expiries = events.flatMap((event) =>
      event.type === "expire" && saName(event.sa) === saName(left as KernelSa) ? [event.hard] : [],
    );
    assert.deepEqual(expiries, [false, true]);
    assert.equal((await a.run([{ do: "read-sa", sa: left as KernelSa }])).ok, false);
    await must(a, { do: "remove-sa", sa: left as KernelSa });
    clean();
  });

test("a hard time limit tells and removes, and removing after it counts as done", async () => {
  events.length = 0;
  const limits = { softSeconds: 1, hardSeconds: 3, softPackets: null, hardPackets: null, softOctets: null, hardOctets: null };
  await must(a, add({ ...sa, limits }));
  await until("a hard expiry", () => events.some((event) => event.type === "expire" && event.hard));
  const { source, destination, protocol, spi, reqid } = sa;
  assert.deepEqual(events.at(-1), { type: "expire", hard: true, sa: { source, destination, protocol, spi }, reqid });
  await must(a, { do: "remove-sa", sa }, add(sa), { do: "remove-sa", sa });
});

test("a thousand lines in groups of four are carried out", async (t) => {
  const groups = Array.from({ length: 250 }, (_, i): readonly KernelCommand[] => {
    const one = { ...sa, spi: 0x10000 + i };
    const selector = selectorOf({ source: A4, destination: `10.78.0.${i}` });
    return [
      add(one),
      add({ ...one, spi: 0x20000 + i }),
      ...(["in", "out"] as const).map((direction): KernelCommand => ({ do: "add-policy", policy: policyOf({ selector, direction }) })),
    ];
  });
  const [started, cpu] = [performance.now(), process.cpuUsage()];
  const results = await Promise.all(groups.map((group) => a.run(group)));
  const [ms, { user, system }] = [performance.now() - started, process.cpuUsage(cpu)];
  assert.ok(results.every((result) => result.ok));
  t.diagnostic(`${Math.round(1_000_000 / ms)} lines/s, ${Math.round((user + system) / 1000)} us CPU of Node per line`);
  clean();
});

test("nothing was said that nobody asked for", () => assert.deepEqual(diagnostics, []));
