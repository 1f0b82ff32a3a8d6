/**
 * Files that only their owner may read, for what may hold keys or what was said under them. What somebody else has laid there is not written to, and
 * what was open before stays what it was: a new file takes its place.
 */
import { constants, lstatSync, openSync, unlinkSync } from "node:fs";
import { EXIT, Failure } from "./exit.ts";

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants;

/** Opens a new file for writing; a pipe or a device that is there is taken as it is. `uid`: who asks. Fails with 1 where it can't be. */
export function openOwn(path: string, uid: number = process.geteuid?.() ?? 0): number {
  try {
    const there = lstatSync(path, { throwIfNoEntry: false });
    const isFile = there?.isFile() ?? true;
    if (there && there.uid !== uid && !there.isCharacterDevice())
      throw new Failure(EXIT.failed, `${path} is there already, and belongs to somebody else (uid ${there.uid})`, "name another file");
    if (there && isFile) unlinkSync(path);
    // Neither a link in its place nor what came there meanwhile.
    return openSync(path, isFile ? O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW : O_WRONLY | O_NOFOLLOW, 0o600);
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw new Failure(EXIT.failed, `${path} can't be written: ${error instanceof Error ? error.message : String(error)}`);
  }
}
