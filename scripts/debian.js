/**
 * What Debian has to give: packages, and a root of its own for the peer libreswan. On a terminal somebody is asked; without one, root on Debian
 * installs and says what; otherwise the line to type is printed. `MAINMODE_SETUP=no` forbids every installation.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

const isRoot = process.getuid?.() === 0;

/** Installs what is missing of `wanted`, an object of package names and reasons, or says how to. */
export async function installPackages(wanted) {
  const missing = Object.keys(wanted).filter((name) => !isInstalled(name));
  if (missing.length === 0) return;
  const argv = ["apt-get", "install", "--yes", "--no-install-recommends", ...missing];
  const line = [...(isRoot ? [] : ["sudo"]), ...argv].join(" ");
  say(`these Debian packages are missing:\n${missing.map((name) => `  ${name.padEnd(32)}${wanted[name]}`).join("\n")}`);
  if (!(await mayInstall(line))) {
    say(`to install them: ${line}\nsetup: going on with what there is`);
    return;
  }
  say(line);
  if (install(argv, missing)) return;
  say(`the installation failed; to see why: ${line}\nsetup: going on with what there is`);
}

/**
 * Makes a Debian root with libreswan in `path`, which takes a minute: its package conflicts with strongSwan's. It is bookworm's, whose
 * libreswan speaks IKEv1, whatever this machine runs, and comes from where this machine's own packages come from.
 */
export const makeLibreswanRoot = (path) => makeRoot(path, "bookworm", ROOT_PACKAGES, "libreswan as a peer");

/** Makes a fresh Debian 13 with systemd in `path`, to install the package in. */
export const makeDebian13Root = (path) => makeRoot(path, "trixie", DEBIAN13_PACKAGES, "installing the package in a fresh Debian 13");

async function makeRoot(path, release, packages, purpose) {
  if (existsSync(path)) return;
  const mirror = debianMirror();
  const line = `debootstrap --variant=minbase --include=${packages} ${release} ${path}${mirror ? ` ${mirror}` : ""}`;
  if (!isRoot || !existsSync("/usr/sbin/debootstrap") || !(await mayInstall(line))) {
    say(`for ${purpose}, as root: ${line}`);
    return;
  }
  say(line);
  const unfinished = `${path}.unfinished`;
  rmSync(unfinished, { recursive: true, force: true });
  mkdirSync(dirname(path), { recursive: true });
  const argv = ["--variant=minbase", `--include=${packages}`, release, unfinished, ...(mirror ? [mirror] : [])];
  const { status, stdout } = spawnSync("debootstrap", argv, { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
  if (status === 0) renameSync(unfinished, path);
  else say(`debootstrap failed:\n${stdout.split("\n").slice(-10).join("\n")}`);
}

/** For a guest that boots it: systemd as process 1, modules for the kernel, and something to send. */
const DEBIAN13_PACKAGES = "systemd-sysv,kmod,iputils-ping,procps";
/** `host` is a virtual package that libreswan depends on and debootstrap does not resolve. */
const ROOT_PACKAGES = "libreswan,libnss3-tools,iproute2,bind9-host";

function isInstalled(name) {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query has templates of its own
  const { stdout, error } = spawnSync("dpkg-query", ["-W", "-f", "${db:Status-Status}", name], { encoding: "utf8" });
  return !error && stdout === "installed";
}

async function mayInstall(line) {
  if (!existsSync("/usr/bin/apt-get") || process.env["MAINMODE_SETUP"] === "no") return false;
  if (!process.stdin.isTTY || !process.stdout.isTTY || process.env["CI"]) return isRoot;
  if (!isRoot && !existsSync("/usr/bin/sudo")) return false;
  const { createInterface } = await import("node:readline/promises");
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  const answer = await terminal.question(`setup: run ${line} ? [Y/n] `);
  terminal.close();
  return !/^n/i.test(answer.trim());
}

/** Whether apt-get did it. Its words are shown where it did not. */
function install(argv, names) {
  const guard = isRoot && keepServicesDown();
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const apt = (args) => {
    const command = isRoot ? args : ["sudo", "DEBIAN_FRONTEND=noninteractive", ...args];
    return spawnSync(command[0], command.slice(1), { env, encoding: "utf8", stdio: [isRoot ? "ignore" : "inherit", "pipe", "pipe"] });
  };
  const update = apt(["apt-get", "update"]);
  const { status, stdout, stderr } = apt(argv);
  if (guard) rmSync(guard, { force: true });
  if (status !== 0) console.error(`${update.stderr ?? ""}${stdout ?? ""}${stderr ?? ""}`.split("\n").slice(-20).join("\n"));
  // It would take UDP port 500 after the next boot.
  if (status === 0 && isRoot && names.includes("charon-systemd") && existsSync("/run/systemd/system")) {
    spawnSync("systemctl", ["disable", "strongswan.service"], { stdio: "ignore" });
  }
  return status === 0;
}

/** Debian's way to keep a package's service from starting while it is installed; the file to remove afterwards, if it was not there. */
function keepServicesDown() {
  const policy = "/usr/sbin/policy-rc.d";
  if (existsSync(policy)) return undefined;
  writeFileSync(policy, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  return policy;
}

/** Where apt gets this machine's own release from. */
function debianMirror() {
  const codename = /^VERSION_CODENAME=(\w+)/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1];
  const argv = ["indextargets", "--format", "$(CODENAME) $(REPO_URI)", "Identifier: Packages"];
  const { stdout } = spawnSync("apt-get", argv, { encoding: "utf8" });
  const rows = (stdout ?? "").split("\n").map((row) => row.split(" "));
  return rows.find(([name, uri]) => name === codename && uri?.startsWith("http"))?.[1];
}

const say = (text) => console.log(`setup: ${text}`);
