import assert from "node:assert/strict";
import {
  appendFileSync,
  closeSync,
  existsSync,
  fstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { frameOf, openJournal, readRecords, whyNotKept } from "../../daemon/journal.ts";
import { keepJournal } from "../../daemon/runtime.ts";
import type { DaemonSettings } from "../../policy/config.ts";
import type { JournalImage, JournalRecord } from "../../sa-store/journal-record.ts";

const scratch = (act: (path: string) => void): void => {
  const folder = mkdtempSync(join(tmpdir(), "mainmode-journal-"));
  try {
    act(join(folder, "journal"));
  } finally {
    rmSync(folder, { recursive: true });
  }
};

const open = (path: string, bootId = "boot", compactAt?: number) => {
  const opened = openJournal({ path, bootId, onFailure: (text) => assert.fail(text), ...(compactAt === undefined ? {} : { compactAt }) });
  assert.ok(opened.ok);
  return opened.value;
};

const record = (owner: string, part: string | null, value: number | null = null, secret?: readonly number[]): JournalRecord => ({
  owner,
  part,
  value,
  secret: secret ? Uint8Array.from(secret) : null,
});

/** An image as plain values. */
const plain = (image: JournalImage) =>
  [...image].map(([owner, parts]) => [owner, [...parts].map(([part, { value, secret }]) => [part, value, secret ? [...secret] : null])]);

test("what was written is read again, the last word of each part", () =>
  scratch((path) => {
    const { journal, image } = open(path);
    assert.equal(image.size, 0);
    journal.write([record("ike 1", "", 1, [1, 2, 3]), record("child 2", "", 5)]);
    journal.write([record("ike 1", "id 7", 1), record("child 2", "", 6), record("child 3", "", 9)]);
    journal.write([record("child 3", null)]);
    journal.close(false);
    assert.deepEqual(plain(open(path).image), [
      [
        "ike 1",
        [
          ["", 1, [1, 2, 3]],
          ["id 7", 1, null],
        ],
      ],
      ["child 2", [["", 6, null]]],
    ]);
    assert.equal(statSync(path).mode & 0o777, 0o600);
  }));

test("keys are wiped once they are written", () =>
  scratch((path) => {
    const secret = Uint8Array.of(1, 2, 3);
    const { journal } = open(path);
    journal.write([{ owner: "ike 1", part: "", value: null, secret }]);
    assert.deepEqual([...secret], [0, 0, 0]);
    journal.close(true);
    assert.throws(() => readFileSync(path), { code: "ENOENT" });
  }));

test("what a stop leaves is records of those owners alone, and nothing where there are none; no key is left, also not where somebody has the file open", () =>
  scratch((path) => {
    const kept = (owner: string): boolean => owner.startsWith("policy ");
    const first = open(path).journal;
    first.write([{ owner: "ike 1", part: "", value: null, secret: Uint8Array.of(1, 2, 3) }]);
    first.close(true, kept);
    assert.throws(() => readFileSync(path), { code: "ENOENT" });
    const { journal } = open(path);
    journal.write([{ owner: "policy a", part: "", value: 1, secret: null }]);
    journal.write([{ owner: "ike 1", part: "", value: null, secret: Uint8Array.from(Buffer.from("a key of ours")) }]);
    journal.write([{ owner: "policy a", part: "", value: 2, secret: null }]);
    const reader = openSync(path, "r");
    journal.close(true, kept);
    assert.equal(fstatSync(reader).size, 0);
    closeSync(reader);
    assert.ok(!readFileSync(path).includes("a key"));
    assert.equal(statSync(path).mode & 0o777, 0o600);
    const next = open(path);
    assert.deepEqual(plain(next.image), [["policy a", [["", 2, null]]]]);
    next.journal.write([{ owner: "policy b", part: "", value: 3, secret: null }]);
    next.journal.close(false);
    assert.deepEqual([...open(path).image.keys()], ["policy a", "policy b"]);
  }));

test("groups of any size are read again as they were written, large and small in turn", () =>
  scratch((path) => {
    const { journal } = open(path);
    const words = "a record of some length, \u20ac ".repeat(10);
    const groups = [1, 40, 5000, 2, 1200, 3].map((records, group) =>
      Array.from({ length: records }, (_, i) => ({
        owner: `child ${group} ${i}`,
        part: "",
        value: `${words}${i}`,
        secret: Uint8Array.of(group, 1),
      })),
    );
    for (const group of groups) journal.write(group.map((one) => ({ ...one, secret: Uint8Array.from(one.secret) })));
    journal.close(false);
    assert.deepEqual(
      plain(open(path).image),
      groups.flat().map(({ owner, value, secret }) => [owner, [["", value, [...secret]]]]),
    );
  }));

test("after another boot nothing of it counts", () =>
  scratch((path) => {
    const { journal } = open(path, "one");
    journal.write([record("ike 1", "", 1)]);
    journal.close(false);
    assert.equal(open(path, "two").image.size, 0);
    assert.equal(open(path, "one").image.size, 0, "nor when the first comes back");
  }));

test("a journal that is cut or damaged at its end gives what stood before, and goes on from there", () => {
  const records = Array.from({ length: 8 }, (_, i) => record(`child ${i}`, "", i, i % 2 ? [i] : undefined));
  const octets = Buffer.concat(records.map(frameOf));
  fc.assert(
    fc.property(fc.nat(octets.length), fc.boolean(), fc.nat(255), (at, cut, garbage) => {
      const damaged = Buffer.from(cut ? octets.subarray(0, at) : octets);
      if (!cut && at < damaged.length) damaged[at] = (damaged[at] as number) ^ (garbage | 1);
      const { records: read, end } = readRecords(damaged);
      assert.ok(end <= damaged.length);
      // Exactly the records that end before the damage, and no fewer.
      let [whole, before] = [0, 0];
      for (const one of records) {
        before += frameOf(one).length;
        if (before <= at) whole++;
      }
      assert.equal(read.length, whole);
      for (const [i, one] of read.entries()) assert.deepEqual([one.owner, one.value], [records[i]?.owner, records[i]?.value]);
    }),
  );
  scratch((path) => {
    const first = open(path).journal;
    first.write([record("ike 1", "", 1), record("ike 2", "", 2)]);
    first.close(false);
    truncateSync(path, statSync(path).size - 3);
    appendFileSync(path, "xx");
    const { journal, image, complaint } = open(path);
    assert.match(complaint ?? "", /not whole/);
    assert.deepEqual([...image.keys()], ["ike 1"]);
    journal.write([record("ike 3", "", 3)]);
    journal.close(false);
    assert.deepEqual([...open(path).image.keys()], ["ike 1", "ike 3"]);
  });
});

test("any octets in its place are no journal, and no crash", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (octets) =>
      scratch((path) => {
        writeFileSync(path, octets);
        const { journal, image } = open(path);
        assert.equal(image.size, 0);
        journal.close(true);
      }),
    ),
    { numRuns: 60 },
  );
});

test("it is rewritten without what is over, and holds what counts", async () => {
  const folder = mkdtempSync(join(tmpdir(), "mainmode-journal-"));
  const path = join(folder, "journal");
  const { journal } = open(path, "boot", 4096);
  journal.write([record("ike 1", "", 1, [9, 9, 9])]);
  for (let i = 0; i < 2000; i++) {
    journal.write([record("child 5", "", i), record(`child ${100 + i}`, "", i)]);
    journal.write([record(`child ${100 + i}`, null)]);
    if (i % 100 === 0) await new Promise(setImmediate);
  }
  await new Promise(setImmediate);
  assert.ok(journal.size < 40_000, `${journal.size} octets`);
  journal.close(false);
  assert.deepEqual(plain(open(path).image), [
    ["ike 1", [["", 1, [9, 9, 9]]]],
    ["child 5", [["", 1999, null]]],
  ]);
  rmSync(folder, { recursive: true });
});

test("one that a later run goes on with is rewritten whole, too, and so is one that was removed under it", async () => {
  const folder = mkdtempSync(join(tmpdir(), "mainmode-journal-"));
  const path = join(folder, "journal");
  const first = open(path).journal;
  first.write([record("ike 1", "", 1, [9, 9, 9])]);
  first.close(false);
  const { journal } = open(path, "boot", 4096);
  for (let i = 0; i < 2000; i++) journal.write([record("child 5", "", i)]);
  await new Promise(setImmediate);
  assert.ok(journal.size < 40_000, `${journal.size} octets`);
  const words = [
    ["ike 1", [["", 1, [9, 9, 9]]]],
    ["child 5", [["", 1999, null]]],
  ];
  assert.deepEqual(plain(open(path).image), words);
  rmSync(path);
  assert.equal(whyNotKept({ journal, image: new Map(), complaint: undefined }), undefined);
  journal.close(false);
  assert.deepEqual(plain(open(path).image), words);
  rmSync(folder, { recursive: true });
});

test("removed by somebody, with its folder too, it is there again after some more records, and at a hand-over at once", async () => {
  const top = mkdtempSync(join(tmpdir(), "mainmode-journal-"));
  const folder = join(top, "run");
  const path = join(folder, "journal");
  mkdirSync(folder);
  const { journal } = open(path);
  journal.write([record("ike 1", "", 1, [9, 9, 9])]);
  rmSync(folder, { recursive: true });
  for (let i = 0; i < 64; i++) journal.write([record("child 5", "", i)]);
  await new Promise(setImmediate);
  const words = [
    ["ike 1", [["", 1, [9, 9, 9]]]],
    ["child 5", [["", 63, null]]],
  ];
  assert.deepEqual(plain(open(path).image), words);
  rmSync(path);
  assert.equal(whyNotKept({ journal, image: new Map(), complaint: undefined }), undefined);
  assert.deepEqual(plain(open(path).image), words);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  journal.close(false);
  rmSync(top, { recursive: true });
});

test("where it can't be put back it is given up, once and aloud, and nothing can be handed over", () => {
  const top = mkdtempSync(join(tmpdir(), "mainmode-journal-"));
  const folder = join(top, "run");
  mkdirSync(folder);
  const said: string[] = [];
  const opened = openJournal({ path: join(folder, "journal"), bootId: "boot", onFailure: (text) => said.push(text) });
  assert.ok(opened.ok);
  rmSync(folder, { recursive: true });
  writeFileSync(folder, "a file where the folder was");
  assert.match(whyNotKept(opened.value) ?? "", /could not be written/);
  const secret = Uint8Array.of(1, 2, 3);
  opened.value.journal.write([{ owner: "ike 1", part: "", value: null, secret }]);
  assert.deepEqual([...secret], [0, 0, 0], "keys are wiped all the same");
  assert.match(whyNotKept(opened.value) ?? "", /could not be written/);
  assert.equal(said.length, 1);
  assert.match(whyNotKept(undefined) ?? "", /no journal is kept/);
  rmSync(top, { recursive: true });
});

test("a link in its place is not followed", () =>
  scratch((path) => {
    symlinkSync(join(path, "..", "elsewhere"), path);
    const opened = openJournal({ path, bootId: "boot", onFailure: () => {} });
    assert.ok(!opened.ok);
  }));

test("where no journal is kept a start removes that of an earlier run, which would be wrong by the next one", () => {
  scratch((path) => {
    writeFileSync(path, "of an earlier run");
    const settings = { keepAcrossRestart: false, runtimeDirectory: dirname(path) } as DaemonSettings;
    assert.equal(
      keepJournal(settings, {}, ({ text }) => assert.fail(text)),
      undefined,
    );
    assert.ok(!existsSync(path));
    assert.equal(
      keepJournal(settings, {}, ({ text }) => assert.fail(text)),
      undefined,
    );
  });
});
