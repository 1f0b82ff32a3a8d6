import assert from "node:assert/strict";
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { liveSecrets } from "../../ike/crypto/secret.ts";
import { checkConfiguration, destroyPolicy, formatDiagnostic, loadConfiguration } from "../../policy/config.ts";

const directory = mkdtempSync(join(tmpdir(), "mainmode-policy-"));
after(() => rmSync(directory, { recursive: true }));

const ROOT = process.getuid?.() === 0;

function write(name: string, content: string | Uint8Array, mode = 0o600): string {
  const path = join(directory, name);
  writeFileSync(path, content);
  chmodSync(path, mode);
  return path;
}

const config = (reference: string, mode = 0o600) =>
  write(
    "c.toml",
    `[[rule]]\nname = "hr"\nfilters = ["me <-> 192.0.2.2"]\naction = "require"\nauth = [{ method = "psk", secret-file = ${JSON.stringify(reference)} }]\n`,
    mode,
  );

/** The key that a configuration with this secret-file has, or its first diagnostic without the directory's name. */
function keyOf(reference: string, credentials?: string): string {
  const loaded = loadConfiguration(config(reference), credentials);
  if (!loaded.ok)
    return loaded.error
      .map(formatDiagnostic)
      .join("\n")
      .replaceAll(`${directory}/`, "")
      .replace('c.toml:5:41: rule "hr": auth.secret-file: ', "");
  const entry = loaded.value.policy.rules[0]?.auth[0];
  assert.ok(entry?.method === "psk");
  const key = entry.secret.use((octets) => Buffer.from(octets).toString("latin1"));
  destroyPolicy(loaded.value.policy);
  return key;
}

test("a key is read from a file beside the configuration, or by absolute path, as octets", () => {
  const path = write("hr.psk", Uint8Array.of(0x6b, 0xff, 0x00, 0x0a));
  assert.equal(keyOf("hr.psk"), "k\xff\x00");
  assert.equal(keyOf(path), "k\xff\x00");
});

test("a file that others may read or write is refused", () => {
  for (const mode of [0o604, 0o602, 0o644]) {
    write("open.psk", "swordfish", mode);
    assert.equal(
      keyOf("open.psk"),
      "open.psk: others may read or write this file, so the key is not secret; chmod o= it and choose a new key",
    );
  }
});

test("a file of a group other than root or mainmode is refused, whatever its group may do", () => {
  const path = write("group.psk", "swordfish", 0o640);
  const foreign = ROOT ? 4242 : (process.getgid?.() ?? 0);
  if (ROOT) chownSync(path, 0, foreign);
  const advice = `chgrp it to one of them${ROOT ? "" : ", or chmod g= it"}`;
  assert.equal(keyOf("group.psk"), `group.psk: its group (${foreign}) is neither root nor mainmode, and may read or write it; ${advice}`);
  chmodSync(path, 0o600);
  // Who is not root has no other group to give it.
  assert.equal(keyOf("group.psk"), ROOT ? `group.psk: its group (${foreign}) is neither root nor mainmode; ${advice}` : "swordfish");
  if (!ROOT) return;
  chownSync(path, 0, 0);
  for (const mode of [0o600, 0o640]) {
    chmodSync(path, mode);
    assert.equal(keyOf("group.psk"), "swordfish");
  }
});

test("what is no file of a sensible size is refused", () => {
  mkdirSync(join(directory, "dir.psk"), { recursive: true });
  write("long.psk", "x".repeat(4097));
  write("empty.psk", "\n");
  assert.equal(keyOf("none.psk"), "none.psk: there is no such file");
  assert.equal(keyOf("dir.psk"), "dir.psk: it is no regular file");
  assert.equal(keyOf("long.psk"), "long.psk: it is longer than 4096 octets");
  assert.equal(keyOf("long.psk/x"), "long.psk/x: a part of the path is no directory");
  assert.equal(keyOf("empty.psk"), "the key is empty; everybody knows that one");
});

test("the rights that count are those of the file behind a link", () => {
  write("target.psk", "swordfish", 0o644);
  symlinkSync("target.psk", join(directory, "link.psk"));
  assert.match(keyOf("link.psk"), /^link\.psk: others may read/);
});

test("a credential is found in its directory by name alone", () => {
  mkdirSync(join(directory, "creds"), { recursive: true });
  write("creds/hr.psk", "swordfish\n", 0o444);
  write("outside.psk", "swordfish");
  const credentials = join(directory, "creds");
  assert.equal(keyOf("credential:hr.psk", credentials), "swordfish");
  assert.equal(
    keyOf("credential:no.psk", credentials),
    "credential no.psk: there is no such file; is there LoadCredential=no.psk in the unit?",
  );
  assert.equal(keyOf("credential:../outside.psk", credentials), '"../outside.psk" is no name of a credential');
  assert.equal(keyOf("credential:..", credentials), '".." is no name of a credential');
  assert.equal(keyOf("credential:hr.psk"), "the credential hr.psk exists only inside the service; add LoadCredential=hr.psk to the unit");
});

test("a check outside the service leaves credentials alone, with a warning, and keeps no secret", () => {
  const before = liveSecrets();
  const file = config("credential:hr.psk");
  assert.deepEqual(checkConfiguration(file).map(formatDiagnostic), [
    `${file}:5:41: warning: rule "hr": auth.secret-file: not checked: credentials exist only inside the service`,
  ]);
  assert.deepEqual(checkConfiguration(file, join(directory, "creds")), []);
  assert.equal(liveSecrets(), before);
});

test("a configuration that cannot be read says why at its first line", () => {
  const missing = join(directory, "missing.toml");
  assert.deepEqual(checkConfiguration(missing).map(formatDiagnostic), [`${missing}:1:1: there is no such file`]);
  const binary = write("binary.toml", Uint8Array.of(0xff, 0xfe));
  assert.deepEqual(checkConfiguration(binary).map(formatDiagnostic), [`${binary}:1:1: the file is no UTF-8 text`]);
});

/** The tree's root, from the sources and from their compiled form alike. */
const tree = fileURLToPath(new URL(import.meta.url.includes("/dist/") ? "../../../" : "../../", import.meta.url));
const examples = readdirSync(join(tree, "examples")).filter((name) => name.endsWith(".toml"));

test("there are examples", () => assert.ok(examples.length >= 3));
for (const name of examples) {
  test(`the example ${name} is in order, but for its throwaway key in a file that others may read, or a keytab that is not here`, () => {
    // A keytab is of one host only, names travel in clear with every Kerberos, and the secure server is one for SSH, too.
    const expected =
      /^rule "[^"]*": (auth\.(secret: this key stands in a file|keytab: .*there is no such file|method: .* in clear)|filters: this lets SSH .* in only from peers)/;
    const others = checkConfiguration(join(tree, "examples", name)).filter(({ message }) => !expected.test(message));
    assert.deepEqual(others.map(formatDiagnostic), []);
    assert.deepEqual(
      checkConfiguration(join(tree, "examples", name)).filter(({ severity }) => severity === "error"),
      [],
    );
  });
}
