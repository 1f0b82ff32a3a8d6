/**
 * Everything that must be there before a command runs: node_modules, Debian packages, the build. Plain JavaScript without dependencies, since
 * a fresh clone has none. Called by npm scripts as `node scripts/setup.js start|test|interop|browser|build`.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { installPackages, makeDebian13Root, makeLibreswanRoot } from "./debian.js";

const root = fileURLToPath(new URL("..", import.meta.url));
const what = process.argv[2] ?? "build";

/** Debian packages and why they are wanted, by purpose. */
const KERNEL = {
  "user-mode-linux": "a kernel with ESP and AH that runs as an ordinary process",
  iproute2: "`ip`, by which SAs reach the kernel",
  kmod: "loads the guest kernel's modules",
  "iputils-ping": "sends packets through the SAs",
};
const WIRE = {
  tcpdump: "records what goes over the wire",
  tshark: "an independent judge of captures and keys",
  "ike-scan": "an independent stranger",
};
const TERMINAL = {
  tmux: "a terminal of any size, to look at the monitor in",
};
const CERTIFICATES = {
  openssl: "an independent judge of certificates",
};
const REALM = {
  "krb5-kdc": "a throwaway realm on loopback",
  "krb5-admin-server": "makes the realm's principals and keytabs",
  "libgssapi-krb5-2": "Kerberos itself, for rules that want it",
};
const KERBEROS = {
  ...REALM,
  "libkrb5-dev": "builds the npm package kerberos, an independent peer",
  "g++": "builds the npm package kerberos",
  make: "builds the npm package kerberos",
  python3: "builds the npm package kerberos",
};
const STRONGSWAN = {
  "strongswan-swanctl": "the peer strongSwan",
  "charon-systemd": "the peer strongSwan",
  "libstrongswan-standard-plugins": "the peer strongSwan",
  "libstrongswan-extra-plugins": "the peer strongSwan",
  "libcharon-extra-plugins": "the peer strongSwan where the kernel has no ESP",
};
const PEERS = {
  ...STRONGSWAN,
  debootstrap: "a root of its own for the peer libreswan, whose package conflicts with strongSwan's",
};
const PACKAGES = {
  build: {},
  /** A guest only where this machine's own kernel does not do. */
  get start() {
    return kernelHasEsp() ? { iproute2: KERNEL.iproute2, "iputils-ping": KERNEL["iputils-ping"] } : KERNEL;
  },
  test: { ...KERNEL, ...WIRE, ...TERMINAL, ...CERTIFICATES, ...KERBEROS, ...PEERS },
  browser: { chromium: "a browser for the web monitor's tests" },
  interop: { ...KERNEL, ...WIRE, ...REALM, ...CERTIFICATES, ...PEERS, iptables: "routers that translate addresses" },
  packages: {
    ...KERNEL,
    openssl: "makes the keys of the guides",
    debootstrap: "a fresh Debian 13, where the package is installed",
    lintian: "judges the Debian package",
    binutils: "takes what is not needed out of koffi's binary",
    systemd: "judges the units (systemd-analyze)",
    "man-db": "judges the man pages",
    "python3-prometheus-client": "judges the statistics",
    zsh: "tries the completion",
    fish: "tries the completion",
    podman: "builds and starts the containers",
    crun: "starts the containers",
    "docker-compose": "judges compose.yaml",
  },
};

if (!(what in PACKAGES)) fail(`setup: no such purpose: ${what}; there are ${Object.keys(PACKAGES).join(", ")}`);
checkNode();
installModules();
await installPackages(PACKAGES[what]);
if (what === "test") installPeers();
if (what === "interop" || what === "test") await makeLibreswanRoot(join(root, ".lab/libreswan-root"));
if (what === "packages") await makeDebian13Root(join(root, ".lab/debian13"));
build();

function fail(text) {
  console.error(text);
  process.exit(1);
}

function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  if ((major === 20 && minor >= 19) || major > 22 || (major === 22 && minor >= 12)) return;
  fail(`mainmode needs Node 20.19, 22.12 or later; this is ${process.versions.node}. Install a newer one and start again.`);
}

/** `npm ci`, when there are no modules or the lock file is newer. */
function installModules() {
  const marker = join(root, "node_modules", ".package-lock.json");
  if (existsSync(marker) && statSync(marker).mtimeMs >= statSync(join(root, "package-lock.json")).mtimeMs) return;
  console.log("setup: npm ci");
  run("npm", ["ci", "--no-audit", "--no-fund"], "npm ci failed; its last lines say why");
}

/** Peers for tests that are npm packages, which mainmode itself never needs. Where they can't be installed, their tests are named as not run. */
function installPeers() {
  const cwd = join(root, "test/peers/kerberos");
  const [marker, lock] = [join(cwd, "node_modules/.package-lock.json"), join(cwd, "package-lock.json")];
  if (existsSync(marker) && statSync(marker).mtimeMs >= statSync(lock).mtimeMs) return;
  console.log("setup: npm ci in test/peers/kerberos");
  // Node's own headers, where they came with it, or they would be fetched.
  const prefix = dirname(dirname(process.execPath));
  const headers = existsSync(join(prefix, "include/node/node_api.h")) ? { npm_config_nodedir: prefix } : {};
  const { status } = spawnSync("npm", ["ci", "--no-audit", "--no-fund"], {
    cwd,
    env: { ...process.env, ...headers },
    stdio: ["ignore", "inherit", "inherit"],
  });
  if (status !== 0) console.error("setup: the npm package kerberos can't be built; its last lines say why");
}

/** Whether this machine's own kernel can be given ESP SAs: then no guest is needed to show them. */
function kernelHasEsp() {
  if (process.getuid?.() !== 0 || !existsSync("/sbin/ip")) return false;
  const probe =
    "ip xfrm state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x1000 mode transport enc 'cbc(aes)' 0x00000000000000000000000000000000 auth 'hmac(sha1)' 0x0000000000000000000000000000000000000000";
  return spawnSync("unshare", ["-n", "sh", "-c", probe], { stdio: "ignore" }).status === 0;
}

/** tsc into an empty dist, unless nothing changed since the last time. */
function build() {
  const stamp = join(root, "dist", ".built");
  if (what !== "test" && existsSync(stamp) && newestSource() < statSync(stamp).mtimeMs) return;
  console.log("setup: tsc");
  rmSync(join(root, "dist"), { recursive: true, force: true });
  run(process.execPath, ["scripts/build.js"], "the build failed");
  writeFileSync(stamp, "");
}

function newestSource() {
  const { include } = JSON.parse(readFileSync(join(root, "tsconfig.json"), "utf8"));
  const files = [...include, "web"]
    .filter((folder) => existsSync(join(root, folder)))
    .flatMap((folder) => readdirSync(join(root, folder), { recursive: true }).map((name) => join(root, folder, name)));
  return Math.max(
    ...[...files, join(root, "tsconfig.json")]
      .filter((file) => /\.(ts|json|html|css|svg)$/.test(file))
      .map((file) => statSync(file).mtimeMs),
  );
}

function run(command, args, message) {
  const { status } = spawnSync(command, args, { cwd: root, stdio: ["ignore", "inherit", "inherit"] });
  if (status !== 0) fail(`setup: ${message}`);
}
