/**
 * The two containers of packaging/containers/: built by podman from their Containerfiles, then started in a guest with ESP, as compose.yaml says,
 * and let negotiate. The base image comes from debootstrap, and the wire is made of namespaces: neither a registry nor podman's networks are needed.
 */
import assert from "node:assert/strict";
import { chmodSync, copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { type Compose, readCompose, type Service } from "./compose.ts";
import { buildDeb, must, ROOT, run, workFolder } from "./shell.ts";

const HERE = join(ROOT, "packaging/containers");
const BASE = "docker.io/library/debian:trixie-slim";
const work = workFolder();
const lab = join(ROOT, ".lab/containers");
after(() => rmSync(lab, { recursive: true, force: true }));

const compose: Compose = readCompose(join(HERE, "compose.yaml"));
const env = { CONTAINERS_STORAGE_CONF: join(work, "storage.conf") };
const podman = (...words: readonly string[]): string => must("podman", words, { env });

/** podman would raise them, which root of a container may not. Those of processes do not count for root. */
const LIMITS = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"];

/** Images of our own, away from the machine's. Overlays where there may be some: whole copies take a while. */
function makeStorage(): void {
  for (const driver of ["overlay", "vfs"]) {
    writeFileSync(
      join(work, "storage.conf"),
      `[storage]\ndriver = "${driver}"\ngraphroot = "${work}/storage"\nrunroot = "${work}/runroot"\n`,
    );
    const { status } = run("sh", ["-c", `tar -C ${ROOT}/.lab/debian13 -c . | podman import - ${BASE}`], { env });
    if (status === 0) return;
    rmSync(join(work, "storage"), { recursive: true, force: true });
  }
  assert.fail("podman can import no image");
}

test("compose.yaml is one that Docker's own reader takes", () => {
  const { status, text } = run("docker-compose", ["-f", join(HERE, "compose.yaml"), "config", "-q"]);
  assert.equal(status, 0, text);
});

test("both images build", () => {
  makeStorage();
  const context = join(work, "context");
  mkdirSync(join(context, ".build"), { recursive: true });
  mkdirSync(join(context, "packaging"), { recursive: true });
  must("cp", ["-a", HERE, join(context, "packaging/containers")]);
  const deb = buildDeb(work);
  copyFileSync(deb, join(context, ".build", deb.split("/").at(-1) ?? ""));
  for (const [name, { dockerfile }] of Object.entries(compose.services)) {
    must(
      "podman",
      [
        "build",
        ...LIMITS,
        "--isolation",
        "chroot",
        "--network",
        "host",
        "--layers=false",
        "-f",
        join(context, dockerfile),
        "-t",
        name,
        context,
      ],
      { env },
    );
    const folder = join(lab, name);
    mkdirSync(folder, { recursive: true });
    podman("create", "--name", `${name}-files`, name, "true");
    must("sh", ["-c", `podman export ${name}-files | tar -x -C ${folder}`], { env });
  }
});

test("as compose.yaml starts them, mainmode negotiates with strongSwan, and traffic passes through ESP", () => {
  const script = join(lab, "inside");
  writeFileSync(script, guestScript());
  chmodSync(script, 0o755);
  const { status, text } = run("demo/uml-run", ["-t", "240", "-w", lab, "bash", script], { seconds: 260 });
  assert.equal(status, 0, text);
  assert.match(text, /^rule strongswan: done$/m);
  assert.match(text, /3 packets transmitted, 3 received/);
  assert.match(text, /ESTABLISHED, IKEv1/);
  assert.match(text, /INSTALLED, TRANSPORT, ESP:AES_GCM_16-128/);
  assert.match(text, /in +[0-9a-f]{8}, +\d+ bytes, +3 packets/);
  const key = /^auth += .*secret = "([^"]+)"/m.exec(readFileSync(join(HERE, "mainmode.toml"), "utf8"))?.[1];
  assert.ok(key && text.includes("child.established") && !text.includes(key), "the daemon's log, and no key in it");
});

/** podman's storage, a wire, both services, and a look at them. */
function guestScript(): string {
  const services = Object.entries(compose.services);
  const wire = services.map(([name, { address }], i) => {
    const device = i === 0 ? "v0" : "v1";
    return `ip -n ${name} addr add ${address}/24 dev ${device}; ip -n ${name} link set ${device} up; ip -n ${name} link set lo up`;
  });
  const [first, second] = services.map(([name]) => name);
  const peer = compose.services["strongswan"]?.address;
  return `set -eu
dir=$TMPDIR/pod; mkdir -p $dir/storage $dir/runroot
mount -t cgroup2 none /sys/fs/cgroup
# podman writes there.
cp -a /etc $dir/etc; mount --bind $dir/etc /etc
printf '[storage]\\ndriver = "vfs"\\ngraphroot = "%s"\\nrunroot = "%s"\\n' $dir/storage $dir/runroot >$dir/storage.conf
export CONTAINERS_STORAGE_CONF=$dir/storage.conf
ip netns add ${first}; ip netns add ${second}; ip link add v0 netns ${first} type veth peer name v1 netns ${second}
${wire.join("\n")}
${services.map(([name, service]) => start(name, service)).join("\n")}
for _ in $(seq 200); do podman exec mainmode mainmode status >/dev/null 2>&1 && break; sleep 0.2; done
for _ in $(seq 200); do podman exec strongswan swanctl --list-conns 2>/dev/null | grep -q mainmode && break; sleep 0.2; done
podman exec mainmode mainmode initiate strongswan || { podman logs mainmode; podman logs strongswan; exit 1; }
podman exec mainmode ping -c 3 -i 0.3 ${peer}
podman exec strongswan swanctl --list-sas
podman logs mainmode
podman kill mainmode strongswan >/dev/null
`;
}

/** A service as podman is told to start it, on a namespace in place of the network. */
function start(name: string, { capabilities, tmpfs, volumes, entrypoint, command }: Service): string {
  const options = [
    ...["--cgroups=disabled", "--runtime", "crun", "--log-driver", "k8s-file"],
    ...LIMITS,
    ...["--network", `ns:/run/netns/${name}`],
    ...capabilities.flatMap((capability) => ["--cap-add", capability]),
    ...tmpfs.flatMap((folder) => ["--tmpfs", folder]),
    ...volumes.flatMap((volume) => ["-v", volume.replace(/^\./, HERE)]),
    ...["--rootfs", join(lab, name)],
  ];
  return ["podman", "run", "-d", "--name", name, ...options, ...entrypoint, ...command].map((word) => `'${word}'`).join(" ");
}
