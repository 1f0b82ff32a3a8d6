/** Which mainmode this is. */
import { readFileSync } from "node:fs";

/** package.json stands beside the sources, and above dist/ once built. */
export function version(): string {
  for (const path of ["../package.json", "../../package.json"]) {
    try {
      return JSON.parse(readFileSync(new URL(path, import.meta.url), "utf8")).version;
    } catch {
      // The other place, then.
    }
  }
  return "unknown";
}
