/**
 * The guides of docs/ as somebody would follow them: every command that they show is run, in a guest with ESP, and says what the guide says it does.
 * A host is a network namespace with an /etc and a /run of its own. Where a guide calls systemd or copies a file to the other host, a small script
 * stands in; the real systemd has its turn in debian13.packages.ts. With MAINMODE_RECORD=1 outputs are written into the guides.
 */
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { secretsIn, whatWasLeft } from "../secrets-scan.ts";
import { alike, type Command, type File, stepsOf } from "./guides.ts";
import { ROOT, run } from "./shell.ts";

/** Guides that build on each other stand in one group; a group has fresh hosts, and each guide in it daemons without any SA. */
interface Group {
  readonly pages: readonly string[];
  readonly a: string;
  readonly b: string;
  /** Addresses behind the hosts. */
  readonly more: string;
}

const GROUPS: readonly Group[] = [
  { pages: ["quick-start", "troubleshooting", "installing"], a: "192.0.2.1", b: "192.0.2.2", more: "" },
  {
    pages: ["site-to-site"],
    a: "198.51.100.1",
    b: "203.0.113.9",
    more: "ip -n a addr add 10.1.0.1/16 dev lo; ip -n b addr add 10.2.0.1/16 dev lo",
  },
];

const lab = join(ROOT, ".lab/guides");
const said = new Map<string, readonly string[]>();
const pageAt = (page: string): string => join(ROOT, "docs", `${page}.md`);
const read = (page: string): string => readFileSync(pageAt(page), "utf8");
const keyOf = (page: string, { line }: Command, host: string): string => `${page}:${line}:${host}`;

after(() => rmSync(lab, { recursive: true, force: true }));

test("what Prometheus is told is what its own library reads, after all that the guides did", () => {
  for (const { a } of GROUPS) {
    const script =
      "import sys; from prometheus_client.parser import text_string_to_metric_families as read; print(sum(len(family.samples) for family in read(sys.stdin.read())))";
    const { status, text } = run("sh", ["-c", '/usr/bin/python3 -c "$1" <"$2"', "sh", script, join(lab, `metrics-${a}`)]);
    assert.equal(status, 0, text);
    const samples = readFileSync(join(lab, `metrics-${a}`), "utf8")
      .split("\n")
      .filter((line) => /^mainmode_/.test(line));
    assert.ok(samples.length > 80);
    assert.equal(Number(text), samples.length);
  }
});

test("neither a command nor a daemon has said a secret", () => {
  const { secrets, outputs } = whatWasLeft(lab);
  assert.ok(secrets.size > 10 && outputs.size >= 2, `${secrets.size} secrets, ${outputs.size} outputs`);
  assert.deepEqual(secretsIn([...outputs.values()], secrets), []);
});

/** Names that every host finds before the machine's own. */
const STAND_INS: Readonly<Record<string, string>> = {
  mainmode: `MAINMODE_LEDGER=${lab}/secrets exec ${process.execPath} --import ${ROOT}/dist/test/secrets-ledger.js ${ROOT}/dist/cli/main.js "$@"`,
  scp: `host=$(sed -n "s/^\${3%%:*} //p" /dev/shm/guides/hosts)
cp -p "$2" "/dev/shm/guides/$host\${3#*:}"`,
  systemctl: `start() {
  setsid mainmode daemon -c /etc/mainmode/mainmode.toml >>/run/log 2>&1 </dev/null &
  for _ in $(seq 200); do mainmode status >/dev/null 2>&1 && return; sleep 0.1; done
}
case $1 in
  start) start ;;
  stop) mainmode shutdown >/dev/null ;;
  restart) mainmode shutdown --keep >/dev/null; start ;;
  reload) mainmode reload >/dev/null ;;
esac`,
};

function guestScript(): string {
  const stand = Object.entries(STAND_INS).map(
    ([name, text]) => `cat >$W/bin/${name} <<'STAND-IN'\n#!/bin/bash\n${text}\nSTAND-IN\nchmod +x $W/bin/${name}`,
  );
  return `set -u
W=/dev/shm/guides
mkdir -p $W/bin
export PATH=$W/bin:$PATH
${stand.join("\n")}
# /etc of its own, with the configuration that the package brings, and /run in memory.
host() { # host NAME
  rm -rf $W/$1; mkdir -p $W/$1; cp -a /etc $W/$1/etc
  echo 'mainmode:x:997:' >>$W/$1/etc/group
  mkdir -p $W/$1/etc/mainmode; cp ${ROOT}/packaging/mainmode.toml $W/$1/etc/mainmode/
  chmod 640 $W/$1/etc/mainmode/mainmode.toml
  ip netns exec $1 unshare -m sh -c "mount --bind $W/$1/etc /etc; mount -t tmpfs tmpfs /run; mkdir /run/mainmode; exec sleep 1000" &
  eval "pid_$1=$!"
}
on() { # on HOST COMMAND; all that it prints is kept
  local host=$1 pid=pid_$1
  if [ $host = demo ]; then bash -c "$2" </dev/null >>${lab}/said 2>&1
  else nsenter -t \${!pid} -m -n -- env HOME=/run bash -c "cd /run; $2" </dev/null >>${lab}/said 2>&1; fi
}
${GROUPS.map(groupScript).join("\n")}
`;
}

function groupScript({ pages, a, b, more }: Group): string {
  const again = "for h in a b; do on $h 'mainmode shutdown >/dev/null 2>&1; systemctl start mainmode'; done";
  const steps = pages.flatMap((page) => [again, ...stepsOf(read(page)).map((step) => stepScript(page, step))]);
  return `for h in a b; do ip netns add $h; ip -n $h link set lo up; done
ip link add va netns a type veth peer name vb netns b
ip -n a addr add ${a}/24 dev va; ip -n b addr add ${b}/24 dev vb; ip -n a link set va up; ip -n b link set vb up
ip -n a route add default dev va; ip -n b route add default dev vb
${more}
printf '${a} a\\n${b} b\\n' >$W/hosts
host a; host b
sleep 1
${steps.join("\n")}
on a 'mainmode stats --prometheus >${lab}/metrics-${a}'
for h in a b; do on $h 'mainmode shutdown >/dev/null 2>&1; cat /run/log >>${lab}/daemons.log'; done
kill $pid_a $pid_b; sleep 0.5; ip netns del a; ip netns del b`;
}

const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

function stepScript(page: string, step: Command | File): string {
  if (step.kind === "file") return `cat >$W/${step.host}${step.path} <<'FILE'\n${step.text}FILE`;
  const on = (host: string): string =>
    `printf '\\036%s\\n' ${quote(keyOf(page, step, host))} >>${lab}/said\non ${host} ${quote(step.text)}`;
  return step.hosts.map(on).join("\n");
}

// Here, since it runs at once: what it needs stands above.
before(() => {
  rmSync(lab, { recursive: true, force: true });
  mkdirSync(join(lab, "secrets"), { recursive: true, mode: 0o700 });
  const script = join(lab, "inside");
  writeFileSync(script, guestScript());
  chmodSync(script, 0o755);
  const { status, text } = run("demo/uml-run", ["-t", "300", "-w", lab, "bash", script], { seconds: 320 });
  assert.equal(status, 0, text.slice(-3000));
  for (const part of readFileSync(join(lab, "said"), "utf8").split("\u001e").slice(1)) {
    const [key = "", ...lines] = part.replace(/\n$/, "").split("\n");
    said.set(key, lines);
  }
});

for (const page of GROUPS.flatMap(({ pages }) => pages))
  test(`docs/${page}.md: every command does what the guide shows`, () => {
    const commands = stepsOf(read(page)).filter((step): step is Command => step.kind === "command");
    assert.ok(commands.length > 0);
    if (process.env["MAINMODE_RECORD"]) record(page, commands);
    for (const command of commands)
      for (const host of command.hosts)
        assert.equal(alike(said.get(keyOf(page, command, host)) ?? ["it was not run"]), alike(command.shown), `${host}: ${command.text}`);
  });

/** Writes what was said into the guide, the last command first, so that lines stay where they are. */
function record(page: string, commands: readonly Command[]): void {
  const lines = read(page).split("\n");
  for (const command of [...commands].reverse())
    lines.splice(
      command.line + 1,
      command.shown.length,
      ...(said.get(keyOf(page, command, command.hosts[0] ?? "")) ?? []).map((line) => line.trimEnd()),
    );
  writeFileSync(pageAt(page), lines.join("\n"));
}
