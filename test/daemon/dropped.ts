/** A process that hides its memory and drops its privileges, as the daemon does, and prints its status and that of one that it starts. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { loadNative } from "../../daemon/native.ts";
import { dropPrivileges } from "../../daemon/privileges.ts";

const statusOf = (): string => readFileSync("/proc/thread-self/status", "latin1");

const native = await loadNative();
if (!native.ok) throw new Error(native.error);
const before = statusOf();
native.value.hideMemory();
const { failures } = dropPrivileges(native.value);
if (failures.length > 0) throw new Error(failures.join("; "));
const child = spawnSync("cat", ["/proc/self/status"], { encoding: "utf8" }).stdout;
const PR_GET_DUMPABLE = 3;
const dumpable = native.value.prctl(PR_GET_DUMPABLE, 0, 0);
const limits = readFileSync("/proc/self/limits", "latin1");
console.log(JSON.stringify({ before, own: statusOf(), child, dumpable, limits }));
