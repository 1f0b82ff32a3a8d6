/**
 * Published and recorded values, as JSON in test/vectors. tsc doesn't copy them, so compiled tests read them from the source tree.
 */
import { existsSync, readFileSync } from "node:fs";

/** The contents of test/vectors/NAME.json. The caller says its type, and the tests that use it show that it's right. */
export function vectors<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`test/vectors/${name}.json`, root()), "utf8")) as T;
}

function root(): URL {
  for (let folder = new URL("./", import.meta.url); ; folder = new URL("../", folder)) {
    if (existsSync(new URL("package.json", folder))) return folder;
    if (folder.pathname === "/") throw new Error("no package.json above the tests");
  }
}
